"""The blocks of bootstrap, once for all neuron families: those of slayer with modes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref._assigned import Guarded, Refused
from lavadl_ref.bootstrap.ann_sampler import AnnSampler
from lavadl_ref.bootstrap.block import _fused
from lavadl_ref.bootstrap.block._rates import mean
from lavadl_ref.bootstrap.block.base import AbstractBlock
from lavadl_ref.bootstrap.routine import Mode
from lavadl_ref.slayer.block import describe, plain, synaptic
from lavadl_ref.slayer.block._block import Output
from lavadl_ref.slayer.neuron.spiking import Signal

_SAME = "the block has no neurons, and is the same in every mode"


class Input(AbstractBlock, synaptic.AbstractInput):
    """Neurons driven by the network's input, as `slayer.block.cuba.Input`; arguments as there, neurons needed.

    In ``Mode.ANN`` the input is averaged over time. One step of input is a picture that stands still.
    """

    def _curve(self, neuron: Any) -> AnnSampler:
        return self.rates.input_curve(neuron)

    def _weighted(self, x: Tensor) -> Signal:
        return self._scaled(x)

    def _arriving(self, x: Tensor) -> Tensor:
        return x

    def _at_once(self, x: Tensor) -> Tensor | None:
        return _fused.input_rates(self, x)

    def _drive(self, z: Any, gather: bool) -> Tensor:
        return self.rates.input_drive(self.neuron, mean(z), gather)

    def _driven(self, z: Any) -> Tensor:
        spikes: Tensor = self.neuron.driven(z)
        return spikes

    def _steady(self, z: Tensor, steps: int) -> Tensor:
        return z.expand(*z.shape[:-1], steps)


class Dense(AbstractBlock, synaptic.AbstractDense):
    """Fully connected neurons, as `slayer.block.cuba.Dense`; arguments as there."""

    def _at_once(self, x: Tensor) -> Tensor | None:
        return _fused.rates(self, x)


class Conv(AbstractBlock, synaptic.AbstractConv):
    """Convolutional neurons, as `slayer.block.cuba.Conv`; arguments as there."""


class Pool(AbstractBlock, synaptic.AbstractPool):
    """Neurons that sum windows of each channel, as `slayer.block.cuba.Pool`; arguments as there."""


class Affine(AbstractBlock, synaptic.AbstractAffine):
    """Weighted sums of spikes or rates, the same in every mode; arguments as `slayer.block.cuba.Affine`.

    Of resonators' sums the imaginary part is returned, of sigma-delta messages the sum over time. With `dynamics` the
    layer in the file integrates these sums in neurons that never spike; without, it is the sums as `forward` returns
    them.
    """

    def fit(self) -> None:
        """Do nothing: sums have no curve."""

    def _summed(self, x: Tensor) -> Tensor:
        z: Tensor = (self.synapse.imag if self.synapse.complex else self.synapse)(x)
        return z

    def forward(self, x: Tensor, mode: Mode = Mode.ANN) -> Output:
        """Sums (N, out, T) of spikes or rates `x`, (N, ..., T)."""
        z = None if mode is Mode.SNN or mode is Mode.SAMPLE else _fused.sums(self, x)
        z = self._summed(x) if z is None else z
        z = self.rates.sums(self.neuron, z) if mode in (Mode.SNN, Mode.SAMPLE) else self.rates.values(z)
        return self._left(z)

    def deployed(self, x: Tensor) -> Output:
        """The values, (N, out, T), that the layer in the file is read at, for `x`, (N, ..., T)."""
        return synaptic.AbstractAffine.forward(self, x) if self.dynamics else self(x, Mode.SNN)

    def describe(self) -> exchange.Layer:
        if not self.dynamics and self.rates.sums_messages:
            return describe.output(self)
        return describe.affine(self)


class _Plain(Guarded):
    """A block without neurons."""

    f = Refused(_SAME)
    mode = Refused(_SAME)
    delay_shift = Refused(_SAME)

    def fit(self) -> None:
        """Do nothing: there are no neurons."""


class Flatten(_Plain, plain.Flatten):
    """(N, C, H, W, T) to (N, C * H * W, T), in every mode."""

    def forward(self, x: Tensor, mode: Mode = Mode.ANN) -> Output:
        """Flatten all axes of `x`, (N, ..., T), but batch and time."""
        return super().forward(x)


class Average(_Plain, plain.Average):
    """Mean over C / num_outputs consecutive channels and all space, in every mode.

    Parameters
    ----------
    num_outputs, count_log
        As in `slayer.block.cuba.Average`.
    """

    def forward(self, x: Tensor, mode: Mode = Mode.ANN) -> Output:
        """Average the channels of `x`, (N, C, ..., T)."""
        return super().forward(x)
