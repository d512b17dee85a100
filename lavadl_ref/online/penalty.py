"""Costs of the output of a layer's neurons, for the `penalty` of a learner."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Firing:
    """The number of spikes of a layer at a step, times a factor; graded spikes count by their size.

    The loss of a layer's readout does not limit the rates of its neurons, which tend to rise until spikes carry little
    information.  A cost for each spike keeps them sparse.

    Parameters
    ----------
    cost : float
        The cost of one spike, in units of the loss, at least 0.

    Raises
    ------
    ValueError
        If `cost` is negative or not finite.

    Examples
    --------
    Two samples, of three spikes and of one.

    >>> Firing(0.1)(torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]))
    tensor(0.2000)
    """

    def __init__(self, cost: float) -> None:
        self.cost = float(cost)
        if not (math.isfinite(self.cost) and self.cost >= 0):
            raise ValueError(f"cost of a spike must be finite and at least 0, got {cost!r}")

    def __call__(self, sent: Tensor) -> Tensor:
        """The mean cost of the samples of `sent`, (S, C, ...) float32, in units of the loss."""
        # not abs(), whose slope at 0 is 0: a neuron that is about to spike is held back, too
        return self.cost * torch.where(sent < 0, -sent, sent).flatten(1).sum(1).mean()
