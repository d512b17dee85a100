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
        for t in range(steps):
            for i in range(lo, min(lo + CHUNK, end)):
                source = t - delay[i]
                y[t, i] = x[source, i] if 0 <= source < steps else 0


@kernel
def _slope(begin, end, grad_y, y, grad_delay):
    steps = y.shape[0]
    for lo in range(begin, end, CHUNK):
        for t in range(steps):
            for i in range(lo, min(lo + CHUNK, end)):
                before = y[t - 1, i] if t > 0 else np.float32(0)
                grad_delay[i] -= np.float64(grad_y[t, i]) * np.float64(y[t, i] - before)
