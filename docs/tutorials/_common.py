"""Functions that the tutorials share: options, comparison of all backends, progress bar, pictures and tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _interrupted
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

if not _interrupted.NOTEBOOK:  # a notebook shows figures itself
    matplotlib.use("Agg")

console = Console(highlight=False)

#: The end of a comparison with silent layers; `silent` names them.
NOTHING_SHOWN = "{}: that all paths agree there shows nothing. More epochs, or another --seed, may wake them"


@dataclass
class Options:
    """The options of a tutorial."""

    name: str  #: name of the tutorial, of its folder and of its files
    data: Path | None  #: folder of data, or None for the data that stands in for it
    epochs: int
    seed: int
    out: Path  #: folder for output
    resume: bool
    small: bool  #: settings that take seconds
    net: Path  #: a trained network, for a tutorial that only runs it
    family: str = ""  #: family of the neurons, if there is a choice
    seeds: int = 1  #: number of trainings, the first with `seed`, each of the others with the seed that follows

    @property
    def path(self) -> Path:
        """The network that the tutorial writes."""
        return self.out / f"{self.name}.net"


def options(
    file: str,
    about: str | None,
    *,
    epochs: tuple[int, int] | None = None,
    epochs_with_data: int | None = None,
    fewest_epochs: int = 0,
    seed: int = 0,
    data: str = "",
    out: str = "",
    net: str = "",
    data_has_net: bool = False,
    families: Sequence[str] = (),
    seeds: bool = False,
    arguments: Sequence[str] | None = None,
) -> Options:
    """Read the command line, make the folder for the output, and seed torch.

    Parameters
    ----------
    file, about : str
        The tutorial's ``__file__`` and ``__doc__``.
    epochs : tuple of int, optional
        Default number of epochs, and that with ``--small``; None for a tutorial that does not train.
    epochs_with_data : int, optional
        Default number of epochs with ``--data``, if it differs.
    fewest_epochs : int
        Smallest number of epochs.
    seed : int
        Default seed.
    data : str
        The contents of the folder ``--data``; '' if the tutorial reads none.
    out : str
        Default folder for the output; '' for ``out/NAME``.
    net : str
        The tutorial that trains the default of ``--net``, and behind a slash the family of neurons if it has a choice;
        '' if the tutorial reads no network.
    data_has_net : bool
        True if the folder of ``--data`` holds a network that takes the place of ``--net``.
    families : sequence of str
        Families of neurons to choose from, the first by default. Each then has an output folder of its own.
    seeds : bool
        True if the tutorial may train with several seeds.
    arguments : sequence of str, optional
        The command line; by default that of the program.
    """
    name = Path(file).stem
    first, _, rest = (about or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest.strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    folder = Path(out) if out else Path("out") / name
    parser.add_argument("--small", action="store_true", help="settings that take seconds, to see that all runs")
    parser.add_argument("--out", type=Path, default=folder, help=f"folder for the output (default: {folder})")
    parser.add_argument("--seed", type=_at_least(0), default=seed, help=f"seed of all random numbers (default: {seed})")
    if data:
        parser.add_argument("--data", type=Path, help=f"folder with {data} (default: made data stands in for it)")
    if epochs is not None:
        default = f"{epochs[0]}, {epochs[1]} with --small"
        default += "" if epochs_with_data is None else f", {epochs_with_data} with --data"
        parser.add_argument(
            "--epochs", type=_at_least(fewest_epochs), help=f"passes over the data (default: {default})"
        )
        parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint in --out")
    maker = net.partition("/")[0]
    if net:
        parser.add_argument("--net", type=Path, help=f"a trained network (default: out/{net}/{maker}.net)")
    if families:
        parser.add_argument(
            "--family", choices=families, default=families[0], help=f"family of the neurons (default: {families[0]})"
        )
    if seeds:
        parser.add_argument(
            "--seeds", type=_at_least(1), default=1, help="number of seeds, counted from --seed (default: 1)"
        )
    asked = vars(parser.parse_args(arguments))
    family = asked.get("family", "")
    written = asked["out"] / family
    count = 0 if epochs is None else epochs[1 if asked["small"] else 0]
    if epochs_with_data is not None and asked.get("data") is not None:
        count = epochs_with_data
    found = Options(
        name,
        data=asked.get("data"),
        epochs=count if asked.get("epochs") is None else asked["epochs"],
        seed=asked["seed"],
        out=written,
        resume=asked.get("resume", False),
        small=asked["small"],
        net=asked.get("net") or written.parent / net / f"{maker}.net",
        family=family,
        seeds=asked.get("seeds", 1),
    )
    if data_has_net and found.data is not None:
        found.net = found.data / "network.net"
    if net and not found.net.is_file():
        sys.exit(f"{found.net}: there is no such file. docs/tutorials/{maker}.py makes it; --net names another")
    written.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(found.seed)
    return found


def _at_least(minimum: int) -> Callable[[str], int]:
    """A type of command line arguments: integers of at least `minimum`."""

    def integer(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}, got {value}")
        return value

    return integer


@contextmanager
def progress(text: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on a terminal, and nothing elsewhere, with a function ``update(done, total, text)``."""
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


