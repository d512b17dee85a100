"""Small helpers: a property of classes, a dictionary with attributes, a mask, and the rate of events."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lavadl_ref.slayer.utils import _validate


class staticproperty(property):
    """A property of a class: it is computed when it is read, and needs no instance.

    The decorated function takes no argument.

    Examples
    --------
    >>> class Device:
    ...     @staticproperty
    ...     def bits():
    ...         return 8
    >>> Device.bits
    8
    """

    def __get__(self, cls: Any, owner: type | None = None) -> Any:
        return self.fget()  # type: ignore[misc,call-arg]


class dotdict(dict[Any, Any]):
    """A dictionary whose keys are also attributes: ``d.key`` is ``d.get("key")``, so None if it is missing.

    Examples
    --------
    >>> options = dotdict(size=3)
    >>> options.name = "cuba"
    >>> options["name"], options.size, options.missing
    ('cuba', 3, None)
    """

    __setattr__ = dict.__setitem__

    def __getattr__(self, key: str) -> Any:
        # copy and pickle look for optional special methods, and would call a None that they got.
        if key.startswith("__") and key.endswith("__"):
            raise AttributeError(f"dotdict has no attribute {key!r}")
        return self.get(key)

    def __delattr__(self, key: str) -> None:
        del self[key]


def diagonal_mask(dim: int, num_diagonals: int) -> torch.Tensor:
    """A (dim, dim) mask with ones on the main diagonal and on ``num_diagonals // 2`` diagonals on either side.

    An even `num_diagonals` therefore gives one diagonal more. From ``2 * dim - 1`` on, all elements are 1. The dtype
    is the default floating one.

    Raises
    ------
    TypeError, ValueError
        `dim` or `num_diagonals` is not an integer of at least 1.

    Examples
    --------
    >>> diagonal_mask(3, 1)
    tensor([[1., 0., 0.],
            [0., 1., 0.],
            [0., 0., 1.]])
    """
    size = _validate.integer(dim, "dim of diagonal_mask", 1)
    side = _validate.integer(num_diagonals, "num_diagonals of diagonal_mask", 1) // 2
    index = torch.arange(size)
    return ((index[:, None] - index[None, :]).abs() <= side).to(torch.get_default_dtype())


def event_rate(x: torch.Tensor) -> float:
    """The fraction of nonzero elements of `x` (..., T) of any real dtype, in [0, 1].

    Graded and negative values count as events. The first time step is left out unless it is the only one: a layer
    whose output is delayed by a step sends nothing there yet.

    Raises
    ------
    TypeError, ValueError
        `x` is no tensor with a time axis, or has no element.

    Examples
    --------
    >>> event_rate(torch.tensor([0.0, 1, 0, -2, 0]))
    0.5
    """
    _validate.tensor(x, "x of event_rate")
    counted = x[..., 1:] if x.shape[-1] > 1 else x
    if counted.numel() == 0:
        raise ValueError(f"x of event_rate must have at least one element, got shape {tuple(x.shape)}")
    if counted.dtype == torch.float32 and counted.device.type == "cpu":
        # NumPy counts booleans in the order of memory many times as fast as torch.
        events = int(np.count_nonzero((counted.detach().numpy() != 0).ravel(order="K")))
    else:
        events = int((counted != 0).sum())
    return events / counted.numel()
