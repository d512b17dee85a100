"""The spike function with its surrogate gradient."""

from lavadl_ref.slayer.spike import complex as complex
from lavadl_ref.slayer.spike.spike import Spike

__all__ = ["Spike", "complex"]
