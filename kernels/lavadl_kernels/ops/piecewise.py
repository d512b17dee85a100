"""A piecewise linear function and its slope, element by element: the rate of a neuron over its drive.

With knots (z[0], a[0]) .. (z[K-1], a[K-1]), z increasing, and slopes s[0] .. s[K-2]::

    f(x) = 0                        x <= z[0]
           a[i] + s[i] (x - z[i])   z[i] < x <= z[i+1]
           a[K-1]                   x > z[K-1]

Arithmetic is float32, every operation rounded on its own; NaN stays NaN.

Arrays are flat: one value per element, in any order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.buffers import empty_like
from lavadl_kernels.runtime.jit import kernel, scalar

CHUNK = 2048  #: elements at a time: they stay in the L1 cache while the loop of each linear piece passes over them


def forward(x: Array, z: Array, a: Array, slopes: Array) -> Array:
    """The values f(x).

    Parameters
    ----------
    x : ndarray
        (M,) float32.
    z, a : ndarray
        (K,) float32, the knots, K >= 2.
    slopes : ndarray
        (K - 1,) float32.

    Returns
    -------
    ndarray
        (M,) float32.

    Examples
    --------
    >>> z, a, slopes = (np.array(v, np.float32) for v in ([0, 1, 3], [0, 2, 3], [2, 0.5]))
    >>> forward(np.array([-1, 0.5, 2, 9], np.float32), z, a, slopes).tolist()
    [0.0, 1.0, 2.5, 3.0]
    """
    y = empty_like(x)
    _forward(x.size, x, z, a, slopes, y)
    return y


def backward(x: Array, z: Array, factors: Array, outside: float, grad: Array) -> Array:
    """Gradient to `x`: `grad` times the factor of the linear piece in which each element lies.

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
def _forward(begin: int, end: int, x: Array, z: Array, a: Array, slopes: Array, y: Array) -> None:
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        row, out = x[lo:hi], y[lo:hi]
        _begin(row, z[0], out)
        for i in range(slopes.size):
            _piece(row, z[i], a[i], slopes[i], out)
        _piece(row, z[-1], a[-1], np.float32(0), out)


@scalar
def _begin(x: Array, first: Any, out: Array) -> None:
    for j in range(x.size):
        # a comparison with NaN is False, so that NaN is copied
        out[j] = np.float32(0) if x[j] <= first else x[j]


@scalar
def _piece(x: Array, z: Any, a: Any, slope: Any, out: Array) -> None:
    """Write the linear piece that begins at `z` for all elements above `z`; later pieces overwrite theirs.

    A loop without branches over all elements vectorises, where a search for the piece of each would not.
    """
    for j in range(x.size):
        beyond = min(x[j], np.float32(3e38)) - z  # infinity times a slope of 0 would be NaN
        out[j] = a + slope * beyond if x[j] > z else out[j]


@kernel
def _backward(begin: int, end: int, x: Array, z: Array, factors: Array, outside: Any, grad: Array, out: Array) -> None:
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        row, to = x[lo:hi], out[lo:hi]
        to[:] = outside
        for i in range(factors.size):
            _factor(row, z[i], factors[i], to)
        _factor(row, z[-1], outside, to)
        _multiply(grad[lo:hi], to)


@scalar
def _factor(x: Array, z: Any, factor: Any, out: Array) -> None:
    for j in range(x.size):
        out[j] = factor if x[j] > z else out[j]


@scalar
def _multiply(grad: Array, out: Array) -> None:
    for j in range(out.size):
        out[j] *= grad[j]
