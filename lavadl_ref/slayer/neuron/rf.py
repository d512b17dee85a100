"""RF: a resonate-and-fire neuron that spikes at a phase of its oscillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lavadl_kernels.neurons import rf
from torch import Tensor

from lavadl_ref.slayer.neuron._resonant import Resonant, resonance_of

#: Factors that make tau_grad = scale_grad = 1 a good start.
TAU_RHO_MULT: float = 0.5
SCALE_RHO_MULT: float = 10


def neuron_params(device_params: Mapping[str, Any], scale: int = 1 << 6, p_scale: int = 1 << 12) -> dict[str, Any]:
    """The arguments of `Neuron` that give these device parameters: the inverse of ``Neuron.device_params``.

    Parameters
    ----------
    device_params : mapping
        With ``vThMant``, ``sinDecay``, ``cosDecay``, and optionally ``gradedSpike``.
    scale, p_scale : int
        Integers per unit of thresholds and of decays.

    Returns
    -------
    dict
        Period and decay are floats, or arrays of one float per channel with ``shared_param`` False.

    Raises
    ------
    KeyError
        If a parameter is missing.
    ValueError
        If sine and cosine are not those of a period of at least 4 with a decay.
    """
    return resonance_of("RF_PHASE", device_params, scale, p_scale)


class Neuron(Resonant):
    """Resonate-and-fire neuron.

    In units of 1, with the arithmetic of `lavadl_kernels.rf`::

        re[t] = cos re[t-1] - sin im[t-1] + x_re[t]
        im[t] = sin re[t-1] + cos im[t-1] + x_im[t]
        s[t] = re[t] >= threshold and im[t] >= 0 and im[t-1] < 0

    Nothing is reset.

    Sine and cosine of the rotation are those of 2 pi / period times 1 - decay, rounded to 1/4096.
    """

    kernel = rf
    membrane = rf
    family = "RF_PHASE"
    by_phase = True

    def spike(self, real: Tensor, imag: Tensor) -> Tensor:
        """Spikes of what `dynamics` returned, with the surrogate gradient; dropout included.

        The imaginary part before the first step is the one that `dynamics` started from.
        """
        return self._crossed(real, imag, self._real_level())
