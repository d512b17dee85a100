"""ADRF-IZ: a resonate-and-fire neuron with adaptive threshold that spikes on its imaginary part.

Recurrence, in integers of 1/4096, with sine and cosine of the rotation, times what the decay leaves, and the
two decays in 1/4096; unlike RF-IZ neither re nor im is reset::

    re[t], im[t] = rotate(re[t-1], im[t-1]) + a[t]     see `neurons._resonator`
    s[t] = im[t] >= th[t] + r[t]                       th, r: see `neurons._adaptation`

The `slayer` integers have no width limit.  The `loihi` integers clip re and im to 24 bits, as Lava's RF
process models do; inside that width the two are the same.

Backward is the gradient of the surrogate model, with the spikes in th and r as constants: the slope
`neurons._surrogate.surrogate` to im[t], and minus it to th[t] + r[t].
Source: Lava-DL's adaptive resonator.
"""

from __future__ import annotations

from typing import Any

from lavadl_kernels.engine._arguments import AdjointStep, Surrogate
from lavadl_kernels.neurons import _adaptation as adaptation
from lavadl_kernels.neurons import _resonator as resonator
from lavadl_kernels.neurons import rf_iz
from lavadl_kernels.neurons._family import register
from lavadl_kernels.neurons._reach import Drive, Reach
from lavadl_kernels.neurons._surrogate import ThroughImaginary, part_slopes
from lavadl_kernels.neurons.adrf import tangent
from lavadl_kernels.runtime.jit import scalar


@scalar
def step(
    re: Any, im: Any, th: Any, r: Any, a_re: Any, a_im: Any,
    sin_decay: Any, cos_decay: Any, threshold_decay: Any, refractory_decay: Any,
    threshold: Any, threshold_step: Any, loihi: bool,
) -> Any:  # fmt: skip
    """Take one step of one neuron; arguments and results as in `adrf.step`, the levels those of im."""
    re, im = resonator.rotate(re, im, a_re, a_im, sin_decay, cos_decay, loihi)
    rates, levels = (threshold_decay, refractory_decay), (threshold, threshold_step)
    th, r, spike, level_th, level_r = adaptation.compare(im, th, r, rates, levels, loihi)
    return re, im, th, r, spike, level_th, level_r


def _advance_adjoint(neuron: AdrfIz, at: AdjointStep, surrogate: Surrogate) -> None:
    trace, t, spike, grad_x = at.history.trace, at.t, at.arriving.spike, at.leaving.x
    n = spike.size
    part_slopes(ThroughImaginary(spike, trace[1, t, :n], trace[2, t, :n], trace[3, t, :n], surrogate), grad_x)
    adaptation.adjoint(None, grad_x[1], 2, neuron, at)
    resonator.adjoint(None, at, resonator.NO_RESET)


class AdrfIz(adaptation.Parameters):
    """Parameters of a layer of ADRF-IZ neurons."""

    __slots__ = ()


def _reach(neuron: AdrfIz, drive: Drive) -> Reach:
    """The ranges of all states: `Family.reach`."""
    return adaptation.reach(resonator.parts_reach(neuron, drive), "imag", neuron, drive)


Parameters = AdrfIz
FAMILY = register(
    adaptation.adapted(rf_iz.FAMILY, "ADRF_IZHIKEVICH", AdrfIz, step, _advance_adjoint, tangent, reach=_reach)
)
