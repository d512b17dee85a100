"""A training that can be interrupted, and goes on as if it had not been."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import torch
from _common import Options, progress
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from lavadl_ref import slayer

SAVE_EVERY = 30.0  #: seconds between checkpoints within an epoch


@dataclass
class Training:
    """Epochs of an `Assistant` that may be interrupted after any batch, and go on as if they had not been.

    A checkpoint holds the network, the optimizer, the statistics, the best network so far, all random generators, the
    epoch and the place in it; the order of an epoch depends on the seed and its number. What was trained with
    interruptions is the same, bit for bit, on the same number of threads.
    """

    options: Options
    assistant: slayer.utils.Assistant
    data: Dataset[Any]
    test: Dataset[Any]
    batch: int
    prepare: Callable[[Any], tuple[Tensor, Tensor]]  #: input and target of a collated batch
    best_by: str = "loss"  #: of the testing statistics: loss or accuracy; with '' the last network is kept
    shuffle: bool = True
    slower: Sequence[int] = ()  #: epochs before which the learning rate is divided by 10/3
    before: Callable[[int, int, bool], None] | None = None  #: called with epoch, batch and whether it is for training
    after: Callable[[], None] | None = None  #: called at the end of each epoch
    also: Mapping[str, Any] = field(default_factory=dict)  #: what else has a ``state_dict``, for the checkpoint
    best: dict[str, Any] = field(default_factory=dict)  #: state of the network that was best

    def __post_init__(self) -> None:
        options = self.options
        self.checkpoint = options.out / "checkpoint.pt"
        # what must be the same for a run to be the same
        self.settings = json.dumps(
            [
                options.name,
                options.family,
                options.seed,
                options.small,
                str(options.data),
                len(self.data),
                len(self.test),
                self.batch,
            ]
        )
        self.epoch = self.place = 0
        if options.resume:
            self._load()

    def run(self) -> None:
        """Train up to the epoch that was asked for, then take the best network."""
        assert self.assistant.stats is not None
        batches = -(-len(self.data) // self.batch)  # type: ignore[arg-type]
        with progress("training") as update:
            saved = perf_counter()
            while self.epoch < self.options.epochs:
                if self.place == 0 and self.epoch in self.slower:
                    self.assistant.reduce_lr()
                order = self._order(self.epoch)
                if hasattr(self.data, "set_epoch"):
                    self.data.set_epoch(self.epoch)
                while self.place < len(order):
                    self._prepare(self.place // self.batch, True)
                    self.assistant.train(*self._batch(self.data, order[self.place : self.place + self.batch]))
                    self.place += self.batch
                    update(self.epoch * batches + self.place // self.batch, self.options.epochs * batches, self._says())
                    if perf_counter() - saved >= SAVE_EVERY:
                        self._save()
                        saved = perf_counter()
                for number, part in enumerate(torch.arange(len(self.test)).split(self.batch)):  # type: ignore[arg-type]
                    self._prepare(number, False)
                    self.assistant.test(*self._batch(self.test, part))
                self._close_epoch()
                if perf_counter() - saved >= SAVE_EVERY:
                    self._save()
                    saved = perf_counter()
            self._save()
        if self.best:
            self.assistant.net.load_state_dict(self.best)
        self.assistant.net.eval()

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

    def _order(self, epoch: int) -> Tensor:
        count = len(self.data)  # type: ignore[arg-type]
        if not self.shuffle:
            return torch.arange(count)
        return torch.from_numpy(np.random.default_rng((self.options.seed, epoch)).permutation(count))

    def _batch(self, data: Dataset[Any], places: Tensor) -> tuple[Tensor, Tensor]:
        return self.prepare(default_collate([data[int(place)] for place in places]))

    def _says(self) -> str:
        stats = self.assistant.stats
        assert stats is not None
        what = "loss" if self.best_by == "loss" else "accuracy"
        log = getattr(stats.testing, f"{what}_log")
        return f"test {what} {log[-1]:.5g}" if log else ""

    def _save(self) -> None:
        stats = self.assistant.stats
        state = {
            "settings": self.settings,
            "epoch": self.epoch,
            "place": self.place,
            "net": self.assistant.net.state_dict(),
            "optimizer": self.assistant.optimizer.state_dict(),
            "best": self.best,
            "stats": {name: dict(vars(getattr(stats, name))) for name in ("training", "testing")},
            "random": _random_states(),
            "also": {name: part.state_dict() for name, part in self.also.items()},
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        os.replace(part, self.checkpoint)  # whoever interrupts this leaves the one before

    def _load(self) -> None:
        if not self.checkpoint.is_file():
            sys.exit(f"{self.checkpoint}: there is no such file, and so nothing to resume")
        state = torch.load(self.checkpoint, weights_only=True)
        if state["settings"] != self.settings:
            sys.exit(f"{self.checkpoint}: is of other settings, {state['settings']}; asked for are {self.settings}")
        self.epoch, self.place, self.best = state["epoch"], state["place"], state["best"]
        self.assistant.net.load_state_dict(state["net"])
        self.assistant.optimizer.load_state_dict(state["optimizer"])
        for name, values in state["stats"].items():
            vars(getattr(self.assistant.stats, name)).update(values)
        for name, part in self.also.items():
            part.load_state_dict(state["also"][name])
        _set_random_states(state["random"])


def _random_states() -> dict[str, Any]:
    """The states of the global generators of torch, NumPy and Python, as what a checkpoint may hold."""
    kind, key, *rest = np.random.get_state()  # noqa: NPY002 - dropout or augmentation of the reader may use it
    return {
        "torch": torch.get_rng_state(),
        "numpy": (str(kind), torch.from_numpy(np.asarray(key).astype(np.int64)), *rest),
        "python": random.getstate(),
    }


def _set_random_states(states: dict[str, Any]) -> None:
    kind, key, *rest = states["numpy"]
    torch.set_rng_state(states["torch"])
    np.random.set_state((kind, key.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    random.setstate(states["python"])
