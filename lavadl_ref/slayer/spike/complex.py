"""Spike of complex-valued neurons."""

from __future__ import annotations

from torch import Tensor

from lavadl_ref.slayer._bridge import spike as _spike
from lavadl_ref.slayer.spike.spike import _Fixed, as_level
from lavadl_ref.slayer.utils import _validate


class Spike(metaclass=_Fixed):
    """Spike generation at a phase, called as ``Spike.apply``."""

    @staticmethod
    def apply(
        real: Tensor,
        imag: Tensor,
        threshold: float | Tensor,
        tau_rho: float,
        scale_rho: float,
        graded_spike: bool,
        imag_last: float | Tensor,
        scale: float = 1,
    ) -> Tensor:
        """Spikes where `imag` comes from below zero while `real` is at or above the threshold.

        Parameters
        ----------
        real, imag : Tensor
            (..., T), a floating dtype; integers and booleans too where spikes are not graded.
        threshold : float or Tensor
            A number, or one per element of `real`, of its shape.
        tau_rho, scale_rho : float
            Width and height of the surrogate gradient, see `lavadl_kernels.spike.phase_surrogate`.
        graded_spike : bool
            If True, a spike has the value real / scale instead of 1.
        imag_last : float or Tensor
            Imaginary part before the first step, a number or (N, C, ...).
        scale : float
            Divisor of graded spikes.

        Returns
        -------
        Tensor
            Shape and dtype of `real`.  No gradient flows to the threshold.

        Raises
        ------
        TypeError, ValueError
            If `real` or `imag` is no real tensor with a time axis, or `real` is to become graded spikes and has no
            floating dtype.

        Examples
        --------
        >>> import torch
        >>> real, imag = torch.tensor([2.0, 2.0, 0.0]), torch.tensor([-1.0, 1.0, 1.0])
        >>> Spike.apply(real, imag, 1.0, 1.0, 1.0, False, 0.0)
        tensor([0., 1., 0.])
        """
        _validate.tensor(real, "real part of Spike")
        _validate.tensor(imag, "imaginary part of Spike")
        if _validate.flag(graded_spike, "graded_spike"):
            _validate.with_fractions(real, "real part of graded spikes")
        if real.shape != imag.shape:
            raise ValueError(f"real and imag must have one shape, got {tuple(real.shape)} and {tuple(imag.shape)}")
        _validate.number(tau_rho, "tau_rho"), _validate.number(scale_rho, "scale_rho"), _validate.number(scale, "scale")
        level = as_level(threshold, real, "threshold", real.ndim)
        last = as_level(imag_last, imag, "imag_last", imag.ndim - 1)
        spikes: Tensor = _spike.PhaseSpike.apply(real, imag, level, tau_rho, scale_rho, graded_spike, last, scale)
        return spikes
