"""Full precision under autocast: what is computed in integers has no meaning in bfloat16."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class FullPrecision(torch.nn.Module):
    """A module that computes in float32 also where autocast is on, as torch's own functions that need it do."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_autocast_enabled("cpu"):
            return super().__call__(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return super().__call__(*map(_lifted, args), **{name: _lifted(value) for name, value in kwargs.items()})


def _lifted(value: Any) -> Any:
    """`value` in float32 where autocast made it less precise; each part of a pair."""
    if isinstance(value, tuple):
        return tuple(map(_lifted, value))
    cast = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if cast else value
