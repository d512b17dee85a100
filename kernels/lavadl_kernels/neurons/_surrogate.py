"""The spike and its surrogate gradient.

A neuron spikes where its voltage passes the threshold.  Backward replaces the derivative of
that step by a function of the distance to the threshold (SLAYER)::

    binary:  ds/dv = scale / (2 tau) * exp(-|v - threshold| / tau)
    graded:  ds/dv = scale * exp(min(v - threshold, 0) / tau)

A resonator spikes where its imaginary part comes from below zero while its real part is at or
above the threshold.  With D(x) = exp(-|x| / tau) / (2 tau) and H the step that D is the slope of::

    ds/dre = scale * D(re - threshold) * D(im)
    ds/dim = -scale / tau * sign(im) * D(im) * H(re - threshold)

and where spikes are graded, exp(min(re - threshold, 0) / tau) is in the place of D(re - threshold).

All values are float32 in units of 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from lavadl_kernels.engine._arguments import Surrogate
from lavadl_kernels.engine._optional_rows import add, lane_value, subtract
from lavadl_kernels.runtime.array_types import Floats
from lavadl_kernels.runtime.extending import intrinsic, overload
from lavadl_kernels.runtime.jit import inlined, kernel, prefer_512_bit, scalar


def multiply_add(a: Any, b: Any, c: Any) -> Any:
    """a * b + c in float32, rounded once where compiled; the interpreter rounds the double in between too."""
    return np.float32(np.float64(a) * np.float64(b) + np.float64(c))


@intrinsic
def _fused(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@overload(multiply_add, inline="always")
def _multiply_add(a: Any, b: Any, c: Any) -> Callable[..., Any]:
    return lambda a, b, c: _fused(a, b, c)


@inlined
def exp_negative(x: Any) -> Any:
    """exp(x) in float32 for x <= 0, to two units in the last place; exp(-87) = 1.6e-38 below -87.

    2**n times a polynomial in the remainder, so that loops over it vectorise: the library's exp is a call for each
    lane.  The coefficients are those of the Cephes library's `expf`.
    """
    # below -87 the power of two would have no normal float32
    x = max(x, np.float32(-87.0))
    n = np.floor(multiply_add(x, np.float32(1.4426950408889634), np.float32(0.5)))
    r = multiply_add(n, np.float32(-0.693359375), x)
    r = multiply_add(n, np.float32(2.12194440e-4), r)
    p = multiply_add(np.float32(1.9875691500e-4), r, np.float32(1.3981999507e-3))
    p = multiply_add(p, r, np.float32(8.3334519073e-3))
    p = multiply_add(p, r, np.float32(4.1665795894e-2))
    p = multiply_add(p, r, np.float32(1.6666665459e-1))
    p = multiply_add(p, r, np.float32(5.0000001201e-1))
    p = multiply_add(p * r, r, r) + np.float32(1.0)
    return p * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@scalar
def surrogate(distance: Any, tau: Any, scale: Any, graded: bool) -> Any:
    """ds/dv at `distance` = voltage - threshold."""
    if graded:
        return scale * exp_negative(min(distance, np.float32(0)) * (np.float32(1) / tau))
    return scale / (np.float32(2) * tau) * exp_negative(-abs(distance) * (np.float32(1) / tau))


@scalar
def phase_surrogate(re: Any, im: Any, level: Any, tau: Any, scale: Any, graded: bool) -> Any:
    """ds/dre and ds/dim of a resonator's spike."""
    distance = re - level
    rate = np.float32(1) / tau  # products, which are faster than quotients
    near = exp_negative(-abs(distance) * rate)
    crossing = exp_negative(-abs(im) * rate) * (np.float32(0.5) * rate)
    height = np.float32(0.5) * near
    if distance > 0:
        height = np.float32(1) - height
    slope = near * (np.float32(0.5) * rate)
    if graded:
        slope = np.float32(1) if distance > 0 else near
    side = np.float32(im > 0) - np.float32(im < 0)
    return scale * slope * crossing, -scale / tau * side * crossing * height


