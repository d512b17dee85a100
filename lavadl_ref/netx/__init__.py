"""A ``.net`` file as a network of Lava processes.

`lavadl_ref.netx.hdf5.Network` builds it, `lavadl_ref.netx.runtime.run` runs it safely.  Its layers are the blocks of
`lavadl_ref.netx.blocks.process`, which can be built by hand as well.
Importing this package prepares lava-nc for the running Python (`lava_support.enable`), so import it
before anything of Lava's; where lava-nc is not installed, an error tells the command that installs it.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from lavadl_ref.netx import lava_support

if lava_support.available()[0]:
    lava_support.enable()

_MODULES = (
    "blocks", "hdf5", "inprocess", "io", "modules", "online", "plan", "processes", "runtime", "sequential_modules",
    "utils",
)  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return importlib.import_module(f"lavadl_ref.netx.{name}")
    raise AttributeError(f"module 'lavadl_ref.netx' has no attribute {name!r}")
