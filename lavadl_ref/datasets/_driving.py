"""Sizes that sequences of a driver's view share."""

from __future__ import annotations

SIZE = (33, 100)  #: rows and columns of a frame, as in Lava-DL's tutorial
SEQUENCE = 16  #: frames of a sample
