"""Losses on spikes (N, C, ..., T), or (N, T) of one class, and a penalty on activity.

Every loss takes ``reduction="sum"``, ``"mean"`` or ``"none"``; the last returns a flat vector of the terms.
Where classes are meant, all elements between batch and time count as such: C of (N, C, T), C*H*W of
(N, C, H, W, T).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from lavadl_ref.slayer.classifier import MovingWindow, _rates
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.filter import FIR
from lavadl_ref.slayer.utils.filter.conv import batched
from lavadl_ref.slayer.utils.filter.exponential import Distance
from lavadl_ref.slayer.utils.time import replicate

_REDUCTIONS = ("sum", "mean", "none")
_MODES = ("probability", "softmax", "logsoftmax")


def _reduce(terms: torch.Tensor, reduction: str) -> torch.Tensor:
    _validate.choice(reduction, "reduction", _REDUCTIONS)
    if reduction == "none":
        return terms.flatten()
    return terms.sum() if reduction == "sum" else terms.mean()


def _window(moving_window: int | None) -> MovingWindow | None:
    if moving_window is None:
        return None
    return MovingWindow(time_window=_validate.integer(moving_window, "moving_window", 1))


def _shaped(label: torch.Tensor, wanted: list[tuple[int, ...]], message: str) -> torch.Tensor:
    """`label` in the first of the `wanted` shapes that is its own, but for axes of length 1."""
    given = [extent for extent in label.shape if extent != 1]
    for shape in wanted:
        if given == [extent for extent in shape if extent != 1]:
            return label.reshape(shape)
    raise ValueError(message.format(" or ".join(map(str, dict.fromkeys(wanted)))) + f", but got {tuple(label.shape)}")


def _labels(label: torch.Tensor, rate: torch.Tensor, name: str) -> torch.Tensor:
    """Class indices (N,), or (N, T) if `rate` has time, where one per sample holds for all steps."""
    _validate.tensor(label, f"label of {name}", 0)
    if label.is_floating_point() or label.dtype == torch.bool:
        raise TypeError(f"label of {name} must hold class indices (integers), but got dtype {label.dtype}")
    samples, classes, *steps = rate.shape
    wanted: list[tuple[int, ...]] = [(samples,), (samples, *steps)] if steps else [(samples,)]
    label = _shaped(label, wanted, f"label of {name} must have shape {{}}")
    if label.numel() and not (label.min() >= 0 and label.max() < classes):
        raise ValueError(
            f"label of {name} must lie in 0..{classes - 1}, but spans {int(label.min())}..{int(label.max())}"
        )
    index = label.to(device=rate.device, dtype=torch.int64)
    return replicate(index, steps[0]) if steps and index.ndim == 1 else index


class SpikeTime(torch.nn.Module):
    """Distance of filtered spike trains: squared error of ``h * input`` and ``h * desired``.

    Parameters
    ----------
    time_constant : float
        tau of ``h(t) = exp(-t / tau)``, in steps.
    length : int
        Steps of h.
    filter_order : int
        h is convolved with itself ``filter_order - 1`` times and cut to `length`; at least 1.
    reduction : str
        ``"sum"``, ``"mean"`` (over all elements) or ``"none"``.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind or range above.
    """

    def __init__(
        self, time_constant: float = 5, length: int = 100, filter_order: int = 1, reduction: str = "sum"
    ) -> None:
        super().__init__()
        order = _validate.integer(filter_order, "filter_order of SpikeTime", 1)
        self.reduction = _validate.choice(reduction, "reduction of SpikeTime", _REDUCTIONS)
        self.filter = FIR(time_constant=time_constant, length=length)
        self.filter.raise_to(order)

    def forward(self, input: torch.Tensor, desired: torch.Tensor) -> torch.Tensor:
        """Loss of `input` (..., T) against `desired` of the same shape.

        Raises
        ------
        TypeError, ValueError
            An argument is no real tensor with a time axis, or the shapes differ.
        """
        x = _validate.floating(input, "input of SpikeTime")
        target = _validate.tensor(desired, "desired of SpikeTime").to(device=x.device, dtype=x.dtype)
        if x.shape != target.shape:
            raise ValueError(
                f"input and desired of SpikeTime must have the same shape, but got {tuple(x.shape)} and "
                f"{tuple(target.shape)}"
            )
        # The filter is linear, so one pass over the difference does for both.
        plain = isinstance(self.filter, FIR) and self.reduction in ("sum", "mean")
        response = self.filter.recurrence(x) if plain else None
        if response is not None:
            weight = 1.0 if self.reduction == "sum" else 1 / x.numel()
            distance: torch.Tensor = Distance.apply(
                batched(x), batched(target), response, self.filter.sampling_time, weight
            )
            return distance
        return _reduce(self.filter(x - target) ** 2, self.reduction)


class SpikeRate(torch.nn.Module):
    """Squared error of spike rates: `true_rate` is wanted of the labelled class, `false_rate` of the others.

    Parameters
    ----------
    true_rate, false_rate : float or torch.Tensor
        Spikes per step, in [0, 1]. A tensor of one element is used as it is, its gradient included.
    moving_window : int, optional
        Compare the rate in a window of so many steps at each step, instead of the rate over all of time.
    reduction : str
        ``"sum"``, ``"mean"`` (over all elements) or ``"none"``.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind or range above.
    """

    def __init__(
        self,
        true_rate: float | torch.Tensor,
        false_rate: float | torch.Tensor,
        moving_window: int | None = None,
        reduction: str = "sum",
    ) -> None:
        super().__init__()
        for name, rate in (("true_rate", true_rate), ("false_rate", false_rate)):
            if not 0 <= _validate.number(rate, f"{name} of SpikeRate") <= 1:
                raise ValueError(f"{name} of SpikeRate must lie in [0, 1], but got {rate!r}")
        self.true_rate: Any = _validate.scalar(true_rate, "true_rate of SpikeRate")
        self.false_rate: Any = _validate.scalar(false_rate, "false_rate of SpikeRate")
        self.reduction = _validate.choice(reduction, "reduction of SpikeRate", _REDUCTIONS)
        self.window = _window(moving_window)

    def forward(self, input: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Loss of spikes (N, C, ..., T) with class indices (N,), or also (N, T) with a moving window.

        Axes of length 1 of the labels do not count.

        Raises
        ------
        TypeError, ValueError
            `input` or `label` has another shape or dtype, or a class index is out of range.
        """
        rate = _rates(input, self.window, "input of SpikeRate")
        index = _labels(label, rate, "SpikeRate").unsqueeze(1)
        labelled = torch.zeros(rate.shape, dtype=torch.bool, device=rate.device).scatter_(1, index, True)
        target = torch.where(labelled, self.true_rate, self.false_rate)
        return _reduce((rate - target) ** 2, self.reduction)


