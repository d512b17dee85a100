"""RF-IZ: a resonate-and-fire neuron with the spike and reset of Izhikevich."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lavadl_kernels.neurons import rf_iz
from torch import Tensor

from lavadl_ref.slayer.neuron._resonant import Resonant, resonance_of
from lavadl_ref.slayer.neuron.spiking import SCALE_RHO_MULT, TAU_RHO_MULT

__all__ = ["SCALE_RHO_MULT", "TAU_RHO_MULT", "Neuron", "neuron_params"]


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
    return resonance_of("RF_IZHIKEVICH", device_params, scale, p_scale)


class Neuron(Resonant):
    """Resonate-and-fire neuron in the way of Izhikevich.

    In units of 1, with the arithmetic of `lavadl_kernels.rf_iz`::

        re[t] = cos re[t-1] - sin im[t-1] + x_re[t]
        im[t] = sin re[t-1] + cos im[t-1] + x_im[t]
        s[t] = im[t] >= threshold

    After a spike re is 0 and im just below the threshold.

    Sine and cosine of the rotation are those of 2 pi / period times 1 - decay, rounded to 1/4096.
    """

    kernel = rf_iz
    membrane = rf_iz
    family = "RF_IZHIKEVICH"
    fires_on = 1

    def spike(self, real: Tensor, imag: Tensor) -> Tensor:
        """Spikes of what `dynamics` returned, with the surrogate gradient; dropout included."""
        return self._fired(imag, self._real_level())
