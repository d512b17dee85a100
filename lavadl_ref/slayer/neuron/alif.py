"""ALIF: a leaky integrate-and-fire neuron with adaptive threshold and refractory state."""

from __future__ import annotations

from typing import Any

import torch
from lavadl_kernels.neurons import alif
from torch import Tensor

from lavadl_ref.slayer.neuron import spiking
from lavadl_ref.slayer.neuron._parameters import neuron_params_of
from lavadl_ref.slayer.neuron.base import Decay, Norm
from lavadl_ref.slayer.neuron.spiking import SCALE_RHO_MULT, TAU_RHO_MULT

__all__ = ["SCALE_RHO_MULT", "TAU_RHO_MULT", "Neuron", "neuron_params"]


class Neuron(spiking.Adaptive):
    """Adaptive leaky integrate-and-fire neuron.

    In units of 1, with the arithmetic of `lavadl_kernels.alif`::

        u[t] = (1 - current_decay) u[t-1] + norm(x[t])
        v[t] = (1 - voltage_decay) v[t-1] + u[t]
        s[t] = v[t] >= th[t] + r[t]

    After a spike the threshold th is higher by threshold_step and the refractory state r by twice the threshold;
    th decays to the threshold and r to 0.  The voltage is not reset.
    """

    kernel = alif.FAMILY
    cx_current_decay: Any
    cx_voltage_decay: Any

    def __init__(
        self, threshold: float, threshold_step: float, current_decay: Decay, voltage_decay: Decay,
        threshold_decay: Decay, refractory_decay: Decay, tau_grad: float = 1, scale_grad: float = 1,
        scale: int = 1 << 6, norm: Norm = None, dropout: torch.nn.Module | None = None, shared_param: bool = True,
        persistent_state: bool = False, requires_grad: bool = False, graded_spike: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            threshold, tau_grad, scale_grad, scale, norm, dropout, shared_param, persistent_state, requires_grad,
            graded_spike, threshold_step,
        )  # fmt: skip
        self._register_decay("current_decay", current_decay)
        self._register_decay("voltage_decay", voltage_decay)
        self._register_adaptation(threshold_decay, refractory_decay)

    def spike(self, voltage: Tensor, threshold: Tensor, refractory: Tensor) -> Tensor:
        """Spikes of the states (N, C, ..., T) that `dynamics` returned, without the current; dropout included."""
        return self._fired(voltage, threshold + refractory)


neuron_params = neuron_params_of(__name__, alif.FAMILY.name)
