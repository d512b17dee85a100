"""Tensors on their way to kernels: from time last to time first, and onto a grid."""

from __future__ import annotations

import numpy as np

from lavadl_kernels.runtime.buffers import empty, empty_like
from lavadl_kernels.runtime.jit import kernel, scalar
from lavadl_kernels.runtime.simd import SIDE, turn

TILE = 64  # a tile of float32 fits the first-level cache and is whole cache lines


def time_first(x):
    """The transpose of `x` (M, T) as a contiguous (T, M) array."""
    y = empty(x.shape[::-1], x.dtype)
    if x.dtype == np.float32 and x.flags.c_contiguous:
        _turn_all(x.shape[0], x, x.reshape(-1), y, y.reshape(-1))
    else:
        _transpose(x.shape[0], x, y)
    return y


@kernel
def _turn_all(begin, end, x, given, y, out):
    lanes, steps = x.shape
    whole = end - (end - begin) % SIDE
    for lo in range(begin, whole, TILE):
        for first in range(0, steps - SIDE + 1, SIDE):
            for i in range(lo, min(lo + TILE, whole), SIDE):
                turn(given, i * steps + first, steps, out, first * lanes + i, lanes)
    _transpose_tile(whole, end, 0, steps, x, y)
    _transpose_tile(begin, whole, steps - steps % SIDE, steps, x, y)


@scalar
def _transpose_tile(begin, end, first, last, x, y):
    for t in range(first, last):
        row = y[t, begin:end]
        for i in range(end - begin):
            row[i] = x[begin + i, t]


@kernel
def _transpose(begin, end, x, y):
    steps = x.shape[1]
    for lo in range(begin, end, TILE):
        hi = min(lo + TILE, end)
        for first in range(0, steps, TILE):
            _transpose_tile(lo, hi, first, min(first + TILE, steps), x, y)


def quantised_frames(x, step, low, high):
    """What an input block makes of contiguous frames, in the memory that blocks hand on.

    Parameters
    ----------
    x : ndarray
        (N, C, S, T) float32: S places.
    step, low, high : float
        The grid, its smallest and its largest value; `step` a power of two.

    Returns
    -------
    ndarray
        (T, N, S, C) float32: ``clip(round(x / step) * step, low, high)``, ties to even; NaN stays.
    """
    n, c, places, steps = x.shape
    y = empty((steps, n, places, c))
    _quantise_frames(n * places, x, np.float32(1 / step), np.float32(step), np.float32(low), np.float32(high), y)
    return y


@kernel
def _quantise_frames(begin, end, x, inverse, step, low, high, y):
    places, steps = x.shape[2:]
    for lo in range(begin, end, TILE):
        for item in range(lo, min(lo + TILE, end)):
            n, place = item // places, item % places
            for c in range(x.shape[1]):
                row = x[n, c, place]
                for t in range(steps):
                    value = np.rint(row[t] * inverse) * step
                    value = low if value < low else value
                    y[t, n, place, c] = high if value > high else value


def quantised(x, step, low, high):
    """The nearest multiples of `step`, and whether all are between `low` and `high`.

    Parameters
    ----------
    x : ndarray
        float32, contiguous.
    step, low, high : float
        The grid, and the range that is asked about; `step` a power of two.

    Returns
    -------
    y : ndarray
        As `x`: ``round(x / step) * step``, ties to even; NaN stays, and is not in the range.
    inside : bool
        Whether all of them are in the range.
    """
    y = empty_like(x)
    flat = x.reshape(-1), y.reshape(-1)
    return y, _quantise(x.size, *flat, np.float32(1 / step), np.float32(step), np.float32(low), np.float32(high))


@kernel
def _quantise(begin, end, x, y, inverse, step, low, high):
    beyond = np.int32(0)
    row, to = x[begin:end], y[begin:end]
    for i in range(row.size):
        value = np.rint(row[i] * inverse) * step
        to[i] = value
        beyond |= np.int32(not (low <= value <= high))
    return bool(beyond == 0)
