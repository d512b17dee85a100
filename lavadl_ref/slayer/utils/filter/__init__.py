"""Causal finite impulse response filters along time, the last axis."""

from lavadl_ref.slayer.utils.filter.conv import conv, corr
from lavadl_ref.slayer.utils.filter.fir import FIR, FIRBank

__all__ = ["FIR", "FIRBank", "conv", "corr"]
