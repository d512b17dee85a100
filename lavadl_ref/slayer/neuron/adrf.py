"""ADRF: a resonate-and-fire neuron with adaptive threshold and refractory state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lavadl_kernels.neurons import adrf, rf
from torch import Tensor

from lavadl_ref.slayer.neuron._resonant import AdaptiveResonant, resonance_of
from lavadl_ref.slayer.neuron.spiking import SCALE_RHO_MULT, TAU_RHO_MULT

__all__ = ["SCALE_RHO_MULT", "TAU_RHO_MULT", "Neuron", "neuron_params"]


def neuron_params(device_params: Mapping[str, Any], scale: int = 1 << 6, p_scale: int = 1 << 12) -> dict[str, Any]:
    """The arguments of `Neuron` that give these device parameters: the inverse of ``Neuron.device_params``.

    Parameters
    ----------
    device_params : mapping
        With ``vThMant``, ``vThStep``, ``sinDecay``, ``cosDecay``, ``thDecay``, ``refDecay``,
        and optionally ``gradedSpike``.
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
    return resonance_of("ADRF_PHASE", device_params, scale, p_scale)


class Neuron(AdaptiveResonant):
    """Adaptive resonate-and-fire neuron.

    In units of 1, with the arithmetic of `lavadl_kernels.adrf`::

        re[t] = cos re[t-1] - sin im[t-1] + x_re[t]
        im[t] = sin re[t-1] + cos im[t-1] + x_im[t]
        s[t] = re[t] >= th[t] + r[t] and im[t] >= 0 and im[t-1] < 0

    After a spike the threshold th is higher by threshold_step and the refractory state r by twice the threshold;
    th decays to threshold and r to 0.  re and im are not reset.

    Sine and cosine of the rotation are those of 2 pi / period times 1 - decay, rounded to 1/4096.
    """

    kernel = adrf
    membrane = rf
    family = "ADRF_PHASE"
    by_phase = True

    def spike(self, real: Tensor, imag: Tensor, threshold: Tensor, refractory: Tensor) -> Tensor:
        """Spikes of what `dynamics` returned, with the surrogate gradient; dropout included.

        The imaginary part before the first step is the one that `dynamics` started from.
        """
        return self._crossed(real, imag, threshold + refractory)
