"""Blocks that run as spiking neurons or as rates, one module for each neuron family that has them.

The modules are those in this folder: a family joins by its file. A family without one works everywhere else.

Examples
--------
>>> import torch
>>> from lavadl_ref.bootstrap import Mode, block
>>> params = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.5}
>>> dense = block.cuba.Dense(params, 4, 8)
>>> spikes = dense(torch.ones(2, 4, 16), Mode.SAMPLE)
>>> spikes.shape, dense(torch.ones(2, 4, 1), Mode.ANN).shape
(torch.Size([2, 8, 16]), torch.Size([2, 8, 1]))
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

#: The modules of this folder; `blocks` makes the families' blocks and is none of them.
__all__ = sorted(
    module.name for module in pkgutil.iter_modules(__path__) if module.name[0] != "_" and module.name != "blocks"
)

for _name in __all__:
    importlib.import_module(f"{__name__}.{_name}")


def __getattr__(name: str) -> Any:
    raise AttributeError(f"{__name__} must have a file {name}.py to have {name}, got {', '.join(__all__)}")
