"""Synapses: weighted sums over neurons, step by step."""

from lavadl_ref.slayer._bridge.paths import ChosenPath, path
from lavadl_ref.slayer.synapse import complex as complex
from lavadl_ref.slayer.synapse.layer import Conv, ConvTranspose, Dense, GenericLayer, Pool, Unpool

__all__ = ["ChosenPath", "Conv", "ConvTranspose", "Dense", "GenericLayer", "Pool", "Unpool", "complex", "path"]
