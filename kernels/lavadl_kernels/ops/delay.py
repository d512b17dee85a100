"""Axonal delay: each lane's signal shifted by a whole number of steps of its own.

    y[t] = x[t - d]        zero where nothing has arrived yet

Backward shifts the gradient the other way.  The delay itself gets the gradient of a
signal interpolated linearly in time, -(y[t] - y[t-1]) per step of delay.

Arrays are time-major (T, M); delays are int64 (M,) and may be negative.
"""

from __future__ import annotations

import numpy as np

from lavadl_kernels.runtime.buffers import empty_like
from lavadl_kernels.runtime.jit import kernel, scalar

CHUNK = 1024  # lanes at a time: a few pages of each row, and a window of rows stays cached


def forward(x, delay):
    """Shift each lane of `x` (T, M) later by `delay` (M,) steps; returns a new (T, M) array."""
    if delay.size and delay.min() == delay.max():
        return shift(x, int(delay[0]))
    y = empty_like(x)
    _shift(delay.size, x, delay, y)
    return y


def backward(grad_y, y, delay):
    """Gradients of `forward`.

    Parameters
    ----------
    grad_y, y : ndarray
        (T, M) float32: incoming gradient and what `forward` returned.
    delay : ndarray
        (M,) int64.

    Returns
    -------
    grad_x : ndarray
        (T, M) float32.
    grad_delay : ndarray
        (M,) float64, per step.
    """
    grad_x = empty_like(grad_y)
    grad_delay = np.zeros(delay.shape, np.float64)
    _backward(delay.size, grad_y, y, -delay, grad_x, grad_delay)
    return grad_x, grad_delay


def shift(x, steps):
    """All lanes of `x` (T, M) later by the same number of steps, earlier if negative; returns a new (T, M) array."""
    y = empty_like(x)
    far = max(-len(x), min(steps, len(x))) * x.shape[1]
    _move(x.size, x.reshape(-1), far, y.reshape(-1))
    return y


@kernel
def _move(begin, end, x, far, y):
    first = max(begin, min(end, far))
    last = end if far >= 0 else max(begin, min(end, y.size + far))
    y[begin:first] = 0
    _copied(x[first - far : last - far], y[first:last])
    y[last:end] = 0


@kernel
def _shift(begin, end, x, delay, y):
    start = np.empty(CHUNK, np.int64)
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        d = delay[lo:hi]
        least, most = d.min(), d.max()
        _starts(d, lo, x.shape[1], start)
        for t in range(len(y)):
            _gather(x, t, d, least, most, start, lo, hi, y[t, lo:hi])


@kernel
def _backward(begin, end, grad_y, y, delay, grad_x, grad_delay):
    start = np.empty(CHUNK, np.int64)
    none = np.zeros(CHUNK, np.float32)
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        d = delay[lo:hi]
        least, most = d.min(), d.max()
        _starts(d, lo, y.shape[1], start)
        before = none[: hi - lo]
        for t in range(len(y)):
            _slope(grad_y[t, lo:hi], y[t, lo:hi], before, grad_delay[lo:hi])
            before = y[t, lo:hi]
            _gather(grad_y, t, d, least, most, start, lo, hi, grad_x[t, lo:hi])


@scalar
def _slope(grad_row, row, before, total):
    for i in range(row.size):
        total[i] -= np.float64(grad_row[i] * (row[i] - before[i]))


@scalar
def _copied(x, y):
    for i in range(y.size):  # assigning a slice would not vectorise
        y[i] = x[i]


@scalar
def _starts(delay, lo, lanes, start):
    """Where in flat memory each lane would be read at step 0."""
    for i in range(delay.size):
        start[i] = lo + i - delay[i] * lanes


@scalar
def _gather(x, t, delay, least, most, start, lo, hi, row):
    """Step `t` of the lanes `lo` to `hi`, each from its own row of `x`."""
    steps, lanes = x.shape
    if t < least or t - most >= steps:
        row[:] = 0
        return
    if least == most:
        _copied(x[t - least, lo:hi], row)
        return
    flat, here = x.reshape(-1), t * lanes
    # unsigned indices: of signed ones the compiler has to ask whether they count from the end
    if t >= most and t - least < steps:
        for i in range(row.size):
            row[i] = flat[np.uint64(start[i] + here)]
    else:
        for i in range(row.size):
            inside = 0 <= t - delay[i] < steps
            row[i] = flat[np.uint64(start[i] + here)] if inside else 0
