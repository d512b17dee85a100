"""Axonal delay: each lane's signal shifted by a whole number of steps of its own.

    y[t] = x[t - d]        zero where nothing has arrived yet

Backward shifts the gradient the other way.  The delay itself gets the gradient of a
signal interpolated linearly in time, -(y[t] - y[t-1]) per step of delay.

Arrays are time-major (T, M); delays are int64 (M,) and may be negative.
"""

from __future__ import annotations

import numpy as np

from lavadl_kernels._jit import kernel

CHUNK = 256  # lanes per task: whole cache lines, and rows of the window stay cached


def forward(x, delay):
    """Shift each lane of `x` (T, M) later by `delay` (M,) steps; returns a new (T, M) array."""
    y = np.empty_like(x)
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
    grad_x = np.empty_like(grad_y)
    _shift(delay.size, grad_y, -delay, grad_x)
    grad_delay = np.zeros(delay.shape, np.float64)
    _slope(delay.size, grad_y, y, grad_delay)
    return grad_x, grad_delay


@kernel
def _shift(begin, end, x, delay, y):
    steps = x.shape[0]
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        d = delay[lo:hi]
        least, most = d.min(), d.max()
        for t in range(steps):
            row = y[t, lo:hi]
            if t - most >= 0 and t - least < steps:
                if least == most:
                    row[:] = x[t - most, lo:hi]
                else:
                    for i in range(hi - lo):
                        row[i] = x[t - d[i], lo + i]
            else:
                for i in range(hi - lo):
                    source = t - d[i]
                    row[i] = x[source, lo + i] if 0 <= source < steps else 0


@kernel
def _slope(begin, end, grad_y, y, grad_delay):
    steps = y.shape[0]
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        total = grad_delay[lo:hi]
        before = np.zeros(hi - lo, np.float32)
        for t in range(steps):
            gr, yr = grad_y[t, lo:hi], y[t, lo:hi]
            for i in range(hi - lo):
                total[i] -= np.float64(gr[i] * (yr[i] - before[i]))
            before = yr
