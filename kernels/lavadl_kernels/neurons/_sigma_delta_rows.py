"""Rows of sigma-delta neurons: values that all lanes share, and a bit beside the bits of a float32.

A value that all lanes share is a scalar and costs nothing, and so does a part that nobody asked for, which is None:
both are settled by type, at compile time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from lavadl_kernels.runtime.array_types import Array, Floats
from lavadl_kernels.runtime.extending import overload
from lavadl_kernels.runtime.jit import VIEW, scalar


def spread(values: Any, inner: int, lo: int, out: Array) -> Any:
    """`out`, with out[i] the value of the channel of lane lo + i; the value itself that all channels share."""
    raise NotImplementedError("compiled only")


@overload(spread, **VIEW)
def _spread(values: Any, inner: Any, lo: Any, out: Any) -> Callable[..., Any]:
    if not isinstance(values, types.Array):
        return lambda values, inner, lo, out: values

    def filled(values: Any, inner: Any, lo: Any, out: Any) -> Any:
        _fill(values, inner, lo, out)
        return out

    return filled


@scalar
def _fill(values: Array, inner: int, lo: int, out: Array) -> None:
    channel, beside = lo // inner % values.size, lo % inner
    for i in range(out.size):
        out[i] = values[channel]
        beside += 1
        if beside == inner:
            beside = 0
            channel += 1
            if channel == values.size:
                channel = 0


def surrogate_heights(level: Any, unit: Any, height: Any, least: Floats, ratio: Floats) -> tuple[Any, Any]:
    """The thresholds as backward has them, at least `unit`, and the height of the surrogate over them, in float32."""
    raise NotImplementedError("compiled only")


@overload(surrogate_heights, **VIEW)
def _surrogate_heights(level: Any, unit: Any, height: Any, least: Any, ratio: Any) -> Callable[..., Any]:
    if not isinstance(level, types.Array):
        return lambda level, unit, height, least, ratio: (
            np.float32(max(level, unit)),
            np.float32(height / max(level, unit)),
        )

    def filled(level: Any, unit: Any, height: Any, least: Any, ratio: Any) -> Any:
        _fill_heights(level, unit, height, least, ratio)
        return least, ratio

    return filled


@scalar
def _fill_heights(level: Array, unit: Any, height: Any, least: Floats, ratio: Floats) -> None:
    for i in range(level.size):
        least[i] = max(level[i], unit)
        ratio[i] = height / max(level[i], unit)


def row(block: Array | None, t: int, lo: int, hi: int) -> Array | None:
    """Lanes `lo` to `hi` of a step; None of no block."""
    raise NotImplementedError("compiled only")


@overload(row, **VIEW)
def _row_by_type(block: Any, t: Any, lo: Any, hi: Any) -> Callable[..., Any]:
    if isinstance(block, types.NoneType):
        return lambda block, t, lo, hi: None
    return lambda block, t, lo, hi: block[t, lo:hi]


@scalar
def magnitude(x: Any) -> Any:
    """The magnitude of a float32 as an integer: in the same order, and larger than any number's if it is NaN."""
    return np.int32(np.float32(x).view(np.int32) & np.int32(0x7FFFFFFF))


@scalar
def with_bit(factor: Any, bit: Any) -> Any:
    """`factor` with `bit` in the place of its last bit: one float32 a step instead of a float32 and a bool."""
    bits = np.float32(factor).view(np.int32) & np.int32(-2)
    return np.int32(bits | np.int32(bit)).view(np.float32)


@scalar
def passes(kept: Any) -> Any:
    """The bit that `with_bit` put there: whether the activation passes a gradient."""
    return np.int32(np.float32(kept).view(np.int32) & np.int32(1))


@scalar
def factor(kept: Any) -> Any:
    """The factor that `with_bit` was given, but for its last bit."""
    return np.int32(np.float32(kept).view(np.int32) & np.int32(-2)).view(np.float32)
