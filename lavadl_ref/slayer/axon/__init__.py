"""Axons: what happens to a spike on its way."""

from lavadl_ref.slayer.axon.delay import Delay, delay

__all__ = ["Delay", "delay"]
