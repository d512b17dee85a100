"""Bootstrap blocks of sigma-delta neurons."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lavadl_ref.bootstrap.ann_sampler import AnnSampler, Exact
from lavadl_ref.bootstrap.block._family import Family
from lavadl_ref.bootstrap.block._rates import Rates, normed, per_channel
from lavadl_ref.bootstrap.block.blocks import Average as Average
from lavadl_ref.bootstrap.block.blocks import Flatten as Flatten
from lavadl_ref.slayer import neuron, synapse
from lavadl_ref.slayer.neuron.sigma_delta import identity


class SigmaDeltaRates(Rates):
    """Rates that are means of the activation, not of the messages, which are its changes; exact up to the threshold.

    The drive is the sum over time of the weighted messages, normalised and biased.
    """

    sums_messages = True

    def curve(self, neuron: Any) -> AnnSampler:
        """The activation function."""
        return Exact(neuron.activation)

    def input_curve(self, neuron: Any) -> AnnSampler:
        """The identity: an input block sends the changes of its input itself."""
        return Exact(identity)

    def values(self, sent: Tensor) -> Tensor:
        """The sums of the messages over time, (N, ..., T)."""
        return sent.cumsum(dim=-1)

    def sums(self, neuron: Any, z: Tensor) -> Tensor:
        """Sums over time of weighted messages, (N, ..., T)."""
        total: Tensor = neuron.sigma(z)
        return total

    def steady(self, z: Tensor, steps: int) -> Tensor:
        """One message, (N, ..., 1), and no changes in the steps after it."""
        return torch.nn.functional.pad(z, (0, steps - 1))

    def drive(self, neuron: Any, z: Any, gather: bool) -> Tensor:
        """The sum `z`, (N, ..., 1), with norm and bias."""
        drive = normed(neuron.norm, z, gather)
        if neuron.bias_is_set:
            drive = drive + per_channel(neuron.quantised_bias, drive)
        return drive

    def factors(self, neuron: Any) -> None:
        """None: the activation is no curve of a sum."""

    def input_drive(self, neuron: Any, z: Tensor, gather: bool) -> Tensor:
        """The input, (N, ..., 1)."""
        return z


family = Family(__name__, neuron.sigma_delta.Neuron, synapse, SigmaDeltaRates())
Input, Affine, Dense, Conv, Pool = family.rated()
