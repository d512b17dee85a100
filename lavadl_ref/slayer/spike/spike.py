"""Spike of real-valued neurons."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lavadl_ref._assigned import derived
from lavadl_ref.slayer._bridge import spike as _spike
from lavadl_ref.slayer.utils import _validate


def as_level(value: float | Tensor, signal: Tensor, name: str, axes: int) -> Tensor:
    """A number as precise as the `signal` that is compared with it; a tensor without its gradient.

    A tensor has to expand to the shape of the first `axes` axes of the signal, which has any shape.
    """
    if isinstance(value, Tensor):
        level, wanted = _validate.tensor(value, name, 0).detach(), signal.shape[:axes]
        try:
            torch.broadcast_to(level, wanted)
        except RuntimeError:
            raise ValueError(
                f"{name} must be a number or expand to {tuple(wanted)}, got {tuple(value.shape)}"
            ) from None
        return level
    value = _validate.real(value, name)
    return torch.as_tensor(value, dtype=signal.dtype if signal.is_floating_point() else torch.float32)


class _Fixed(type):
    """The class of functions whose surrogate gradient is set by `tau_rho` and `scale_rho` alone."""

    @derived("the surrogate gradient is that of its tau_rho and scale_rho; for another write a torch.autograd.Function")
    def derivative(cls) -> None:
        """None: there is no other surrogate gradient."""


class Spike(metaclass=_Fixed):
    """Spike generation, called as ``Spike.apply``."""

    @staticmethod
    def apply(
        voltage: Tensor,
        threshold: float | Tensor,
        tau_rho: float,
        scale_rho: float,
        graded_spike: bool,
        voltage_last: Any,
        scale: float = 1,
    ) -> Tensor:
        """Spikes of `voltage`, with the surrogate gradient of SLAYER.

        Parameters
        ----------
        voltage : Tensor
            (..., T), a floating dtype; integers and booleans too where spikes are not graded.
        threshold : float or Tensor
            A number, or one per element of `voltage`, of its shape; a neuron spikes at voltage >= threshold.
        tau_rho, scale_rho : float
            Width and height of the surrogate gradient: binary spikes get
            scale_rho / (2 tau_rho) * exp(-abs(voltage - threshold) / tau_rho), graded ones
            scale_rho * exp(min(voltage - threshold, 0) / tau_rho).
        graded_spike : bool
            If True, a spike has the value voltage / scale instead of 1.
        voltage_last
            Not used; complex neurons need it in this place.
        scale : float
            Divisor of graded spikes.

        Returns
        -------
        Tensor
            Shape and dtype of `voltage`.  No gradient flows to the threshold.

        Raises
        ------
        TypeError
            If `voltage` is no real tensor, or is to become graded spikes and has no floating dtype.

        Examples
        --------
        >>> Spike.apply(torch.tensor([0.5, 1.0, 2.0]), 1.0, 1.0, 1.0, False, None)
        tensor([0., 1., 1.])
        """
        _validate.tensor(voltage, "voltage of Spike", 0)
        if _validate.flag(graded_spike, "graded_spike"):
            _validate.with_fractions(voltage, "voltage of graded spikes")
        _validate.number(tau_rho, "tau_rho"), _validate.number(scale_rho, "scale_rho"), _validate.number(scale, "scale")
        level = as_level(threshold, voltage, "threshold", voltage.ndim)
        spikes: Tensor = _spike.Spike.apply(voltage, level, tau_rho, scale_rho, graded_spike, scale)
        return spikes
