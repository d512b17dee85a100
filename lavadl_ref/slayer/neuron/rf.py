"""RF: a resonate-and-fire neuron that spikes at a phase of its oscillation."""

from __future__ import annotations

from lavadl_kernels.neurons import rf
from torch import Tensor

from lavadl_ref.slayer.neuron._parameters import neuron_params_of
from lavadl_ref.slayer.neuron._resonant import Resonant, period_and_decay

#: Factors that make tau_grad = scale_grad = 1 a good start.
TAU_RHO_MULT: float = 0.5
SCALE_RHO_MULT: float = 10


class Neuron(Resonant):
    """Resonate-and-fire neuron.

    In units of 1, with the arithmetic of `lavadl_kernels.rf`::

        re[t] = cos re[t-1] - sin im[t-1] + x_re[t]
        im[t] = sin re[t-1] + cos im[t-1] + x_im[t]
        s[t] = re[t] >= threshold and im[t] >= 0 and im[t-1] < 0

    Nothing is reset.

    Sine and cosine of the rotation are those of 2 pi / period times 1 - decay, rounded to 1/4096.
    """

    kernel = rf.FAMILY

    def spike(self, real: Tensor, imag: Tensor) -> Tensor:
        """Spikes of the states (N, C, ..., T) that `dynamics` returned, with the surrogate gradient; dropout included.

        The imaginary part before the first step is the one that `dynamics` started from.
        """
        return self._spikes_of_states(real, imag)


neuron_params = neuron_params_of(__name__, rf.FAMILY.name, period_and_decay)
