"""Runs of networks that learn, on Lava's runtime or in this process."""

from __future__ import annotations

import copy
import pickle
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lava.proc.io.source import RingBuffer
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref import _ending
from lavadl_ref.netx.online import values
from lavadl_ref.netx.online.process import LearningBlock
from lavadl_ref.netx.run import inprocess, runtime
from lavadl_ref.netx.run.job import Watch
from lavadl_ref.online import Learner
from lavadl_ref.slayer import axon
from lavadl_ref.slayer.utils import _validate


@dataclass(frozen=True, eq=False)
class Records:
    """The results of a run of N samples of T steps."""

    output: Tensor  #: (N, C, ..., T) float32, what left the last block
    readout: Tensor  #: (N, classes, T) float32, what was read of the last block
    predictions: Tensor  #: (N,) int64, the class with the highest sum of `readout` over the steps of a sample
    accuracy: float | None  #: share of the samples with a label whose prediction is the last label; None without
    weights: list[dict[str, NDArray[np.float32]]]  #: after the run, as `online.weights` gives them
    seconds: float  #: time of the steps alone


@dataclass(frozen=True, eq=False)
class Job:
    """One network to run once while it learns.

    Parameters
    ----------
    learner : Learner
        Rule ``"local"``; in training its dropout must be 0.
    input : Tensor
        (N, C, ..., T) float32, N samples that follow one another: values for an Input block, otherwise spikes or
        messages, whole numbers or multiples of 1/4096 in 32 bits.
    target : Tensor, optional
        int64 labels, (N,) or at each step (N, T), -1 where there is none.  Without it nothing is learned.
    reset : bool
        If True, each sample begins at rest and ends with an update, as `Learner.learn` does for a batch of one.
        Otherwise the samples form one signal that continues from where the learner's signal has ended, as in
        `Learner.stream`.
    """

    learner: Learner
    input: Tensor
    target: Tensor | None = None
    reset: bool = True

    @property
    def name(self) -> str:
        """The name of the network in messages."""
        return f"learning network of {len(self.learner._layers)} blocks"

    def check(self) -> None:
        """Raise unless the learner can run on Lava and the arguments fit."""
        if not isinstance(self.learner, Learner):
            raise TypeError(f"learner must be a lavadl_ref.online.Learner, got {type(self.learner).__name__}")
        if self.learner.rule != "local":
            raise ValueError(
                "rule must be 'local' for a network on Lava, where no gradient passes between processes, "
                f"got {self.learner.rule!r}"
            )
        self._check_blocks()
        x = _validate.tensor(self.input, "input", 3, "(N, C, ..., T)")
        if not x.numel() or x.dtype != torch.float32:
            raise ValueError(f"input must be float32 with elements, got {tuple(x.shape)} {x.dtype}")
        self._labels()
        values.to_integers(x, self._unit(), "input")
        if not self.reset:
            shapes = [getattr(layer, "_in", None) for layer in self.learner._layers]
            batches = {shape[0] for shape in shapes if shape is not None}
            if batches - {1}:
                raise ValueError(f"learner must be in the middle of one signal to go on with, got {batches.pop()}")

    def _check_blocks(self) -> None:
        seen: set[int] = set()
        for number, block in enumerate(values.blocks_of(self.learner)):
            p = getattr(getattr(getattr(block, "neuron", None), "drop", None), "p", 0)
            if self.learner.training and p:
                raise ValueError(
                    f"dropout of block {number} must be 0 for a network that learns on Lava (or the learner in "
                    f"evaluation), got {p}"
                )
            own = {id(parameter) for parameter in block.parameters()}
            if own & seen:
                raise ValueError(f"parameters must belong to one block, got some of block {number} in another, too")
            seen |= own

    def _unit(self) -> int:
        return values.unit_at_input(self.learner._layers[0], self.input)

    def _labels(self) -> NDArray[np.int32]:
        """The label of each step of all samples, (1, N * T)."""
        samples, steps = self.input.shape[0], self.input.shape[-1]
        if self.target is None:
            return np.full((1, samples * steps), -1, np.int32)
        found = _validate.tensor(self.target, "target", 1)
        if found.is_floating_point() or tuple(found.shape) not in ((samples,), (samples, steps)):
            raise ValueError(
                f"target must be whole numbers, (N,) or (N, T), for {samples} samples of {steps} steps, "
                f"got {tuple(found.shape)} {found.dtype}"
            )
        classes = self.learner.classes or 1
        if found.min() < -1 or found.max() >= classes:
            raise ValueError(f"target must be -1 to {classes - 1}, got {int(found.min())} to {int(found.max())}")
        whole = found.reshape(samples, -1).expand(samples, steps)
        return whole.reshape(1, -1).numpy().astype(np.int32)

    def task(self) -> Task:
        """The network taken apart, for whoever makes Lava's processes of it; draws what is still to be drawn."""
        self.check()
        learner, units = self.learner, [self._unit()]
        for layer in learner._layers:
            units.append(values.unit_of(layer, units[-1]))
        probe = copy.deepcopy(learner)
        probe.reset()
        probe.stream(torch.zeros(1, *self.input.shape[1:-1], 1))
        _take_drawn(learner, probe)
        try:
            parts = [pickle.dumps(part) for part in _taken_apart(learner)]
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ValueError(f"loss and hooks of a learner on Lava must be picklable, got {error}") from error
        with _alone():
            shapes = _warmed([pickle.loads(part) for part in parts], tuple(self.input.shape[1:-1]))
        steps = self.input.shape[-1]
        frames = values.to_integers(self.input.movedim(0, -2).flatten(-2), units[0], "input")
        return Task(self.name, parts, shapes, units, frames, self._labels(), steps if self.reset else None)

    def finished(self, left: Left) -> Records:
        """Bring the learner into the state that a run has left, and tell the results."""
        samples, steps = self.input.shape[0], self.input.shape[-1]
        parts = [pickle.loads(part) for part in left.parts]
        _put_together(self.learner, parts)
        output, readout = (torch.from_numpy(x).unflatten(-1, (samples, steps)).movedim(-2, 0) for x in left.signals)
        self.learner.output = output[-1:].clone() if self.reset else output.movedim(0, -2).flatten(-2)[None]
        predictions = readout.sum(-1).argmax(1)
        labels = torch.from_numpy(self._labels()).view(samples, steps)
        labelled = (labels >= 0).any(1)
        accuracy = None
        if labelled.any():
            last = steps - 1 - (labels >= 0).flip(1).int().argmax(1)
            right = predictions == labels.gather(1, last[:, None])[:, 0]
            accuracy = float(right[labelled].double().mean())
        return Records(output, readout, predictions, accuracy, values.weights(self.learner), left.seconds)


