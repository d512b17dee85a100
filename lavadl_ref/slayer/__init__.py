"""Direct training of spiking networks with surrogate gradients."""

from lavadl_ref.slayer import axon, block, classifier, loss, neuron, spike, synapse, utils

__all__ = ["axon", "block", "classifier", "loss", "neuron", "spike", "synapse", "utils"]
