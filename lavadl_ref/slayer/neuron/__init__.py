"""Spiking neurons."""

from lavadl_ref.slayer.neuron import cuba as cuba
from lavadl_ref.slayer.neuron import norm as norm
from lavadl_ref.slayer.neuron.dropout import Dropout

__all__ = ["Dropout", "cuba", "norm"]
