"""Direct training of spiking networks with surrogate gradients."""

from lavadl_ref.slayer import auto, axon, block, classifier, dendrite, io, loss, neuron, spike, synapse, utils
from lavadl_ref.slayer import object_detection as obd
from lavadl_ref.slayer.block._saturation import SaturationWarning

__all__ = [
    "SaturationWarning",
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