@dataclass(frozen=True, eq=False)
class Left:
    """The rest of a run: the learners of its blocks, pickled, and what left and was read of the last one over time."""

    parts: list[bytes]
    signals: tuple[NDArray[np.float32], NDArray[np.float32]]
    seconds: float


@dataclass(frozen=True, eq=False)
class Task:
    """A network taken apart: all that its processes are made of."""

    name: str
    parts: list[bytes]  #: a learner for each block, pickled
    shapes: list[tuple[int, ...]]  #: of what enters the first block and leaves each one
    units: list[int]  #: of the same
    frames: NDArray[np.int32]  #: (C, ..., steps)
    labels: NDArray[np.int32]  #: (1, steps)
    interval: int | None  #: steps of a sample

    def check(self) -> None:
        """There is nothing to check: the job was."""

    def portable(self) -> Task:
        """The task itself."""
        return self

    def on_runtime(self, prefix: Path, watch: Watch) -> Left:
        """Run it on Lava's runtime, in the child; names of files that it makes begin with `prefix`."""
        torch.set_num_threads(1)  # processes are forked from this one, which must not have threads
        _warmed([pickle.loads(part) for part in self.parts], self.shapes[0])
        processes, paths = self._processes(prefix)
        with watch.running(processes[0], processes) as run:
            return self._left(run, paths)

    def in_process(self, timeout: float) -> Left:
        """Run it in this process within `timeout` seconds."""
        with _alone(), _ending.temporary_folder() as folder:
            processes, paths = self._processes(folder.path / "learning")
            session = inprocess.Session(processes[0], name=self.name, timeout=timeout)
            return self._left(session.run, paths)

    def _processes(self, prefix: Path) -> tuple[list[LearningBlock], list[Path]]:
        total = self.frames.shape[-1]
        signal, label = RingBuffer(data=self.frames), RingBuffer(data=self.labels)
        processes, paths, out = [], [], signal.s_out
        for number, part in enumerate(self.parts):
            path = prefix.with_suffix(f".block{number}")
            process = LearningBlock(
                learner=pickle.loads(part),
                shapes=(self.shapes[number], self.shapes[number + 1]),
                units=(self.units[number], self.units[number + 1]),
                interval=self.interval,
                steps=total,
                path=path,
            )
            out.connect(process.s_in)
            label.s_out.connect(process.label_in)
            processes.append(process)
            paths.append(path)
            out = process.s_out
        return processes, paths

    def _left(self, run: Callable[[int], None], paths: Sequence[Path]) -> Left:
        began = time.perf_counter()
        run(self.frames.shape[-1])
        seconds = time.perf_counter() - began
        found = [pickle.loads(path.read_bytes()) for path in paths]
        parts = [pickle.dumps(learner) for learner, _, _ in found]
        return Left(parts, (found[-1][1].numpy(), found[-1][2].numpy()), seconds)


