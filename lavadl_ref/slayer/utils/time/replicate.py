"""Repeat a tensor over time."""

from __future__ import annotations

import torch

from lavadl_ref.slayer.utils import _validate


def replicate(input: torch.Tensor, num_steps: int) -> torch.Tensor:
    """Repeat `input` in a new last axis: (...) becomes (..., num_steps).

    Parameters
    ----------
    input : torch.Tensor
        Any shape and dtype.
    num_steps : int
        Number of time steps, at least 1.

    Returns
    -------
    torch.Tensor
        (..., num_steps) of the dtype of `input`, in memory of its own.

    Raises
    ------
    TypeError, ValueError
        `input` is no tensor, or `num_steps` not an integer of at least 1.

    Examples
    --------
    >>> replicate(torch.tensor([1, 2]), 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    if not isinstance(input, torch.Tensor):
        raise TypeError(f"input of replicate must be a torch.Tensor, got {type(input).__name__}")
    steps = _validate.integer(num_steps, "num_steps of replicate", 1)
    return input.unsqueeze(-1).repeat_interleave(steps, dim=-1)