class SpikeMax(torch.nn.Module):
    """Negative log likelihood of the labelled class, whose neuron should spike most.

    In mode ``"probability"`` the likelihood is ``r / (R + 1e-6)`` with the rate r of the labelled class and
    the sum R of all rates. Below half a spike, ``f = 0.5 / steps`` (of the window or all of time), ``-log r``
    continues as the straight line ``-log f + (f - r) / f`` and R counts as no less than f: a silent neuron
    has a finite loss, and a gradient of twice the steps that calls for spikes. For binary spikes only
    silence lies below f.

    Parameters
    ----------
    moving_window : int, optional
        Take the rates in a window of so many steps at each step, instead of over all of time.
    mode : str
        ``"probability"`` or ``"softmax"`` (also spelled ``"logsoftmax"``): the softmax of the rates.
    reduction : str
        ``"sum"``, ``"mean"`` (over samples, and steps with a window) or ``"none"``.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind or range above.
    """

    EPS = 1e-6

    def __init__(self, moving_window: int | None = None, mode: str = "probability", reduction: str = "sum") -> None:
        super().__init__()
        self.mode = _validate.choice(mode, "mode of SpikeMax", _MODES)
        self.reduction = _validate.choice(reduction, "reduction of SpikeMax", _REDUCTIONS)
        self.window = _window(moving_window)

    def forward(self, input: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Loss of spikes (N, C, ..., T) with class indices (N,), or also (N, T) with a moving window.

        Axes of length 1 of the labels do not count.

        Raises
        ------
        TypeError, ValueError
            `input` or `label` has another shape or dtype, or a class index is out of range.
        """
        rate = _rates(input, self.window, "input of SpikeMax")
        index = _labels(label, rate, "SpikeMax").unsqueeze(1)
        _validate.choice(self.mode, "mode of SpikeMax", _MODES)
        if self.mode != "probability":
            terms = -torch.log_softmax(rate, dim=1).gather(1, index)
        else:
            steps = input.shape[-1] if self.window is None else self.window.time_window
            least = 0.5 / steps
            chosen = rate.gather(1, index)
            total = rate.sum(dim=1, keepdim=True).clamp_min(least)
            missing = (least - chosen).clamp_min(0) / least
            terms = torch.log(total + self.EPS) - torch.log(chosen.clamp_min(least)) + missing
        return _reduce(terms, self.reduction)


class SpikeMoid(torch.nn.Module):
    """Binary cross entropy of ``sigmoid((rate - theta) / alpha)``: each class on its own, several may hold.

    The sigmoid is rounded to the dtype of the input and a term is at most 100, so that a class missed with
    certainty costs 100. The gradient is that of the cross entropy in exact numbers,
    ``(sigmoid - label) / alpha`` to the rate: it never dies, and is largest where the miss is certain.

    Parameters
    ----------
    moving_window : int, optional
        Take the rates in a window of so many steps at each step, instead of over all of time.
    reduction : str
        ``"sum"``, ``"mean"`` (over all elements) or ``"none"``.
    alpha : float or torch.Tensor
        Width of the sigmoid in units of the rate, greater than 0.
    theta : float or torch.Tensor
        Rate at which both outcomes are equally likely. Tensors of one element are used as they are, their gradient
        included.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind or range above.
    """

    def __init__(
        self,
        moving_window: int | None = None,
        reduction: str = "sum",
        alpha: float | torch.Tensor = 1,
        theta: float | torch.Tensor = 0,
    ) -> None:
        super().__init__()
        self.reduction = _validate.choice(reduction, "reduction of SpikeMoid", _REDUCTIONS)
        _validate.positive(alpha, "alpha of SpikeMoid")
        self.alpha = _validate.scalar(alpha, "alpha of SpikeMoid")
        self.theta = _validate.scalar(theta, "theta of SpikeMoid")
        self.window = _window(moving_window)

    def forward(self, input: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Loss of spikes (N, C, ..., T) with the wanted probabilities (N, C, ...) or (N, classes), in [0, 1].

        With a moving window they may also differ over time: (N, C, ..., T) or (N, classes, T). Axes of length 1 of
        the labels do not count.

        Raises
        ------
        TypeError, ValueError
            `input` or `label` has another shape, or a probability is out of range.
        """
        rate = _rates(input, self.window, "input of SpikeMoid")
        target = _validate.tensor(label, "label of SpikeMoid", 0).to(device=rate.device, dtype=rate.dtype)
        places, classes, steps = tuple(input.shape[:-1]), tuple(rate.shape[:2]), tuple(rate.shape[2:])
        wanted = [places, classes] if self.window is None else [places, classes, places + steps, classes + steps]
        target = _shaped(target, wanted, "label of SpikeMoid must hold probabilities of shape {} (classes one-hot)")
        if target.numel() and not (target.min() >= 0 and target.max() <= 1):
            raise ValueError("label of SpikeMoid must lie in [0, 1]")
        if target.numel() != rate.numel():
            target = replicate(target, rate.shape[-1])
        target = target.reshape(rate.shape)
        logit = (rate - self.theta) / self.alpha
        target = target.to(logit.dtype)
        terms = F.binary_cross_entropy_with_logits(logit, target, reduction="none")
        # The value of the rounded sigmoid, whose own gradient is 0 where it rounds to 0 or 1.
        rounded = F.binary_cross_entropy(torch.sigmoid(logit.detach()), target, reduction="none")
        return _reduce(terms + (rounded - terms.detach()), self.reduction)


class SparsityEnforcer:
    """A penalty on activity, gathered layer by layer: ``lam * sum of relu(mean|x| - max_rate)**2``.

    Parameters
    ----------
    max_rate : float
        Mean magnitude up to which a layer costs nothing, at least 0.
    lam : float
        Weight of the penalty.

    Attributes
    ----------
    loss_list : list of torch.Tensor
        The terms of the layers appended so far, without `lam`.

    Raises
    ------
    TypeError, ValueError
        `max_rate` or `lam` is no finite number, or `max_rate` is negative.
    """

    def __init__(self, max_rate: float = 0.01, lam: float = 1.0) -> None:
        self.max_rate = _validate.number(max_rate, "max_rate of SparsityEnforcer")
        if self.max_rate < 0:
            raise ValueError(f"max_rate of SparsityEnforcer must be at least 0, but got {max_rate!r}")
        self.lam = _validate.number(lam, "lam of SparsityEnforcer")
        self.loss_list: list[torch.Tensor] = []

    def clear(self) -> None:
        """Forget the layers, before the next batch."""
        self.loss_list = []

    @property
    def loss(self) -> torch.Tensor | float:
        """The penalty of the layers so far; 0.0 without any."""
        return self.lam * torch.stack(self.loss_list).sum() if self.loss_list else 0.0

    def append(self, x: torch.Tensor) -> None:
        """Add the activity `x` of a layer, any shape.

        Raises
        ------
        TypeError
            `x` is no real tensor.
        """
        activity = _validate.floating(x, "x of SparsityEnforcer.append", 0).abs().mean()
        self.loss_list.append(torch.relu(activity - self.max_rate) ** 2)
