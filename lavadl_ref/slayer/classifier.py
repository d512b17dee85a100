"""Classification from output spikes: the class with the highest rate, over all steps or in a moving window."""

from __future__ import annotations

import math

import torch

from lavadl_ref._assigned import Guarded, Refused
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.filter.exponential import window_sum

#: Ways to turn rates into confidences.
MODES = ("probability", "softmax", "logsoftmax")


def _confidence(rate: torch.Tensor, mode: str, eps: float) -> torch.Tensor:
    """Rates (N, classes, ...) as confidences that add up to 1 over the classes, or their logarithm."""
    _validate.choice(mode, "mode", MODES)
    if mode == "softmax":
        return torch.softmax(rate, dim=1)
    if mode == "logsoftmax":
        return torch.log_softmax(rate, dim=1)
    return rate / (rate.sum(dim=1, keepdim=True) + _validate.number(eps, "eps"))


def _rates_of_classes(spike: torch.Tensor, window: MovingWindow | None = None, name: str = "spike") -> torch.Tensor:
    """Spike rates of spikes (N, ..., T) of any real dtype, in spikes per step.

    They are (N, classes), or (N, classes, T) in a moving window. All axes between the first and the last are
    classes.
    """
    x = _validate.floating(spike, name, 2, "(N, ..., T)")
    shape = x.shape[0], math.prod(x.shape[1:-1])
    return Rate.rate(x).reshape(shape) if window is None else window.rate(x).reshape(*shape, x.shape[-1])


class Rate(torch.nn.Module):
    """Predict the class whose neuron spikes most. Calling the module is the same as calling `predict`.

    Examples
    --------
    >>> spikes = torch.tensor([[[1.0, 0, 1, 0], [0, 0, 0, 1]]])
    >>> Rate()(spikes)
    tensor([0])
    >>> Rate.rate(spikes)
    tensor([[0.5000, 0.2500]])
    >>> Rate.confidence(spikes)
    tensor([[0.6667, 0.3333]])
    """

    def forward(self, spike: torch.Tensor) -> torch.Tensor:
        """The result of `predict` for `spike` (N, C, ..., T): int64 (N,)."""
        return self.predict(spike)

    @staticmethod
    def rate(spike: torch.Tensor) -> torch.Tensor:
        """The spike rate, the mean over time.

        Parameters
        ----------
        spike : torch.Tensor
            (..., T), any real dtype.

        Returns
        -------
        torch.Tensor
            (...), spikes per step, of the dtype of `spike` if that is a floating one.

        Raises
        ------
        TypeError, ValueError
            `spike` is no real tensor with a time axis.
        """
        return _validate.floating(spike, "spike").mean(dim=-1)

    @staticmethod
    def confidence(spike: torch.Tensor, mode: str = "probability", eps: float = 1e-6) -> torch.Tensor:
        """The confidence in each class, from its rate.

        Parameters
        ----------
        spike : torch.Tensor
            (N, C, ..., T), or (N, T) of one class; any real dtype.
        mode : str
            ``"probability"``: rate / (sum of rates + `eps`); ``"softmax"`` or ``"logsoftmax"`` of the rates.
        eps : float
            Prevents a division by zero for a silent output.

        Returns
        -------
        torch.Tensor
            (N, classes). All axes between the first and the last are classes. Confidences add up to 1, except for
            `eps`; with ``"logsoftmax"`` the results are their logarithms.

        Raises
        ------
        TypeError, ValueError
            `spike` has fewer than two axes, or `mode` is none of the above.
        """
        return _confidence(_rates_of_classes(spike), mode, eps)

    @staticmethod
    def predict(spike: torch.Tensor) -> torch.Tensor:
        """The class of the highest rate, for spikes (N, C, ..., T) of any real dtype: int64 (N,).

        Raises
        ------
        TypeError, ValueError
            `spike` is no real tensor, or has fewer than two axes.
        """
        return _rates_of_classes(spike).argmax(dim=1)


class MovingWindow(Guarded, torch.nn.Module):
    """Predict, at each step, the class that spiked most in the window that ends there.

    Calling the module is the same as calling `predict`.

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

    Examples
    --------
    >>> spikes = torch.tensor([[[1.0, 1, 0, 0], [0, 0, 1, 1]]])
    >>> MovingWindow(time_window=2)(spikes)
    tensor([[0, 0, 0, 1]])
    """

    filter = Refused("it counts spikes in time_window steps; for another response use slayer.utils.filter.FIR")

    def __init__(self, time_window: int, mode: str = "probability", eps: float = 1e-6) -> None:
        super().__init__()
        self.time_window = _validate.integer(time_window, "time_window of MovingWindow", 1)
        self.mode = _validate.choice(mode, "mode of MovingWindow", MODES)
        self.eps = _validate.number(eps, "eps of MovingWindow")

    def forward(self, spike: torch.Tensor) -> torch.Tensor:
        """The result of `predict` for `spike` (N, C, ..., T): int64 (N, T)."""
        return self.predict(spike)

    def rate(self, spike: torch.Tensor) -> torch.Tensor:
        """Number of spikes in the window that ends at each step, divided by the length of the window.

        Parameters
        ----------
        spike : torch.Tensor
            (..., T), any real dtype.

        Returns
        -------
        torch.Tensor
            (..., T), spikes per step.

        Raises
        ------
        TypeError, ValueError
            `spike` is no real tensor with a time axis.
        """
        x = _validate.floating(spike, "spike")
        # Counts are whole numbers, which floats add exactly in any order. Two classes with as many spikes therefore
        # have the same rate, down to the last bit, and a tie stays a tie.
        return window_sum(x, self.time_window) / self.time_window

    def confidence(self, spike: torch.Tensor, mode: str | None = None) -> torch.Tensor:
        """The confidence in each class at each step, as `Rate.confidence` defines it.

        Parameters
        ----------
        spike : torch.Tensor
            (N, C, ..., T), or (N, T) of one class; any real dtype.
        mode : str, optional
            As in `Rate.confidence`; by default the `mode` of the module.

        Returns
        -------
        torch.Tensor
            (N, classes, T).

        Raises
        ------
        TypeError, ValueError
            As `Rate.confidence`.
        """
        return _confidence(_rates_of_classes(spike, self), self.mode if mode is None else mode, self.eps)

    def predict(self, spike: torch.Tensor) -> torch.Tensor:
        """The class of the highest rate at each step, for spikes (N, C, ..., T) of any real dtype: int64 (N, T)."""
        return _rates_of_classes(spike, self).argmax(dim=1)

    def extra_repr(self) -> str:
        return f"time_window={self.time_window}, mode={self.mode!r}, eps={self.eps:g}"
