"""Layers as Lava processes, of a network or built by hand.

Lava imports every file of this folder whenever it compiles a network, so it holds nothing
but processes and their models.
"""

from lavadl_ref.netx import lava_support

lava_support.enable()  # raises an error with the command to type where Lava is missing

from lavadl_ref.netx.blocks import process  # noqa: E402

__all__ = ["process"]
