"""RF: a resonate-and-fire neuron that spikes at a phase of its oscillation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lavadl_kernels import rf
from torch import Tensor

from lavadl_ref.slayer.neuron import base
from lavadl_ref.slayer.neuron._resonant import Period, Resonant, resonance_of


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

    Parameters
    ----------
    threshold : float
        Truncated to a multiple of 1 / scale.
    period : float, (float, float) or ndarray
        Steps per turn, at least 4.
    decay : float, (float, float) or ndarray
        What a step takes off the state, 0 to 1; at least 1/4096.
    tau_grad, scale_grad : float
        Relative width and height of the surrogate gradient.
    scale : int
        Integers per unit of weight.
    norm : callable, optional
        Class or factory from `neuron.norm`, applied to real and imaginary input, each its own.
    dropout : Module, optional
        Applied to the spikes, see `neuron.Dropout`.
    shared_param : bool
        One set of period and decay for all channels. If False every channel has its own, drawn at the first
        forward pass: decays from the (min, max) range given or within 1 % of one number, periods spread over
        their range; or as arrays give them.
    persistent_state : bool
        Whether a call starts from the state after the last one.
    requires_grad : bool
        Whether period and decay are trained.
    graded_spike : bool
        Whether a spike has the size of the real part.
    log_init : bool
        Whether the frequencies of channels are spread evenly on a logarithmic scale; else drawn uniformly.

    Raises
    ------
    ValueError
        For parameters that are not finite or of the wrong form, or a period below 4.
    """

    kernel = rf
    membrane = rf
    family = "RF_PHASE"
    tau_mult = 0.5
    scale_mult = 10

    def __init__(
        self,
        threshold: float,
        period: Period,
        decay: base.Decay,
        tau_grad: float = 1,
        scale_grad: float = 1,
        scale: int = 1 << 6,
        norm: Callable[..., torch.nn.Module] | None = None,
        dropout: torch.nn.Module | None = None,
        shared_param: bool = True,
        persistent_state: bool = False,
        requires_grad: bool = False,
        graded_spike: bool = False,
        log_init: bool = True,
    ) -> None:
        super().__init__(
            log_init=log_init,
            threshold=threshold,
            tau_grad=tau_grad,
            scale_grad=scale_grad,
            scale=scale,
            norm=norm,
            dropout=dropout,
            persistent_state=persistent_state,
            shared_param=shared_param,
            requires_grad=requires_grad,
            graded_spike=graded_spike,
        )
        self._register_resonance(period, decay)

    def spike(self, real: Tensor, imag: Tensor) -> Tensor:
        """Spikes of what `dynamics` returned, with the surrogate gradient; dropout included.

        The imaginary part before the first step is the one that `dynamics` started from.
        """
        return self._crossed(real, imag, self._real_level())
