"""Losses on spike rates, for classification."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lavadl_ref.slayer.classifier import MODES, MovingWindow, _rates_of_classes
from lavadl_ref.slayer.loss._terms import REDUCTIONS, class_indices, reduced, shaped
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.time import replicate


class _RateLoss(torch.nn.Module):
    """A loss on the spike rate of each class, over all of time or in a moving window."""

    def __init__(self, moving_window: int | None, reduction: str) -> None:
        super().__init__()
        self.reduction = _validate.choice(reduction, f"reduction of {type(self).__name__}", REDUCTIONS)
        self.window: MovingWindow | None = None
        if moving_window is not None:
            self.window = MovingWindow(time_window=_validate.integer(moving_window, "moving_window", 1))

    def forward(self, input: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The loss of spikes against class indices.

        Parameters
        ----------
        input : torch.Tensor
            Spikes (N, C, ..., T) of any real dtype, or (N, T) of one class.
        label : torch.Tensor
            Class indices of an integer dtype: (N,), or also (N, T) with a moving window. Axes of length 1 are
            ignored.

        Returns
        -------
        torch.Tensor
            A scalar, or a vector of the terms with ``reduction="none"``.

        Raises
        ------
        TypeError, ValueError
            `input` or `label` has another shape or dtype, or a class index is out of range.
        """
        name = type(self).__name__
        rate = _rates_of_classes(input, self.window, f"input of {name}")
        index = class_indices(label, rate, name).unsqueeze(1)
        return reduced(self._terms(rate, index, input.shape[-1]), self.reduction)

    def _terms(self, rate: torch.Tensor, index: torch.Tensor, steps: int) -> torch.Tensor:
        """The terms of the loss, for rates (N, classes, ...) and class indices (N, 1, ...) of `steps` time steps."""
        raise NotImplementedError


class SpikeRate(_RateLoss):
    """Squared error of spike rates: the labelled class should spike at `true_rate`, all others at `false_rate`.

    Parameters
    ----------
    true_rate, false_rate : float or torch.Tensor
        Spikes per step, in [0, 1]. A tensor of one element, of shape (), (1,) and so on, is used as it is and
        receives a gradient.
    moving_window : int, optional
        Length of a moving window in steps: at each step, the rate in the window that ends there is compared. Without
        it, the rate over all steps is compared.
    reduction : str
        ``"sum"``, ``"mean"`` (over all elements) or ``"none"``.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind or range above.

    Examples
    --------
    Two classes over four steps. Class 0 spikes in half of the steps, class 1 in one of four.

    >>> spikes = torch.tensor([[[1.0, 0, 1, 0], [0, 0, 0, 1]]])
    >>> SpikeRate(true_rate=0.5, false_rate=0.0)(spikes, torch.tensor([0]))
    tensor(0.0625)
    """

    def __init__(
        self,
        true_rate: float | torch.Tensor,
        false_rate: float | torch.Tensor,
        moving_window: int | None = None,
        reduction: str = "sum",
    ) -> None:
        super().__init__(moving_window, reduction)
        for name, rate in (("true_rate", true_rate), ("false_rate", false_rate)):
            if not 0 <= _validate.number(rate, f"{name} of SpikeRate") <= 1:
                raise ValueError(f"{name} of SpikeRate must lie in [0, 1], got {rate!r}")
        self.true_rate: float | torch.Tensor = _validate.scalar(true_rate, "true_rate of SpikeRate")
        self.false_rate: float | torch.Tensor = _validate.scalar(false_rate, "false_rate of SpikeRate")

    def _terms(self, rate: torch.Tensor, index: torch.Tensor, steps: int) -> torch.Tensor:
        labelled = torch.zeros(rate.shape, dtype=torch.bool, device=rate.device).scatter_(1, index, True)
        return (rate - torch.where(labelled, self.true_rate, self.false_rate)) ** 2


class SpikeMax(_RateLoss):
    """Negative log likelihood of the labelled class, whose neuron should spike most.

    In mode ``"probability"`` the likelihood of the labelled class is ``r / (R + 1e-6)``, where r is its rate and R
    the sum of the rates of all classes.

    The logarithm is undefined at r = 0, so silent neurons need a separate rule. It applies to rates below half a spike,
    ``f = 0.5 / steps``, where steps is the length of the window or of the whole signal: there ``-log r`` continues as
    its tangent at f, the straight line ``-log f + (f - r) / f``, and R counts as at least f. A silent neuron therefore
    has a finite loss, and a gradient of -1 / f that makes it spike. A binary spike train has a rate below f only if it
    has no spike.

    Parameters
    ----------
    moving_window : int, optional
        Length in steps of a window: the rates in the window that ends at a step are taken at each step. Without it
        they are taken over all of time.
    mode : str
        ``"probability"`` as above, or ``"softmax"`` (also spelled ``"logsoftmax"``): the likelihood is the softmax of
        the rates.
    reduction : str
        ``"sum"``, ``"mean"`` (over samples, and steps with a window) or ``"none"``.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind or range above.

    Examples
    --------
    Class 0 has two of three spikes, so its likelihood is 2/3.

    >>> spikes = torch.tensor([[[1.0, 0, 1, 0], [0, 0, 0, 1]]])
    >>> print(f"{SpikeMax()(spikes, torch.tensor([0])).exp():.3f}")
    1.500
    """

    EPS = 1e-6

    def __init__(self, moving_window: int | None = None, mode: str = "probability", reduction: str = "sum") -> None:
        super().__init__(moving_window, reduction)
        self.mode = _validate.choice(mode, "mode of SpikeMax", MODES)

    def _terms(self, rate: torch.Tensor, index: torch.Tensor, steps: int) -> torch.Tensor:
        _validate.choice(self.mode, "mode of SpikeMax", MODES)
        if self.mode != "probability":
            return -torch.log_softmax(rate, dim=1).gather(1, index)
        least = 0.5 / (steps if self.window is None else self.window.time_window)
        chosen = rate.gather(1, index)
        total = rate.sum(dim=1, keepdim=True).clamp_min(least)
        missing = (least - chosen).clamp_min(0) / least
        return torch.log(total + self.EPS) - torch.log(chosen.clamp_min(least)) + missing


