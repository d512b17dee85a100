"""What the tutorials share: options, a training that can be interrupted, comparison of all paths, pictures, tables."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib
import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from lavadl_ref import _tables, exchange, slayer, verify

if "ipykernel" not in sys.modules:  # a notebook shows figures itself
    matplotlib.use("Agg")

console = Console(highlight=False)
SAVE_EVERY = 30.0  #: seconds between checkpoints within an epoch


@dataclass
class Options:
    """What a tutorial was asked for."""

    name: str  #: of the tutorial, its folder and its files
    data: Path | None
    epochs: int
    seed: int
    out: Path
    resume: bool
    small: bool
    net: Path

    @property
    def path(self) -> Path:
        """The network that the tutorial writes."""
        return self.out / f"{self.name}.net"


def options(
    file: str,
    about: str | None,
    *,
    epochs: tuple[int, int] | None = None,
    seed: int = 0,
    data: str = "",
    net: str = "",
    data_has_net: bool = False,
) -> Options:
    """Read the command line, make the folder for the output, and seed torch.

    Parameters
    ----------
    file, about : str
        The tutorial's ``__file__`` and ``__doc__``.
    epochs : tuple of int, optional
        By default, and with ``--small``; None for what does not train.
    seed : int
        By default.
    data : str
        What ``--data`` holds; '' if there is nothing to read.
    net : str
        The tutorial whose network ``--net`` is by default; '' if none is read.
    data_has_net : bool
        Whether the folder of ``--data`` holds a network that takes its place.
    """
    name = Path(file).stem
    parser = argparse.ArgumentParser(description=(about or "").split("\n\n")[0])
    parser.add_argument("--small", action="store_true", help="settings that take seconds and show that all runs")
    parser.add_argument("--out", type=Path, help=f"folder for what is written: out/{name}")
    parser.add_argument("--seed", type=_natural, default=seed, help=f"of all that is random: {seed}")
    if data:
        parser.add_argument("--data", type=Path, help=f"folder with {data}; a stand-in if not given")
    if epochs is not None:
        parser.add_argument("--epochs", type=_natural, help=f"passes over the data: {epochs[0]}, {epochs[1]} if small")
        parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    if net:
        parser.add_argument("--net", type=Path, help=f"a trained network: out/{net}/{net}.net")
    asked = vars(parser.parse_args())
    out = asked["out"] or Path("out") / name
    count = 0 if epochs is None else epochs[1 if asked["small"] else 0]
    found = Options(
        name,
        data=asked.get("data"),
        epochs=count if asked.get("epochs") is None else asked["epochs"],
        seed=asked["seed"],
        out=out,
        resume=asked.get("resume", False),
        small=asked["small"],
        net=asked.get("net") or out.parent / net / f"{net}.net",
    )
    if data_has_net and found.data is not None:
        found.net = found.data / "network.net"
    if net and not found.net.is_file():
        sys.exit(f"{found.net}: there is no such file. docs/tutorials/{net}.py makes it; --net names another")
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(found.seed)
    return found


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, but is {value}")
    return value


@contextmanager
def progress(text: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on a terminal, nothing elsewhere: gives ``update(done, total, text)``."""
    err = Console(stderr=True, highlight=False)
    columns = (
        TextColumn(text),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, says="": bar.update(task, completed=done, total=total, description=says)


# -- training --------------------------------------------------------------------------------------------------------


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
    best_by: str = "loss"  #: of the testing statistics: loss or accuracy
    shuffle: bool = True
    slower: Sequence[int] = ()  #: epochs before which the learning rate is divided by 10/3
    best: dict[str, Any] = field(default_factory=dict)  #: state of the network that was best

    def __post_init__(self) -> None:
        options = self.options
        self.checkpoint = options.out / "checkpoint.pt"
        # what must be the same for a run to be the same
        self.settings = json.dumps(
            [options.name, options.seed, options.small, str(options.data), len(self.data), len(self.test), self.batch]
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
                    self.assistant.train(*self._batch(self.data, order[self.place : self.place + self.batch]))
                    self.place += self.batch
                    update(self.epoch * batches + self.place // self.batch, self.options.epochs * batches, self._says())
                    if perf_counter() - saved >= SAVE_EVERY:
                        self._save()
                        saved = perf_counter()
                for part in torch.arange(len(self.test)).split(self.batch):  # type: ignore[arg-type]
                    self.assistant.test(*self._batch(self.test, part))
                self._close_epoch()
                if perf_counter() - saved >= SAVE_EVERY:
                    self._save()
                    saved = perf_counter()
            self._save()
        if self.best:
            self.assistant.net.load_state_dict(self.best)
        self.assistant.net.eval()

    def _close_epoch(self) -> None:
        stats = self.assistant.stats
        assert stats is not None
        stats.update()
        if getattr(stats.testing, f"best_{self.best_by}"):
            self.best = deepcopy(self.assistant.net.state_dict())
        self.epoch, self.place = self.epoch + 1, 0

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
        log = stats.testing.accuracy_log if self.best_by == "accuracy" else stats.testing.loss_log
        return f"test {self.best_by} {log[-1]:.5g}" if log else ""

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


# -- what comes after it ---------------------------------------------------------------------------------------------


def compare(
    options: Options, blocks: Sequence[Any], x: Tensor, stream: np.ndarray, **resets: int
) -> tuple[verify.Report, verify.Report]:
    """Export `blocks` to ``options.path``, and compare slayer, the integer reference and Lava in every integer.

    Parameters
    ----------
    options : Options
    blocks : sequence of slayer blocks
        In evaluation mode.
    x : Tensor
        What the blocks take, (B, ..., T): compared as trained.
    stream : ndarray
        The same, or some of it, as integers (..., T): compared as deployed.
    **resets : int
        ``reset_interval`` and ``reset_offset`` of the deployed network.
    """
    exchange.write(options.path, exchange.Network(tuple(block.describe() for block in blocks)))
    trained = verify.trained(blocks, x)
    deployed = verify.verify(options.path, stream, in_process=options.small, **resets)  # type: ignore[arg-type]
    show_paths(f"as trained: {trained.samples} samples of {trained.steps} steps", trained)
    show_paths(f"as deployed: {deployed.steps} steps", deployed)
    if not (trained.exact and deployed.exact):
        sys.exit("a path differs")
    return trained, deployed


def on_lava(options: Options, network: Any, inputs: np.ndarray, steps: int, **arguments: Any) -> Any:
    """Run a network on Lava's runtime, with ``--small`` on its process models in this process: a `netx` ``Records``."""
    from lavadl_ref.netx import lava_support

    usable, why = lava_support.available()
    if not usable:
        sys.exit(why)
    from lavadl_ref.netx import inprocess, runtime

    run = inprocess.run if options.small else runtime.run
    return run(network, inputs, steps, timeout=600, **arguments)


def show_paths(title: str, report: verify.Report) -> None:
    """A table of what was compared, and where it differed."""
    console.print(_tables.paths(title, report))
    for divergence in report.divergences:
        console.print(f"first divergence: {divergence}", markup=False)
    for path, reason in report.skipped.items():
        console.print(f"{path}: not compared: {reason}", markup=False, soft_wrap=True)


def show(options: Options, rows: dict[str, Any]) -> None:
    """The table that a tutorial ends with, and what it wrote."""
    table = Table(title=options.name, title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(escape(name), f"{value:.6g}" if isinstance(value, float) else escape(str(value)))
    console.print(table)
    written = sorted(path.name for path in options.out.iterdir() if path.is_file())
    console.print(f"in {options.out}: {', '.join(written)}", soft_wrap=True)


def figure(columns: int, rows: int = 1, size: tuple[float, float] = (4.5, 3.2)) -> tuple[Any, np.ndarray]:
    """A figure, and its axes, (rows, columns)."""
    from matplotlib import pyplot

    return pyplot.subplots(
        rows, columns, figsize=(size[0] * columns, size[1] * rows), squeeze=False, layout="constrained"
    )


def save(options: Options, drawn: Any, name: str) -> None:
    """Write a figure to ``NAME.png`` and close it."""
    from matplotlib import pyplot

    drawn.savefig(options.out / f"{name}.png", dpi=100)
    if "ipykernel" not in sys.modules:
        pyplot.close(drawn)


def raster(axes: Any, spikes: Any, title: str) -> None:
    """Dots where `spikes` (neurons, steps) are not 0."""
    neuron, step = np.nonzero(np.asarray(spikes))
    axes.plot(step, neuron, ",", color="black")
    axes.set(title=f"{title}: {len(step):,} spikes", xlabel="step", ylabel="neuron")
    axes.set(xlim=(-0.5, spikes.shape[1] - 0.5), ylim=(-0.5, spikes.shape[0] - 0.5))


def curves(options: Options, stats: slayer.utils.LearningStats) -> None:
    """Loss and accuracy over the epochs, as text and as pictures."""
    from matplotlib import pyplot

    stats.save(options.out)
    stats.plot(path=options.out)
    if "ipykernel" not in sys.modules:
        pyplot.close("all")
