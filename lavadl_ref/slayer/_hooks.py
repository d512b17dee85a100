"""Hooks of modules that are computed together with others, without a call of their own."""

from __future__ import annotations

import torch
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.weight_norm import WeightNorm

#: torch's hooks that make a module's weight out of other parameters before it is called.
MAKES_WEIGHT = (BasePruningMethod, WeightNorm)


def watched(module: torch.nn.Module | None) -> bool:
    """Tell whether a hook in `module` or inside it waits for a call; those that only make a weight do not count."""
    if module is None:
        return False
    if module._forward_hooks or module._backward_hooks or module._backward_pre_hooks:
        return True
    if any(not isinstance(hook, MAKES_WEIGHT) for hook in module._forward_pre_hooks.values()):
        return True
    # not by `modules`, whose generators take longer than all that is looked at
    return any(watched(part) for part in module._modules.values())
