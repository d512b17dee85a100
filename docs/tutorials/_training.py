"""A training that can be interrupted, and continues later as if it had not been."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from _checkpoint import Checkpoint, order
from _common import Options, progress
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from lavadl_ref import slayer


@dataclass
class Training:
    """The epochs of an `Assistant`, which may be interrupted at any time and continue as if they had not been.

    A checkpoint holds the network, the optimizer, the statistics, the best network so far, all random generators, the
    epoch and the position in it. The order of the samples in an epoch depends on the seed and the number of the epoch.
    On the same number of threads, a network trained with interruptions is equal, bit for bit, to one without.
    """

    options: Options
    assistant: slayer.utils.Assistant
    data: Dataset[Any]
    test: Dataset[Any]
    batch: int
    prepare: Callable[[Any], tuple[Tensor, Tensor]]  #: makes input and target of a collated batch
    best_by: str = "loss"  #: loss or accuracy on the test set, by which the best network is kept; '' keeps the last
    shuffle: bool = True
    slower: Sequence[int] = ()  #: epochs before which the learning rate is divided by 10/3
    before: Callable[[int, int, bool], None] | None = None  #: called with epoch, batch, and True in training
    after: Callable[[], None] | None = None  #: called at the end of each epoch
    also: Mapping[str, Any] = field(default_factory=dict)  #: further objects with a ``state_dict``, for the checkpoint
    best: dict[str, Any] = field(default_factory=dict)  #: state of the best network so far

    def __post_init__(self) -> None:
        options = self.options
        settings = [options.name, options.family, options.seed, options.small, str(options.data)]
        settings += [len(self.data), len(self.test), self.batch]  # type: ignore[arg-type]
        parts = {"net": self.assistant.net, "optimizer": self.assistant.optimizer, **self.also}
        self.checkpoint = Checkpoint(options.out / "checkpoint.pt", json.dumps(settings), parts)
        self.epoch = self.place = 0
        if options.resume:
            self._go_on(self.checkpoint.load())

    def run(self) -> None:
        """Train until the number of epochs is reached, then load the best network.

        An interruption leaves a checkpoint of the last complete step.
        """
        with self.checkpoint.kept(), progress("training") as update:
            self._note()
            while self.epoch < self.options.epochs:
                self._epoch(update)
            self.checkpoint.write()
        if self.best:
            self.assistant.net.load_state_dict(self.best)
        self.assistant.net.eval()

    def _epoch(self, update: Callable[[int, int, str], None]) -> None:
        count = len(self.data)  # type: ignore[arg-type]
        batches = -(-count // self.batch)
        if self.place == 0 and self.epoch in self.slower:
            self.assistant.reduce_lr()
        places = order(count, self.options.seed, self.epoch) if self.shuffle else torch.arange(count)
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(self.epoch)
        while self.place < count:
            self._prepare(self.place // self.batch, True)
            self.assistant.train(*self._batch(self.data, places[self.place : self.place + self.batch]))
            self.place += self.batch
            update(self.epoch * batches + self.place // self.batch, self.options.epochs * batches, self._says())
            self._note()
        for number, part in enumerate(torch.arange(len(self.test)).split(self.batch)):  # type: ignore[arg-type]
            self._prepare(number, False)
            self.assistant.test(*self._batch(self.test, part))
        self._close_epoch()
        self._note()

    def _prepare(self, number: int, train: bool) -> None:
        if self.before is not None:
            self.before(self.epoch, number, train)

    def _close_epoch(self) -> None:
        stats = self.assistant.stats
        assert stats is not None
        stats.update()
        if self.best_by and getattr(stats.testing, f"best_{self.best_by}"):
            self.best = deepcopy(self.assistant.net.state_dict())
        self.epoch, self.place = self.epoch + 1, 0
        if self.after is not None:
            self.after()

    def _batch(self, data: Dataset[Any], places: Tensor) -> tuple[Tensor, Tensor]:
        return self.prepare(default_collate([data[int(place)] for place in places]))

    def _says(self) -> str:
        stats = self.assistant.stats
        assert stats is not None
        what = "loss" if self.best_by == "loss" else "accuracy"
        log = getattr(stats.testing, f"{what}_log")
        return f"test {what} {log[-1]:.5g}" if log else ""

    def _note(self) -> None:
        stats = self.assistant.stats
        self.checkpoint.note(
            f"after epoch {self.epoch}, step {-(-self.place // self.batch)}",
            epoch=self.epoch,
            place=self.place,
            best=self.best,
            mode=self.assistant.net.training,  # `prepare` of the next batch may depend on it
            stats={name: vars(getattr(stats, name)) for name in ("training", "testing")},
        )

    def _go_on(self, values: dict[str, Any]) -> None:
        """Continue from the values of a checkpoint."""
        try:
            self.epoch, self.place, self.best = values["epoch"], values["place"], values["best"]
            self.assistant.net.train(values["mode"])
            for name, found in values["stats"].items():
                vars(getattr(self.assistant.stats, name)).update(found)
        except (AttributeError, KeyError, TypeError, ValueError):
            sys.exit(f"{self.checkpoint.path} must be a checkpoint of a tutorial, got something else")
