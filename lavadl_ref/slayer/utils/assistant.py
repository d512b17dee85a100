"""The usual steps of training and evaluation, one batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.stats import LearningStat, LearningStats


class Assistant:
    """Train, test and validate a network batch by batch, and record loss and accuracy.

    Parameters
    ----------
    net : torch.nn.Module
        The network. Called with the input, it must return, depending on `count_log` and `lam`:

        ========== ======= =================================
        count_log  lam     result
        ========== ======= =================================
        False      None    output
        True       None    output, count
        False      number  output, net_loss
        True       number  output, net_loss, count
        ========== ======= =================================
    error : callable
        ``error(output, target)`` must return a scalar loss. If `error` has an attribute ``reduction == "sum"``, the
        loss counts as the sum over the samples of the batch, otherwise as their mean. The statistics hold sums, so
        a mean is multiplied by the number of samples.
    optimizer : torch.optim.Optimizer
        The optimizer of the parameters of `net`.
    stats : LearningStats, optional
        The statistics that record loss and accuracy. The loss is that of `error`, without `net_loss`.
    classifier : callable, optional
        ``classifier(output)`` must return predicted labels: (N,), or (N, T) for a label at each step. In that case, a
        sample counts by the fraction of its steps that are right. Without a classifier no accuracy is recorded.
    count_log : bool
        True if `net` also returns a count, which `train`, `test` and `valid` pass on.
    lam : float, optional
        Factor of `net_loss`, which is added to the loss in training.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind above, or `error` has the reduction ``"none"``.

    Examples
    --------
    >>> net = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> stats = LearningStats()
    >>> assistant = Assistant(net, torch.nn.MSELoss(), optimizer, stats)
    >>> x, target = torch.ones(4, 2), torch.zeros(4, 1)
    >>> for epoch in range(20):
    ...     output = assistant.train(x, target)
    ...     stats.update()
    >>> stats.training.loss_log[-1] < 0.01
    True
    """

    def __init__(
        self,
        net: torch.nn.Module,
        error: Callable[..., torch.Tensor],
        optimizer: torch.optim.Optimizer,
        stats: LearningStats | None = None,
        classifier: Callable[[torch.Tensor], torch.Tensor] | None = None,
        count_log: bool = False,
        lam: float | None = None,
    ) -> None:
        name = type(self).__name__
        if not isinstance(net, torch.nn.Module):
            raise TypeError(f"net of {name} must be a torch.nn.Module, got {type(net).__name__}")
        if not callable(error):
            raise TypeError(f"error of {name} must be callable, got {error!r}")
        if classifier is not None and not callable(classifier):
            raise TypeError(f"classifier of {name} must be callable or None, got {classifier!r}")
        if getattr(error, "reduction", None) == "none":
            raise ValueError(f"error of {name} must return one value, got one with reduction 'none'")
        self.net = net
        self.error = error
        self.optimizer = optimizer
        self.stats = stats
        self.classifier = classifier
        self.count_log = count_log
        self._device: torch.device | None = None
        self.lam = None if lam is None else _validate.number(lam, f"lam of {name}")

    @property
    def device(self) -> torch.device:
        """The device that batches are moved to: the one assigned, else that of the parameters, else the CPU."""
        if self._device is not None:
            return self._device
        parameter = next(self.net.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device

    @device.setter
    def device(self, value: torch.device | str | None) -> None:
        self._device = None if value is None else torch.device(value)

    def reduce_lr(self, factor: float = 10 / 3) -> None:
        """Divide the learning rate of every parameter group by `factor`, and print the old one.

        Raises
        ------
        TypeError, ValueError
            `factor` is no number greater than 0.
        """
        divisor = _validate.positive(factor, "factor of reduce_lr")
        for group in self.optimizer.param_groups:
            print("\nLearning rate reduction from", group["lr"])
            group["lr"] /= divisor

    def train(self, input: torch.Tensor, target: torch.Tensor) -> Any:
        """Take one optimisation step on a batch.

        Parameters
        ----------
        input : torch.Tensor
            (N, ...), the input of N samples for the network, of a dtype that it takes. It is moved to `device`.
        target : torch.Tensor
            Targets of the samples, of a shape (N, ...) and dtype that `error` takes.

        Returns
        -------
        torch.Tensor or tuple
            The output, or (output, count) if `count_log` is True.

        Raises
        ------
        ValueError
            The network does not return what `count_log` and `lam` require, the loss is no scalar, or the shape of
            the predicted labels does not fit that of the target.
        """
        self.net.train()
        input, target = input.to(self.device), target.to(self.device)
        output, net_loss, count = self._forward(input)
        loss = self._loss(output, target)
        self._log(None if self.stats is None else self.stats.training, loss, output, target)
        total = loss if net_loss is None else loss + self.lam * net_loss
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        return (output, count) if self.count_log else output

    def test(self, input: torch.Tensor, target: torch.Tensor) -> Any:
        """Evaluate a batch in evaluation mode and without gradient, and record it in the testing statistics.

        `input` (N, ...), `target` (N, ...), the result and the errors are as those of `train`.
        """
        return self._evaluate(None if self.stats is None else self.stats.testing, input, target)

    def valid(self, input: torch.Tensor, target: torch.Tensor) -> Any:
        """Evaluate a batch as `test` does, and record it in the validation statistics.

        `input` (N, ...), `target` (N, ...), the result and the errors are as those of `train`.
        """
        return self._evaluate(None if self.stats is None else self.stats.validation, input, target)

    def _evaluate(self, stat: LearningStat | None, input: torch.Tensor, target: torch.Tensor) -> Any:
        self.net.eval()
        with torch.no_grad():
            input, target = input.to(self.device), target.to(self.device)
            output, _, count = self._forward(input)
            self._log(stat, self._loss(output, target), output, target)
        return (output, count) if self.count_log else output

    def _forward(self, input: torch.Tensor) -> tuple[torch.Tensor, Any, Any]:
        """The output, the loss that the network returns (or None) and the count (or None)."""
        names = ["output"] + ["net_loss"] * (self.lam is not None) + ["count"] * self.count_log
        result = self.net(input)
        if len(names) == 1:
            parts = [result]
        elif isinstance(result, tuple | list):
            parts = list(result)
        else:
            parts = []
        if len(parts) != len(names) or not isinstance(parts[0], torch.Tensor):
            given = f"{len(result)} values" if isinstance(result, tuple | list) else type(result).__name__
            raise ValueError(
                f"net of Assistant must return {', '.join(names)} with count_log={self.count_log} and "
                f"lam={self.lam}, got {given}"
            )
        by_name = dict(zip(names, parts, strict=True))
        return by_name["output"], by_name.get("net_loss"), by_name.get("count")

    def _loss(self, *arguments: Any) -> torch.Tensor:
        """The result of `error`, which has to be one value."""
        loss = self.error(*arguments)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            shape = tuple(loss.shape) if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise ValueError(f"error of {type(self).__name__} must return one value, got {shape}")
        return loss

    def _log(self, stat: LearningStat | None, loss: torch.Tensor, output: torch.Tensor, target: torch.Tensor) -> None:
        if stat is None:
            return
        samples = output.shape[0]
        correct = None if self.classifier is None else _correct(self.classifier(output.detach()), target)
        stat.num_samples += samples
        stat.loss_sum += loss.item() * (1 if getattr(self.error, "reduction", "mean") == "sum" else samples)
        if correct is not None:
            stat.correct_samples += correct


def _correct(prediction: torch.Tensor, target: torch.Tensor) -> float:
    """The number of samples that are right. With labels at each step (N, T), a sample counts by its right fraction."""
    if prediction.ndim == 2 and target.ndim == 1:
        target = target.unsqueeze(-1).expand(-1, prediction.shape[1])
    if prediction.shape != target.shape:
        raise ValueError(
            f"classifier of Assistant must return labels of the shape of target, {tuple(target.shape)}, "
            f"got {tuple(prediction.shape)}"
        )
    right = prediction == target
    if right.ndim <= 1:
        return int(right.sum().item())
    return right.flatten(1).double().mean(1).sum().item()
