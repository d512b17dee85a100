"""Causal filters along time: with arbitrary taps, or as a recurrence if the taps are exponential.

    y[t] = sum_i taps[i] * x[t-i]

If the response is a truncated exponential, or one convolved with itself, a step needs only the state of the previous
step, its input and the input L steps earlier::

    y_0[t] = x[t]
    y_k[t] = a * y_k[t-1] + y_{k-1}[t] - C(L + k - 2, k - 1) * a^L * x[t-L]        k = 1 .. order

y_k is x filtered by C(i + k - 1, k - 1) * a^i, i = 0 .. L - 1: for k = 1 the exponential, for k = 2 that exponential
convolved with itself and cut to L steps.  With a = 1 and order 1 it is the sum over a window of L steps.

States are float64: where the last term should cancel the state, the remainder is then below the rounding error of the
float32 result, and sums of spikes are exact.  The adjoint of a filter is the same filter run backward in time.

Arrays are time-major (T, M).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.buffers import empty_like
from lavadl_kernels.runtime.jit import kernel, scalar

CHUNK = 512  #: lanes at a time: their states stay in the L1 cache
TINY = 2.0**-120  #: smaller states are set to 0: they would decay to denormal numbers, with which arithmetic is slow


def exponential(
    x: Array, factor: float, order: int, length: int, scale: float = 1.0, adjoint: bool = False
) -> tuple[Array, Array]:
    """Filter each lane of `x` with a truncated exponential.

    Parameters
    ----------
    x : ndarray
        (T, M) float32.
    factor : float
        a, greater than 0 and at most 1.
    order : int
        The number of exponentials that are convolved, at least 1.
    length : int
        L in steps, at least 1.
    scale : float
        Factor of the result.
    adjoint : bool
        Whether to run backward in time.

    Returns
    -------
    y : ndarray
        (T, M) float32.
    energy : ndarray
        (M,) float64, the sum of the squares of each lane's y before it is rounded.
    """
    y, energy = empty_like(x), np.zeros(x.shape[1])
    last = 1.0
    for _ in range(min(length, len(x))):
        last *= factor  # instead of a power: rounded like the states, so that it cancels a single spike exactly
    tail = np.array([last * math.comb(length + k - 2, k - 1) for k in range(1, order + 1)])
    _exponential(x.shape[1], x, float(factor), tail, length, float(scale), adjoint, y, energy)
    return y, energy


@kernel
def _exponential(
    begin: int,
    end: int,
    x: Array,
    factor: float,
    tail: Array,
    length: int,
    scale: float,
    adjoint: bool,
    y: Array,
    energy: Array,
) -> None:
    state = np.empty((len(tail), CHUNK))
    for lo in range(begin, end, CHUNK):
        _filtered(x, lo, min(lo + CHUNK, end), state, factor, tail, length, scale, adjoint, y, energy)


@scalar  # a separate function: the loops do not vectorise if the arrays are allocated in the same function
def _filtered(
    x: Array,
    lo: int,
    hi: int,
    state: Array,
    factor: float,
    tail: Array,
    length: int,
    scale: float,
    adjoint: bool,
    y: Array,
    energy: Array,
) -> None:
    steps = len(x)
    state[:] = 0
    total = energy[lo:hi]
    for t in range(steps):
        now = steps - 1 - t if adjoint else t
        before = now + length if adjoint else now - length
        _advance(state[0, : hi - lo], x[now, lo:hi], factor)
        for k in range(len(tail)):
            if k > 0:
                _advance(state[k, : hi - lo], state[k - 1, : hi - lo], factor)
            if t >= length:
                _cut(state[k], x[before, lo:hi], tail[k])
        _read(state[-1], scale, y[now, lo:hi], total)


@scalar
def _advance(state: Array, received: Array, factor: float) -> None:
    for i in range(state.size):
        value = factor * state[i] + received[i]
        state[i] = 0.0 if abs(value) <= TINY else value


@scalar
def _cut(state: Array, row: Array, tail: float) -> None:
    for i in range(row.size):
        state[i] -= tail * row[i]


@scalar
def _read(state: Array, scale: float, row: Array, energy: Array) -> None:
    for i in range(row.size):
        value = scale * state[i]
        row[i] = value
        energy[i] += value * value


def convolve(x: Array, taps: Array, adjoint: bool = False) -> Array:
    """Filter each lane of `x` (T, M) float32 with `taps` (L,) float32; the adjoint runs backward in time.

    Examples
    --------
    >>> x = np.array([[1], [0], [2]], np.float32)
    >>> convolve(x, np.array([1, 0.5], np.float32)).tolist()
    [[1.0], [0.5], [2.0]]
    """
    y = empty_like(x)
    _convolve(x.shape[1], x, taps, -1 if adjoint else 1, y)
    return y


@kernel
def _convolve(begin: int, end: int, x: Array, taps: Array, later: int, y: Array) -> None:
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        for t in range(len(x)):
            count = min(len(taps), t + 1 if later > 0 else len(x) - t)
            row = y[t, lo:hi]
            row[:] = 0
            whole = count // 4 * 4  # four taps per pass over the row: a quarter of its reads and writes
            for i in range(0, whole, 4):
                a, b, c, d = t - later * i, t - later * (i + 1), t - later * (i + 2), t - later * (i + 3)
                _add_four(row, x[a, lo:hi], x[b, lo:hi], x[c, lo:hi], x[d, lo:hi], taps[i : i + 4])
            for i in range(whole, count):
                _add(row, x[t - later * i, lo:hi], taps[i])


@scalar
def _add_four(row: Array, a: Array, b: Array, c: Array, d: Array, taps: Array) -> None:
    first, second, third, fourth = taps[0], taps[1], taps[2], taps[3]
    for i in range(row.size):
        row[i] = (((row[i] + first * a[i]) + second * b[i]) + third * c[i]) + fourth * d[i]


@scalar
def _add(row: Array, x: Array, tap: Any) -> None:
    for i in range(row.size):
        row[i] += tap * x[i]
