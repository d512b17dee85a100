"""Move and repeat tensors along time, their last axis."""

from lavadl_ref.slayer.utils.time.replicate import replicate
from lavadl_ref.slayer.utils.time.shift import shift

__all__ = ["replicate", "shift"]
