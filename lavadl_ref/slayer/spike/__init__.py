"""The spike function with its surrogate gradient."""

from lavadl_ref.slayer.spike.spike import Spike

__all__ = ["Spike"]
