"""Access to an installed lava-dl, which the tests here use as a black box."""

from __future__ import annotations

import functools
import importlib
import sys
import types
import warnings
from typing import Any

import pytest

_PACKAGE = "lava.lib.dl.slayer"


@functools.lru_cache(maxsize=1)
def load() -> Any:
    """lava-dl's ``slayer`` package; ImportError where it is not installed."""
    # The detection part needs OpenCV and torchvision, which nothing compared here does.
    stub = f"{_PACKAGE}.object_detection"
    sys.modules.setdefault(stub, types.ModuleType(stub))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(_PACKAGE)


def slayer() -> Any:
    """lava-dl's ``slayer`` package; skips the calling test, or module, where it cannot be imported."""
    try:
        return load()
    except ImportError as error:
        pytest.skip(f"lava-dl is not installed: {error}", allow_module_level=True)
