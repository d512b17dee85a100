"""A piecewise linear function and its slope, element by element: the rate of a neuron over its drive.

With knots (z[0], a[0]) .. (z[K-1], a[K-1]), z increasing, and slopes s[0] .. s[K-2]::

    f(x) = 0                        x <= z[0]
           a[i] + s[i] (x - z[i])   z[i] < x <= z[i+1]
           a[K-1]                   x > z[K-1]

Arithmetic is float32, every operation rounded on its own; NaN stays NaN.

Arrays are flat: one value per element, in any order.
"""

from __future__ import annotations

import numpy as np

from lavadl_kernels.runtime.buffers import empty_like
from lavadl_kernels.runtime.jit import kernel, scalar

CHUNK = 2048  # elements at a time: they stay in the first-level cache while each piece passes over them


def forward(x, z, a, slopes):
    """f(x).

    Parameters
    ----------
    x : ndarray
        (M,) float32.
    z, a : ndarray
        (K,) float32, K >= 2.
    slopes : ndarray
        (K - 1,) float32.

    Returns
    -------
    ndarray
        (M,) float32.
    """
    y = empty_like(x)
    _forward(x.size, x, z, a, slopes, y)
    return y


def backward(x, z, factors, outside, grad):
    """Gradient to `x`: `grad` times the factor of each element's piece.

    Parameters
    ----------
    x, grad : ndarray
        (M,) float32.
    z : ndarray
        (K,) float32.
    factors : ndarray
        (K - 1,) float32, one for each piece.
    outside : float
        The factor below the first knot and above the last.

    Returns
    -------
    ndarray
        (M,) float32.
    """
    out = empty_like(x)
    _backward(x.size, x, z, factors, np.float32(outside), grad, out)
    return out


@kernel
def _forward(begin, end, x, z, a, slopes, y):
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        row, out = x[lo:hi], y[lo:hi]
        _begin(row, z[0], out)
        for i in range(slopes.size):
            _piece(row, z[i], a[i], slopes[i], out)
        _piece(row, z[-1], a[-1], np.float32(0), out)


@scalar
def _begin(x, first, out):
    for j in range(x.size):
        # what is not a number is not below the first knot
        out[j] = np.float32(0) if x[j] <= first else x[j]


@scalar
def _piece(x, z, a, slope, out):
    """The piece that begins at `z`, over all that is above; the pieces that follow overwrite what is theirs."""
    for j in range(x.size):
        beyond = min(x[j], np.float32(3e38)) - z  # of infinity times a slope of 0 there is no value
        out[j] = a + slope * beyond if x[j] > z else out[j]


@kernel
def _backward(begin, end, x, z, factors, outside, grad, out):
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        row, to = x[lo:hi], out[lo:hi]
        to[:] = outside
        for i in range(factors.size):
            _factor(row, z[i], factors[i], to)
        _factor(row, z[-1], outside, to)
        _multiply(grad[lo:hi], to)


@scalar
def _factor(x, z, factor, out):
    for j in range(x.size):
        out[j] = factor if x[j] > z else out[j]


@scalar
def _multiply(grad, out):
    for j in range(out.size):
        out[j] *= grad[j]
