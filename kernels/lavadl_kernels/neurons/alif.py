"""ALIF: a leaky integrate-and-fire neuron whose threshold rises and which is held back after a spike.

Recurrence, in integers of 1/4096, with decays in 1/4096; nothing is reset::

    u[t] = leak(u[t-1], current_decay) + a[t]
    v[t] = leak(v[t-1], voltage_decay) + u[t]
    s[t] = v[t] >= th[t] + r[t]                    th, r: see `lavadl_kernels.adaptation`

The `slayer` integers have no width limit.  The `loihi` integers fold u into 24 bits and clip v to 24
bits, as Lava's process model does; inside those widths the two are the same.

Backward is the gradient of the surrogate model, with the spikes in th and r as constants::

    g[t]  = gs[t] * surrogate(v[t] - th[t] - r[t])
    gv[t] = g[t] + (1 - voltage_decay / 4096) gv[t+1]
    gu[t] = gv[t] + (1 - current_decay / 4096) gu[t+1]
    g_current_decay = -sum_t gu[t] u[t-1] / 4096,   g_voltage_decay = -sum_t gv[t] v[t-1] / 4096

and those of threshold and refractory decay as in `adaptation`.  Source: Lava's ATRLIF process
model, Lava-DL's ALIF neuron.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.engine import train as dynamics
from lavadl_kernels.engine._optional_rows import lane_value, maybe_row, param_row, store
from lavadl_kernels.fixed_point import as_type_of, chain_gain, clip24, fixed, leak, real, wrap24, wrap32
from lavadl_kernels.neurons import _adaptation as adaptation
from lavadl_kernels.neurons import _leaky_integrator as leaky_integrator
from lavadl_kernels.neurons import cuba
from lavadl_kernels.neurons._family import Family, register
from lavadl_kernels.neurons._surrogate import surrogate
from lavadl_kernels.runtime.jit import prefer_512_bit, scalar

STATES = ("current", "voltage", "threshold", "refractory")
DECAYS = ("current_decay", "voltage_decay", "threshold_decay", "refractory_decay")


@scalar
def step(
    u, v, th, r, a, current_decay, voltage_decay, threshold_decay, refractory_decay, threshold, threshold_step, loihi
):
    """One step of one neuron.

    Parameters
    ----------
    u, v, th, r : int
        Current, voltage, threshold and refractory state, 1/4096.
    a : int
        Synaptic input, bias included, 1/4096.
    current_decay, voltage_decay, threshold_decay, refractory_decay : int
        0 (perfect memory) to 4096 (none).
    threshold, threshold_step : int
        Threshold at rest and its rise by a spike, 1/4096.
    loihi : bool
        Whether u and v have the chip's 24 bits, and th and r its 32.

    Returns
    -------
    u, v, th, r, spike, level_th, level_r
        The new state, the spike, and the threshold and refractory state that v was compared with.
    """
    u = leak(u, current_decay) + a
    if loihi:
        u = wrap24(u)
    v = leak(v, voltage_decay) + u
    if loihi:
        v = clip24(v)
    level_th, level_r = adaptation.relax(th, r, threshold_decay, refractory_decay, threshold)
    spike = v >= level_th + level_r
    th, r = adaptation.fire(level_th, level_r, spike, threshold_step, loihi)
    return u, v, th, r, spike, level_th, level_r


def forward(neuron, x, state, graded=False, traces=False, keep=False):
    """Run real inputs (T, M) through neurons; see `dynamics.forward`.  A graded spike has the size of the voltage."""
    return dynamics.forward(neuron, x, state, graded, traces, keep)


def backward(neuron, x, state, tau, scale, grad_spike, grad_trace=None, graded=False, checkpoints=None):
    """Gradients of `forward`; see `dynamics.backward`."""
    return dynamics.backward(neuron, x, state, tau, scale, grad_spike, grad_trace, graded, checkpoints)


def _advance(neuron, state, decay, x, spike, trace, t, lo, graded):
    n = spike.size
    _advance_lanes(
        state[0, :n], state[1, :n], state[2, :n], state[3, :n],
        param_row(decay, 0, n), param_row(decay, 1, n), param_row(decay, 2, n), param_row(decay, 3, n),
        neuron.threshold, neuron.threshold_step, x[0], spike,
        maybe_row(trace, 0, t, lo, n), maybe_row(trace, 1, t, lo, n),
        maybe_row(trace, 2, t, lo, n), maybe_row(trace, 3, t, lo, n), graded,
    )  # fmt: skip


@scalar
def _advance_lanes(
    u, v, th, r, cd, vd, td, rd, threshold, threshold_step, x, spike, u_row, v_row, th_row, r_row, graded
):
    prefer_512_bit()
    base, rise = as_type_of(threshold, v), as_type_of(threshold_step, v)
    for i in range(x.size):
        u[i], v[i], th[i], r[i], s, level_th, level_r = step(
            u[i], v[i], th[i], r[i], fixed(x[i], u[i]),
            lane_value(cd, i), lane_value(vd, i), lane_value(td, i), lane_value(rd, i),
            base, rise, False,
        )  # fmt: skip
        store(u_row, i, real(u[i]))
        store(v_row, i, real(v[i]))
        store(th_row, i, real(level_th))
        store(r_row, i, real(level_r))
        size = real(v[i]) if graded else np.float32(1)
        spike[i] = size if s else np.float32(0)


def _advance_adjoint(
    neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo, adjoint, grad_x, grad_decay, tau, scale, graded
):
    n = grad_spike.size
    _slopes(grad_spike, trace[1, t, :n], trace[2, t, :n], trace[3, t, :n], grad_x[0], tau, scale, graded)
    adaptation.adjoint(
        grad_x[0], share, np.float32(neuron.threshold / 4096), np.float32(neuron.threshold_step / 4096),
        trace, spike, t, 2, grad_trace, gt, glo, adjoint, grad_decay,
    )  # fmt: skip
    leaky_integrator.adjoint(share, trace, spike, t, False, grad_trace, gt, glo, adjoint, grad_x[0], grad_decay)


@scalar
def _slopes(grad_spike, v, th, r, grad_v, tau, scale, graded):
    prefer_512_bit()
    for i in range(grad_spike.size):
        grad_v[i] = grad_spike[i] * surrogate(v[i] - th[i] - r[i], tau, scale, graded)


def _deploy(neuron, state, i, a, b, loihi):
    u, v, th, r, d = state[0, i], state[1, i], state[2, i], state[3, i], neuron.decay
    rest, rise = neuron.threshold, neuron.threshold_step
    fu, fv, fth, fr, fs, _, _ = step(u, v, th, r, a, d[0, i], d[1, i], d[2, i], d[3, i], rest, rise, False)
    nu, nv, nth, nr, ns, _, _ = step(u, v, th, r, wrap32(a), d[0, i], d[1, i], d[2, i], d[3, i], rest, rise, True)
    state[0, i], state[1, i], state[2, i], state[3, i] = (nu, nv, nth, nr) if loihi else (fu, fv, fth, fr)
    return (ns if loihi else fs), state[1, i], fu != nu or fv != nv or fth != nth or fr != nr


class Alif(NamedTuple):
    """Parameters of a layer, integers of 1/4096."""

    decay: np.ndarray[Any, Any]  #: (4, M) int64, in the order of `DECAYS`
    threshold: int
    threshold_step: int

    def gain(self, steps: int) -> float:
        """How many times inputs and initial states, whichever is larger, the states can come to."""
        return float(chain_gain(self.decay[:2], steps))

    def state_bound(self, state: np.ndarray[Any, Any], steps: int) -> int:
        """What threshold and refractory state can come to, 1/4096."""
        return int(adaptation.state_bound(self, state, steps))


Parameters = Alif
FAMILY = register(
    Family(
        "ALIF",
        Alif,
        step,
        _deploy,
        STATES,
        DECAYS,
        advance=_advance,
        advance_adjoint=_advance_adjoint,
        constants=("threshold", "threshold_step"),
        integrators=2,
        spikes_at_equality=True,
        carried="voltage",
        rest={"threshold": "threshold"},
        without_adaptation=cuba.FAMILY,
    )
)
