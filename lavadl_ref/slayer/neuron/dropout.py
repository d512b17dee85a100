"""Dropout of whole neurons."""

from __future__ import annotations

import torch
from torch import Tensor


class Dropout(torch.nn.Module):
    """Silence a random set of neurons for the whole duration of a sample.

    Survivors are scaled by 1 / (1 - p), so spikes are no longer 0 or 1 in training; nothing
    happens in evaluation.

    Parameters
    ----------
    p : float
        Probability that a neuron is silenced, 0 to 1.
    inplace : bool
        Whether to overwrite the input.

    Raises
    ------
    ValueError
        If `p` is not a probability.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability must be in [0, 1], got {p}")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Drop neurons of `input` (N, C, ..., T)."""
        if not self.training or self.p == 0:
            return input
        keep = torch.nn.functional.dropout(torch.ones(*input.shape[:-1], 1, dtype=input.dtype), self.p)
        return input.mul_(keep) if self.inplace else input * keep

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
