"""Hooks of modules that are computed together with others, without a call of their own."""

from __future__ import annotations

import torch
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.weight_norm import WeightNorm

#: torch's hooks that make a module's weight out of other parameters before it is called.
MAKES_WEIGHT = (BasePruningMethod, WeightNorm)


def watched(module: torch.nn.Module | None) -> bool:
    """Tell whether a hook in `module` or inside it waits for a call; those that only make a weight do not count."""
    return module is not None and any(
        part._forward_hooks
        or part._backward_hooks
        or part._backward_pre_hooks
        or any(not isinstance(hook, MAKES_WEIGHT) for hook in part._forward_pre_hooks.values())
        for part in module.modules()
    )
