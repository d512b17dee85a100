"""Rows of sigma-delta neurons: what all lanes share, and what rides on the bits of a float32.

A value that all lanes share is a scalar and costs nothing, and so does a part that nobody asked for, which is None:
both are settled by type, at compile time.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from lavadl_kernels.runtime.jit import VIEW, scalar


def spread(values, inner, lo, out):
    """`out`, with out[i] the value of the channel of lane lo + i; the value itself that all channels share."""
    raise NotImplementedError("compiled only")


@overload(spread, **VIEW)
def _spread(values, inner, lo, out):
    if not isinstance(values, types.Array):
        return lambda values, inner, lo, out: values

    def filled(values, inner, lo, out):
        _fill(values, inner, lo, out)
        return out

    return filled


@scalar
def _fill(values, inner, lo, out):
    channel, beside = lo // inner % values.size, lo % inner
    for i in range(out.size):
        out[i] = values[channel]
        beside += 1
        if beside == inner:
            beside = 0
            channel += 1
            if channel == values.size:
                channel = 0


def shares(level, unit, height, least, share):
    """The thresholds as backward has them, and the height of the surrogate over them, in float32."""
    raise NotImplementedError("compiled only")


@overload(shares, **VIEW)
def _shares_by_type(level, unit, height, least, share):
    if not isinstance(level, types.Array):
        return lambda level, unit, height, least, share: (
            np.float32(max(level, unit)),
            np.float32(height / max(level, unit)),
        )

    def filled(level, unit, height, least, share):
        _fill_shares(level, unit, height, least, share)
        return least, share

    return filled


@scalar
def _fill_shares(level, unit, height, least, share):
    for i in range(level.size):
        least[i] = max(level[i], unit)
        share[i] = height / max(level[i], unit)


def row(block, t, lo, hi):
    """Lanes `lo` to `hi` of a step; None of no block."""
    raise NotImplementedError("compiled only")


@overload(row, **VIEW)
def _row_by_type(block, t, lo, hi):
    if isinstance(block, types.NoneType):
        return lambda block, t, lo, hi: None
    return lambda block, t, lo, hi: block[t, lo:hi]


@scalar
def magnitude(x):
    """The magnitude of a float32 as an integer: in the same order, and larger than any number's if it is NaN."""
    return np.int32(np.float32(x).view(np.int32) & np.int32(0x7FFFFFFF))


@scalar
def marked(factor, mark):
    """`factor` with `mark` for its last bit."""
    bits = np.float32(factor).view(np.int32) & np.int32(-2)
    return np.int32(bits | np.int32(mark)).view(np.float32)


@scalar
def passes(kept):
    """The mark."""
    return np.int32(np.float32(kept).view(np.int32) & np.int32(1))


@scalar
def factor(kept):
    """What was marked, but for its last bit."""
    return np.int32(np.float32(kept).view(np.int32) & np.int32(-2)).view(np.float32)
