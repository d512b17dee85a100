"""Access to rows of lanes that may be absent, and to values that all lanes may share.

The type of an argument decides at compile time which case applies, so neither case costs time in the loops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.extending import overload
from lavadl_kernels.runtime.jit import VIEW, scalar


def maybe_row(block: Array | None, k: int, t: int, lo: int, n: int) -> Array | None:
    """Lanes ``lo`` to ``lo + n`` of ``block[k, t]``, or None if `block` is None."""
    return None if block is None else block[k, t, lo : lo + n]


@overload(maybe_row, **VIEW)
def _maybe_row(block: Any, k: Any, t: Any, lo: Any, n: Any) -> Callable[..., Any]:
    if isinstance(block, types.NoneType):
        return lambda block, k, t, lo, n: None
    return lambda block, k, t, lo, n: block[k, t, lo : lo + n]


def store(row: Array | None, i: int, value: Any) -> None:
    """Assign ``row[i] = value``, or do nothing if `row` is None."""
    if row is not None:
        row[i] = value


@overload(store)
def _store(row: Any, i: Any, value: Any) -> Callable[..., None]:
    if isinstance(row, types.NoneType):
        return lambda row, i, value: None

    def write(row: Any, i: Any, value: Any) -> None:
        row[i] = value

    return write


def widest(largest: Any, value: Any) -> Any:
    """The bit pattern of the largest float32 magnitude so far, including `value`; None if `largest` is None.

    As integers, the bit patterns of magnitudes have the same order as the magnitudes, and NaN lies above all numbers.
    One comparison therefore detects NaN too, which a maximum of floats would lose.  A `value` of any other type is
    ignored.
    """
    if largest is None or not isinstance(value, np.float32):
        return largest
    return max(largest, np.int32(value.view(np.int32) & np.int32(0x7FFFFFFF)))


@overload(widest)
def _widest(largest: Any, value: Any) -> Callable[..., Any]:
    if isinstance(largest, types.NoneType) or value != types.float32:
        return lambda largest, value: largest
    return lambda largest, value: np.int32(
        max(largest, np.int32(np.float32(value).view(np.int32) & np.int32(0x7FFFFFFF)))
    )


def add(value: Any, row: Array | None, i: int) -> Any:
    """``value + row[i]``, or `value` if `row` is None."""
    return value if row is None else value + row[i]


@overload(add)
def _add(value: Any, row: Any, i: Any) -> Callable[..., Any]:
    if isinstance(row, types.NoneType):
        return lambda value, row, i: value
    return lambda value, row, i: value + row[i]


def subtract(value: Any, row: Array | None, i: int) -> Any:
    """``value - row[i]``, or `value` if `row` is None."""
    return value if row is None else value - row[i]


@overload(subtract)
def _subtract(value: Any, row: Any, i: Any) -> Callable[..., Any]:
    if isinstance(row, types.NoneType):
        return lambda value, row, i: value
    return lambda value, row, i: value - row[i]


def param_row(values: Array, k: int, n: int) -> Any:
    """The first `n` lanes of row k of `values` (P, M); for `values` (P,), the value that all lanes share."""
    return values[k] if values.ndim == 1 else values[k, :n]


@overload(param_row, **VIEW)
def _param_row(values: Any, k: Any, n: Any) -> Callable[..., Any]:
    if values.ndim == 1:
        return lambda values, k, n: values[k]
    return lambda values, k, n: values[k, :n]


def lane_value(values: Any, i: int) -> Any:
    """The value of lane `i` in `values`, a result of `param_row`: a row of lanes, or a value that all lanes share."""
    return values[i] if isinstance(values, np.ndarray) else values


@overload(lane_value)
def _lane_value(values: Any, i: Any) -> Callable[..., Any]:
    if isinstance(values, types.Array):
        return lambda values, i: values[i]
    return lambda values, i: values


@scalar
def copied(values: Array, to: Array) -> None:
    """Copy a row of lanes to another, in a loop that vectorises; a slice assignment would not vectorise."""
    for i in range(to.size):
        to[i] = values[i]
