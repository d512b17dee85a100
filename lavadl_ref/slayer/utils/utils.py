"""Small helpers without a better home."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lavadl_ref.slayer.utils import _validate


class staticproperty(property):
    """A property of the class: computed on access, without an instance.

    The decorated function takes no argument.
    """

    def __get__(self, cls: Any, owner: type | None = None) -> Any:
        return self.fget()  # type: ignore[misc,call-arg]


class dotdict(dict):
    """A dictionary whose keys are also attributes: ``d.key`` is ``d.get("key")``, so None if missing."""

    __setattr__ = dict.__setitem__

    def __getattr__(self, key: str) -> Any:
        # copy and pickle ask for optional special methods, and would call a None.
        if key.startswith("__") and key.endswith("__"):
            raise AttributeError(f"dotdict has no attribute {key!r}")
        return self.get(key)

    def __delattr__(self, key: str) -> None:
        del self[key]


def diagonal_mask(dim: int, num_diagonals: int) -> torch.Tensor:
    """A (dim, dim) float mask of ones on the main diagonal and the ``num_diagonals // 2`` on either side.

    An even `num_diagonals` therefore gives one more, and any number beyond ``2 * dim - 1`` a full mask.

    Raises
    ------
    TypeError, ValueError
        `dim` or `num_diagonals` is not an integer of at least 1.
    """
    size = _validate.integer(dim, "dim of diagonal_mask", 1)
    side = _validate.integer(num_diagonals, "num_diagonals of diagonal_mask", 1) // 2
    index = torch.arange(size)
    return ((index[:, None] - index[None, :]).abs() <= side).to(torch.get_default_dtype())


def event_rate(x: torch.Tensor) -> float:
    """The share of nonzero entries of `x` (..., T), graded or negative ones included.

    The first time step is left out when there are more: what a layer says there precedes its input.

    Raises
    ------
    TypeError, ValueError
        `x` is no tensor with a time axis, or has no entry.
    """
    _validate.tensor(x, "x of event_rate")
    counted = x[..., 1:] if x.shape[-1] > 1 else x
    if counted.numel() == 0:
        raise ValueError(f"event_rate needs at least one entry, but got shape {tuple(x.shape)}")
    if counted.dtype == torch.float32 and counted.device.type == "cpu":
        # NumPy counts booleans in the order of memory, many times as fast as torch
        events = int(np.count_nonzero((counted.detach().numpy() != 0).ravel(order="K")))
    else:
        events = int((counted != 0).sum())
    return events / counted.numel()
