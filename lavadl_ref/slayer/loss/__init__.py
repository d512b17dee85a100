"""Losses on spike trains, and a penalty on activity.

Spikes are tensors (N, C, ..., T): N samples, C classes, T time steps. (N, T) is one class. All axes between the
first and the last count as classes: C of (N, C, T), C*H*W of (N, C, H, W, T). Every loss takes
``reduction="sum"``, ``"mean"`` or ``"none"``; ``"none"`` returns the terms of the sum as a vector.
"""

from lavadl_ref.slayer.loss.rates import SpikeMax, SpikeMoid, SpikeRate
from lavadl_ref.slayer.loss.sparsity import SparsityEnforcer
from lavadl_ref.slayer.loss.timing import SpikeTime

__all__ = ["SparsityEnforcer", "SpikeMax", "SpikeMoid", "SpikeRate", "SpikeTime"]
