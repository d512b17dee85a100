"""Direct training of spiking networks with surrogate gradients."""

from lavadl_ref.slayer import auto, axon, block, classifier, dendrite, io, loss, neuron, spike, synapse, utils
from lavadl_ref.slayer import object_detection as obd

__all__ = [
    "auto",
    "axon",
    "block",
    "classifier",
    "dendrite",
    "io",
    "loss",
    "neuron",
    "obd",
    "spike",
    "synapse",
    "utils",
]
