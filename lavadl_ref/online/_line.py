"""Signals over the last steps: what learning keeps instead of a history."""

from __future__ import annotations

import torch
from torch import Tensor

from lavadl_ref.slayer._bridge.autograd import Layout


def zeros(shape: torch.Size | tuple[int, ...]) -> Tensor:
    """A signal (N, C, ..., T) of zeros, with time slowest in memory."""
    layout = Layout.channels_last(shape)
    return layout.logical(torch.zeros([shape[axis] for axis in layout.order]).numpy())


def joined(before: Tensor | None, after: Tensor) -> Tensor:
    """Two signals (N, C, ..., T), one after the other, with time slowest in memory."""
    if before is None or before.shape[-1] == 0:
        return after
    order = Layout.channels_last(after.shape).order
    parts = [part.permute(order) for part in (before, after)]
    inverse = [order.index(axis) for axis in range(len(order))]
    return torch.cat(parts).permute(inverse)


class Line:
    """The last steps of a signal (N, C, ..., T), from the step `begin` on."""

    def __init__(self) -> None:
        self.begin = 0
        self.values: Tensor | None = None

    def append(self, x: Tensor) -> None:
        """Add the steps that follow."""
        self.values = joined(self.values, x.detach())

    def between(self, start: int, stop: int) -> Tensor:
        """The steps `start` to `stop`, those before the first being zeros."""
        assert self.values is not None
        begin, missing = max(start, self.begin), max(0, min(stop, self.begin) - start)
        found = self.values[..., begin - self.begin : max(stop, begin) - self.begin]
        if not missing:
            return found
        return joined(zeros((*found.shape[:-1], missing)), found)

    def forget(self, before: int) -> None:
        """Drop the steps before the step `before`."""
        if self.values is not None and before > self.begin:
            # a copy: a view would keep all of the memory
            self.values = joined(None, self.values[..., before - self.begin :]).clone()
            self.begin = before

    def state(self) -> tuple[int, Tensor | None]:
        """All that `restore` takes."""
        return self.begin, self.values

    def restore(self, state: tuple[int, Tensor | None]) -> None:
        """Go on from what `state` returned."""
        self.begin, self.values = state
