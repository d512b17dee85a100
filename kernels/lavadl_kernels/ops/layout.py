"""Preparation of tensors for kernels: transposition between time last and time first, and rounding to a grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.buffers import empty, empty_like
from lavadl_kernels.runtime.jit import kernel, scalar
from lavadl_kernels.runtime.simd import SIDE, transpose_square

SQUARES = (np.dtype(np.float32), np.dtype(np.uint8))  #: types that `transpose_square` takes
TILE = 64  #: rows and columns of a tile: 16 KB of float32, which fit the L1 cache, in whole cache lines


def time_first(x: Array) -> Array:
    """The transpose of `x` (M, T), of any dtype, as a contiguous (T, M) array."""
    y = empty(x.shape[::-1], x.dtype)
    if x.dtype in SQUARES and x.flags.c_contiguous:
        _transpose_squares(x.shape[0], x, x.reshape(-1), y, y.reshape(-1))
    else:
        _transpose(x.shape[0], x, y)
    return y


def time_last(x: Array) -> Array:
    """The transpose of `x` (T, M), of any dtype, as a contiguous (M, T) array."""
    x = np.ascontiguousarray(x)
    if x.dtype == np.int32:  # a transpose only moves bits, so int32 can pass through the float32 kernel
        return time_last(x.view(np.float32)).view(np.int32)
    y = empty(x.shape[::-1], x.dtype)
    if x.dtype in SQUARES:
        _transpose_squares_back(x.shape[1], x, x.reshape(-1), y, y.reshape(-1))
    else:
        _transpose_back(x.shape[1], x, y)
    return y


@kernel
def _transpose_squares_back(begin: int, end: int, x: Array, given: Array, y: Array, out: Array) -> None:
    steps, lanes = x.shape
    whole = end - (end - begin) % SIDE
    for lo in range(begin, whole, SIDE):
        for first in range(0, steps - SIDE + 1, SIDE):
            transpose_square(given, first * lanes + lo, lanes, out, lo * steps + first, steps)
        _transpose_tile_back(lo, lo + SIDE, steps - steps % SIDE, steps, x, y)
    _transpose_tile_back(whole, end, 0, steps, x, y)


@kernel
def _transpose_back(begin: int, end: int, x: Array, y: Array) -> None:
    for lo in range(begin, end, SIDE):
        for first in range(0, x.shape[0], TILE):
            _transpose_tile_back(lo, min(lo + SIDE, end), first, min(first + TILE, x.shape[0]), x, y)


@scalar
def _transpose_tile_back(begin: int, end: int, first: int, last: int, x: Array, y: Array) -> None:
    for i in range(begin, end):
        row = y[i, first:last]
        for t in range(last - first):
            row[t] = x[first + t, i]


@kernel
def _transpose_squares(begin: int, end: int, x: Array, given: Array, y: Array, out: Array) -> None:
    lanes, steps = x.shape
    whole = end - (end - begin) % SIDE
    for lo in range(begin, whole, TILE):
        for first in range(0, steps - SIDE + 1, SIDE):
            for i in range(lo, min(lo + TILE, whole), SIDE):
                transpose_square(given, i * steps + first, steps, out, first * lanes + i, lanes)
    _transpose_tile(whole, end, 0, steps, x, y)
    _transpose_tile(begin, whole, steps - steps % SIDE, steps, x, y)


@scalar
def _transpose_tile(begin: int, end: int, first: int, last: int, x: Array, y: Array) -> None:
    for t in range(first, last):
        row = y[t, begin:end]
        for i in range(end - begin):
            row[i] = x[begin + i, t]


@kernel
def _transpose(begin: int, end: int, x: Array, y: Array) -> None:
    steps = x.shape[1]
    for lo in range(begin, end, TILE):
        hi = min(lo + TILE, end)
        for first in range(0, steps, TILE):
            _transpose_tile(lo, hi, first, min(first + TILE, steps), x, y)


@scalar
def rows_of_steps(x: Array, first: int, last: int, lo: int, hi: int, tile: Array) -> None:
    """Write steps `first` to `last`, at most `SIDE` of them, of lanes `lo` to `hi` to the rows of a tile.

    Parameters
    ----------
    x : ndarray
        (M, T) float32, C-contiguous.
    first, last, lo, hi : int
        The ranges of steps and of lanes.
    tile : ndarray
        (S, width) float32, C-contiguous, S = `SIDE`; written.  Row i receives step ``first + i``, and column k lane
        ``lo + k``; entries beyond these steps and lanes are undefined.
    """
    steps, width = x.shape[1], tile.shape[1]
    given, out = x.reshape(-1), tile.reshape(-1)
    whole = lo + (hi - lo) // SIDE * SIDE
    # A square may reach beyond the last step into the next lane, but not beyond the end of the array.
    while whole > lo and (whole - 1) * steps + first + SIDE > x.size:
        whole -= SIDE
    if first < last:
        for i in range(lo, whole, SIDE):
            transpose_square(given, i * steps + first, steps, out, i - lo, width)
    for t in range(first, last):
        for i in range(whole, hi):
            tile[t - first, i - lo] = x[i, t]


@scalar
def steps_of_rows(tile: Array, first: int, last: int, lo: int, hi: int, x: Array) -> None:
    """Write the rows of a tile to steps `first` to `last` of lanes `lo` to `hi`: the inverse of `rows_of_steps`.

    Parameters
    ----------
    tile : ndarray
        (S, width) float32, C-contiguous.
    first, last, lo, hi : int
        The ranges of steps and of lanes.
    x : ndarray
        (M, T) float32, C-contiguous; written.
    """
    steps, width = x.shape[1], tile.shape[1]
    given, out = tile.reshape(-1), x.reshape(-1)
    whole = lo + (hi - lo) // SIDE * SIDE if last - first == SIDE else lo
    for i in range(lo, whole, SIDE):
        transpose_square(given, i - lo, width, out, i * steps + first, steps)
    for i in range(whole, hi):
        for t in range(first, last):
            x[i, t] = tile[t - first, i - lo]


def quantised_frames(x: Array, step: float, low: float, high: float) -> Array:
    """Round frames to a grid and transpose them to the layout that blocks exchange, in one pass over memory.

    This is the forward pass of an input block.

    Parameters
    ----------
    x : ndarray
        (N, C, S, T) float32, C-contiguous, with S = H * W.
    step, low, high : float
        The spacing of the grid, a power of two; the smallest and the largest value of the grid.

    Returns
    -------
    ndarray
        (T, N, S, C) float32: ``clip(round(x / step) * step, low, high)``, ties to even; NaN stays NaN.
    """
    n, c, pixels, steps = x.shape
    y = empty((steps, n, pixels, c))
    _quantise_frames(n * pixels, x, np.float32(1 / step), np.float32(step), np.float32(low), np.float32(high), y)
    return y


@kernel
def _quantise_frames(begin: int, end: int, x: Array, inverse: Any, step: Any, low: Any, high: Any, y: Array) -> None:
    pixels, steps = x.shape[2:]
    for lo in range(begin, end, TILE):
        for item in range(lo, min(lo + TILE, end)):
            n, pixel = item // pixels, item % pixels
            for c in range(x.shape[1]):
                row = x[n, c, pixel]
                for t in range(steps):
                    value = np.rint(row[t] * inverse) * step
                    value = low if value < low else value
                    y[t, n, pixel, c] = high if value > high else value


def quantised(x: Array, step: float, low: float, high: float) -> tuple[Array, bool]:
    """Round to the nearest multiples of `step`, and tell whether all of them are between `low` and `high`.

    Parameters
    ----------
    x : ndarray
        float32, contiguous, of any shape.
    step, low, high : float
        The spacing of the grid, a power of two; the range with which the results are compared.

    Returns
    -------
    y : ndarray
        (the shape of `x`) float32: ``round(x / step) * step``, ties to even; NaN stays NaN.
    inside : bool
        Whether all entries of `y` are in the range; NaN counts as outside.
    """
    y = empty_like(x)
    flat = x.reshape(-1), y.reshape(-1)
    return y, _quantise(x.size, *flat, np.float32(1 / step), np.float32(step), np.float32(low), np.float32(high))


@kernel
def _quantise(begin: int, end: int, x: Array, y: Array, inverse: Any, step: Any, low: Any, high: Any) -> bool:
    beyond = np.int32(0)
    row, to = x[begin:end], y[begin:end]
    for i in range(row.size):
        value = np.rint(row[i] * inverse) * step
        to[i] = value
        beyond |= np.int32(not (low <= value <= high))
    return bool(beyond == 0)
