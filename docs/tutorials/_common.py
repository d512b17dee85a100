"""What the tutorials share: options, comparison of all paths, pictures and tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor

from lavadl_ref import exchange, slayer, verify
from lavadl_ref.cli import _tables
from lavadl_ref.slayer.block import describe

if "ipykernel" not in sys.modules:  # a notebook shows figures itself
    matplotlib.use("Agg")

console = Console(highlight=False)

NOTHING_SHOWN = "{}: that all paths agree there shows nothing. More epochs, or another --seed, may wake them"


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
    family: str = ""  #: of the neurons, where there is a choice

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
    families: Sequence[str] = (),
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
    families : sequence of str
        Neurons to choose from, the first by default; the output then has a folder for each.
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
    if families:
        parser.add_argument("--family", choices=families, default=families[0], help=f"neurons: {families[0]}")
    asked = vars(parser.parse_args())
    family = asked.get("family", "")
    out = (asked["out"] or Path("out") / name) / family
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
        family=family,
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


def compare(
    options: Options, blocks: Sequence[Any], x: Tensor, stream: np.ndarray, first: int = 0, **resets: int
) -> tuple[verify.Report, verify.Report]:
    """Export `blocks` to ``options.path``, and compare slayer, the integer reference and Lava in every integer.

    Ends the program where a path differs, and where a layer is silent: zeros are equal on any path.

    Parameters
    ----------
    options : Options
    blocks : sequence of slayer blocks
        In evaluation mode.
    x : Tensor
        What the blocks from `first` on take, (B, ..., T): compared as trained.
    stream : ndarray
        What the file takes, integers (..., T): compared as deployed.
    first : int
        Where `x` enters.
    **resets : int
        ``reset_interval`` and ``reset_offset`` of the deployed network.
    """
    exchange.write(options.path, describe.network(blocks))
    entered = blocks[first:]
    trained = verify.trained(entered, x)
    deployed = verify.verify(options.path, stream, in_process=options.small, **resets)  # type: ignore[arg-type]
    show_paths(f"as trained: {trained.samples} samples of {trained.steps} steps", trained)
    show_paths(f"as deployed: {deployed.steps} steps", deployed)
    if not (trained.exact and deployed.exact):
        sys.exit("a path differs")
    if shown := silent(entered, x, trained, deployed):
        sys.exit(NOTHING_SHOWN.format(shown))
    return trained, deployed


def silent(blocks: Sequence[Any], x: Tensor, trained: verify.Report, deployed: verify.Report | None = None) -> str:
    """Which layers sent nothing but zeros in a comparison, as the subject of a sentence; '' if there is none.

    Parameters
    ----------
    blocks, x
        What was compared as trained.
    trained, deployed : Report
        How it went; of `deployed`, the last layers are those of `blocks`.
    """
    quiet, sent = set(), x
    before = 0 if deployed is None else len(deployed.layers) - len(trained.layers)
    if deployed is not None:
        quiet = {result.position for result in deployed.layers[:before] if not result.spikes}
    with torch.no_grad():
        for number, (block, result) in enumerate(zip(blocks, trained.layers, strict=True)):
            sent = getattr(block, "deployed", block)(sent)
            sent = sent[0] if isinstance(sent, tuple) else sent
            # what is read out instead of sent is counted nowhere but here
            spikes = bool(result.spikes) and deployed is not None
            if not sent.any() or (spikes and not deployed.layers[before + number].spikes):  # type: ignore[union-attr]
                quiet.add(before + number)
    return _silence(quiet)


def silent_on_lava(sent: Sequence[Any]) -> str:
    """As `silent`, of what each layer sent on Lava: arrays, or None where nothing was recorded."""
    return _silence({number for number, values in enumerate(sent) if values is not None and not np.any(values)})


def _silence(quiet: set[int]) -> str:
    if not quiet:
        return ""
    *most, last = map(str, sorted(quiet))
    return f"layers {', '.join(most)} and {last} sent nothing" if most else f"layer {last} sent nothing"


def on_lava(options: Options, network: Any, inputs: np.ndarray, steps: int, **arguments: Any) -> Any:
    """Run a network on Lava's runtime, with ``--small`` on its process models in this process: a `netx` ``Records``."""
    from lavadl_ref.netx import lava_support

    usable, why = lava_support.available()
    if not usable:
        sys.exit(why)
    from lavadl_ref.netx.run import inprocess, runtime

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
