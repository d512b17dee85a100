"""Pillow, which is needed only where pictures are read or written."""

from __future__ import annotations

import importlib
from typing import Any


def pillow(module: str = "Image") -> Any:
    """The module ``PIL.<module>``.

    Raises
    ------
    ImportError
        If Pillow is not installed; says how to install it.
    """
    try:
        return importlib.import_module(f"PIL.{module}")
    except ImportError as error:
        raise ImportError("pictures need Pillow: pip install 'lavadl-ref[pictures]'") from error
