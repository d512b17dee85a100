"""The epochs of a training that may be interrupted, and that several processes may share."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils._processes import Processes, seed
from lavadl_ref.slayer.utils.assistant import Assistant
from lavadl_ref.slayer.utils.checkpoint import Checkpoint
from lavadl_ref.slayer.utils.stats import LearningStat, LearningStats

_SUMS = ("loss_sum", "num_samples", "correct_samples")


class Training:
    """The epochs of an `Assistant`, which may be interrupted at any time and continue as if they had not been.

    A checkpoint holds the network, the optimizer, the schedulers, the statistics, the best network so far, the random
    generators of torch, NumPy and Python, the epoch and the position in it. The order of the samples in an epoch
    depends on the seed and the number of the epoch. On the same number of threads, a network trained with interruptions
    is equal, bit for bit, to one without. The state is copied after each step, which takes a network, its gradients'
    moments and the best network once more in memory.

    Under ``torchrun --nproc_per_node 2``, or in any process group that exists, each process computes its part of every
    batch; gradients and statistics are those of the whole batch, and the first process alone writes checkpoints and
    reports progress. See docs/scaling.md.

    Parameters
    ----------
    assistant : Assistant
        Network, error, optimizer and statistics. If it has no statistics, it gets some.
    data : dataset
        The samples for training, with ``len`` and an index. If it has a method ``set_epoch``, that is called with the
        number of each epoch, from 0.
    epochs : int
        Passes over `data`, those of a resumed training included.
    batch : int
        Samples of a step, over all processes.
    test : dataset, optional
        Samples to test on after each epoch.
    checkpoint : path, optional
        The file of the checkpoint, which is written every 30 seconds, at the end, and where the training is left by
        Ctrl-C, SIGTERM, SIGHUP or an error.
    resume : bool or "auto"
        True continues from the checkpoint, which must exist; "auto" continues from it if it exists.
    seed : int
        Seed of the order of the samples, at least 0.
    settings : object
        Whatever else distinguishes this training, as values that JSON can hold. A checkpoint of other settings, or of
        another number of samples, batch or seed, is refused.
    prepare : callable, optional
        Makes input and target of a batch, as `torch.utils.data.default_collate` joins samples. By default samples are
        pairs of input and target.
    best_by : str
        "loss" or "accuracy" on `test`: the network is in the end the best by it. By default it is the last.
    shuffle : bool
        False keeps the order of `data`.
    schedulers : sequence
        Schedulers of the learning rate, which make a step at the end of each epoch.
    slower : sequence of int
        Epochs before which `Assistant.reduce_lr` is called.
    before : callable, optional
        Called as ``before(epoch, batch, train)`` before each batch, with True in training and False in testing.
    after : callable, optional
        Called without arguments at the end of each epoch.
    also : mapping, optional
        Further objects with a ``state_dict`` that the checkpoint must hold, by name.
    progress : callable, optional
        Called as ``progress(done, total, text)`` after each step.

    Attributes
    ----------
    rank, processes : int
        Number of this process, from 0, and number of all.
    epoch, place : int
        The epoch, and the number of its samples that have been used.
    checkpoint : Checkpoint
        The last complete step.

    Raises
    ------
    TypeError, ValueError
        An argument is not of the kind above, or the checkpoint cannot be read, is of another training or of other
        settings.
    FileNotFoundError
        There is no checkpoint to resume.

    Examples
    --------
    Run it again after an interruption, and it goes on:

    >>> import tempfile
    >>> from torch.utils.data import TensorDataset
    >>> from lavadl_ref import slayer
    >>> def train(epochs):
    ...     _ = torch.manual_seed(0)
    ...     net = torch.nn.Linear(2, 1)
    ...     optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    ...     assistant = slayer.utils.Assistant(net, torch.nn.MSELoss(), optimizer)
    ...     data = TensorDataset(torch.rand(8, 2), torch.zeros(8, 1))
    ...     training = slayer.utils.Training(assistant, data, epochs, batch=4, checkpoint=file, resume="auto")
    ...     training.run()
    ...     return net, assistant.stats.training.loss_log
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = f"{folder}/a.pt"
    ...     first, _ = train(1)
    ...     resumed, losses = train(3)
    ...     file = f"{folder}/b.pt"
    ...     whole, all_losses = train(3)
    >>> torch.equal(resumed.weight, whole.weight), losses == all_losses, len(losses)
    (True, True, 3)
    """

    def __init__(
        self,
        assistant: Assistant,
        data: Any,
        epochs: int,
        batch: int,
        *,
        test: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool | str = False,
        seed: int = 0,
        settings: Any = "",
        prepare: Callable[[Any], Any] | None = None,
        best_by: str = "",
        shuffle: bool = True,
        schedulers: Sequence[Any] = (),
        slower: Sequence[int] = (),
        before: Callable[[int, int, bool], None] | None = None,
        after: Callable[[], None] | None = None,
        also: Mapping[str, Any] | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        if not isinstance(assistant, Assistant):
            raise TypeError(f"assistant of Training must be an Assistant, got {type(assistant).__name__}")
        self.assistant, self.data, self.test = assistant, data, () if test is None else test
        self.epochs = _validate.integer(epochs, "epochs of Training", 0)
        self.batch = _validate.integer(batch, "batch of Training", 1)
        self.seed = _validate.integer(seed, "seed of Training", 0)
        self.best_by = _validate.choice(best_by, "best_by of Training", ["", "loss", "accuracy"])
        if best_by and not len(self.test):
            raise ValueError(f"test of Training must hold samples with best_by={best_by!r}, got none")
        if resume not in (True, False, "auto"):
            raise ValueError(f'resume of Training must be True, False or "auto", got {resume!r}')
        if resume is True and checkpoint is None:
            raise ValueError("checkpoint of Training must be the file to resume from, got None")
        self.shuffle = _validate.flag(shuffle, "shuffle of Training")
        self.prepare = _validate.function(prepare, "prepare of Training") or tuple
        self.schedulers, self.slower = tuple(schedulers), tuple(slower)
        self.before, self.after, self.progress = before, after, progress
        self.best: dict[str, Any] = {}  #: state of the best network so far
        self.epoch = self.place = 0
        self._resume = resume
        if assistant.stats is None:
            assistant.stats = LearningStats()
        self.stats: LearningStats = assistant.stats

        fixed = [settings, self.seed, len(data), len(self.test), self.batch, self.shuffle]
        parts = {"net": assistant.net, "optimizer": assistant.optimizer, **(also or {})}
        parts |= {f"scheduler{number}": scheduler for number, scheduler in enumerate(self.schedulers)}
        self._processes = Processes()
        self.rank, self.processes = self._processes.rank, self._processes.count
        if min(self.batch, len(data)) < self.processes:
            said = f"{self.batch} and {len(data)} for {self.processes} processes"
            raise ValueError(f"batch and data of Training must have a sample for each process, got {said}")
        self.checkpoint = Checkpoint(checkpoint, json.dumps(fixed), parts)
        found = self._processes.same(self._found)
        if found is not None:
            self._go_on(self.checkpoint.restore(found))

    def _found(self) -> dict[str, Any] | None:
        """The content of the checkpoint to continue from, if there is one."""
        missing = self.checkpoint.path is None or not self.checkpoint.path.is_file()
        return None if not self._resume or (self._resume == "auto" and missing) else self.checkpoint.read()

    def run(self) -> LearningStats:
        """Train until the number of epochs is reached, and load the best network, or the last, in evaluation mode.

        Returns
        -------
        LearningStats
            The statistics of the assistant.

        Raises
        ------
        OSError
            The checkpoint cannot be written; the one before is kept.
        """
        net = self.assistant.net
        with ExitStack() as stack:
            if self.rank:
                self.checkpoint.path = None
                stack.enter_context(redirect_stdout(io.StringIO()))
            if self.processes > 1:
                self._processes.equal([*net.parameters(), *net.buffers()])
                hook = self.assistant.optimizer.register_step_pre_hook(self._average)
                stack.callback(hook.remove)
            with self.checkpoint.kept():
                self._note()
                while self.epoch < self.epochs:
                    self._epoch()
            self.checkpoint.write()
        if self.best:
            net.load_state_dict(self.best)
        net.eval()
        self._processes.leave()
        return self.stats

    def _epoch(self) -> None:
        count = len(self.data)
        if self.place == 0 and self.epoch in self.slower:
            self.assistant.reduce_lr()
        places = order(count, self.seed, self.epoch) if self.shuffle else torch.arange(count)
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(self.epoch)
        while self.place < count:
            self._step(self.place // self.batch, self.data, places[self.place : self.place + self.batch], True)
            self.place = min(self.place + self.batch, count)
            self._report()
            self._note()
        for number, part in enumerate(torch.arange(len(self.test)).split(self.batch) if len(self.test) else ()):
            self._step(number, self.test, part, False)
        self._close_epoch()
        self._note()

    def _step(self, number: int, data: Any, places: Tensor, train: bool) -> None:
        """Train or test on a batch, of which each process takes its part."""
        mine = self._processes.share(places)
        if self.processes > 1:
            # what is drawn in the first step, such as delays, is the same everywhere; later noise differs
            rank = self.rank if self.epoch or number or not train else 0
            seed(self.seed, self.epoch, number, train, rank)
        if self.before is not None:
            self.before(self.epoch, number, train)
        stat = self.stats.training if train else self.stats.testing
        old = [getattr(stat, name) for name in _SUMS]
        sums = getattr(self.assistant.error, "reduction", "mean") == "sum"
        self._weight = 1.0 if sums else len(mine) / len(places)
        if len(mine):
            batch = self.prepare(default_collate([data[int(place)] for place in mine]))
            (self.assistant.train if train else self.assistant.test)(*batch)
        elif train:
            self.assistant.optimizer.zero_grad()
            self.assistant.optimizer.step()
        if self.processes > 1:
            self._join(stat, old)

    def _average(self, *_: Any) -> None:
        """Before a step of the optimizer: give each parameter the gradient of the whole batch."""
        groups = self.assistant.optimizer.param_groups
        self._processes.gradients([p for group in groups for p in group["params"]], self._weight)

    def _join(self, stat: LearningStat, old: list[float]) -> None:
        """Add what all processes have added to `stat` since it was `old`; take over the first one's buffers."""
        counted = float(stat._correct_samples is not None)
        added = [getattr(stat, name) - before for name, before in zip(_SUMS, old, strict=True)]
        loss, samples, correct, counted = self._processes.sums([*added, counted])
        stat.loss_sum = old[0] + loss
        stat.num_samples = int(old[1] + samples)
        if counted:
            stat.correct_samples = old[2] + correct
        self._processes.equal(self.assistant.net.buffers())

    def _close_epoch(self) -> None:
        self.stats.update()
        if self.best_by and getattr(self.stats.testing, f"best_{self.best_by}"):
            self.best = deepcopy(self.assistant.net.state_dict())
        self.epoch, self.place = self.epoch + 1, 0
        for scheduler in self.schedulers:
            scheduler.step()
        if self.after is not None:
            self.after()

    def _report(self) -> None:
        if self.progress is None or self.rank:
            return
        batches = -(-len(self.data) // self.batch)
        what = "loss" if self.best_by == "loss" else "accuracy"
        log = getattr(self.stats.testing, f"{what}_log")
        text = f"test {what} {log[-1]:.5g}" if log and log[-1] is not None else ""
        self.progress(self.epoch * batches + -(-self.place // self.batch), self.epochs * batches, text)

    def _note(self) -> None:
        self.checkpoint.note(
            f"after epoch {self.epoch}, step {-(-self.place // self.batch)}",
            epoch=self.epoch,
            place=self.place,
            best=self.best,
            mode=self.assistant.net.training,  # `prepare` of the next batch may depend on it
            stats={name: vars(getattr(self.stats, name)) for name in ("training", "validation", "testing")},
        )

    def _go_on(self, values: dict[str, Any]) -> None:
        """Continue from the values of a checkpoint."""
        try:
            self.epoch, self.place, self.best = values["epoch"], values["place"], values["best"]
            self.assistant.net.train(values["mode"])
            for name, found in values["stats"].items():
                vars(getattr(self.stats, name)).update(found)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError(f"{self.checkpoint.path} must be a checkpoint of a training, got something else") from None


def order(count: int, seed: int, epoch: int) -> Tensor:
    """The order of `count` samples in an epoch, int64 (count,). It depends on the three arguments only."""
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(count))
