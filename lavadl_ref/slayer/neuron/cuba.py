"""CUBA: the current-based leaky integrate-and-fire neuron."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from lavadl_kernels.neurons import cuba
from torch import Tensor

from lavadl_ref.slayer._bridge import feedback as _feedback
from lavadl_ref.slayer._hooks import watched
from lavadl_ref.slayer.neuron import base, spiking
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm
from lavadl_ref.slayer.neuron.spiking import SCALE_RHO_MULT, TAU_RHO_MULT, Signal

__all__ = ["SCALE_RHO_MULT", "TAU_RHO_MULT", "Neuron", "neuron_params"]

_EXACT = 1 << 24  #: integers up to here are the same in float32


def neuron_params(device_params: Mapping[str, Any], scale: int = 1 << 6, p_scale: int = 1 << 12) -> dict[str, Any]:
    """The arguments of `Neuron` that give these device parameters: the inverse of ``Neuron.device_params``.

    Parameters
    ----------
    device_params : mapping
        With ``vThMant``, ``iDecay``, ``vDecay``, and optionally ``gradedSpike``.
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

    return spiking.parameters_of("CUBA", device_params, scale, p_scale)


class Neuron(spiking.Neuron):
    """Current-based leaky integrate-and-fire neuron.

    In units of 1, with the arithmetic of `lavadl_kernels.cuba`::

        u[t] = (1 - current_decay) u[t-1] + x[t]
        v[t] = (1 - voltage_decay) v[t-1] + norm(u[t])
        s[t] = v[t] > threshold, and v[t] becomes 0

    Parameters
    ----------
    threshold : float
        Truncated to a multiple of 1 / scale.
    current_decay, voltage_decay : float, (float, float) or ndarray
        0 (no decay) to 1 (no memory), rounded to 1/4096; clipped to that range with a warning.
    tau_grad, scale_grad : float
        Relative width and height of the surrogate gradient.
    scale : int
        Integers per unit of weight.
    norm : callable, optional
        Class or factory from `neuron.norm`, applied to the current.
    dropout : Module, optional
        Applied to the spikes, see `neuron.Dropout`.
    shared_param : bool
        One decay for all channels. If False every channel has its own, drawn at the first
        forward pass from the (min, max) range given, or within 1 % of one number, or as
        an array gives them.
    persistent_state : bool
        Whether a call starts from the state after the last one.
    requires_grad : bool
        Whether the decays are trained.
    graded_spike : bool
        Whether a spike has the size of the voltage.

    Raises
    ------
    ValueError
        For parameters that are not finite or of the wrong form.
    """

    kernel = cuba
    membrane = cuba
    family = "CUBA"

    def __init__(
        self,
        threshold: float,
        current_decay: base.Decay,
        voltage_decay: base.Decay,
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
        self._told = False
        self._register_decay("current_decay", current_decay)
        self._register_decay("voltage_decay", voltage_decay)

    @property
    def threshold_eps(self) -> float:
        """What Lava-DL adds to the threshold where it compares: less than a unit, so that v > threshold."""
        return 0.01 / float(self.s_scale)

    @threshold_eps.setter
    def threshold_eps(self, value: float) -> None:
        if not 0 < value * self.s_scale < 1:
            raise ValueError(
                f"threshold_eps must be positive and less than 1/{self.s_scale}, so that neurons fire strictly above "
                f"their threshold as the device does, got {value}; give the neuron another threshold instead"
            )

    @property
    def cx_current_decay(self) -> Any:
        """Current decay as the device has it: an integer 0..4096, or one per channel."""
        return self._cx("current_decay")

    @property
    def cx_voltage_decay(self) -> Any:
        """Voltage decay as the device has it: an integer 0..4096, or one per channel."""
        return self._cx("voltage_decay")

    def dynamics(self, input: Signal) -> tuple[Tensor, ...]:
        """Current (after norm) and voltage (before reset) over time.

        Parameters
        ----------
        input : Tensor
            float32 (N, C, T) or (N, C, H, W, T), synaptic input in units of 1; truncated to 1/4096.

        Returns
        -------
        current, voltage : Tensor
            Shape of `input`; a voltage above the threshold starts the next step from 0. States are exact integers
            of 1/4096, of which these are the nearest float32.  Behind a norm in training, `WgtScaleBatchNorm`, or
            a norm of your own the voltage is that of the current as float32 has it: where that is not exact, in
            magnitude beyond 4096, there is one RuntimeWarning.
        """
        (x,) = self._parts(input)
        if self._fuses:
            return self._dynamics(x)
        current, u, rounded = self._integrated(x, self._decay("current_decay"), self._held("current_state"), None)
        self._hold("current_state", u)
        if rounded:
            self._warn_rounded()
        current = self.norm(current)
        voltage, v, _ = self._integrated(
            current,
            self._decay("voltage_decay"),
            self._held("voltage_state"),
            None if self._never else self._level,
        )
        self._hold("voltage_state", v)
        return current, voltage

    def spike(self, voltage: Tensor) -> Tensor:
        """Spikes of a voltage from `dynamics`, with the surrogate gradient; dropout included."""
        # strictly above: the device does not spike at equality
        level = float(np.nextafter(np.float32(self.threshold), np.float32(np.inf)))
        return self._fired(voltage, torch.tensor(level))

    def _spikes(self, input: Signal) -> Tensor:
        # in one pass where a norm between current and voltage is none, or a bias
        if self._never or not self._fuses:
            return self.spike(self.dynamics(input)[1])
        (x,) = self._parts(input)
        self._check_fires(x)
        return self._dropped(self._run((x,), traces=False, bias=self._bias(x))[0])

    @property
    def _fuses(self) -> bool:
        """Whether the norm, if there is one, is a bias of the voltage that integers hold."""
        norm = self.norm
        if norm is None:
            return True
        # one of the user's own is called, and hooks of any wait for that
        known = type(norm) is MeanOnlyBatchNorm and norm.pre_hook_fx == self.quantize_8bit
        return known and not norm.training and not watched(norm)

    def _bias(self, x: Tensor) -> Tensor | None:
        """The norm's part in the voltage, (C,) in 1/4096."""
        return None if self.norm is None else self.norm.offset(x).detach().flatten() * self.s_scale

    def _dynamics(self, x: Tensor) -> tuple[Tensor, ...]:
        bias = self._bias(x)
        current, voltage = self._run((x,), True, bias=bias)[1]
        return current if self.norm is None else current + self.norm.offset(x), voltage

    def _warn_rounded(self) -> None:
        if not self._told:
            self._told = True
            warnings.warn(
                f"a current passed {_EXACT // self.s_scale} in magnitude; {type(self.norm).__name__} takes and gives "
                "float32, which rounds it there, and the voltages that follow are those of the rounded current. They "
                "are exact without a norm, and in evaluation behind MeanOnlyBatchNorm",
                RuntimeWarning,
                stacklevel=4,
            )

    def _fed_back(
        self, parts: tuple[Tensor, ...], weights: tuple[_feedback.Weight, ...], last: Tensor | None
    ) -> Tensor:
        parts = self._begun(parts, weights, last)
        if self.norm is None:
            return self._run(parts, False, weights)[0]
        # the norm is behind the current: its mean is a bias of the voltage
        observing = self.training
        spikes, traces = self._run(parts, observing, weights, self._bias(parts[0]))
        if observing:
            self.norm.observe(traces[0].detach())
        return spikes
