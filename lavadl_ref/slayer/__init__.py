"""Direct training of spiking networks with surrogate gradients."""

from lavadl_ref.slayer import auto, axon, block, classifier, dendrite, io, loss, neuron, spike, synapse, utils

__all__ = ["auto", "axon", "block", "classifier", "dendrite", "io", "loss", "neuron", "spike", "synapse", "utils"]
