"""CUBA: the current-based leaky integrate-and-fire neuron."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lavadl_ref.slayer import _autograd
from lavadl_ref.slayer.neuron import base
from lavadl_ref.slayer.spike import Spike

# Factors of the surrogate gradient that make tau_grad = scale_grad = 1 a good start.
TAU_RHO_MULT = 100
SCALE_RHO_MULT = 0.1


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

    def decay(key: str) -> Any:
        values = np.asarray(device_params[key], dtype=np.float64).reshape(-1) / p_scale
        return float(values[0]) if values.size == 1 else values

    params = {
        "threshold": device_params["vThMant"] / scale,
        "current_decay": decay("iDecay"),
        "voltage_decay": decay("vDecay"),
    }
    if any(np.ndim(value) for value in params.values()):
        params["shared_param"] = False
    if "gradedSpike" in device_params:
        params["graded_spike"] = bool(device_params["gradedSpike"])
    return params


class Neuron(base.Neuron):
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
        0 (no decay) to 1 (no memory), rounded to 1/4096; clipped to that range.
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

    _lazy = ("current_decay", "voltage_decay")
    _states = ("current_state", "voltage_state")

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
            p_scale=1 << 12,
            w_scale=scale,
            s_scale=scale * (1 << 6),
            norm=norm,
            dropout=dropout,
            persistent_state=persistent_state,
            shared_param=shared_param,
            requires_grad=requires_grad,
        )
        if self.s_scale != 1 << 12:
            raise ValueError(f"scale must be 64, the weight scale of the device, got {scale}")
        self.graded_spike = graded_spike
        self.ref_delay = 1
        self._register_decay("current_decay", current_decay)
        self._register_decay("voltage_decay", voltage_decay)
        self.current_state: Tensor | None
        self.voltage_state: Tensor | None
        self.register_buffer("current_state", None, persistent=False)
        self.register_buffer("voltage_state", None, persistent=False)

    @property
    def cx_current_decay(self) -> Any:
        """Current decay as the device has it: an integer 0..4096, or one per channel."""
        return self._cx("current_decay")

    @property
    def cx_voltage_decay(self) -> Any:
        """Voltage decay as the device has it: an integer 0..4096, or one per channel."""
        return self._cx("voltage_decay")

    @property
    def scale(self) -> int:
        """Integers per unit of weight."""
        return self.w_scale

    @property
    def device_params(self) -> dict[str, Any]:
        """The parameters as a ``.net`` file names them."""
        return {
            "type": "CUBA",
            "iDecay": self.cx_current_decay,
            "vDecay": self.cx_voltage_decay,
            "vThMant": self.v_th_mant,
            "refDelay": self.ref_delay,
            "gradedSpike": self.graded_spike,
        }

    def _quantised(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "current_decay": self.cx_current_decay / self.p_scale,
            "voltage_decay": self.cx_voltage_decay / self.p_scale,
        }

    @property
    def _level(self) -> int | None:
        """The threshold in states' integers; None for a neuron that never spikes."""
        return None if self.threshold < 0 else self.v_th_mant * (self.s_scale // self.w_scale)

    @property
    def _surrogate(self) -> tuple[float, float, bool]:
        return TAU_RHO_MULT * self.tau_rho, SCALE_RHO_MULT * self.scale_rho, self.graded_spike

    def dynamics(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """Current (after norm) and voltage (before reset) over time.

        Parameters
        ----------
        input : Tensor
            float32 (N, C, T) or (N, C, H, W, T), synaptic input in units of 1; truncated to 1/4096.

        Returns
        -------
        current, voltage : Tensor
            Shape of `input`; a voltage above the threshold starts the next step from 0.
        """
        self._observe(input)
        current, u = _autograd.LeakyIntegrator.apply(
            input, self._decay("current_decay"), self._held("current_state"), None
        )
        self._hold("current_state", u)
        if self.norm is not None:
            current = self.norm(current)
        voltage, v = _autograd.LeakyIntegrator.apply(
            current, self._decay("voltage_decay"), self._held("voltage_state"), self._level
        )
        self._hold("voltage_state", v)
        return current, voltage

    def spike(self, voltage: Tensor) -> Tensor:
        """Spikes of a voltage from `dynamics`, with the surrogate gradient; dropout included."""
        if self._level is None:
            raise ValueError(f"a neuron with negative threshold {self.threshold} has no spikes")
        self._check_surrogate(voltage)
        # strictly above: the device does not spike at equality
        level = float(np.nextafter(np.float32(self.threshold), np.float32(np.inf)))
        tau, scale, graded = self._surrogate
        return self._dropped(Spike.apply(voltage, level, tau, scale, graded, 0, 1))

    def forward(self, input: Tensor) -> Tensor:
        """Spikes over time: `dynamics` and `spike` in one pass where there is no norm between them."""
        if self.norm is not None or self._level is None:
            return self.spike(self.dynamics(input)[1])
        self._check_surrogate(input)
        self._observe(input)
        spikes, u, v = _autograd.Cuba.apply(
            input,
            self._decay("current_decay"),
            self._decay("voltage_decay"),
            self._held("current_state"),
            self._held("voltage_state"),
            self._level,
            *self._surrogate,
        )
        self._hold("current_state", u)
        self._hold("voltage_state", v)
        return self._dropped(spikes)
