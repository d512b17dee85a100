"""Axons: delays and encodings of the messages between layers."""

from lavadl_ref.slayer.axon.delay import Delay, delay
from lavadl_ref.slayer.axon.delta import Delta

__all__ = ["Delay", "Delta", "delay"]
