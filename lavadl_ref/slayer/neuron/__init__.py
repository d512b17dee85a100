"""Spiking neurons."""

from lavadl_ref.slayer.neuron import cuba, norm
from lavadl_ref.slayer.neuron.dropout import Dropout

__all__ = ["Dropout", "cuba", "norm"]
