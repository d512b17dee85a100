"""Classes read from output spikes: by rate over all of time, or in a moving window."""

from __future__ import annotations

import math

import torch

from lavadl_ref._assigned import Guarded, Refused
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.filter.exponential import window_sum

_MODES = ("probability", "softmax", "logsoftmax")


def _confidence(rate: torch.Tensor, mode: str, eps: float) -> torch.Tensor:
    """Rates (N, classes, ...) as confidences that add up to 1 over the classes, or their logarithm."""
    _validate.choice(mode, "mode", _MODES)
    if mode == "softmax":
        return torch.softmax(rate, dim=1)
    if mode == "logsoftmax":
        return torch.log_softmax(rate, dim=1)
    return rate / (rate.sum(dim=1, keepdim=True) + _validate.number(eps, "eps"))


def _rates(spike: torch.Tensor, window: MovingWindow | None = None, name: str = "spike") -> torch.Tensor:
    """(N, classes), or (N, classes, T) in a moving window: all elements between batch and time are classes."""
    x = _validate.floating(spike, name, 2, "(N, ..., T)")
    shape = x.shape[0], math.prod(x.shape[1:-1])
    return Rate.rate(x).reshape(shape) if window is None else window.rate(x).reshape(*shape, x.shape[-1])


class Rate(torch.nn.Module):
    """The class whose neuron spikes most. The module maps spikes to `predict`."""

    def forward(self, spike: torch.Tensor) -> torch.Tensor:
        """As `predict`."""
        return self.predict(spike)

    @staticmethod
    def rate(spike: torch.Tensor) -> torch.Tensor:
        """Mean over time: (..., T) to (...).

        Raises
        ------
        TypeError, ValueError
            `spike` is no real tensor with a time axis.
        """
        return _validate.floating(spike, "spike").mean(dim=-1)

    @staticmethod
    def confidence(spike: torch.Tensor, mode: str = "probability", eps: float = 1e-6) -> torch.Tensor:
        """How sure the rates are of each class.

        Parameters
        ----------
        spike : torch.Tensor
            (N, C, ..., T), or (N, T) of one class.
        mode : str
            ``"probability"``: rate / (sum of rates + `eps`); ``"softmax"`` or ``"logsoftmax"`` of the rates.
        eps : float
            Keeps a silent output from dividing by zero.

        Returns
        -------
        torch.Tensor
            (N, classes), all elements between batch and time being classes.

        Raises
        ------
        TypeError, ValueError
            `spike` has fewer than two axes, or `mode` is none of the above.
        """
        return _confidence(_rates(spike), mode, eps)

    @staticmethod
    def predict(spike: torch.Tensor) -> torch.Tensor:
        """The class of the highest rate, (N, C, ..., T) to int64 (N,); errors as `confidence`."""
        return _rates(spike).argmax(dim=1)


class MovingWindow(Guarded, torch.nn.Module):
    """At each step, the class that spiked most in the window that ends there. The module maps to `predict`.

    Parameters
    ----------
    time_window : int
        Length in steps, at least 1. Before step 0 there are no spikes, so early windows hold fewer.
    mode : str
        Default of `confidence`: ``"probability"``, ``"softmax"`` or ``"logsoftmax"``.
    eps : float
        As in `Rate.confidence`.

    Raises
    ------
    TypeError, ValueError
        `time_window` is not such an integer, or `mode` none of the above.
    """

    filter = Refused("it counts spikes in time_window steps; for another response use slayer.utils.filter.FIR")

    def __init__(self, time_window: int, mode: str = "probability", eps: float = 1e-6) -> None:
        super().__init__()
        self.time_window = _validate.integer(time_window, "time_window of MovingWindow", 1)
        self.mode = _validate.choice(mode, "mode of MovingWindow", _MODES)
        self.eps = _validate.number(eps, "eps of MovingWindow")

    def forward(self, spike: torch.Tensor) -> torch.Tensor:
        """As `predict`."""
        return self.predict(spike)

    def rate(self, spike: torch.Tensor) -> torch.Tensor:
        """Spikes in the window divided by its length: (..., T) to (..., T)."""
        x = _validate.floating(spike, "spike")
        # Counting first keeps equal counts equal, whatever the order of the sums: ties stay ties.
        return window_sum(x, self.time_window) / self.time_window

    def confidence(self, spike: torch.Tensor, mode: str | None = None) -> torch.Tensor:
        """As `Rate.confidence` at each step, (N, C, ..., T) to (N, classes, T)."""
        return _confidence(_rates(spike, self), self.mode if mode is None else mode, self.eps)

    def predict(self, spike: torch.Tensor) -> torch.Tensor:
        """The class of the highest rate at each step, (N, C, ..., T) to int64 (N, T)."""
        return _rates(spike, self).argmax(dim=1)

    def extra_repr(self) -> str:
        return f"time_window={self.time_window}, mode={self.mode!r}, eps={self.eps:g}"
