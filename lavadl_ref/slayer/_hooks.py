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
    for hook in module._forward_pre_hooks.values():
        if not isinstance(hook, MAKES_WEIGHT):
            return True
    # a loop of its own takes a third of the time of `module.modules()`, and this is asked at each call of a block
    for part in module._modules.values():  # noqa: SIM110
        if part is not None and watched(part):
            return True
    return False
