"""Tells whether Lava can run, and why not."""

from lavadl_ref.netx import lava_support

USABLE, WHY = lava_support.available()
