"""The usual steps of training and evaluation of networks that learn locally."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from lavadl_ref.decolle import _traces
from lavadl_ref.slayer.utils import Assistant, LearningStats, _validate
from lavadl_ref.slayer.utils.stats import LearningStat

MODES = ("online", "batch")


class _Layers(NamedTuple):
    """The result of a network: lists over layers, and the counts as one tensor."""

    spikes: Any
    readouts: Any
    voltages: Any
    counts: torch.Tensor


class DECOLLEAssistant(Assistant):
    """Train, test and validate a network with a readout for each layer, and record loss and accuracy.

    The network has its blocks in ``net.blocks``, and two methods. ``net(x)`` continues from the present states of the
    neurons, runs `x` (N, ..., T), and returns ``spikes, readouts, voltages, counts``, each a list over layers: (N, C,
    ..., T), (N, classes, T), (N, C, ..., T), and a number; counts may also be one tensor. ``net.init_state(input)``
    sets the neurons to rest and returns the part of `input` to learn from: all of it, or the part after a burn-in,
    which it runs.

    In mode ``"online"``, the network runs one step of the input at a time, and the optimizer follows the gradient of
    that step's loss. The derivative of a voltage with respect to the weights of its layer includes all steps since
    `init_state`, those of a burn-in too: it is carried forward, in memory that does not grow with time. Between layers,
    gradients go back only within a step, and not at all if spikes are detached on their way to the next layer.

    In this mode, a trained block needs a synapse, and spiking neurons with ``persistent_state=True`` and shared decays,
    without norm, feedback or a trained bias; decays can be trained too, except those of adaptive neurons. Other blocks
    are refused.

    In mode ``"batch"`` the network runs once over the input, and the optimizer follows the gradient of the whole loss.

    Parameters
    ----------
    net : torch.nn.Module
        The network, as above.
    error : callable
        ``error(readouts, voltages, target)`` must return a scalar loss, as `decolle.loss.DECOLLELoss` does. If it has
        an attribute ``reduction == "sum"``, the loss counts as the sum over samples and steps, otherwise as the mean.
    optimizer : torch.optim.Optimizer
        The optimizer of the parameters of `net`.
    stats : LearningStats, optional
        The statistics that record loss and accuracy. The loss is that of `error`.
    classifier : callable, optional
        ``classifier(readout)`` must return predicted labels for the last readout (N, classes, T): (N,), or (N, T) for a
        label at each step. Without a classifier, no accuracy is recorded.
    count_log : bool
        Whether `train`, `test` and `valid` also return the counts.
    lam : float, optional
        Factor of the event rate, the sum over layers of the mean magnitude of ``spikes``, which is added to the loss in
        training.
    training_mode : str
        ``"online"`` or ``"batch"``.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind above, or `error` has the reduction ``"none"``.

    Examples
    --------
    >>> from lavadl_ref import slayer
    >>> from lavadl_ref.decolle.loss import DECOLLELoss
    >>> class Net(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         neuron = {"threshold": 1, "current_decay": 0.5, "voltage_decay": 0.1, "persistent_state": True}
    ...         self.blocks = torch.nn.ModuleList([slayer.block.cuba.Dense(neuron, 4, 8)])
    ...         self.readout = torch.nn.Linear(8, 2).requires_grad_(False)
    ...
    ...     def init_state(self, input, burn_in=None):
    ...         for block in self.blocks:
    ...             block.neuron.current_state[:] = 0
    ...             block.neuron.voltage_state[:] = 0
    ...         return input
    ...
    ...     def forward(self, x):
    ...         block = self.blocks[0]
    ...         current, voltage = block.neuron.dynamics(block.synapse(x))
    ...         spike = block.neuron.spike(voltage)
    ...         readout = self.readout(spike.transpose(1, 2)).transpose(1, 2)
    ...         return [spike], [readout], [voltage], [spike.mean()]
    >>> net = Net()
    >>> optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    >>> assistant = DECOLLEAssistant(net, DECOLLELoss(torch.nn.SmoothL1Loss), optimizer)
    >>> assistant.train(torch.ones(3, 4, 10), torch.tensor([0, 1, 1])).shape
    torch.Size([3, 2, 10])
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
        training_mode: str = "online",
    ) -> None:
        super().__init__(net, error, optimizer, stats, classifier, _validate.flag(count_log, "count_log"), lam)
        for name in ("blocks", "init_state"):
            if not hasattr(net, name):
                raise TypeError(f"net of DECOLLEAssistant must have {name}, got {type(net).__name__} without")
        self.training_mode = _validate.choice(training_mode, "training_mode of DECOLLEAssistant", MODES)

    def train(self, input: torch.Tensor, target: torch.Tensor) -> Any:
        """Learn from a batch, with one optimisation step per time step in mode ``"online"`` and a single one otherwise.

        Parameters
        ----------
        input : torch.Tensor
            (N, ..., T), the input of N samples for the network, of a dtype that it takes. It is moved to `device`.
        target : torch.Tensor
            (N,) class indices, (N, classes) one-hot vectors, or (N, classes, T) for each step, as `error` takes them.
            If targets are given for each step of `input`, those of the burn-in are ignored.

        Returns
        -------
        torch.Tensor or tuple
            The last readout (N, classes, T) without gradient, T being the steps behind the burn-in. If `count_log` is
            True (readout, counts): those of the layers as one tensor, in mode ``"online"`` their mean over the steps.

        Raises
        ------
        TypeError, ValueError
            The network does not return what it must, or has blocks that cannot learn online; the loss is no scalar; the
            target has another shape, or that of the predicted labels does not fit it.
        """
        self.net.train()
        input, target = input.to(self.device), target.to(self.device)
        if _validate.choice(self.training_mode, "training_mode of DECOLLEAssistant", MODES) == "batch":
            begun, target = self._begun(input, target)
            readout, loss, counts = self._learnt(begun, target)
        else:
            with _traces.carried(self.net.blocks):  # type: ignore[arg-type]
                begun, target = self._begun(input, target)
                steps = zip(begun.split(1, -1), _of_steps(target, begun.shape[-1]), strict=True)
                each = [self._learnt(x, now) for x, now in steps]
            readouts, losses, all_counts = zip(*each, strict=True)
            readout, loss = torch.cat(readouts, -1), torch.stack(losses).sum()
            counts = torch.stack(all_counts).mean(0)
            if getattr(self.error, "reduction", "mean") != "sum":
                loss = loss / len(each)
        return self._told(None if self.stats is None else self.stats.training, loss, readout, target, counts)

    def _learnt(self, x: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Last readout, loss and counts of `x`, after a step of the optimizer."""
        layers = self._layers(x)
        loss = self._loss(layers.readouts, layers.voltages, target)
        total = loss if self.lam is None else loss + self.lam * _event_rate(layers.spikes)
        self.optimizer.zero_grad()
        total.backward()
        self.optimizer.step()
        return layers.readouts[-1].detach(), loss.detach(), layers.counts

    def _evaluate(self, stat: LearningStat | None, input: torch.Tensor, target: torch.Tensor) -> Any:
        self.net.eval()
        with torch.no_grad():
            begun, target = self._begun(input.to(self.device), target.to(self.device))
            layers = self._layers(begun)
            loss = self._loss(layers.readouts, layers.voltages, target)
        return self._told(stat, loss, layers.readouts[-1], target, layers.counts)

    def _begun(self, input: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Input and target behind the burn-in, which the network has run from rest."""
        with torch.no_grad():
            begun: Any = self.net.init_state(input)  # type: ignore[operator]
        if not isinstance(begun, torch.Tensor) or begun.ndim < 2 or not 0 < begun.shape[-1] <= input.shape[-1]:
            shape = tuple(begun.shape) if isinstance(begun, torch.Tensor) else type(begun).__name__
            raise ValueError(
                f"init_state of net must return the input {tuple(input.shape)} without the burn-in, at least one step, "
                f"got {shape}"
            )
        steps = begun.shape[-1]
        if target.ndim == 3 and target.shape[-1] == input.shape[-1]:
            target = target[..., -steps:]
        if target.ndim == 3 and target.shape[-1] != steps:
            raise ValueError(
                f"target of DECOLLEAssistant must have {input.shape[-1]} steps as the input has, or {steps} without "
                f"the burn-in, got {target.shape[-1]}"
            )
        return begun, target

    def _layers(self, x: torch.Tensor) -> _Layers:
        """The checked result of the network for `x` (N, ..., T)."""
        result = self.net(x)
        if not isinstance(result, (tuple, list)) or len(result) != len(_Layers._fields):
            given = f"{len(result)} values" if isinstance(result, (tuple, list)) else type(result).__name__
            raise ValueError(f"net of DECOLLEAssistant must return {', '.join(_Layers._fields)}, got {given}")
        spikes, readouts, voltages, counts = result
        if not isinstance(readouts, (tuple, list)) or not all(isinstance(each, torch.Tensor) for each in readouts):
            raise ValueError(
                f"readouts of net must be a list of tensors (N, classes, T), got {_validate.shown(readouts)}"
            )
        if not readouts or readouts[-1].ndim != 3:
            shapes = [tuple(each.shape) for each in readouts]
            raise ValueError(f"readouts of net must have shape (N, classes, T), one a layer, got {shapes}")
        if not isinstance(counts, (torch.Tensor, tuple, list)):
            raise ValueError(f"counts of net must be a tensor or a list of numbers, got {_validate.shown(counts)}")
        if not isinstance(counts, torch.Tensor):
            counts = torch.tensor([_validate.number(each, "counts of net") for each in counts])
        return _Layers(spikes, readouts, voltages, counts.detach().float())

    def _told(
        self,
        stat: LearningStat | None,
        loss: torch.Tensor,
        readout: torch.Tensor,
        target: torch.Tensor,
        counts: torch.Tensor,
    ) -> Any:
        """The result of a call, after the statistics have recorded it."""
        self._log(stat, loss, readout, target if self.classifier is None else _labels(target))
        return (readout, counts) if self.count_log else readout


def _of_steps(target: torch.Tensor, steps: int) -> list[torch.Tensor]:
    """The target of each step: the same, or that of the step with a time axis of length 1."""
    return list(target.split(1, -1)) if target.ndim == 3 else [target] * steps


def _event_rate(spikes: Any) -> torch.Tensor:
    """The sum over layers of the mean magnitude of `spikes`, with a gradient."""
    layers = [_validate.floating(each, "spikes of net", 3, "(N, C, ..., T)") for each in spikes]
    rate = torch.stack([each.abs().mean() for each in layers]).sum()
    if not rate.requires_grad:
        raise ValueError("spikes of net must have a gradient where lam is given, got spikes that are detached")
    return rate


def _labels(target: torch.Tensor) -> torch.Tensor:
    """Class indices (N,) of a target; (N, T) where the class changes in time."""
    if target.ndim < 2:
        return target
    labels = target.float().argmax(1)  # torch has none of booleans
    return labels[:, 0] if labels.ndim == 2 and bool((labels == labels[:, :1]).all()) else labels
