"""Parameters whose length is the number of channels, known at the first forward pass or from a checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class LazyShapes(torch.nn.Module):
    """A module that takes per-channel tensors of any length from a state dict.

    Subclasses name those tensors in `_lazy`.  Until a forward pass or a checkpoint fixes the
    length they hold one element.
    """

    _lazy: tuple[str, ...] = ()

    def _loaded(self, name: str, value: Tensor) -> None:
        """Called before `name` takes its value from a checkpoint.

        A module that never ran saves its one-element placeholder; subclasses tell it from
        the value of a single channel, and stay undecided.
        """

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any) -> None:
        for name in self._lazy:
            value = state_dict.get(prefix + name)
            if value is None:
                continue
            current = getattr(self, name)
            if current.numel() == 1 and current.shape != value.shape:
                current.data = torch.empty(value.shape, dtype=current.dtype)
            self._loaded(name, value)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
