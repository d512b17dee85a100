"""Blocks: synapse, neuron and axon in one module that exports itself."""

from lavadl_ref.slayer.block import cuba

__all__ = ["cuba"]
