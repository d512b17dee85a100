"""Repeat a tensor over time."""

from __future__ import annotations

import torch

from lavadl_ref.slayer.utils import _validate


def replicate(input: torch.Tensor, num_steps: int) -> torch.Tensor:
    """Repeat `input` in a new last axis: (...) becomes (..., num_steps).

    Any number of axes and any dtype; the result owns its memory.

    Raises
    ------
    TypeError, ValueError
        `input` is no tensor, or `num_steps` not an integer of at least 1.
    """
    if not isinstance(input, torch.Tensor):
        raise TypeError(f"input of replicate must be a torch.Tensor, but got {type(input).__name__}")
    steps = _validate.integer(num_steps, "num_steps of replicate", 1)
    return input.unsqueeze(-1).repeat_interleave(steps, dim=-1)
