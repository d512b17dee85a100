"""CUBA: the current-based leaky integrate-and-fire neuron."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from lavadl_kernels.neurons import cuba
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref.slayer._bridge import feedback as _feedback
from lavadl_ref.slayer._bridge.centred import OutOfRange
from lavadl_ref.slayer._bridge.spike import LeakyIntegrator
from lavadl_ref.slayer._hooks import watched
from lavadl_ref.slayer.neuron import base, spiking
from lavadl_ref.slayer.neuron._parameters import neuron_params_of
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm
from lavadl_ref.slayer.neuron.spiking import SCALE_RHO_MULT, TAU_RHO_MULT, Signal, postponed

__all__ = ["SCALE_RHO_MULT", "TAU_RHO_MULT", "Neuron", "neuron_params"]

_EXACT = 1 << 24  #: integers up to here are the same in float32


class Neuron(spiking.Neuron):
    """Current-based leaky integrate-and-fire neuron.

    In units of 1, with the arithmetic of `lavadl_kernels.cuba`::

        u[t] = (1 - current_decay) u[t-1] + x[t]
        v[t] = (1 - voltage_decay) v[t-1] + norm(u[t])
        s[t] = v[t] > threshold, and v[t] becomes 0
    """

    kernel = cuba.FAMILY
    norm_acts_on = "the current"
    cx_current_decay: Any
    cx_voltage_decay: Any

    def __init__(
        self, threshold: float, current_decay: base.Decay, voltage_decay: base.Decay, tau_grad: float = 1,
        scale_grad: float = 1, scale: int = 1 << 6, norm: base.Norm = None, dropout: torch.nn.Module | None = None,
        shared_param: bool = True, persistent_state: bool = False, requires_grad: bool = False,
        graded_spike: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            threshold, tau_grad, scale_grad, scale, norm, dropout, shared_param, persistent_state, requires_grad,
            graded_spike,
        )  # fmt: skip
        self._told = False
        self._held_bias: tuple[Any, NDArray[np.int64]] | None = None
        self._register_decay("current_decay", current_decay)
        self._register_decay("voltage_decay", voltage_decay)

    @property
    def threshold_eps(self) -> float:
        """The margin that Lava-DL adds to the threshold for the comparison: less than a unit, so that v > threshold."""
        return 0.01 / float(self.s_scale)

    @threshold_eps.setter
    def threshold_eps(self, value: float) -> None:
        if not 0 < value * self.s_scale < 1:
            raise ValueError(
                f"threshold_eps must be positive and less than 1/{self.s_scale}, so that neurons fire strictly above "
                f"their threshold as the device does, got {value}; give the neuron another threshold instead"
            )

    def dynamics(self, input: Signal) -> tuple[Tensor, ...]:
        """Current (after norm) and voltage (before reset) over time.

        Parameters
        ----------
        input : Tensor
            float32 (N, C, T) or (N, C, H, W, T), synaptic input in units of 1; truncated to 1/4096.

        Returns
        -------
        current, voltage : Tensor
            Shape of `input`. A voltage above the threshold starts the next step from 0. States are exact integers in
            units of 1/4096; the results are the nearest float32 values. Behind a norm in training, a
            `WgtScaleBatchNorm`, or a norm of your own, the voltage is computed from the current in float32. Where that
            is not exact, at magnitudes beyond 4096, there is one RuntimeWarning.
        """
        ((x,), _) = self._parts(input)
        if self._norm_is_bias:
            return self._dynamics(x)
        current, rounded = self._integrated(x, "current", None)
        if rounded:
            self._warn_rounded()
        current = self.norm(current)
        return current, self._integrated(current, "voltage", self._level if self.fires else None)[0]

    def _integrated(self, x: Tensor, state: str, threshold: int | None) -> tuple[Tensor, bool]:
        """One of the two leaky integrators on its own, in units of 1, and whether float32 rounded its values."""
        held = self._held(f"{state}_state") if self.persistent_state else None
        decay = self.applied_decay(f"{state}_decay")
        y, after, rounded = LeakyIntegrator.apply(self._units.up(x), decay, held, threshold)
        if self.persistent_state:
            self._hold(f"{state}_state", after)
        return self._units.down(y), rounded

    def spike(self, voltage: Tensor) -> Tensor:
        """Spikes of a voltage (N, C, ..., T) from `dynamics`, with the surrogate gradient; dropout included."""
        return self._fired(voltage, self._real_level())

    def _spikes(self, input: Signal, later: int) -> Tensor:
        # in one walk where a norm between current and voltage is none, or a bias
        if self.fires and self._norm_is_bias:
            ((x,), _) = self._parts(input)
            self._check_fires((x,))
            return self._thinned(self._run((x,), False, bias=self._normed_bias(x), later=later)[0])
        if self.fires and self._norm_is_known:
            ((x,), layout) = self._parts(input)
            self._check_fires((x,))
            try:
                return self._thinned(self._run((x,), False, layout=layout, later=later, norm=self.norm)[0])
            except OutOfRange:
                pass
        return postponed(self.spike(self.dynamics(input)[1]), later)

    @property
    def _norm_is_known(self) -> bool:
        """Tell whether the norm subtracts means that integers hold, and no hook waits for it."""
        norm = self.norm
        known = type(norm) is MeanOnlyBatchNorm and norm.pre_hook_fx == self.quantize_8bit
        return known and not watched(norm)

    @property
    def _norm_is_bias(self) -> bool:
        """Tell whether the norm, if there is one, is a bias of the voltage that integers hold."""
        # one of the user's own is called, and hooks of any wait for that
        return self.norm is None or (self._norm_is_known and not self.norm.training)

    def _normed_bias(self, x: Tensor) -> NDArray[np.int64] | None:
        """The norm's part in the voltage, (C,) in 1/4096; it is worked out again when the running mean has changed."""
        if self.norm is None:
            return None
        self.norm.allocate(x.shape[1])
        known = self.norm.running_mean.numpy().tobytes(), self.norm.pre_hook_fx
        if self._held_bias is None or self._held_bias[0] != known:
            offset = self.norm.offset(x).detach().flatten() * self.s_scale
            self._held_bias = known, offset.to(torch.int64).numpy()
        return self._held_bias[1]

    def _dynamics(self, x: Tensor) -> tuple[Tensor, ...]:
        bias = self._normed_bias(x)
        current, voltage = self._run((x,), True, bias=bias)[1]
        return current if self.norm is None else current + self.norm.offset(x), voltage

    def _with_states(
        self, parts: tuple[Tensor, ...], weights: tuple[_feedback.Weight, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        if not self._norm_is_bias:
            values = self.dynamics(parts[0])
            return self.compared(*values), values
        spikes, (current, voltage) = self._run(parts, True, weights, self._normed_bias(parts[0]))
        return spikes, (current if self.norm is None else current + self.norm.offset(parts[0]), voltage)

    def _warn_rounded(self) -> None:
        if not self._told:
            self._told = True
            warnings.warn(
                f"a current passed {_EXACT // self.s_scale} in magnitude; {type(self.norm).__name__} computes in "
                "float32, which rounds such values, and voltages are computed from the rounded current. They are exact "
                "without a norm, and in evaluation with MeanOnlyBatchNorm",
                RuntimeWarning,
                stacklevel=4,
            )

    def _fed_back(
        self, parts: tuple[Tensor, ...], weights: tuple[_feedback.Weight, ...], last: Tensor | None, later: int
    ) -> Tensor:
        parts = self._with_last(parts, weights, last)
        if self.norm is None:
            return self._run(parts, False, weights, later=later)[0]
        # the norm is behind the current: its mean is a bias of the voltage
        observing = self.training
        spikes, traces = self._run(parts, observing, weights, self._normed_bias(parts[0]), later=later)
        if observing:
            self.norm.observe(traces[0].detach())
        return spikes


neuron_params = neuron_params_of(__name__, cuba.FAMILY.name)
