"""ALIF: a leaky integrate-and-fire neuron with an adaptive threshold and a refractory state.

Recurrence, in integers of 1/4096, with decays in 1/4096; nothing is reset::

    u[t] = leak(u[t-1], current_decay) + a[t]
    v[t] = leak(v[t-1], voltage_decay) + u[t]
    s[t] = v[t] >= th[t] + r[t]                    th, r: see `neurons._adaptation`

The `slayer` integers have no width limit.  The `loihi` integers fold u into 24 bits and clip v to 24
bits, as Lava's process model does; inside those widths the two are the same.

Backward is the gradient of the surrogate model, with the spikes in th and r as constants::

    g[t]  = gs[t] * surrogate(v[t] - th[t] - r[t])
    gv[t] = g[t] + (1 - voltage_decay / 4096) gv[t+1]
    gu[t] = gv[t] + (1 - current_decay / 4096) gu[t+1]
    g_current_decay = -sum_t gu[t] u[t-1] / 4096,   g_voltage_decay = -sum_t gv[t] v[t-1] / 4096

and those of threshold and refractory decay as in `neurons._adaptation`.  Source: Lava's ATRLIF process
model, Lava-DL's ALIF neuron.
"""

from __future__ import annotations

from typing import Any

from lavadl_kernels.engine._arguments import AdjointStep, Surrogate
from lavadl_kernels.fixed_point import clip24, leak, wrap24
from lavadl_kernels.neurons import _adaptation as adaptation
from lavadl_kernels.neurons import _leaky_integrator as leaky_integrator
from lavadl_kernels.neurons import cuba
from lavadl_kernels.neurons._family import register
from lavadl_kernels.neurons._reach import Drive, Reach, leaky
from lavadl_kernels.neurons._surrogate import Through
from lavadl_kernels.runtime.jit import scalar


@scalar
def step(
    u: Any, v: Any, th: Any, r: Any, a: Any, current_decay: Any, voltage_decay: Any, threshold_decay: Any,
    refractory_decay: Any, threshold: Any, threshold_step: Any, loihi: bool,
) -> Any:  # fmt: skip
    """Take one step of one neuron.

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
    rates, levels = (threshold_decay, refractory_decay), (threshold, threshold_step)
    th, r, spike, level_th, level_r = adaptation.compare(v, th, r, rates, levels, loihi)
    return u, v, th, r, spike, level_th, level_r


def _advance_adjoint(neuron: Alif, at: AdjointStep, surrogate: Surrogate) -> None:
    trace, t, spike, grad_x = at.history.trace, at.t, at.arriving.spike, at.leaving.x
    n = spike.size
    way = Through(spike, trace[1, t, :n], trace[2, t, :n], trace[3, t, :n], surrogate)
    adaptation.adjoint(way, grad_x[0], 2, neuron, at)
    leaky_integrator.chain_adjoint(None, at, False)


@scalar
def _tangent(d_states: Any, d_inputs: Any, d_decays: Any, before: Any, decays: Any) -> Any:
    """The derivatives of the states after a step: `Family.tangent`."""
    first, second = leaky_integrator.chain_tangent(d_states, d_inputs, d_decays, before, decays)
    third, fourth = adaptation.relax_tangent(d_states, d_decays, before, decays)
    return first, second, third, fourth


class Alif(adaptation.Parameters):
    """Parameters of a layer of ALIF neurons."""

    __slots__ = ()


def _reach(neuron: Alif, drive: Drive) -> Reach:
    """The ranges of all states: `Family.reach`."""
    current = leaky(neuron.decay[0], drive.inputs[0], drive.steps)
    voltage = leaky(neuron.decay[1], current, drive.steps)
    return adaptation.reach({"current": current, "voltage": voltage}, "voltage", neuron, drive)


Parameters = Alif
FAMILY = register(
    adaptation.adapted(
        cuba.FAMILY,
        "ALIF",
        Alif,
        step,
        _advance_adjoint,
        _tangent,
        reach=_reach,
        spikes_at_equality=True,
        bias_at="input",
    )
)
