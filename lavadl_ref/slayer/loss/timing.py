"""The distance between spike trains."""

from __future__ import annotations

import torch

from lavadl_ref.slayer.loss._terms import REDUCTIONS, reduced
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.filter import FIR
from lavadl_ref.slayer.utils.filter.conv import batched
from lavadl_ref.slayer.utils.filter.exponential import distance


class SpikeTime(torch.nn.Module):
    """Squared distance of filtered spike trains, a van Rossum distance: ``(h * input - h * desired)**2``.

    ``*`` is the convolution in time with the exponential ``h(t) = exp(-t / time_constant)``. The distance is small
    where spikes are close in time, and each misplaced spike costs about the same.

    Parameters
    ----------
    time_constant : float
        Time constant of h in time steps, greater than 0.
    length : int
        Number of taps of h in time steps, at least 1.
    filter_order : int
        Number of times that the filter is applied, at least 1: h is convolved with itself ``filter_order - 1``
        times, and cut to `length` taps each time.
    reduction : str
        ``"sum"``, ``"mean"`` (over all elements) or ``"none"``.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind or range above.

    Examples
    --------
    A spike that is one step late costs less than a missing spike.

    >>> error = SpikeTime(time_constant=5, length=100)
    >>> desired = torch.tensor([[[0.0, 1, 0, 0, 0, 0]]])
    >>> late = torch.tensor([[[0.0, 0, 1, 0, 0, 0]]])
    >>> print(f"{error(late, desired):.3f} {error(torch.zeros(1, 1, 6), desired):.3f}")
    1.080 2.623
    """

    def __init__(
        self, time_constant: float = 5, length: int = 100, filter_order: int = 1, reduction: str = "sum"
    ) -> None:
        super().__init__()
        order = _validate.integer(filter_order, "filter_order of SpikeTime", 1)
        self.reduction = _validate.choice(reduction, "reduction of SpikeTime", REDUCTIONS)
        self.filter = FIR(time_constant=time_constant, length=length)
        self.filter.raise_to(order)

    def forward(self, input: torch.Tensor, desired: torch.Tensor) -> torch.Tensor:
        """The loss of spike trains.

        Parameters
        ----------
        input : torch.Tensor
            Spikes (..., T) of any real dtype, in units of one spike.
        desired : torch.Tensor
            Wanted spikes, of the same shape.

        Returns
        -------
        torch.Tensor
            A scalar, or a vector with a term for each element with ``reduction="none"``.

        Raises
        ------
        TypeError, ValueError
            An argument is no real tensor with a time axis, or the shapes differ.
        """
        x = _validate.floating(input, "input of SpikeTime")
        target = _validate.tensor(desired, "desired of SpikeTime").to(device=x.device, dtype=x.dtype)
        if x.shape != target.shape:
            raise ValueError(
                f"input and desired of SpikeTime must have the same shape, got {tuple(x.shape)} and "
                f"{tuple(target.shape)}"
            )
        # The filter is linear, so one pass over the difference serves for both trains. A kernel filters, squares and
        # sums in that pass, if the filter is the exponential that it was made as.
        plain = isinstance(self.filter, FIR) and self.reduction in ("sum", "mean")
        response = self.filter.recurrence(x) if plain else None
        if response is not None:
            weight = 1.0 if self.reduction == "sum" else 1 / x.numel()
            return distance(batched(x), batched(target), response, self.filter.sampling_time, weight)
        return reduced(self.filter(x - target) ** 2, self.reduction)
