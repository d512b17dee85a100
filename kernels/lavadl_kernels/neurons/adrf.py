"""ADRF: a resonate-and-fire neuron with an adaptive threshold and a refractory state.

Recurrence, in integers of 1/4096, with sine and cosine of the rotation, times what the decay leaves, and the
two decays in 1/4096; re and im are not reset::

    re[t], im[t] = rotate(re[t-1], im[t-1]) + a[t]                    see `neurons._resonator`
    s[t] = re[t] >= th[t] + r[t] and im[t] >= 0 and im[t-1] < 0       th, r: see `neurons._adaptation`

The `slayer` integers have no width limit.  The `loihi` integers clip re and im to 24 bits, as Lava's RF
process model does; inside that width the two are the same.

Backward is the gradient of the surrogate model, with the spikes in th and r as constants: the slopes of
`neurons._surrogate.phase_surrogate` to re[t] and im[t], and minus the first of them to th[t] + r[t].
Source: Lava-DL's adaptive RF neuron.
"""

from __future__ import annotations

from typing import Any

from lavadl_kernels.engine._arguments import AdjointStep, Surrogate
from lavadl_kernels.neurons import _adaptation as adaptation
from lavadl_kernels.neurons import _resonator as resonator
from lavadl_kernels.neurons import rf
from lavadl_kernels.neurons._family import register
from lavadl_kernels.neurons._reach import Drive, Reach
from lavadl_kernels.neurons._surrogate import ThroughPhase, part_slopes
from lavadl_kernels.runtime.jit import scalar


@scalar
def step(
    re: Any, im: Any, th: Any, r: Any, a_re: Any, a_im: Any,
    sin_decay: Any, cos_decay: Any, threshold_decay: Any, refractory_decay: Any,
    threshold: Any, threshold_step: Any, loihi: bool,
) -> Any:  # fmt: skip
    """Take one step of one neuron.

    Parameters
    ----------
    re, im, th, r : int
        Real and imaginary part, threshold and refractory state, 1/4096.
    a_re, a_im : int
        Synaptic input to real and imaginary part, bias included, 1/4096.
    sin_decay, cos_decay : int
        Sine and cosine of the angle of a step times what the decay leaves, 1/4096.
    threshold_decay, refractory_decay, threshold, threshold_step, loihi
        As in `alif.step`: 0 (perfect memory) to 4096 (none), 1/4096, and whether states have the chip's widths.

    Returns
    -------
    re, im, th, r, spike, level_th, level_r
        As for `alif.step`, for re.
    """
    new_re, new_im = resonator.rotate(re, im, a_re, a_im, sin_decay, cos_decay, loihi)
    level_th, level_r = adaptation.relax(th, r, threshold_decay, refractory_decay, threshold)
    spike = new_re >= level_th + level_r and new_im >= 0 and im < 0
    th, r = adaptation.fire(level_th, level_r, spike, threshold_step, loihi)
    return new_re, new_im, th, r, spike, level_th, level_r


def _advance_adjoint(neuron: Adrf, at: AdjointStep, surrogate: Surrogate) -> None:
    trace, t, spike, grad_x = at.history.trace, at.t, at.arriving.spike, at.leaving.x
    n = spike.size
    parts = trace[0, t, :n], trace[1, t, :n]
    part_slopes(ThroughPhase(spike, parts, trace[2, t, :n], trace[3, t, :n], surrogate), grad_x)
    adaptation.adjoint(None, grad_x[0], 2, neuron, at)
    resonator.adjoint(None, at, resonator.NO_RESET)


@scalar
def tangent(d_states: Any, d_inputs: Any, d_decays: Any, before: Any, decays: Any) -> Any:
    """The derivatives of the states after a step: `Family.tangent`."""
    first, second = resonator.tangent(d_states, d_inputs, d_decays, before, decays)
    third, fourth = adaptation.relax_tangent(d_states, d_decays, before, decays)
    return first, second, third, fourth


class Adrf(adaptation.Parameters):
    """Parameters of a layer of ADRF neurons."""

    __slots__ = ()


def _reach(neuron: Adrf, drive: Drive) -> Reach:
    """The ranges of all states: `Family.reach`."""
    return adaptation.reach(resonator.parts_reach(neuron, drive), "real", neuron, drive)


Parameters = Adrf
FAMILY = register(adaptation.adapted(rf.FAMILY, "ADRF_PHASE", Adrf, step, _advance_adjoint, tangent, reach=_reach))
