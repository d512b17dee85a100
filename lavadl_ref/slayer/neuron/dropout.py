"""Dropout of whole neurons."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lavadl_ref.slayer._bridge.autograd import empty_like
from lavadl_ref.slayer._bridge.function import TypedFunction
from lavadl_ref.slayer.utils import _validate


class _Product(TypedFunction):
    """``input * keep`` in memory that is used again; no gradient to `keep`."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, keep: Tensor) -> Tensor:
        ctx.save_for_backward(keep)
        return torch.mul(input, keep, out=empty_like(input))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (keep,) = ctx.saved_tensors
        return _Product.apply(grads[0], keep), None


class _Within(TypedFunction):
    """`_Product` in the memory of `input`."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, keep: Tensor) -> Tensor:
        ctx.save_for_backward(keep)
        ctx.mark_dirty(input)
        return input.mul_(keep)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (keep,) = ctx.saved_tensors
        return _Product.apply(grads[0], keep), None


class Dropout(torch.nn.Module):
    """Silence a random set of neurons for the whole duration of a sample.

    The spikes of the others are scaled by 1 / (1 - p), so that they are no longer 0 or 1 in training. In evaluation,
    nothing changes.

    Parameters
    ----------
    p : float
        Probability that a neuron is silenced, 0 to 1.
    inplace : bool
        If True, overwrite the input.

    Raises
    ------
    ValueError
        If `p` is not a probability.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= _validate.real(p, "p") <= 1:
            raise ValueError(f"p, a probability of dropout, must be in [0, 1], got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Drop neurons of `input` (N, C, ..., T)."""
        keep = self.drawn(tuple(input.shape), input.dtype)
        if keep is None:
            return input
        if self.inplace:
            return input.mul_(keep)
        result: Tensor = _Product.apply(input, keep)
        return result

    def of_own(self, input: Tensor) -> Tensor:
        """As a call, in the memory of `input` (N, C, ..., T), which nobody else may hold; without hooks."""
        keep = self.drawn(tuple(input.shape), input.dtype)
        if keep is None:
            return input
        result: Tensor = _Within.apply(input, keep)
        return result

    def drawn(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor | None:
        """Factors (N, C, ..., 1) for an input of shape (N, C, ..., T), drawn anew; None where nothing is dropped."""
        if not self.training or self.p == 0:
            return None
        return torch.nn.functional.dropout(torch.ones(*shape[:-1], 1, dtype=dtype), self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
