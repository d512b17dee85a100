"""Blocks of CUBA neurons."""

from __future__ import annotations

from lavadl_ref.slayer import neuron, synapse
from lavadl_ref.slayer.block import base
from lavadl_ref.slayer.block.plain import Average, Flatten, TimeDecimation
from lavadl_ref.slayer.neuron.base import Neuron

__all__ = [
    "Affine",
    "Average",
    "Conv",
    "ConvT",
    "Dense",
    "Flatten",
    "Input",
    "Pool",
    "TimeDecimation",
    "Unpool",
]


class _Cuba:
    """What makes a block a block of CUBA neurons."""

    neuron_class: type[Neuron] = neuron.cuba.Neuron
    synapses = synapse
    default_shift = True


class Input(_Cuba, base.Input):
    """Neurons driven by the network's input; see `base.Input`."""


class Affine(_Cuba, base.Affine):
    """Weighted sums without spikes; see `base.Affine`."""


class Dense(_Cuba, base.Dense):
    """Fully connected neurons; see `base.Dense`."""


class Conv(_Cuba, base.Conv):
    """Convolutional neurons; see `base.Conv`."""


class ConvT(_Cuba, base.ConvT):
    """Transposed-convolutional neurons; see `base.ConvT`."""


class Pool(_Cuba, base.Pool):
    """Sum-pooling neurons; see `base.Pool`."""


class Unpool(_Cuba, base.Unpool):
    """Unpooling neurons; see `base.Unpool`."""
