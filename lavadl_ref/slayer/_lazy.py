"""Parameters whose length is the number of channels, and whose values may be drawn at the first forward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lavadl_ref.slayer._precision import FullPrecision


class LazyShapes(FullPrecision):
    """A module that takes per-channel tensors of any length from a state dict.

    Subclasses name those tensors in `_lazy`.  They hold one element until a forward pass, a checkpoint or `allocate`
    tells their length.  Where values are still to be drawn they hold a placeholder, which is recognised: what
    anyone has written in its place, a checkpoint, an average of models or an optimiser, is not drawn over.
    """

    _lazy: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self._placeholders: dict[str, tuple[float, float]] = {}  #: by name: the placeholder, and what it stands for
        self._marks: dict[str, float] = {}  #: the placeholders, also when there are values in their places

    def _await(self, name: str, value: float) -> None:
        """Let `name` hold a placeholder beside `value`, the smallest that may be drawn."""
        tensor: Tensor = getattr(self, name)
        start = torch.tensor(value, dtype=tensor.dtype)
        marked = start * (1 - 2.0**-20) if value else torch.tensor(2.0**-100)
        self._placeholders[name] = marked.item(), start.item()
        self._marks[name] = marked.item()
        tensor.data.fill_(marked)

    def _undrawn(self, name: str) -> bool:
        """Tell whether `name` still holds its placeholder."""
        if name not in self._placeholders:
            return False
        return bool((getattr(self, name).detach() == self._placeholders[name][0]).all())

    def _fill(self, name: str, values: Tensor) -> None:
        """Give the parameter `name` its values, in place where they fit."""
        parameter: Tensor = getattr(self, name)
        if parameter.shape == values.shape:
            parameter.data.copy_(values)
        else:
            parameter.data = values
        self._placeholders.pop(name, None)

    def allocate(self, channels: int) -> None:
        """Give parameters with one value per channel their length; what is to be drawn is drawn later."""
        for name in self._placeholders:
            parameter: Tensor = getattr(self, name)
            if parameter.numel() == 1:
                parameter.data = parameter.data.expand(channels).clone()
        for child in self.children():
            if isinstance(child, LazyShapes):
                child.allocate(channels)

    def _loaded(self, name: str, value: Tensor) -> None:
        """Called before `name` takes its value from a checkpoint; not for placeholders."""

    def _stands_for_none(self, name: str, value: Tensor) -> bool:
        """Tell whether the `value` of a checkpoint is a placeholder: ours, or the one element that Lava-DL saves."""
        if not self._undrawn(name):
            return False
        marked, start = self._placeholders[name]
        return bool((value == marked).all() or (value.numel() == 1 and (value == start or value.isnan())))

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: Any, unexpected: Any, errors: Any
    ) -> None:
        for name in self._lazy:
            value = state_dict.get(prefix + name)
            if value is None:
                continue
            current = getattr(self, name)
            if self._stands_for_none(name, value):
                state_dict[prefix + name] = current.detach().clone()
                continue
            if name in self._marks and bool((value == self._marks[name]).all()):
                errors.append(f"{prefix}{name} was saved before the first input, without values to replace these")
                continue
            if current.shape != value.shape and (current.numel() == 1 or self._undrawn(name)):
                current.data = torch.empty(value.shape, dtype=current.dtype)
            self._placeholders.pop(name, None)
            self._loaded(name, value)
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, unexpected, errors)
