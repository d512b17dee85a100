"""`lavadl_ref.netx.sequential_modules` by the name that Lava-DL's documentation uses."""

from __future__ import annotations

from lavadl_ref.netx.sequential_modules import FIFO, AbstractSeqModule, Dequantize, Quantize

__all__ = ["FIFO", "AbstractSeqModule", "Dequantize", "Quantize"]
