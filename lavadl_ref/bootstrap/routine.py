"""The mode of each layer of a network, over the iterations of a training."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from typing import Any

from lavadl_ref import slayer
from lavadl_ref._assigned import Refused


class Mode(Enum):
    """The way in which a block computes.

    Attributes
    ----------
    SNN
        As spiking neurons over time.
    ANN
        As rates, by the fitted curve.
    SAMPLE
        As SNN, keeping drives and rates for the next fit.
    FIT
        Fit the curve, then as ANN.
    """

    SNN = 0
    ANN = 1
    SAMPLE = 2
    FIT = 3


class LayerMode:
    """The modes of a network's layers, first to last: iterate over it side by side with the blocks.

    Parameters
    ----------
    crossover : int
        Number of layers, from the first on, that always run as SNN, except while samples are taken.
    base_mode : Mode
        Mode of all other layers.

    Examples
    --------
    >>> [mode.name for mode, _ in zip(LayerMode(1, Mode.ANN), range(3))]
    ['SNN', 'ANN', 'ANN']
    """

    count = Refused("each iteration over it begins with the first layer")

    def __init__(self, crossover: int, base_mode: Mode) -> None:
        self.crossover = crossover
        self.base_mode = base_mode

    def __iter__(self) -> Iterator[Mode]:
        """Modes without end, from the first layer each time."""
        if self.base_mode is not Mode.SAMPLE:
            for _ in range(self.crossover):
                yield Mode.SNN
        while True:
            yield self.base_mode

    def __str__(self) -> str:
        crossing = f" Crossover at: {self.crossover}" if self.crossover else ""
        return f"Mode: {self.base_mode.name}{crossing}"


class Scheduler:
    """The mode of a network in every iteration of a training.

    In epochs that are multiples of `sample_period`, training first takes samples, then fits the curves, and continues
    in ANN mode, and evaluation uses SNN mode. In all other epochs, everything runs in ANN mode.

    Parameters
    ----------
    num_sample_iter : int
        Iterations that take samples.
    sample_period : int
        Epochs from one sampling to the next.
    crossover_epochs : collection of int, optional
        Epochs at whose first training iteration one more layer, starting from the first, switches permanently to SNN.

    Attributes
    ----------
    crossover : int
        Number of layers that have switched permanently to SNN.
    snn_stat : slayer.utils.LearningStat
        Loss and accuracy of the SNN over the epochs that evaluated it.

    Raises
    ------
    ValueError
        If `num_sample_iter` is negative or `sample_period` less than 1.

    Examples
    --------
    >>> scheduler = Scheduler(num_sample_iter=2, sample_period=10)
    >>> [scheduler.mode(epoch=0, iteration=i).base_mode.name for i in range(4)]
    ['SAMPLE', 'SAMPLE', 'FIT', 'ANN']
    >>> scheduler.mode(epoch=0, iteration=0, train=False).base_mode.name
    'SNN'
    """

    def __init__(
        self, num_sample_iter: int = 10, sample_period: int = 10, crossover_epochs: Collection[int] | None = None
    ) -> None:
        if num_sample_iter < 0:
            raise ValueError(f"num_sample_iter must not be negative, got {num_sample_iter}")
        if sample_period < 1:
            raise ValueError(f"sample_period must be at least 1, got {sample_period}")
        self.num_sample_iter = num_sample_iter
        self.sample_period = sample_period
        self.crossover_epochs = crossover_epochs
        self.crossover = 0
        self.snn_stat = slayer.utils.LearningStat()

    def mode(self, epoch: int, iteration: int, train: bool = True) -> LayerMode:
        """The modes of one iteration; call it once for each iteration.

        Parameters
        ----------
        epoch, iteration : int
            From 0; iterations count within the epoch.
        train : bool
            Whether this is training; else it is evaluation.
        """
        sampled = epoch % self.sample_period == 0
        if not train:
            return LayerMode(self.crossover, Mode.SNN if sampled else Mode.ANN)
        if iteration == 0 and self.crossover_epochs is not None and epoch in self.crossover_epochs:
            self.crossover += 1
        if sampled and iteration < self.num_sample_iter:
            return LayerMode(self.crossover, Mode.SAMPLE)
        if sampled and iteration == self.num_sample_iter:
            return LayerMode(self.crossover, Mode.FIT)
        return LayerMode(self.crossover, Mode.ANN)

    def sync_snn_stat(self, stat: slayer.utils.LearningStat) -> None:
        """Take over the running epoch of `stat`, which is that of the SNN."""
        self.snn_stat.reset()
        self.snn_stat.num_samples = stat.num_samples
        self.snn_stat.loss_sum = stat.loss_sum
        if stat.accuracy is not None:
            self.snn_stat.correct_samples = stat.correct_samples

    def update_snn_stat(self) -> None:
        """Close the epoch of `snn_stat`."""
        self.snn_stat.update()

    def state_dict(self) -> dict[str, Any]:
        """The state that changes during a training: the crossover, and the statistics of the SNN."""
        return {"crossover": self.crossover, "snn_stat": copy.deepcopy(vars(self.snn_stat))}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from the state of the scheduler that `state_dict` comes from.

        Raises
        ------
        ValueError
            If it is not what `state_dict` returns.
        """
        stat = state_dict.get("snn_stat", {})
        if set(state_dict) != {"crossover", "snn_stat"} or set(stat) != set(vars(self.snn_stat)):
            raise ValueError(f"state_dict must hold a Scheduler's crossover and snn_stat, got {state_dict!r}")
        self.crossover = int(state_dict["crossover"])
        vars(self.snn_stat).update(copy.deepcopy(stat))
