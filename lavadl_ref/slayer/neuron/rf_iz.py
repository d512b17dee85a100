"""RF-IZ: a resonate-and-fire neuron with the spike and reset of Izhikevich."""

from __future__ import annotations

from lavadl_kernels.neurons import rf_iz
from torch import Tensor

from lavadl_ref.slayer.neuron._parameters import neuron_params_of
from lavadl_ref.slayer.neuron._resonant import Resonant, period_and_decay
from lavadl_ref.slayer.neuron.spiking import SCALE_RHO_MULT, TAU_RHO_MULT

__all__ = ["SCALE_RHO_MULT", "TAU_RHO_MULT", "Neuron", "neuron_params"]


class Neuron(Resonant):
    """Izhikevich's resonate-and-fire neuron.

    In units of 1, with the arithmetic of `lavadl_kernels.rf_iz`::

        re[t] = cos re[t-1] - sin im[t-1] + x_re[t]
        im[t] = sin re[t-1] + cos im[t-1] + x_im[t]
        s[t] = im[t] >= threshold

    After a spike re is 0 and im just below the threshold.

    Sine and cosine of the rotation are those of 2 pi / period times 1 - decay, rounded to 1/4096.
    """

    kernel = rf_iz.FAMILY

    def spike(self, real: Tensor, imag: Tensor) -> Tensor:
        """Spikes of the states (N, C, ..., T) that `dynamics` returned, with surrogate gradient; dropout included."""
        return self._fired(imag, self._real_level())


neuron_params = neuron_params_of(__name__, rf_iz.FAMILY.name, period_and_decay)
