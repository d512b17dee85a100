"""ADRF-IZ: a resonate-and-fire neuron with rising threshold that spikes on its imaginary part.

Recurrence, in integers of 1/4096, with sine and cosine of the rotation, times what the decay leaves, and the
two decays in 1/4096; unlike RF-IZ neither re nor im is reset::

    re[t], im[t] = rotate(re[t-1], im[t-1]) + a[t]     see `lavadl_kernels.resonator`
    s[t] = im[t] >= th[t] + r[t]                       th, r: see `lavadl_kernels.adaptation`

The `slayer` integers have no width limit.  The `loihi` integers clip re and im to 24 bits, as Lava's RF
process models do; inside that width the two are the same.

Backward is the gradient of the surrogate model, with the spikes in th and r as constants: the slope
`lavadl_kernels.spike.surrogate` to im[t], and minus it to th[t] + r[t].
Source: Lava-DL's adaptive resonator.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lavadl_kernels.neurons import _adaptation as adaptation
from lavadl_kernels.neurons import _resonator as resonator
from lavadl_kernels.neurons import rf_iz
from lavadl_kernels.neurons._family import Family, register
from lavadl_kernels.neurons._surrogate import surrogate
from lavadl_kernels.neurons.adrf import DECAYS, STATES, advancing, backward, deploying, forward
from lavadl_kernels.runtime.jit import prefer_512_bit, scalar

__all__ = ["DECAYS", "STATES", "Parameters", "backward", "forward", "step"]


@scalar
def step(
    re, im, th, r, a_re, a_im, sin_decay, cos_decay, threshold_decay, refractory_decay, threshold, threshold_step, loihi
):
    """One step of one neuron; arguments and results as in `lavadl_kernels.adrf.step`."""
    re, im = resonator.rotate(re, im, a_re, a_im, sin_decay, cos_decay, loihi)
    level_th, level_r = adaptation.relax(th, r, threshold_decay, refractory_decay, threshold)
    spike = im >= level_th + level_r
    th, r = adaptation.fire(level_th, level_r, spike, threshold_step, loihi)
    return re, im, th, r, spike, level_th, level_r


def _advance_adjoint(
    neuron, share, trace, spike, t, grad_spike, grad_trace, gt, glo, adjoint, grad_x, grad_decay, tau, scale, graded
):
    n = grad_spike.size
    _slopes(grad_spike, trace[1, t, :n], trace[2, t, :n], trace[3, t, :n], grad_x[0], grad_x[1], tau, scale, graded)
    adaptation.adjoint(
        grad_x[1], share, np.float32(neuron.threshold / 4096), np.float32(neuron.threshold_step / 4096),
        trace, spike, t, 2, grad_trace, gt, glo, adjoint, grad_decay,
    )  # fmt: skip
    resonator.adjoint(share, trace, spike, t, np.float32(np.nan), grad_trace, gt, glo, adjoint, grad_x, grad_decay)


@scalar
def _slopes(grad_spike, im, th, r, grad_re, grad_im, tau, scale, graded):
    prefer_512_bit()
    for i in range(grad_spike.size):
        grad_re[i] = 0
        grad_im[i] = grad_spike[i] * surrogate(im[i] - th[i] - r[i], tau, scale, graded)


class AdrfIz(NamedTuple):
    """Parameters of a layer, integers of 1/4096."""

    decay: np.ndarray[Any, Any]  #: (4, M) int64, in the order of `DECAYS`
    threshold: int
    threshold_step: int

    def gain(self, steps: int) -> float:
        """How many times inputs and initial states, whichever is larger, the states can come to."""
        return float(resonator.gain(self.decay, steps))

    def state_bound(self, state: np.ndarray[Any, Any], steps: int) -> int:
        """What threshold and refractory state can come to, 1/4096."""
        return int(adaptation.state_bound(self, state, steps))


Parameters = AdrfIz
FAMILY = register(
    Family(
        "ADRF_IZHIKEVICH",
        AdrfIz,
        step,
        deploying(step, 1),
        STATES,
        DECAYS,
        advance=advancing(step, 1),
        advance_adjoint=_advance_adjoint,
        constants=("threshold", "threshold_step"),
        inputs=("real_input", "imag_input"),
        spikes_at_equality=True,
        carried="imag",
        rest={"threshold": "threshold"},
        without_adaptation=rf_iz.FAMILY,
    )
)
