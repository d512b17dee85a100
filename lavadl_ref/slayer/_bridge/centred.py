"""The batch mean that a norm subtracts behind the first integrator of a neuron, and its gradient.

A norm between current and voltage subtracts one number for each channel, in the integers of states: a bias of the
voltage, which the kernels have.  So its mean is found by a first pass over the input, and the walk is that of neurons
without a norm.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from lavadl_kernels.neurons import _batch_mean
from lavadl_kernels.neurons.sigma_delta_fused import by_channel
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import BackwardCFunction


class Norm(Protocol):
    """A norm as a walk knows it."""

    def subtracted(self, mean: Tensor) -> Tensor:
        """The value that is subtracted from an input whose channels have these means, (C,); gathers them."""


def through(leaf: Tensor, value: Tensor, grad: Tensor) -> Tensor:
    """The gradient to `leaf` of a `value` that was computed of it, for the gradient `grad` to that; all (C,)."""
    node: Any = value.grad_fn
    if node is None:
        return grad
    behind = node.next_functions
    if len(behind) == 1 and getattr(behind[0][0], "variable", None) is leaf:
        # one step, as that of a quantiser: torch's engine takes 100 us to be asked
        call: Any = node.apply if isinstance(node, BackwardCFunction) else node
        found = call(grad)
        first: Tensor = found if isinstance(found, Tensor) else found[0]
        return first
    (whole,) = torch.autograd.grad(value, leaf, grad, retain_graph=True)
    return whole


class OutOfRange(Exception):
    """The values are for the parts one after the other: the walk cannot tell that it would give the same."""


class Centre:
    """The mean that a norm in training subtracts from leaky integrals.

    Parameters
    ----------
    norm : Norm
        Its running mean is updated.
    scale : int
        Integers of states per unit of what the norm acts on.
    channels, inner : int
        Lane i belongs to channel ``i // inner % channels``.
    x : ndarray
        (T, M) float32, what is integrated.
    state : ndarray
        (M,) int64, the integrals before the first step, 1/4096.
    decay : ndarray
        (1, M), (1, C) or (1,) int64, 1/4096.
    keep, slopes : bool
        Whether there will be a backward, and whether it is asked for the gradient to the decay.

    Attributes
    ----------
    bias : ndarray
        (C,) int64, minus what is subtracted, in the integers of states.

    Raises
    ------
    OutOfRange
        Where a value may not be exact in float32; then nothing has been updated.
    """

    def __init__(
        self,
        norm: Norm,
        scale: int,
        channels: int,
        inner: int,
        x: NDArray[np.float32],
        state: NDArray[np.int64],
        decay: NDArray[np.int64],
        keep: bool,
        slopes: bool,
    ) -> None:
        found = _batch_mean.integrals(x, state, decay, slopes) if x.size else None
        if found is None:
            raise OutOfRange
        total, slope = found
        self._decay, self._channels, self._inner = decay, channels, inner
        self._samples = x.size // self._channels
        mean = self._by_channel(total) * (4096 / scale) / self._samples
        leaf = torch.from_numpy(mean.astype(np.float32)).requires_grad_(keep)
        with torch.set_grad_enabled(keep):
            hooked = norm.subtracted(leaf)
        self._norm = (leaf, hooked) if hooked.requires_grad else None
        self._slope = self._by_channel(slope) / self._samples if slopes else None
        self.bias: NDArray[np.int64] = (-hooked.detach().double().numpy() * scale).astype(np.int64)

    def _by_channel(self, lanes: NDArray[np.float64]) -> NDArray[np.float64]:
        return by_channel(lanes, self._inner, self._channels)

    def add_gradient(self, grad_x: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Add what flows back through the mean to the gradients (T, M) of the input.

        Returns the gradient that the decay of each channel gets by it, (C,) per unit of its integer, where that was
        asked for.
        """
        if self._norm is None:
            return None
        leaf, hooked = self._norm
        arrived = self._by_channel(_batch_mean.arrived(grad_x, self._decay))
        grad = torch.from_numpy(-arrived.astype(np.float32))
        common: NDArray[np.float32] = through(leaf, hooked, grad).numpy()
        per_value = (common / self._samples).astype(np.float32)
        _batch_mean.add_common(grad_x, self._decay, per_value, self._inner)
        return None if self._slope is None else self._slope * common
