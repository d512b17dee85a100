"""An elementwise piecewise linear function and its gradient: the rate of a neuron as a function of its drive.

With knots (z[0], a[0]) .. (z[K-1], a[K-1]), where z increases, and slopes s[0] .. s[K-2]::

    f(x) = 0                        x <= z[0]
           a[i] + s[i] (x - z[i])   z[i] < x <= z[i+1]
           a[K-1]                   x > z[K-1]

Arithmetic is float32, with every operation rounded separately; NaN stays NaN.

Arrays are flat: one value per element, in any order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.ops.weights import Grid
from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.buffers import empty_like
from lavadl_kernels.runtime.jit import kernel, scalar

CHUNK = 2048  #: elements at a time: they stay in the L1 cache while the loop of each linear piece passes over them


def forward(x: Array, z: Array, a: Array, slopes: Array) -> Array:
    """Compute f(x) for each element.

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
    """Compute the gradient with respect to `x`: `grad` times the factor of the linear piece in which each element lies.

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


class Scaled(NamedTuple):
    """The argument x of f as a function of an input u: (round(u / step) * step * gain + offset) * factor, float32.

    Only the rounded number ``round(u / step) * step`` is clipped to the bounds of the grid.
    """

    grid: Grid
    gain: Any
    offset: Any
    factor: Any


def forward_scaled(u: Array, scaled: Scaled, z: Array, a: Array, slopes: Array) -> Array:
    """Compute f(x(u)) for each element.

    Parameters
    ----------
    u : ndarray
        (M,) float32.
    scaled : Scaled
        The function x(u).
    z, a : ndarray
        (K,) float32, the knots, K >= 2.
    slopes : ndarray
        (K - 1,) float32.

    Returns
    -------
    ndarray
        (M,) float32.
    """
    y = empty_like(u)
    _forward_scaled(u.size, u, scaled, z, a, slopes, y)
    return y


def backward_scaled(u: Array, scaled: Scaled, z: Array, factors: Array, outside: float, grad: Array) -> Array:
    """Compute the gradients with respect to the gain and the offset of `scaled`.

    Parameters
    ----------
    u : ndarray
        (M,) float32.
    scaled : Scaled
        The function x(u).
    z : ndarray
        (K,) float32.
    factors : ndarray
        (K - 1,) float32, one for each piece.
    outside : float
        The factor below the first knot and above the last.
    grad : ndarray
        (M,) float32, the gradient with respect to the values f(x(u)).

    Returns
    -------
    ndarray
        (2,) float64: the gradients with respect to the gain and to the offset.
    """
    sums = np.empty((-(-u.size // CHUNK), 2), np.float32)
    _backward_scaled(len(sums), u, scaled, z, factors, np.float32(outside), grad, sums, align=1)
    total: Array = sums.sum(axis=0, dtype=np.float64)
    return total


@kernel
def _forward_scaled(
    begin: int, end: int, u: Array, scaled: Scaled, z: Array, a: Array, slopes: Array, y: Array
) -> None:
    scratch = np.empty(CHUNK, np.float32)
    for lo in range(begin, end, CHUNK):
        hi = min(lo + CHUNK, end)
        row, out = scratch[: hi - lo], y[lo:hi]
        _rounded(u[lo:hi], scaled.grid, row)
        _scale(scaled.gain, scaled.offset, scaled.factor, row)
        _begin(row, z[0], out)
        for i in range(slopes.size):
            _piece(row, z[i], a[i], slopes[i], out)
        _piece(row, z[-1], a[-1], np.float32(0), out)


@kernel
def _backward_scaled(
    begin: int, end: int, u: Array, scaled: Scaled, z: Array, factors: Array, outside: Any, grad: Array, sums: Array
) -> None:
    scratch = np.empty((2, CHUNK), np.float32)
    for chunk in range(begin, end):
        lo, hi = chunk * CHUNK, min(chunk * CHUNK + CHUNK, u.size)
        row, to = scratch[0, : hi - lo], scratch[1, : hi - lo]
        _rounded(u[lo:hi], scaled.grid, row)
        _scale(scaled.gain, scaled.offset, scaled.factor, row)
        to[:] = outside
        for i in range(factors.size):
            _factor(row, z[i], factors[i], to)
        _factor(row, z[-1], outside, to)
        _multiply(grad[lo:hi], to)
        _rounded(u[lo:hi], scaled.grid, row)
        _multiply(to, row)
        sums[chunk, 0] = _sum(row) * scaled.factor
        sums[chunk, 1] = _sum(to) * scaled.factor


@scalar
def _rounded(u: Array, grid: Grid, out: Array) -> None:
    for j in range(u.size):
        value = np.rint(u[j] * grid.inverse) * grid.step
        value = grid.low if value < grid.low else value
        out[j] = grid.high if value > grid.high else value


@scalar
def _scale(gain: Any, offset: Any, factor: Any, out: Array) -> None:
    for j in range(out.size):
        out[j] = (out[j] * gain + offset) * factor


@scalar
def _sum(x: Array) -> Any:
    """The sum of `x`, which is overwritten.

    The second half is repeatedly added to the first.  These loops vectorise, and the rounding error is smaller than
    that of a running sum.
    """
    left = x.size
    while left > 1:
        half = (left + 1) // 2
        for j in range(left - half):
            x[j] += x[half + j]
        left = half
    return x[0]


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
        # A comparison with NaN is False, so NaN is copied.
        out[j] = np.float32(0) if x[j] <= first else x[j]


@scalar
def _piece(x: Array, z: Any, a: Any, slope: Any, out: Array) -> None:
    """Write the linear piece that begins at `z` for all elements above `z`; later pieces overwrite their own elements.

    This loop without branches over all elements vectorises; a search for the piece of each element would not.
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
