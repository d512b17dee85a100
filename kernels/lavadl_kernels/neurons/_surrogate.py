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
from typing import Any, NamedTuple

import numpy as np
from numba import types

from lavadl_kernels.engine._arguments import Surrogate, surrogate_of
from lavadl_kernels.engine._optional_rows import add, lane_value, subtract
from lavadl_kernels.runtime.array_types import Floats
from lavadl_kernels.runtime.extending import overload
from lavadl_kernels.runtime.hints import distinct_rows
from lavadl_kernels.runtime.jit import INLINED, inlined, kernel, prefer_512_bit, scalar
from lavadl_kernels.runtime.simd import multiply_add


@inlined
def exponential(x: Any, lowest: Any, rate: Any, rest: Any) -> Any:
    """2**(x * (rate + rest)) in float32 for x <= 0 and a positive rate; below `lowest` it is as at `lowest`.

    2**n times a polynomial in the remainder, in two chains that do not wait for each other, so that loops over it
    vectorise: the library's exponential is a call for each lane.  A result at `lowest` must be a normal float32.
    """
    x = max(x, lowest)
    # beside 1.5 * 2**23 there is no room for a fraction: n is in the last bits of the sum
    shifted = multiply_add(x, rate, np.float32(12582912))
    n = shifted - np.float32(12582912)
    r = multiply_add(x, rest, multiply_add(x, rate, -n))
    square = r * r
    # minimax of (2**r - 1) / r for |r| <= 1/2: the relative error of 2**r is 2**-26
    odd = multiply_add(square, np.float32(1.3398952e-3), np.float32(5.5503324e-2))
    even = multiply_add(square, np.float32(1.53533e-4), np.float32(9.618438e-3))
    odd = multiply_add(square, odd, np.float32(6.931472e-1))
    even = multiply_add(square, even, np.float32(2.4022648e-1))
    p = multiply_add(r, multiply_add(r, even, odd), np.float32(1))
    exponent = np.int32(np.float32(shifted).view(np.int32) << np.int32(23))
    return np.int32(np.float32(p).view(np.int32) + exponent).view(np.float32)


@inlined
def exp_negative(x: Any) -> Any:
    """exp(x) in float32 for x <= 0, to one unit in the last place; exp(-87) = 1.6e-38 below -87."""
    # log2(e) in two parts; below -87 the power of two would have no normal float32
    return exponential(x, np.float32(-87), np.float32(1.442695), np.float32(1.925963033500e-8))


@inlined
def surrogate(distance: Any, by: Any) -> Any:
    """ds/dv at `distance` = voltage - threshold; `by` is a `Surrogate`."""
    x = min(distance, by.side * distance)
    return by.height * exponential(x, by.lowest, by.rate, by.rest)


@inlined
def phase_surrogate(re: Any, im: Any, level: Any, by: Any) -> Any:
    """ds/dre and ds/dim of a resonator's spike; `by` is a `Surrogate`."""
    distance = re - level
    near = exponential(-abs(distance), by.lowest, by.rate, by.rest)
    crossing = by.scale * exponential(-abs(im), by.lowest, by.rate, by.rest) * by.half_rate
    half = np.float32(0.5) * near
    height = np.float32(1) - half if distance > 0 else half
    slope = near * by.half_rate
    if by.side == 0:
        slope = np.float32(1) if distance > 0 else near
    side = np.float32(im > 0) - np.float32(im < 0)
    return slope * crossing, np.float32(-2) * by.half_rate * side * crossing * height


class Through(NamedTuple):
    """The way of a gradient through the spikes of a row of lanes to the values that the threshold is compared with."""

    grad_spike: Floats  #: (n,)
    value: Floats  #: (n,), units of 1
    threshold: Any  #: float32, of all lanes or of each (n,), units of 1
    raised: Floats | None  #: (n,), added to the threshold; units of 1
    by: Surrogate


