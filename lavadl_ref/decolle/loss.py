"""The loss of networks in which every layer has its own readout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from lavadl_ref.slayer.utils import _validate

REDUCTIONS = ("mean", "sum")
#: Losses of torch that take class indices alone, and those that take them too; others get one-hot vectors for them.
_OF_INDICES_ALONE = (torch.nn.NLLLoss, torch.nn.MultiMarginLoss)
_OF_INDICES = (torch.nn.CrossEntropyLoss, *_OF_INDICES_ALONE)
_MARGIN = 0.01  #: below the threshold of 0 of the regulariser's first term
_LEAST = 0.1  #: value of the sigmoid of a voltage below which the second term acts
_SHARE = 0.003  #: weight of the second term


class DECOLLELoss(torch.nn.Module):
    """Sum of a loss over the readouts of all layers and time steps, with a regulariser of the voltages.

    The regulariser of a layer is ``reg * mean(relu(v + 0.01)) + 0.003 * reg * mean(relu(0.1 - sigmoid(v)))``, the means
    being over samples, neurons and steps: it keeps voltages low, but not out of reach.

    Parameters
    ----------
    loss_fn : callable
        A loss class of torch, such as ``torch.nn.SmoothL1Loss``: ``loss_fn(reduction=reduction)`` must make the loss,
        which gets a readout (N, classes) and a target of one step.
    reg : float
        Weight of the regulariser, at least 0.
    reduction : str
        ``"mean"`` or ``"sum"``, which `loss_fn` is given too. With ``"mean"`` the sum over the steps is divided by
        their number, but that over the layers is not.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind or range above.

    Examples
    --------
    One layer, two classes, two steps. The error is 1 for one of the four elements.

    >>> readout, voltage = torch.tensor([[[1.0, 1.0], [0.0, 1.0]]]), torch.zeros(1, 3, 2)
    >>> DECOLLELoss(torch.nn.L1Loss)([readout], [voltage], torch.tensor([0]))
    tensor(0.2500)
    """

    def __init__(self, loss_fn: Callable[..., Any], reg: float = 0, reduction: str = "mean") -> None:
        super().__init__()
        if not callable(loss_fn) or isinstance(loss_fn, torch.nn.Module):
            raise TypeError(f"loss_fn of DECOLLELoss must be a class of losses, got {_validate.shown(loss_fn)}")
        self.reg = _validate.number(reg, "reg of DECOLLELoss")
        if self.reg < 0:
            raise ValueError(f"reg of DECOLLELoss must be at least 0, got {reg!r}")
        self.reduction = _validate.choice(reduction, "reduction of DECOLLELoss", REDUCTIONS)
        self.loss_fn = loss_fn(reduction=reduction)

    def forward(
        self, readouts: Sequence[torch.Tensor], voltages: Sequence[torch.Tensor], target: torch.Tensor
    ) -> torch.Tensor:
        """The loss of the readouts and voltages of all layers.

        Parameters
        ----------
        readouts : sequence of torch.Tensor
            One (N, classes, T) for each layer, of a floating dtype.
        voltages : sequence of torch.Tensor
            One (N, C, ..., T) for each layer, of a floating dtype, units of 1.
        target : torch.Tensor
            (N,) class indices of an integer dtype, (N, classes) one-hot or other values for all steps, or
            (N, classes, T) for each step; of any real dtype.

        Returns
        -------
        torch.Tensor
            A scalar.

        Raises
        ------
        TypeError, ValueError
            An argument is not of the kind or shape above, or a class index is out of range.
        """
        layers = _layers(readouts, "readouts of DECOLLELoss", "(N, classes, T)")
        potentials = _layers(voltages, "voltages of DECOLLELoss", "(N, C, ..., T)")
        if len(layers) != len(potentials):
            raise ValueError(
                f"readouts and voltages of DECOLLELoss must have one tensor for each layer, got {len(layers)} and "
                f"{len(potentials)}"
            )
        shape = layers[0].shape
        for readout in layers:
            if readout.ndim != 3 or readout.shape != shape or not shape[-1]:
                shapes = ", ".join(str(tuple(each.shape)) for each in layers)
                raise ValueError(f"readouts of DECOLLELoss must have one shape (N, classes, T), T > 0, got {shapes}")
        wanted = self._of_steps(target, layers[0])
        terms = [
            self.loss_fn(at_step, now)
            for readout in layers
            for at_step, now in zip(readout.unbind(-1), wanted, strict=True)
        ]
        total: torch.Tensor = torch.stack(terms).sum()
        if self.reduction == "mean":
            total = total / shape[-1]
        return total + self.reg * _restraint(potentials) if self.reg else total

    def _of_steps(self, target: torch.Tensor, readout: torch.Tensor) -> Sequence[torch.Tensor]:
        """The target of each step, as `loss_fn` takes it."""
        samples, classes, steps = readout.shape
        given = _validate.tensor(target, "target of DECOLLELoss").to(readout.device)
        if given.shape == (samples,):
            if given.is_floating_point() or given.dtype == torch.bool:
                raise TypeError(f"target of DECOLLELoss must hold integers where it is (N,), got dtype {given.dtype}")
            if samples and not (given.min() >= 0 and given.max() < classes):
                raise ValueError(
                    f"target of DECOLLELoss must lie in 0..{classes - 1}, got {int(given.min())}..{int(given.max())}"
                )
            labels = given.to(torch.int64)
            if isinstance(self.loss_fn, _OF_INDICES):
                return [labels] * steps
            return [F.one_hot(labels, classes).to(readout.dtype)] * steps
        if given.shape == (samples, classes):
            given = given.unsqueeze(-1).expand(readout.shape)
        if given.shape == readout.shape:
            values = given.to(readout.dtype)
            return (values.argmax(1) if isinstance(self.loss_fn, _OF_INDICES_ALONE) else values).unbind(-1)
        raise ValueError(
            f"target of DECOLLELoss must have shape ({samples},), ({samples}, {classes}) or ({samples}, {classes}, "
            f"{steps}), got {tuple(given.shape)}"
        )


def _layers(given: Any, name: str, axes: str) -> list[torch.Tensor]:
    """`given` as a list of real tensors, one for each layer, of a floating dtype."""
    if not isinstance(given, (list, tuple)) or not given:
        raise TypeError(f"{name} must be a list of one tensor or more, got {_validate.shown(given)}")
    return [_validate.floating(each, name, 3, axes) for each in given]


def _restraint(voltages: Sequence[torch.Tensor]) -> torch.Tensor:
    """The regulariser without its weight, summed over layers."""
    high = [torch.relu(v + _MARGIN).mean() for v in voltages]
    low = [torch.relu(_LEAST - torch.sigmoid(v)).mean() for v in voltages]
    return torch.stack(high).sum() + _SHARE * torch.stack(low).sum()