def run(
    learner: Learner,
    input: Tensor,
    target: Tensor | None = None,
    *,
    reset: bool = True,
    in_process: bool = False,
    timeout: float = 120.0,
) -> Records:
    """Run a network on Lava while it learns, and leave the learner in the state after the last step.

    Parameters
    ----------
    learner, input, target, reset
        As for `Job`; input is (N, C, ..., T) float32, target int64 (N,) or (N, T).
    in_process : bool
        If True, run Lava's models in this process instead of on Lava's runtime.
    timeout : float
        Seconds, start-up included.

    Returns
    -------
    Records
        The output of the network, its readout, and the weights.

    Raises
    ------
    TypeError
        If `learner` is no `Learner`.
    ValueError
        If its rule is not ``"local"``, it has dropout in training, or an argument is malformed.
    LavaUnavailable, LavaTimeout, LavaRunError
        As for `lavadl_ref.netx.runtime.run`.  The learner is as it was before, but for matrices and delays that were
        still to be drawn.

    Examples
    --------
    >>> from lavadl_ref import slayer
    >>> neuron = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.1}
    >>> net = torch.nn.Sequential(slayer.block.cuba.Dense(neuron, 3, 8), slayer.block.cuba.Dense(neuron, 8, 4))
    >>> optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    >>> loss = torch.nn.functional.cross_entropy
    >>> learner = Learner(net, loss, optimizer, rule="local", every=5, classes=2)
    >>> records = run(learner, torch.ones(6, 3, 10), torch.tensor([0, 1, 1, 0, 1, 0]), in_process=True)
    >>> records.output.shape, records.readout.shape
    (torch.Size([6, 4, 10]), torch.Size([6, 2, 10]))
    """
    job = Job(learner, input, target, reset)
    if in_process:
        return job.finished(inprocess.supervised(job.task(), timeout))
    return run_all([job], timeout=timeout)[0]


def run_all(jobs: Sequence[Job], *, timeout: float = 120.0) -> list[Records]:
    """Run networks one after the other on Lava's runtime in one child process, with a single start-up.

    Parameters
    ----------
    jobs : sequence of Job
        Each with a learner of its own.
    timeout : float
        Seconds for all of them, start-up included.

    Raises
    ------
    TypeError, ValueError, LavaUnavailable, LavaTimeout, LavaRunError
        As `run`.  All learners are as they were before.
    """
    if len({id(job.learner) for job in jobs}) < len(jobs):
        raise ValueError("jobs must have a learner each, got one twice")
    found = runtime.supervised([job.task() for job in jobs], timeout)
    return [job.finished(left) for job, left in zip(jobs, found, strict=True)]


# -- a learner and its parts ----------------------------------------------------------------------


