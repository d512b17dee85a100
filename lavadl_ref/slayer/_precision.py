"""Exceptions from torch's modes: under autocast all is float32 here, and `torch.compile` calls it uncompiled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_compiling = getattr(torch.compiler, "is_compiling", lambda: False)  # torch 2.1 may be without


class FullPrecision(torch.nn.Module):
    """A module that computes in float32 also where autocast is on, as torch's own functions that need it do.

    What is computed in integers has no meaning in bfloat16. `torch.compile` leaves such a module alone, with one graph
    break: kernels are compiled already, and tracing what leads to them would take minutes.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _compiling():
            from lavadl_ref.slayer import _eagerly

            return _eagerly.call(self._called, *args, **kwargs)
        return self._called(*args, **kwargs)

    def _called(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_autocast_enabled("cpu"):
            return torch.nn.Module.__call__(self, *args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return torch.nn.Module.__call__(
                self, *map(_in_float32, args), **{name: _in_float32(value) for name, value in kwargs.items()}
            )


def _in_float32(value: Any) -> Any:
    """`value` in float32 where autocast made it less precise; each part of a pair."""
    if isinstance(value, tuple):
        return tuple(map(_in_float32, value))
    cast = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if cast else value
