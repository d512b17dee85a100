"""The package `nir`, an optional dependency: imported where it is first needed."""

from __future__ import annotations

from typing import Any

from lavadl_ref import _extras


def package() -> Any:
    """Import the package `nir`.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed; the message says what to type.
    """
    _extras.require("nir", "a graph of NIR")
    import nir

    return nir