class ThroughImaginary(NamedTuple):
    """As `Through`, of spikes of a resonator's imaginary part."""

    grad_spike: Floats
    value: Floats
    threshold: Any
    raised: Floats | None
    by: Surrogate


class ThroughPhase(NamedTuple):
    """As `Through`, of spikes at a phase."""

    grad_spike: Floats
    value: tuple[Floats, Floats]  #: real and imaginary part
    threshold: Any
    raised: Floats | None
    by: Surrogate


@inlined
def _slope(grad_spike: Any, value: Any, threshold: Any, raised: Any, by: Any, i: int) -> Any:
    return grad_spike[i] * surrogate(subtract(value[i] - lane_value(threshold, i), raised, i), by)


@inlined
def _phase_slope(grad_spike: Any, value: Any, threshold: Any, raised: Any, by: Any, i: int) -> Any:
    re, im = value
    to_re, to_im = phase_surrogate(re[i], im[i], add(lane_value(threshold, i), raised, i), by)
    return grad_spike[i] * to_re, grad_spike[i] * to_im


def to_value(way: Through | None, passed: Floats, i: int) -> Any:
    """Lane i's gradient to its value: by its `way` through the spike, or of the row that has `passed` it."""
    return passed[i] if way is None else _slope(*way, i)


@overload(to_value, jit_options=INLINED)
def _to_value(way: Any, passed: Any, i: Any) -> Callable[..., Any]:
    if isinstance(way, types.NoneType):
        return lambda way, passed, i: passed[i]
    return lambda way, passed, i: _slope(way.grad_spike, way.value, way.threshold, way.raised, way.by, i)


def to_parts(way: ThroughImaginary | ThroughPhase | None, passed: tuple[Floats, ...], i: int) -> Any:
    """As `to_value`, to the real and the imaginary part of a resonator."""
    if way is None:
        return passed[0][i], passed[1][i]
    if isinstance(way, ThroughPhase):
        return _phase_slope(*way, i)
    return np.float32(0), _slope(*way, i)


@overload(to_parts, jit_options=INLINED)
def _to_parts(way: Any, passed: Any, i: Any) -> Callable[..., Any]:
    if isinstance(way, types.NoneType):
        return lambda way, passed, i: (passed[0][i], passed[1][i])
    if way.instance_class is ThroughPhase:
        return lambda way, passed, i: _phase_slope(way.grad_spike, way.value, way.threshold, way.raised, way.by, i)
    return lambda way, passed, i: (
        np.float32(0),
        _slope(way.grad_spike, way.value, way.threshold, way.raised, way.by, i),
    )


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
    prefer_512_bit()
    distinct_rows()
    for i in range(grad_spike.size):
        out[i] = _slope(grad_spike, value, threshold, raised, by, i)


@scalar
def part_slopes(way: Any, out: tuple[Floats, ...]) -> None:
    """Write the gradients to real and imaginary part by their `way` through spikes to the rows of `out`."""
    grad_re, grad_im = out
    prefer_512_bit()
    distinct_rows()
    for i in range(grad_re.size):
        grad_re[i], grad_im[i] = to_parts(way, out, i)


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
    _backward(voltage.size, voltage, threshold, surrogate_of(tau, scale, graded), grad_spike, out)
    return out


@kernel
def _backward(
    begin: int,
    end: int,
    voltage: Floats,
    threshold: Floats,
    by: Surrogate,
    grad_spike: Floats,
    grad_voltage: Floats,
) -> None:
    v, g, out = voltage[begin:end], grad_spike[begin:end], grad_voltage[begin:end]
    if threshold.size == 1:
        slopes(g, v, threshold[0], None, out, by)
    else:
        slopes(g, v, threshold[begin:end], None, out, by)


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
    _phase_backward(re.size, re, im, levels, surrogate_of(tau, scale, graded), grad_spike, out_re, out_im)
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
    way = ThroughPhase(grad_spike[begin:end], (re[begin:end], im[begin:end]), level[begin:end], None, by)
    part_slopes(way, (grad_re[begin:end], grad_im[begin:end]))
