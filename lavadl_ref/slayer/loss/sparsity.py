"""A penalty on the activity of layers."""

from __future__ import annotations

import torch

from lavadl_ref.slayer.utils import _validate


class SparsityEnforcer:
    """A penalty on activity, summed layer by layer: ``lam * sum(relu(mean(|x|) - max_rate)**2)``.

    Parameters
    ----------
    max_rate : float
        Mean magnitude up to which a layer adds no penalty, at least 0. For spikes this is a rate in spikes per step.
    lam : float
        Weight of the penalty.

    Attributes
    ----------
    loss_list : list of torch.Tensor
        The terms of the layers appended so far, scalars without the factor `lam`.

    Raises
    ------
    TypeError, ValueError
        `max_rate` or `lam` is no finite number, or `max_rate` is negative.

    Examples
    --------
    >>> penalty = SparsityEnforcer(max_rate=0.25, lam=2.0)
    >>> penalty.append(torch.ones(1, 3, 8))  # rate 1: costs 0.75**2
    >>> penalty.append(torch.zeros(1, 3, 8))
    >>> penalty.loss
    tensor(1.1250)
    >>> penalty.clear()  # before the next batch
    """

    def __init__(self, max_rate: float = 0.01, lam: float = 1.0) -> None:
        self.max_rate = _validate.number(max_rate, "max_rate of SparsityEnforcer")
        if self.max_rate < 0:
            raise ValueError(f"max_rate of SparsityEnforcer must be at least 0, got {max_rate!r}")
        self.lam = _validate.number(lam, "lam of SparsityEnforcer")
        self.loss_list: list[torch.Tensor] = []

    def clear(self) -> None:
        """Clear the list of layers, before the next batch."""
        self.loss_list = []

    @property
    def loss(self) -> torch.Tensor | float:
        """The penalty of the layers appended so far, a scalar; 0.0 if there are none."""
        return self.lam * torch.stack(self.loss_list).sum() if self.loss_list else 0.0

    def append(self, x: torch.Tensor) -> None:
        """Add the activity `x` of a layer: real values of any shape and dtype.

        Raises
        ------
        TypeError
            `x` is no real tensor.
        """
        activity = _validate.floating(x, "x of SparsityEnforcer.append", 0).abs().mean()
        self.loss_list.append(torch.relu(activity - self.max_rate) ** 2)
