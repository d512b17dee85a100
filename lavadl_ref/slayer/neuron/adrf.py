"""ADRF: a resonate-and-fire neuron with adaptive threshold and refractory state."""

from __future__ import annotations

from lavadl_kernels.neurons import adrf
from torch import Tensor

from lavadl_ref.slayer.neuron._parameters import neuron_params_of
from lavadl_ref.slayer.neuron._resonant import AdaptiveResonant, period_and_decay
from lavadl_ref.slayer.neuron.spiking import SCALE_RHO_MULT, TAU_RHO_MULT

__all__ = ["SCALE_RHO_MULT", "TAU_RHO_MULT", "Neuron", "neuron_params"]


class Neuron(AdaptiveResonant):
    """Adaptive resonate-and-fire neuron.

    In units of 1, with the arithmetic of `lavadl_kernels.adrf`::

        re[t] = cos re[t-1] - sin im[t-1] + x_re[t]
        im[t] = sin re[t-1] + cos im[t-1] + x_im[t]
        s[t] = re[t] >= th[t] + r[t] and im[t] >= 0 and im[t-1] < 0

    After a spike the threshold th is higher by threshold_step and the refractory state r by twice the threshold;
    th decays to the threshold and r to 0.  re and im are not reset.

    Sine and cosine of the rotation are those of 2 pi / period times 1 - decay, rounded to 1/4096.
    """

    kernel = adrf.FAMILY

    def spike(self, real: Tensor, imag: Tensor, threshold: Tensor, refractory: Tensor) -> Tensor:
        """Spikes of the states (N, C, ..., T) that `dynamics` returned, with the surrogate gradient; dropout included.

        The imaginary part before the first step is the one that `dynamics` started from.
        """
        return self._spikes_of_states(real, imag, threshold, refractory)


neuron_params = neuron_params_of(__name__, adrf.FAMILY.name, period_and_decay)