@scalar
def slopes(grad_spike: Floats, value: Floats, threshold: Any, raised: Any, out: Floats, by: Surrogate) -> None:
    """Write the gradients to a row of values through their spikes.

    Parameters
    ----------
    grad_spike, value, out : ndarray
        (n,) float32, units of 1.
    threshold : float or ndarray
        float32, of all lanes or of each (n,), units of 1.
    raised : ndarray or None
        (n,) float32, added to the threshold; units of 1.
    by : Surrogate
        Of the spikes.
    """
    tau, scale, graded = by
    prefer_512_bit()
    for i in range(grad_spike.size):
        distance = subtract(value[i] - lane_value(threshold, i), raised, i)
        out[i] = grad_spike[i] * surrogate(distance, tau, scale, graded)


@scalar
def phase_slopes(
    grad_spike: Floats,
    parts: tuple[Floats, Floats],
    threshold: Any,
    raised: Any,
    out: tuple[Floats, ...],
    by: Surrogate,
) -> None:
    """Write the gradients to real and imaginary part through spikes at a phase; arguments as in `slopes`."""
    re, im = parts
    grad_re, grad_im = out
    tau, scale, graded = by
    prefer_512_bit()
    for i in range(grad_spike.size):
        level = add(lane_value(threshold, i), raised, i)
        to_re, to_im = phase_surrogate(re[i], im[i], level, tau, scale, graded)
        grad_re[i], grad_im[i] = grad_spike[i] * to_re, grad_spike[i] * to_im


def backward(voltage: Floats, threshold: Floats, tau: float, scale: float, graded: bool, grad_spike: Floats) -> Floats:
    """Gradient to the voltage.

    Parameters
    ----------
    voltage, grad_spike : ndarray
        float32, flat, units of 1.
    threshold : ndarray
        float32, units of 1, one level (1,) or one per element of `voltage`.
    tau, scale : float
        Width and height of the surrogate.
    graded : bool
        Whether a spike has the size of the voltage.

    Returns
    -------
    ndarray
        float32, of the size of `voltage`.
    """
    out = np.empty_like(voltage)
    _backward(voltage.size, voltage, threshold, np.float32(tau), np.float32(scale), graded, grad_spike, out)
    return out


@kernel
def _backward(
    begin: int,
    end: int,
    voltage: Floats,
    threshold: Floats,
    tau: np.float32,
    scale: np.float32,
    graded: bool,
    grad_spike: Floats,
    grad_voltage: Floats,
) -> None:
    v, g, out = voltage[begin:end], grad_spike[begin:end], grad_voltage[begin:end]
    if threshold.size == 1:
        level = threshold[0]
        for i in range(end - begin):
            out[i] = g[i] * surrogate(v[i] - level, tau, scale, graded)
    else:
        levels = threshold[begin:end]
        for i in range(end - begin):
            out[i] = g[i] * surrogate(v[i] - levels[i], tau, scale, graded)


def phase_backward(
    re: Floats, im: Floats, level: Floats, tau: float, scale: float, graded: bool, grad_spike: Floats
) -> tuple[Floats, Floats]:
    """Gradients of a resonator's spike to its real and imaginary part.

    Parameters
    ----------
    re, im, grad_spike : ndarray
        float32, flat, units of 1.
    level : ndarray
        float32, units of 1, one level (1,) or one per element.
    tau, scale : float
        Width and height of the surrogate.
    graded : bool
        Whether a spike has the size of the real part.

    Returns
    -------
    grad_re, grad_im : ndarray
        float32, flat.
    """
    out_re, out_im = np.empty_like(re), np.empty_like(im)
    levels = np.broadcast_to(level, re.shape).copy()
    by = Surrogate(np.float32(tau), np.float32(scale), graded)
    _phase_backward(re.size, re, im, levels, by, grad_spike, out_re, out_im)
    return out_re, out_im


@kernel
def _phase_backward(
    begin: int,
    end: int,
    re: Floats,
    im: Floats,
    level: Floats,
    by: Surrogate,
    grad_spike: Floats,
    grad_re: Floats,
    grad_im: Floats,
) -> None:
    tau, scale, graded = by
    for i in range(begin, end):
        to_re, to_im = phase_surrogate(re[i], im[i], level[i], tau, scale, graded)
        grad_re[i], grad_im[i] = grad_spike[i] * to_re, grad_spike[i] * to_im
