"""What a rate is, and which drive it is a function of, for each kind of neuron.

The drive is one number per neuron: what its weighted input amounts to, on the mean over time, where it is compared
with the threshold.

- CUBA and ALIF: the weighted input. A norm of CUBA sits behind the current, which a steady input brings to
  ``1 / current_decay`` times itself; there the drive is the normalised current.
- RF-IZ: of a complex input z the imaginary part of ``(1 + lambda) z``, with lambda the rotation and decay of one step.
  What came longer ago than the step before has mostly been reset.
- ADRF-IZ, which is not reset: the imaginary part of ``z / (1 - lambda)``, where a steady input brings it.
- Sigma-delta: the sum over time of the weighted messages, normalised and biased. A rate is the mean of its activation,
  not of the messages that are its changes, and exact up to the threshold.
- RF and ADRF fire at most once a turn, at a phase: a steady input moves them to a point at rest. There is no rate.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lavadl_ref.bootstrap.ann_sampler import AnnSampler, Exact
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from lavadl_ref.slayer.neuron.sigma_delta import identity
from lavadl_ref.slayer.neuron.spiking import Signal


class Rates:
    """Neurons of real input that spike: a rate is the mean of the spikes, and is fitted over the weighted input."""

    reason = ""  #: why there are no rates, where there are none

    def curve(self, neuron: Any) -> AnnSampler:
        """The rate curve of a block's neurons."""
        return AnnSampler()

    def input_curve(self, neuron: Any) -> AnnSampler:
        """The rate curve of an input block's neurons."""
        return self.curve(neuron)

    def values(self, sent: Tensor) -> Tensor:
        """What a rate is the mean of, over time, for what a block has sent."""
        return sent

    def steady(self, z: Tensor, steps: int) -> Tensor:
        """A weighted input of one step as it arrives over `steps` from neurons of steady rate."""
        return z.expand(*z.shape[:-1], steps)

    def sums(self, neuron: Any, z: Tensor) -> Tensor:
        """Weighted sums of spikes as they are read out, over time."""
        return z

    def drive(self, neuron: Any, z: Any, gather: bool) -> Tensor:
        """The drive (N, ..., 1) of a mean weighted input `z`; norms gather their mean if `gather`."""
        return _normed(neuron.norm, z, gather)

    def input_drive(self, neuron: Any, z: Tensor, gather: bool) -> Tensor:
        """The drive of an input block's neurons."""
        return self.drive(neuron, z, gather)


class Cuba(Rates):
    """CUBA neurons."""

    def drive(self, neuron: Any, z: Any, gather: bool) -> Tensor:
        """The weighted input, or the current that it leads to where a norm acts on that."""
        if neuron.norm is None:
            drive: Tensor = z
            return drive
        decay = _per_channel(neuron.applied_decay("current_decay").detach() / neuron.p_scale, z)
        if not bool((decay > 0).all()):
            raise ValueError(
                "CUBA neurons with a norm have no rate where current_decay is 0: their current has no bound"
            )
        return _normed(neuron.norm, z / decay, gather)


class Resonant(Rates):
    """Resonators that fire by level: RF-IZ."""

    def weights(self, lam: Tensor) -> Tensor:
        """The factor of the complex input, for lambda."""
        return 1 + lam

    def drive(self, neuron: Any, z: Any, gather: bool) -> Tensor:
        """The imaginary part of the input times the factor."""
        real, imag = (_normed(norm, x, gather) for norm, x in zip((neuron.real_norm, neuron.imag_norm), z, strict=True))
        decays = (neuron.applied_decay(name).detach() / neuron.p_scale for name in ("cos_decay", "sin_decay"))
        factor = self.weights(torch.complex(*decays))
        return _per_channel(factor.real, imag) * imag + _per_channel(factor.imag, real) * real

    def input_drive(self, neuron: Any, z: Tensor, gather: bool) -> Tensor:
        """That of a real input."""
        return self.drive(neuron, (z, torch.zeros_like(z)), gather)


class Unreset(Resonant):
    """Resonators that fire by level and go on: ADRF-IZ."""

    def weights(self, lam: Tensor) -> Tensor:
        """The factor of the complex input, for lambda."""
        return 1 / (1 - lam)


class Phase(Rates):
    """Resonators that fire by phase: RF and ADRF."""

    reason = "they fire by phase, at most once a turn, and come to rest under a steady input"


class SigmaDelta(Rates):
    """Sigma-delta neurons: rates are activations, exact up to the threshold."""

    def curve(self, neuron: Any) -> AnnSampler:
        """The activation."""
        return Exact(neuron.activation)

    def input_curve(self, neuron: Any) -> AnnSampler:
        """An input block sends the changes of its input itself."""
        return Exact(identity)

    def values(self, sent: Tensor) -> Tensor:
        """The sums of the messages."""
        return sent.cumsum(dim=-1)

    def sums(self, neuron: Any, z: Tensor) -> Tensor:
        """Sums over time of weighted messages."""
        total: Tensor = neuron.sigma(z)
        return total

    def steady(self, z: Tensor, steps: int) -> Tensor:
        """One message, and no changes after it."""
        return torch.nn.functional.pad(z, (0, steps - 1))

    def drive(self, neuron: Any, z: Any, gather: bool) -> Tensor:
        """The sum with norm and bias."""
        drive = _normed(neuron.norm, z, gather)
        if neuron.bias_is_set:
            drive = drive + _per_channel(neuron.quantised_bias, drive)
        return drive

    def input_drive(self, neuron: Any, z: Tensor, gather: bool) -> Tensor:
        """The input."""
        return z


def mean(x: Tensor) -> Tensor:
    """The mean over time, (..., 1)."""
    return x if x.shape[-1] == 1 else x.mean(dim=-1, keepdim=True)


def mean_signal(z: Signal) -> Signal:
    """The mean over time of one tensor or two."""
    return (mean(z[0]), mean(z[1])) if isinstance(z, tuple) else mean(z)


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    """(1,) or (C,) beside (N, C, ..., T)."""
    return values.reshape(-1, *[1] * (like.ndim - 2))


def _normed(norm: Any, z: Tensor, gather: bool) -> Tensor:
    """`z` of one step less its mean; a scale is that of evaluation, since rates do not vary as spikes do."""
    if norm is None:
        return z
    updating, norm.update = norm.update, norm.update and gather
    try:
        centred: Tensor = MeanOnlyBatchNorm.forward(norm, z)
    finally:
        norm.update = updating
    return centred / torch.pow(2.0, norm.weight_exp) if isinstance(norm, WgtScaleBatchNorm) else centred