def _take_drawn(learner: Learner, probe: Learner) -> None:
    """Give a learner the matrices and delays that were drawn at the first input of its copy `probe`."""
    for key, matrix in probe.matrices.items():
        if key not in learner.matrices:
            learner.matrices[key] = matrix
    for one, drawn in zip(learner.net.modules(), probe.net.modules(), strict=True):
        if isinstance(one, axon.Delay) and isinstance(drawn, axon.Delay) and one._undrawn("delay"):
            one._fill("delay", drawn.delay.detach().clone())


def _taken_apart(learner: Learner) -> list[Learner]:
    """A learner for each block, in its present state.  Blocks and parameters are the same; what is held is copied."""
    held = copy.deepcopy(learner.get_extra_state())
    read = [learner._is_read(number, layer) for number, layer in enumerate(learner._layers)]
    parts = []
    for number, layer in enumerate(learner._layers):
        part = Learner(
            [layer.block],
            learner.loss,
            _restricted(learner.optimizer, layer.block),
            "local",
            learner.every,
            learner.classes,
            learner.window,
            learner.penalty,
        )
        if str(number) in learner.matrices:
            part.matrices["0"] = learner.matrices[str(number)]
        place = sum(read[:number])
        seen = [(target, [compared[place]]) for target, compared in held["seen"]] if read[number] else []
        sent = [[one[number]] for one in held["sent"]]
        layers, gathered = [held["layers"][number]], [held["gathered"][number]]
        part.set_extra_state(
            {"layers": layers, "gathered": gathered, "counts": held["counts"], "seen": seen, "sent": sent}
        )
        part.training = learner.training  # `train` would change the blocks
        parts.append(part)
    return parts


def _restricted(optimizer: torch.optim.Optimizer, block: torch.nn.Module) -> torch.optim.Optimizer:
    """An optimiser like `optimizer` for the parameters of one block, with their state."""
    own = {id(parameter) for parameter in block.parameters()}
    found = copy.copy(optimizer)
    found.param_groups = [
        {**group, "params": [p for p in group["params"] if id(p) in own]} for group in optimizer.param_groups
    ]
    found.state = defaultdict(dict, {p: state for p, state in optimizer.state.items() if id(p) in own})
    return found


def _put_together(learner: Learner, parts: Sequence[Learner]) -> None:
    """Bring a learner into the state of its parts, which are copies."""
    held = [part.get_extra_state() for part in parts]
    for layer, part in zip(learner._layers, parts, strict=True):
        (block,) = values.blocks_of(part)
        with torch.no_grad():
            layer.block.load_state_dict(block.state_dict())
        layer.block.shape = block.shape
        twins = dict(zip(block.parameters(), layer.block.parameters(), strict=True))
        for parameter, state in part.optimizer.state.items():
            learner.optimizer.state[twins[parameter]] = state
    read = [number for number, layer in enumerate(learner._layers) if learner._is_read(number, layer)]
    pieces = zip(*(held[number]["seen"] for number in read), strict=True)
    learner.set_extra_state({
        "layers": [state["layers"][0] for state in held],
        "gathered": [state["gathered"][0] for state in held],
        "counts": held[-1]["counts"],
        "seen": [(piece[0][0], [compared for _, (compared,) in piece]) for piece in pieces],
        "sent": [[sent for (sent,) in step] for step in zip(*(state["sent"] for state in held), strict=True)],
    })  # fmt: skip


def _warmed(parts: Sequence[Learner], shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Let copies of learners of blocks learn from silence, so that all kernels are compiled before a fork.

    Returns the shape of what enters the first block, from `shape`, and of what leaves each.
    """
    shapes = [tuple(shape)]
    for part in parts:
        part.reset()
        for label in (0, 0):
            part.stream(torch.zeros(1, *shapes[-1], 1), torch.tensor([label]))
        part.update()
        assert part.output is not None
        shapes.append(tuple(part.output.shape[1:-1]))
    return shapes


@contextmanager
def _alone() -> Iterator[None]:
    """Let torch and the kernels compute in this thread, and leave torch's random numbers as they are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
