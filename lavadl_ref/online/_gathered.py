"""Gradients that are gathered over the steps between two updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Gathered:
    """The gradient to a value that is made of parameters, summed until the next update.

    Parameters
    ----------
    value : callable
        Returns the value as it is applied, with its graph: an effective weight, a rounded decay.
    """

    def __init__(self, value: Callable[[], Tensor]) -> None:
        self.value = value
        self.sum: Tensor | None = None

    @property
    def wanted(self) -> bool:
        """Tell whether a parameter behind the value is trained."""
        with torch.enable_grad():
            return self.value().requires_grad

    def add(self, gradient: Tensor) -> None:
        """Add what a window of steps contributes, a tensor of its own in the shape of the value."""
        self.sum = gradient if self.sum is None else self.sum.add_(gradient)


def send_back(gathered: Sequence[Gathered], scale: float) -> None:
    """Add `scale` times what was gathered to ``grad`` of the parameters, and begin anew."""
    some = [one for one in gathered if one.sum is not None]
    with torch.enable_grad():
        values = [one.value() for one in some]
    pairs = [(value, one.sum) for value, one in zip(values, some, strict=True) if value.requires_grad]
    if pairs:
        # in place: the sums are given up below
        gradients = [gradient.mul_(scale).view(value.shape) for value, gradient in pairs if gradient is not None]
        torch.autograd.backward([value for value, _ in pairs], gradients)
    for one in some:
        one.sum = None
