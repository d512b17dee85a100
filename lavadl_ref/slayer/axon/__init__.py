"""Axons: what happens to a spike on its way."""

from lavadl_ref.slayer.axon.delay import Delay, delay
from lavadl_ref.slayer.axon.delta import Delta

__all__ = ["Delay", "Delta", "delay"]
