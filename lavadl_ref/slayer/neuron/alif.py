"""ALIF: a leaky integrate-and-fire neuron with adaptive threshold and refractory state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lavadl_kernels.neurons import alif, cuba
from torch import Tensor

from lavadl_ref.slayer.neuron import base, spiking
from lavadl_ref.slayer.neuron.spiking import SCALE_RHO_MULT, TAU_RHO_MULT

__all__ = ["SCALE_RHO_MULT", "TAU_RHO_MULT", "Neuron", "neuron_params"]


def neuron_params(device_params: Mapping[str, Any], scale: int = 1 << 6, p_scale: int = 1 << 12) -> dict[str, Any]:
    """The arguments of `Neuron` that give these device parameters: the inverse of ``Neuron.device_params``.

    Parameters
    ----------
    device_params : mapping
        With ``vThMant``, ``vThStep``, ``iDecay``, ``vDecay``, ``thDecay``, ``refDecay``,
        and optionally ``gradedSpike``.
    scale, p_scale : int
        Integers per unit of thresholds and of decays.

    Returns
    -------
    dict
        Decays are floats, or arrays of one float per channel with ``shared_param`` False.

    Raises
    ------
    KeyError
        If a parameter is missing.
    """
    return spiking.parameters_of("ALIF", device_params, scale, p_scale)


class Neuron(spiking.Adaptive):
    """Adaptive leaky integrate-and-fire neuron.

    In units of 1, with the arithmetic of `lavadl_kernels.alif`::

        u[t] = (1 - current_decay) u[t-1] + norm(x[t])
        v[t] = (1 - voltage_decay) v[t-1] + u[t]
        s[t] = v[t] >= th[t] + r[t]

    After a spike the threshold th is higher by threshold_step and the refractory state r by twice the threshold;
    th decays to threshold and r to 0.  The voltage is not reset.

    Parameters
    ----------
    threshold, threshold_step : float
        Threshold at rest and its rise by a spike; truncated to multiples of 1 / scale.
    current_decay, voltage_decay, threshold_decay, refractory_decay : float, (float, float) or ndarray
        0 (no decay) to 1 (no memory), rounded to 1/4096; clipped to that range with a warning.
    tau_grad, scale_grad : float
        Relative width and height of the surrogate gradient.
    scale : int
        Integers per unit of weight.
    norm : callable, optional
        Class or factory from `neuron.norm`, applied to the input.
    dropout : Module, optional
        Applied to the spikes, see `neuron.Dropout`.
    shared_param : bool
        One set of decays for all channels. If False every channel has its own, drawn at the first
        forward pass from the (min, max) range given, or within 1 % of one number (threshold and refractory
        decay: that number), or as an array gives them.
    persistent_state : bool
        Whether a call starts from the state after the last one.
    requires_grad : bool
        Whether decays are trained.
    graded_spike : bool
        Whether a spike has the size of the voltage.

    Raises
    ------
    ValueError
        For parameters that are not finite or of the wrong form.
    """

    kernel = alif
    membrane = cuba
    family = "ALIF"

    def __init__(
        self,
        threshold: float,
        threshold_step: float,
        current_decay: base.Decay,
        voltage_decay: base.Decay,
        threshold_decay: base.Decay,
        refractory_decay: base.Decay,
        tau_grad: float = 1,
        scale_grad: float = 1,
        scale: int = 1 << 6,
        norm: Callable[..., torch.nn.Module] | None = None,
        dropout: torch.nn.Module | None = None,
        shared_param: bool = True,
        persistent_state: bool = False,
        requires_grad: bool = False,
        graded_spike: bool = False,
    ) -> None:
        super().__init__(
            threshold=threshold,
            threshold_step=threshold_step,
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
        self._register_decay("current_decay", current_decay)
        self._register_decay("voltage_decay", voltage_decay)
        self._register_adaptation(threshold_decay, refractory_decay)

    @property
    def cx_current_decay(self) -> Any:
        """Current decay as the device has it: an integer 0..4096, or one per channel."""
        return self._cx("current_decay")

    @property
    def cx_voltage_decay(self) -> Any:
        """Voltage decay as the device has it: an integer 0..4096, or one per channel."""
        return self._cx("voltage_decay")

    def spike(self, voltage: Tensor, threshold: Tensor, refractory: Tensor) -> Tensor:
        """Spikes of what `dynamics` returned without the current, with the surrogate gradient; dropout included."""
        return self._fired(voltage, threshold + refractory)