def fit(
    options: Options, assistant: slayer.utils.Assistant, data: Any, test: Any, batch: int, **more: Any
) -> slayer.utils.Training:
    """Train as `slayer.utils.Training` does, with the options of the tutorial and a progress bar.

    The best network by the loss on `test` is kept, unless ``best_by`` among the arguments `more` says otherwise.
    """
    settings = [options.name, options.family, options.small, str(options.data)]
    with progress("training") as update:
        training = slayer.utils.Training(
            assistant,
            data,
            options.epochs,
            batch,
            test=test,
            checkpoint=options.out / "checkpoint.pt",
            resume=options.resume,
            seed=options.seed,
            settings=settings,
            progress=update,
            **{"best_by": "loss", **more},
        )
        with _interrupted.telling(training.checkpoint):
            training.run()
    return training


def compare(
    options: Options, blocks: Sequence[Any], x: Tensor, stream: np.ndarray, first: int = 0, **resets: int
) -> tuple[verify.Report, verify.Report]:
    """Export `blocks` to ``options.path``, and compare slayer, the integer reference and Lava in every integer.

    The program ends with an error if a backend differs, and if a layer is silent: zeros are equal on any backend, so
    their agreement proves nothing.

    Parameters
    ----------
    options : Options
        The options of the tutorial.
    blocks : sequence of slayer blocks
        The network, in evaluation mode.
    x : Tensor
        Input (B, ..., T) of the block number `first`, for the comparison of the network as trained.
    stream : ndarray
        Input of the file, integers (..., T), for the comparison of the network as deployed.
    first : int
        Number of the block that receives `x`.
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
        sys.exit("a backend differs")
    if shown := silent(entered, x, trained, deployed):
        sys.exit(NOTHING_SHOWN.format(shown))
    return trained, deployed


def silent(blocks: Sequence[Any], x: Tensor, trained: verify.Report, deployed: verify.Report | None = None) -> str:
    """The layers that sent only zeros in a comparison, named as the subject of a sentence; '' if there is none.

    Parameters
    ----------
    blocks : sequence of slayer blocks
        The blocks that were compared as trained.
    x : Tensor
        Their input, (B, ..., T).
    trained, deployed : Report
        The results of the comparisons. The last layers of `deployed` are those of `blocks`.
    """
    quiet, sent = set(), x
    before = 0 if deployed is None else len(deployed.layers) - len(trained.layers)
    if deployed is not None:
        quiet = {result.position for result in deployed.layers[:before] if not result.spikes}
    with torch.no_grad():
        for number, (block, result) in enumerate(zip(blocks, trained.layers, strict=True)):
            sent = getattr(block, "deployed", block)(sent)
            sent = sent[0] if isinstance(sent, tuple) else sent
            # The sums of a layer that is read out are no spikes, so the reports do not count them.
            spikes = bool(result.spikes) and deployed is not None
            if not sent.any() or (spikes and not deployed.layers[before + number].spikes):  # type: ignore[union-attr]
                quiet.add(before + number)
    return _silence(quiet)


def silent_on_lava(sent: Sequence[Any]) -> str:
    """The result of `silent` for the arrays that each layer sent on Lava, with None for a layer without a record."""
    return _silence({number for number, values in enumerate(sent) if values is not None and not np.any(values)})


def _silence(quiet: set[int]) -> str:
    if not quiet:
        return ""
    *most, last = map(str, sorted(quiet))
    return f"layers {', '.join(most)} and {last} sent nothing" if most else f"layer {last} sent nothing"


def needs_lava() -> None:
    """End the program with the command to type where Lava is missing."""
    from lavadl_ref.netx import lava_support

    usable, why = lava_support.available()
    if not usable:
        sys.exit(why)


def on_lava(options: Options, network: Any, inputs: np.ndarray, steps: int, **arguments: Any) -> Any:
    """The `netx` ``Records`` of a run on Lava's runtime, or with ``--small`` on its process models in this process."""
    needs_lava()
    from lavadl_ref.netx import inprocess, runtime

    run = inprocess.run if options.small else runtime.run
    return run(network, inputs, steps, timeout=600, **arguments)


def show_paths(title: str, report: verify.Report) -> None:
    """Print a table of the comparisons, and the first difference if there is one."""
    console.print(_tables.paths(title, report))
    for divergence in report.divergences:
        console.print(f"first divergence: {divergence}", markup=False)
    for path, reason in report.skipped.items():
        console.print(f"{path}: not compared: {reason}", markup=False, soft_wrap=True)


def show(options: Options, rows: dict[str, Any]) -> None:
    """Print the table at the end of a tutorial, and the names of the files that it wrote."""
    table = Table(title=options.name, title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(escape(name), f"{value:.6g}" if isinstance(value, float) else escape(str(value)))
    console.print(table)
    written = sorted(path.name for path in options.out.iterdir() if path.is_file())
    console.print(f"in {options.out}: {', '.join(written)}", soft_wrap=True)


def save(options: Options, drawn: Any, name: str) -> None:
    """Write a figure to ``NAME.png`` in the output folder, and close it."""
    from matplotlib import pyplot

    drawn.savefig(options.out / f"{name}.png", dpi=100)
    if not _interrupted.NOTEBOOK:
        pyplot.close(drawn)


def curves(options: Options, stats: slayer.utils.LearningStats) -> None:
    """Write loss and accuracy over the epochs as text files and as pictures."""
    from matplotlib import pyplot

    stats.save(options.out)
    stats.plot(path=options.out)
    if not _interrupted.NOTEBOOK:
        pyplot.close("all")


def display(*pictures: Path) -> None:
    """Show picture files that were written, in a notebook."""
    if _interrupted.NOTEBOOK:
        from IPython import display

        display.display(*(display.Image(path) for path in pictures))
