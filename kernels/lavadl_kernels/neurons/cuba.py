"""CUBA: the current-based leaky integrate-and-fire neuron, a leaky integrator on another.

Recurrence, in integers of 1/4096, with decays in 1/4096::

    u[t] = leak(u[t-1], current_decay) + a[t]
    w[t] = leak(v[t-1], voltage_decay) + u[t] + bias
    s[t] = w[t] > threshold                   strictly: equality neither spikes nor resets
    v[t] = 0 if s[t] else w[t]

The `slayer` integers have no width limit.  The `loihi` integers fold u into 24 bits and
clip w to 24 bits, as Lava's process model does; inside those widths the two are the same.

Backward is the gradient of the surrogate model: the spike's derivative is that of
`lavadl_kernels.spike.surrogate`, rounding and reset count as identity::

    gw[t] = gs[t] * surrogate(w[t]) + (1 - voltage_decay / 4096) * gw[t+1]
    gu[t] = gw[t] + (1 - current_decay / 4096) * gu[t+1]
    ga[t] = gu[t]
    g_current_decay = -sum_t gu[t] * u[t-1] / 4096
    g_voltage_decay = -sum_t gw[t] * v[t-1] / 4096

Arrays are time-major (T, M) with per-lane parameters, as in `leaky_integrator`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine import train as dynamics
from lavadl_kernels.engine._optional_rows import lane_value, maybe_row, param_row, store
from lavadl_kernels.fixed_point import (
    as_type_of,
    chain_gain,
    fixed,
    leak,
    leaky_gain,
    real,
    saturate24,
    scale_by_power_of_two,
    wrap24,
    wrap32,
)
from lavadl_kernels.neurons import _leaky_integrator as leaky_integrator
from lavadl_kernels.neurons._family import Family, register
from lavadl_kernels.neurons._surrogate import surrogate
from lavadl_kernels.runtime.jit import prefer_512_bit, scalar

STATES = ("current", "voltage")
DECAYS = ("current_decay", "voltage_decay")


@scalar
def step(u, v, a, bias, current_decay, voltage_decay, threshold, loihi):
    """One step of one neuron.

    Parameters
    ----------
    u, v : int
        Current and voltage, 1/4096.
    a, bias : int
        Synaptic input to the current and constant input to the voltage, 1/4096.
    current_decay, voltage_decay : int
        0 (perfect memory) to 4096 (none).
    threshold : int
        1/4096.
    loihi : bool
        Whether u and the voltage have the chip's 24 bits.

    Returns
    -------
    u, v, spike, voltage
        The new state, the spike, and the voltage before its reset.
    """
    u = charge(u, a, current_decay, loihi)
    v, spike, voltage = fire(v, u + bias, voltage_decay, threshold, loihi)
    return u, v, spike, voltage


@scalar
def charge(u, a, current_decay, loihi):
    """The current after a step."""
    u = leak(u, current_decay) + a
    if loihi:
        u = wrap24(u)
    return u


@scalar
def fire(v, drive, voltage_decay, threshold, loihi):
    """The voltage after a step with input `drive`, whether it spikes, and the voltage before its reset."""
    voltage = leak(v, voltage_decay) + drive
    if loihi:
        voltage = saturate24(voltage)
    spike = voltage > threshold
    return (as_type_of(0, voltage) if spike else voltage), spike, voltage


def forward(x, u, v, current_decay, voltage_decay, threshold, graded=False):
    """Run real inputs through neurons.

    Parameters
    ----------
    x : ndarray
        (T, M) float32, units of 1.
    u, v, current_decay, voltage_decay : ndarray
        (M,) int64, 1/4096.
    threshold : int
        1/4096.
    graded : bool
        Whether a spike carries the voltage instead of 1.

    Returns
    -------
    spike : ndarray
        (T, M) float32.
    u, v : ndarray
        (M,) int64, the states after the last step.

    Raises
    ------
    ValueError
        If an input is not finite or has no exact fixed-point value.
    """
    run = dynamics.forward(_neuron(current_decay, voltage_decay, threshold), (x,), np.stack([u, v]), graded)
    return run.spike, run.state[0], run.state[1]


def _neuron(current_decay, voltage_decay, threshold):
    return Cuba(np.stack([current_decay, voltage_decay, np.zeros_like(current_decay)]), threshold)


def backward(x, u, v, current_decay, voltage_decay, threshold, tau, scale, graded, grad_spike):
    """Gradients of `forward`, recomputing its states from `x` and the initial states `u`, `v`.

    Returns
    -------
    grad_x : ndarray
        (T, M) float32.
    grad_current_decay, grad_voltage_decay : ndarray
        (M,) float64, per lane, per unit of the decay integers.
    """
    neuron = _neuron(current_decay, voltage_decay, threshold)
    result = dynamics.backward(neuron, (x,), np.stack([u, v]), tau, scale, grad_spike, None, graded)
    return result.x[0], result.decay[0], result.decay[1]


def _advance(neuron, state, decay, x, spike, trace, t, lo, graded):
    n = spike.size
    _advance_lanes(
        state[0, :n], state[1, :n], param_row(decay, 0, n), param_row(decay, 1, n), param_row(decay, 2, n),
        neuron.threshold, x[0], spike, maybe_row(trace, 0, t, lo, n), maybe_row(trace, 1, t, lo, n), graded,
    )  # fmt: skip


@scalar
def _advance_lanes(u, v, cd, vd, bias, threshold, x, spike, u_row, v_row, graded):
    prefer_512_bit()
    level = as_type_of(threshold, v)
    for i in range(x.size):
        u[i], v[i], s, w = step(
            u[i], v[i], fixed(x[i], u[i]), lane_value(bias, i), lane_value(cd, i), lane_value(vd, i), level, False
        )
        store(u_row, i, real(u[i]))
        store(v_row, i, real(w))
        size = real(w) if graded else np.float32(1)
        spike[i] = size if s else np.float32(0)


def _advance_adjoint(
    neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo, adjoint, grad_x, grad_decay, tau, scale, graded
):
    n = grad_spike.size
    _slopes(grad_spike, trace[1, t, :n], np.float32(neuron.threshold / 4096), grad_x[0], tau, scale, graded)
    leaky_integrator.adjoint(share, trace, spike, t, True, grad_trace, gt, glo, adjoint, grad_x[0], grad_decay)


@scalar
def _slopes(grad_spike, voltage, level, grad_voltage, tau, scale, graded):
    prefer_512_bit()
    for i in range(grad_spike.size):
        grad_voltage[i] = grad_spike[i] * surrogate(voltage[i] - level, tau, scale, graded)


@scalar
def _deployed(u, v, a, bias, current_decay, voltage_decay, threshold, exponent, loihi):
    """`step` with a norm between current and voltage that divides by 2**exponent."""
    u = charge(u, a, current_decay, loihi)
    v, spike, voltage = fire(v, scale_by_power_of_two(u + bias, -exponent), voltage_decay, threshold, loihi)
    return u, v, spike, voltage


def _deploy(neuron, state, i, a, b, loihi):
    decay, threshold, exponent = neuron.decay, neuron.threshold, neuron.exponent
    u, v, bias, cd, vd = state[0, i], state[1, i], decay[2, i], decay[0, i], decay[1, i]
    fu, fv, fs, fw = _deployed(u, v, a, bias, cd, vd, threshold, exponent, False)
    if wrap32(a) == a and wrap24(fu) == fu and saturate24(fw) == fw:  # no width matters
        state[0, i], state[1, i] = fu, fv
        return fs, fw, False
    nu, nv, ns, nw = _deployed(u, v, wrap32(a), bias, cd, vd, threshold, exponent, True)
    state[0, i], state[1, i] = (nu, nv) if loihi else (fu, fv)
    return (ns if loihi else fs), (nw if loihi else fw), fu != nu or fw != nw


class Cuba(NamedTuple):
    """Parameters of a layer, integers of 1/4096."""

    #: (3, M) int64: current decay, voltage decay, and the bias of the voltage, which gets no gradient
    decay: np.ndarray[Any, Any]
    threshold: int
    exponent: int = 0  #: deployed neurons only: current and bias are divided by 2**exponent on the way to the voltage

    def gain(self, steps: int) -> float:
        """How many times inputs and initial states, whichever is larger, the states can come to."""
        return float(chain_gain(self.decay[:2], steps))

    def state_bound(self, state: np.ndarray[Any, Any], steps: int) -> int:
        """What the bias alone can bring the voltage to, 1/4096."""
        return math.ceil(leaky_gain(self.decay[1], steps)) * int(np.abs(self.decay[2]).max(initial=0))


Parameters = Cuba
FAMILY = register(
    Family(
        "CUBA",
        Cuba,
        step,
        _deploy,
        STATES,
        DECAYS,
        advance=_advance,
        advance_adjoint=_advance_adjoint,
        integrators=2,
        carried="voltage",
        resets=("voltage",),
        bias_at="voltage",
    )
)
