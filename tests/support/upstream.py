"""Access to an installed lava-dl, which the tests here use as a black box."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import sys
import types
import warnings
from typing import Any

import pytest

_PACKAGE = "lava.lib.dl.slayer"


@functools.lru_cache(maxsize=1)
def load() -> Any:
    """lava-dl's ``slayer`` package; ImportError where it is not installed."""
    # The detection part needs OpenCV and torchvision, which nothing else does: `detection` loads it.
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


@functools.lru_cache(maxsize=1)
def load_detection() -> Any:
    """lava-dl's ``slayer.object_detection``; ImportError where it is not installed.

    OpenCV and torchvision are empty while it is imported, which is enough for all but its videos and data sets.
    """
    load()
    absent = ("cv2", "torchvision", "torchvision.ops", "torchvision.transforms")
    stubs = {name: types.ModuleType(name) for name in absent}
    vars(stubs["torchvision"]).update(ops=stubs["torchvision.ops"], transforms=stubs["torchvision.transforms"])
    before = {name: sys.modules.pop(name) for name in (*absent, f"{_PACKAGE}.object_detection") if name in sys.modules}
    sys.modules.update(stubs)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(f"{_PACKAGE}.object_detection")
    finally:
        for name in absent:
            del sys.modules[name]
        sys.modules.update({name: module for name, module in before.items() if name in absent})


def detection() -> Any:
    """lava-dl's ``slayer.object_detection``; skips the calling test, or module, where it cannot be imported."""
    slayer()
    return load_detection()
