"""Time-major memory behind the logical shapes (N, C, T) and (N, C, *spatial, T).

Kernels see arrays of shape (T, M).  A tensor whose memory already has time slowest, as all
blocks produce, is passed without a copy; any other is rearranged once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from lavadl_kernels.ops.layout import time_first
from lavadl_kernels.runtime.buffers import empty
from numpy.typing import NDArray
from torch import Tensor


class Layout(NamedTuple):
    """How the lanes of a (T, M) array map to neurons."""

    shape: tuple[int, ...]  #: logical shape (N, C, *spatial, T)
    order: tuple[int, ...]  #: permutation from the logical axes to memory, time first

    @classmethod
    def channels_last(cls, shape: Sequence[int]) -> Layout:
        """Time slowest, channels innermost: the channels of one sample and place are beside each other."""
        last = len(shape) - 1
        return cls(tuple(shape), (last, 0, *range(2, last), 1))

    @classmethod
    def of_places(cls, x: Tensor, what: str) -> Layout:
        """Where channels need not be innermost: lanes in the order of `x`, if its time is."""
        layout = layout_of(x, what)
        return cls(layout.shape, (x.ndim - 1, *range(x.ndim - 1))) if x.is_contiguous() else layout

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Logical shape of one value per neuron: (N, C, *spatial)."""
        return self.shape[:-1]

    @property
    def neurons(self) -> int:
        """Number of lanes, M."""
        return math.prod(self.shape[:-1])

    def logical(self, lanes: NDArray[np.generic]) -> Tensor:
        """A (T, M) array as a tensor of the logical shape, sharing its memory."""
        memory = lanes.reshape([self.shape[i] for i in self.order])
        # permuted before torch sees it: torch forbids changing a view that a custom function returns
        return torch.from_numpy(memory.transpose([self.order.index(i) for i in range(len(self.order))]))

    def gradient(self, lanes: NDArray[np.float32], contiguous: bool) -> Tensor:
        """A (T, M) array as the gradient of a tensor, with time innermost if that is `contiguous`.

        torch copies a gradient that is ordered otherwise than its leaf, in several times the time.
        """
        if contiguous and self._plain and self.shape[-1] > 1:
            return torch.from_numpy(time_first(lanes)).view(self.shape)
        return self.logical(lanes)

    @property
    def _plain(self) -> bool:
        """Whether lanes are in the order of a contiguous tensor."""
        return self.order[1:] == tuple(range(len(self.shape) - 1))

    def shares(self, x: Tensor) -> bool:
        """Whether `lanes` of `x` would be `x` itself and not a copy."""
        return x.permute(self.order).is_contiguous()

    def lanes(self, x: Tensor) -> NDArray[np.float32]:
        """A tensor of the logical shape as a (T, M) array, copied only if its memory is ordered otherwise."""
        x = x.detach()
        memory = x.permute(self.order)
        steps, lanes = self.shape[-1], self.neurons
        if not memory.is_contiguous() and x.is_contiguous() and self._plain:
            return time_first(x.view(lanes, steps).numpy())
        return memory.contiguous().view(steps, lanes).numpy()

    def lanes_or_one(self, x: Tensor) -> NDArray[np.float32]:
        """As `lanes`; (1, M) of a tensor that is expanded over time, as the gradient of a sum or mean is."""
        if x.stride(-1) != 0 or x.shape[-1] <= 1:
            return self.lanes(x)
        step = x.detach()[..., 0].permute(self.order[1:])
        return step.reshape(1, -1).contiguous().numpy()

    def state(self, x: Tensor) -> NDArray[np.int64]:
        """A state (N, C, *spatial) as a (M,) array in lane order."""
        return x.permute(self.order[1:]).reshape(-1).numpy()

    def logical_state(self, lanes: NDArray[np.int64]) -> Tensor:
        """A (M,) array in lane order as a contiguous state (N, C, *spatial)."""
        order = self.order[1:]
        memory = torch.from_numpy(lanes).view([self.shape[i] for i in order])
        return memory.permute([order.index(i) for i in range(len(order))]).contiguous()

    def per_lane(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """One value for all or one per channel, (1,) or (C,), spread over the lanes, (M,)."""
        if values.size == 1:
            return np.full(self.neurons, values.item())
        shape = [1] * (len(self.shape) - 1)
        shape[1] = values.size
        full = np.broadcast_to(values.reshape(shape), self.state_shape)
        # a copy even where none is needed: kernels are compiled anew for read-only arrays
        return full.transpose(self.order[1:]).copy().reshape(-1)

    def per_channel(self, lanes: NDArray[np.float64], size: int) -> Tensor:
        """Sum a (M,) array over everything (`size` 1) or all but the channels: float32 (size,)."""
        order = self.order[1:]
        full = lanes.reshape([self.shape[i] for i in order])
        if size == 1:
            return torch.tensor([full.sum()], dtype=torch.float32)
        axes = tuple(i for i in range(full.ndim) if i != order.index(1))
        return torch.from_numpy(full.sum(axis=axes).astype(np.float32))


def empty_like(x: Tensor) -> Tensor:
    """As ``torch.empty_like``, in memory that is used again: torch's own is returned to the system in between."""
    order = sorted(range(x.ndim), key=x.stride, reverse=True)
    if x.dtype != torch.float32 or x.device.type != "cpu" or not x.permute(order).is_contiguous():
        return torch.empty_like(x)
    memory = torch.from_numpy(empty(tuple(x.shape[axis] for axis in order)))
    return memory.permute([order.index(axis) for axis in range(x.ndim)])


def layout_of(x: Tensor, what: str = "neuron input") -> Layout:
    """The cheapest layout of `x`; channels innermost where it has to be rearranged.

    Raises
    ------
    TypeError
        If `x` is not a float32 tensor on the CPU.
    ValueError
        If `x` has fewer than three axes.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{what} must be a torch.Tensor, got {type(x).__name__}")
    if x.layout is not torch.strided:
        raise TypeError(f"{what} must be a dense tensor, got {x.layout}: call .to_dense() first")
    if x.device.type != "cpu":
        raise TypeError(f"{what} is on {x.device}; this package computes on the CPU: call .cpu() first")
    if x.dtype != torch.float32:
        raise TypeError(f"{what} must be float32, got {x.dtype}")
    if x.ndim < 3:
        raise ValueError(f"{what} must have shape (N, C, T) or (N, C, ..., T), got {tuple(x.shape)}")
    last = x.ndim - 1
    layout = Layout.channels_last(x.shape)
    channels_first = (last, *range(last))
    if not x.permute(layout.order).is_contiguous() and x.permute(channels_first).is_contiguous():
        return Layout(tuple(x.shape), channels_first)
    return layout
