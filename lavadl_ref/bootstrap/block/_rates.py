"""Rates, and the drive that they are a function of: what a family inherits that has no rates of its own.

The drive is one number per neuron: the mean over time of what its weighted input amounts to at the place where it is
compared with the threshold. A family's own rates are in the file of its blocks, beside this one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lavadl_ref.bootstrap.ann_sampler import AnnSampler
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from lavadl_ref.slayer.neuron.spiking import Signal


class Rates:
    """Rates of neurons that spike on a real input: the mean of the spikes, fitted over the mean weighted input.

    Its methods are all that blocks ask of a family; a family overrides those in which it differs.
    """

    reason = ""  #: the reason why there are no rates, where there are none
    sums_messages = False  #: whether messages are changes, so that a layer that is read out sends their sum over time

    def curve(self, neuron: Any) -> AnnSampler:
        """The rate curve of a block's neurons."""
        return AnnSampler()

    def input_curve(self, neuron: Any) -> AnnSampler:
        """The rate curve of an input block's neurons."""
        return self.curve(neuron)

    def values(self, sent: Tensor) -> Tensor:
        """The values, (N, ..., T), of which a rate is the mean over time, for the messages `sent`, (N, ..., T)."""
        return sent

    def steady(self, z: Tensor, steps: int) -> Tensor:
        """The weighted input of one step, (N, ..., 1), as it arrives over `steps` from neurons of steady rate."""
        return z.expand(*z.shape[:-1], steps)

    def sums(self, neuron: Any, z: Tensor) -> Tensor:
        """Weighted sums of spikes, (N, ..., T), as they are read out."""
        return z

    def drive(self, neuron: Any, z: Any, gather: bool) -> Tensor:
        """The drive (N, ..., 1) of a mean weighted input `z`, (N, ..., 1); norms gather their mean if `gather`."""
        return normed(neuron.norm, z, gather)

    def factors(self, neuron: Any) -> tuple[Tensor | None, ...] | None:
        """The factors, (1,) or (C,), of the parts of a weighted input whose sum is the drive; None stands for 1.

        None instead of the factors where the drive is something else, as behind a norm.
        """
        return (None,) if neuron.norm is None else None

    def input_drive(self, neuron: Any, z: Tensor, gather: bool) -> Tensor:
        """The drive (N, ..., 1) of an input block's neurons, for the mean of its input, (N, ..., 1)."""
        return self.drive(neuron, z, gather)


class Resonant(Rates):
    """Rates of resonators that fire by level.

    The drive is the imaginary part of a complex input z times a factor, `weights`.
    """

    def weights(self, lam: Tensor) -> Tensor:
        """The complex factor of the input, (C,) or (1,), for lambda of that shape: rotation and decay of one step."""
        raise NotImplementedError

    def drive(self, neuron: Any, z: Any, gather: bool) -> Tensor:
        """The imaginary part of the input, two tensors (N, ..., 1), times the factor."""
        real, imag = (normed(norm, x, gather) for norm, x in zip((neuron.real_norm, neuron.imag_norm), z, strict=True))
        factor = self._factor(neuron)
        return per_channel(factor.real, imag) * imag + per_channel(factor.imag, real) * real

    def _factor(self, neuron: Any) -> Tensor:
        decays = (neuron.applied_decay(name).detach() / neuron.p_scale for name in ("cos_decay", "sin_decay"))
        return self.weights(torch.complex(*decays))

    def factors(self, neuron: Any) -> tuple[Tensor | None, ...] | None:
        """Of the real part the factor's imaginary part, and of the imaginary part its real one."""
        if neuron.real_norm is not None or neuron.imag_norm is not None:
            return None
        factor = self._factor(neuron)
        return factor.imag, factor.real

    def input_drive(self, neuron: Any, z: Tensor, gather: bool) -> Tensor:
        """The drive of a real input, (N, ..., 1)."""
        return self.drive(neuron, (z, torch.zeros_like(z)), gather)


class Phase(Rates):
    """Resonators that fire by phase, which have no rates."""

    reason = "they fire by phase, at most once a turn, and come to rest under a steady input"


def mean(x: Tensor) -> Tensor:
    """The mean over time of (..., T), (..., 1)."""
    return x if x.shape[-1] == 1 else x.mean(dim=-1, keepdim=True)


def mean_signal(z: Signal) -> Signal:
    """The mean over time of one tensor (..., T), or of two."""
    return (mean(z[0]), mean(z[1])) if isinstance(z, tuple) else mean(z)


def per_channel(values: Tensor, like: Tensor) -> Tensor:
    """Values (1,) or (C,) in the shape that they have beside `like`, (N, C, ..., T)."""
    return values.reshape(-1, *[1] * (like.ndim - 2))


def normed(norm: Any, z: Tensor, gather: bool) -> Tensor:
    """`z`, (N, C, ..., 1), less the mean of its norm.

    A scale is that of evaluation, since rates do not vary as spikes do.
    """
    if norm is None:
        return z
    updating, norm.update = norm.update, norm.update and gather
    try:
        centred: Tensor = MeanOnlyBatchNorm.forward(norm, z)
    finally:
        norm.update = updating
    return centred / torch.pow(2.0, norm.weight_exp) if isinstance(norm, WgtScaleBatchNorm) else centred
