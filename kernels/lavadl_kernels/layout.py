"""From time last to time first: the one rearrangement that contiguous (N, C, T) input needs."""

from __future__ import annotations

from lavadl_kernels._jit import kernel
from lavadl_kernels._memory import empty

TILE = 64  # a tile of float32 fits the first-level cache and is whole cache lines


def time_first(x):
    """The transpose of `x` (M, T) as a contiguous (T, M) array."""
    y = empty(x.shape[::-1], x.dtype)
    _transpose(x.shape[0], x, y)
    return y


@kernel
def _transpose(begin, end, x, y):
    steps = x.shape[1]
    for lo in range(begin, end, TILE):
        hi = min(lo + TILE, end)
        for first in range(0, steps, TILE):
            for t in range(first, min(first + TILE, steps)):
                row = y[t, lo:hi]
                for i in range(hi - lo):
                    row[i] = x[lo + i, t]