class SpikeMoid(_RateLoss):
    """Binary cross entropy of ``sigmoid((rate - theta) / alpha)``, separately for each class: several may be right.

    The value is that of the sigmoid rounded to the dtype of the input, and a term is at most 100, the bound of
    torch's ``binary_cross_entropy``. The gradient is that of the unrounded sigmoid, ``(sigmoid - label) / alpha``
    with respect to the rate: it stays largest where the rounded sigmoid is 0 or 1 and wrong.

    Parameters
    ----------
    moving_window : int, optional
        Length in steps of a window: the rates in the window that ends at a step are taken at each step. Without it
        they are taken over all of time.
    reduction : str
        ``"sum"``, ``"mean"`` (over all elements) or ``"none"``.
    alpha : float or torch.Tensor
        Width of the sigmoid in spikes per step, greater than 0. A tensor has one element, of shape (), (1,) and
        so on, is used as it is and receives a gradient.
    theta : float or torch.Tensor
        Rate in spikes per step at which both outcomes are equally likely. A tensor as for `alpha`: one element, of
        shape (), (1,) and so on.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind or range above.

    Examples
    --------
    >>> spikes = torch.tensor([[[1.0, 0, 1, 0], [0, 0, 0, 1]]])
    >>> error = SpikeMoid(alpha=0.1, theta=0.25, reduction="none")
    >>> error(spikes, torch.tensor([[1.0, 0.0]]))
    tensor([0.0789, 0.6931])
    """

    def __init__(
        self,
        moving_window: int | None = None,
        reduction: str = "sum",
        alpha: float | torch.Tensor = 1,
        theta: float | torch.Tensor = 0,
    ) -> None:
        super().__init__(moving_window, reduction)
        _validate.positive(alpha, "alpha of SpikeMoid")
        self.alpha = _validate.scalar(alpha, "alpha of SpikeMoid")
        self.theta = _validate.scalar(theta, "theta of SpikeMoid")

    def forward(self, input: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The loss of spikes against probabilities of the classes.

        Parameters
        ----------
        input : torch.Tensor
            Spikes (N, C, ..., T) of any real dtype.
        label : torch.Tensor
            Wanted probabilities in [0, 1]: (N, C, ...) or (N, classes). With a moving window they may also differ
            from step to step: (N, C, ..., T) or (N, classes, T). Axes of length 1 are ignored.

        Returns
        -------
        torch.Tensor
            The sum or mean of the terms, or all of them in a vector with ``reduction="none"``.

        Raises
        ------
        TypeError, ValueError
            `input` or `label` has another shape, or a probability is out of range.
        """
        rate = _rates_of_classes(input, self.window, "input of SpikeMoid")
        target = _validate.tensor(label, "label of SpikeMoid", 0).to(device=rate.device, dtype=rate.dtype)
        axes, classes, steps = tuple(input.shape[:-1]), tuple(rate.shape[:2]), tuple(rate.shape[2:])
        allowed = [axes, classes] if self.window is None else [axes, classes, axes + steps, classes + steps]
        target = shaped(target, allowed, "label of SpikeMoid must hold probabilities of shape {} (classes one-hot)")
        if target.numel() and not (target.min() >= 0 and target.max() <= 1):
            raise ValueError(f"label of SpikeMoid must lie in [0, 1], got values in {target.min():g}..{target.max():g}")
        if target.numel() != rate.numel():
            target = replicate(target, rate.shape[-1])
        target = target.reshape(rate.shape)
        logit = (rate - self.theta) / self.alpha
        target = target.to(logit.dtype)
        terms = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
        # Lava-DL's value is that of the rounded sigmoid, whose own gradient is 0 where it rounds to 0 or 1.
        rounded = F.binary_cross_entropy(torch.sigmoid(logit.detach()), target, reduction="none")
        return reduced(terms + (rounded - terms.detach()), self.reduction)
