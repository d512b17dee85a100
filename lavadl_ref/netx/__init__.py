"""A ``.net`` file as a network of Lava processes.

`lavadl_ref.netx.hdf5.Network` builds it, `lavadl_ref.netx.runtime.run` runs it safely.
The parts that build Lava processes prepare lava-nc for the running Python as they are imported
(`lava_support.enable`); where lava-nc is not installed they say what to type.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from lavadl_ref.netx import lava_support

_PARTS = ("hdf5", "layers", "plan", "processes", "runtime")


def __getattr__(name: str) -> ModuleType:
    if name in _PARTS:
        return importlib.import_module(f"lavadl_ref.netx.{name}")
    raise AttributeError(f"module 'lavadl_ref.netx' has no attribute {name!r}")
