"""ADRF-IZ: a resonate-and-fire neuron with adaptive threshold that spikes on its imaginary part."""

from __future__ import annotations

from lavadl_kernels.neurons import adrf_iz
from torch import Tensor

from lavadl_ref.slayer.neuron._parameters import neuron_params_of
from lavadl_ref.slayer.neuron._resonant import AdaptiveResonant, period_and_decay
from lavadl_ref.slayer.neuron.spiking import SCALE_RHO_MULT, TAU_RHO_MULT

__all__ = ["SCALE_RHO_MULT", "TAU_RHO_MULT", "Neuron", "neuron_params"]


class Neuron(AdaptiveResonant):
    """Adaptive resonate-and-fire neuron that spikes on its imaginary part.

    In units of 1, with the arithmetic of `lavadl_kernels.adrf_iz`::

        re[t] = cos re[t-1] - sin im[t-1] + x_re[t]
        im[t] = sin re[t-1] + cos im[t-1] + x_im[t]
        s[t] = im[t] >= th[t] + r[t]

    After a spike the threshold th is higher by threshold_step and the refractory state r by twice the threshold;
    th decays to the threshold and r to 0.  re and im are not reset.

    Sine and cosine of the rotation are those of 2 pi / period times 1 - decay, rounded to 1/4096.
    """

    kernel = adrf_iz.FAMILY

    def spike(self, real: Tensor, imag: Tensor, threshold: Tensor, refractory: Tensor) -> Tensor:
        """Spikes of the states (N, C, ..., T) that `dynamics` returned, with surrogate gradient; dropout included."""
        return self._fired(imag, threshold + refractory)


neuron_params = neuron_params_of(__name__, adrf_iz.FAMILY.name, period_and_decay)
