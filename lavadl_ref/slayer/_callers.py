"""The place that a warning points to: the user's line, however deep inside this package the reason is found."""

from __future__ import annotations

import sys


def stack_level() -> int:
    """The ``stacklevel`` with which the calling function's warning names the code that uses this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals["__name__"].startswith("lavadl_ref."):
        level, frame = level + 1, frame.f_back
    return level
