"""The command ``lavadl-ref``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from lavadl_ref.verify import Report

DIFFERENT, BAD_INPUT, FAILED = 1, 2, 3  #: exit statuses: a path differs; a bad file or argument; Lava failed

app = typer.Typer(
    help="Train spiking networks, export them, run them on Lava, and prove that all paths agree.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn what a user can cause into one line and an exit status."""
    from lavadl_ref.exchange import ExchangeError

    try:
        with _plain_notes():
            yield
    except typer.Exit:  # a RuntimeError
        raise
    except (ExchangeError, ValueError, TypeError, NotImplementedError, OSError) as error:
        if isinstance(error, TimeoutError):
            errors.print(f"error: {error}", markup=False, soft_wrap=True)
            raise typer.Exit(FAILED) from None
        errors.print(f"error: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from None
    except RuntimeError as error:
        errors.print(f"error: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(FAILED) from None


@contextmanager
def _plain_notes() -> Iterator[None]:
    """Say what a file holds in vain in one line, once."""
    from lavadl_ref.exchange import LegacyKeyWarning

    said: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", LegacyKeyWarning)
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, LegacyKeyWarning):
                usual(message, category, *where, **more)
            elif str(message) not in said:
                said.add(str(message))
                errors.print(f"note: {message}", markup=False, soft_wrap=True)

        warnings.showwarning = show
        yield


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on a terminal, nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as progress:
        task = progress.add_task("preparing kernels", total=None)

        def update(done: int, total: int, text: str) -> None:
            progress.update(task, completed=done, total=total, description=text)

        yield update


@contextmanager
def _waiting(text: str) -> Iterator[None]:
    """A spinner on a terminal, nothing elsewhere."""
    if not errors.is_terminal:
        yield
        return
    with errors.status(text):
        yield


def _show(title: str, report: Report) -> None:
    from lavadl_ref import _tables

    console.print(_tables.paths(title, report))
    for divergence in report.divergences:
        console.print(f"first divergence: {divergence}", markup=False)
    for path, reason in report.skipped.items():
        console.print(f"{path}: not compared: {reason}", markup=False, soft_wrap=True)
    for beyond in report.exceeded:
        console.print(f"width: {beyond}", markup=False)


def _speeds(report: Report) -> str:
    total = report.steps * report.samples
    rates = (f"{path} {total / max(seconds, 1e-9):,.0f}" for path, seconds in report.seconds.items())
    return "steps per second: " + ", ".join(rates)


@app.command(
    epilog="Example: lavadl-ref demo --out digits-demo",
)
def demo(
    out: Annotated[Path, typer.Option(help="Folder for digits.net and digits.png.")] = Path("out"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training digits.")] = 30,
    samples: Annotated[int, typer.Option(min=1, max=360, help="Held-out digits to run on every path.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of split, weights and order.")] = 0,
    lava: Annotated[bool, typer.Option(help="Run on Lava too.")] = True,
) -> None:
    """Train a classifier of handwritten digits, export it, run it on every path and compare all integers."""
    with _plain_errors():
        from lavadl_ref import demo as job

        with _bar("training") as progress:
            outcome = job.run(out, epochs, samples, seed, lava, progress)
        picture = out / "digits.png"
        job.draw(outcome, picture)
        training, deployed = outcome.training, outcome.deployed
        assert training is not None and deployed is not None
        console.print(
            f"trained {epochs} epochs in {outcome.train_seconds:.1f} s: "
            f"test accuracy {outcome.test_accuracy:.2%}, training accuracy {outcome.train_accuracy:.2%}"
        )
        _show(f"as trained: {training.samples} held-out digits, {training.steps} steps each", training)
        _show(f"as deployed: the same digits as one stream of {deployed.steps} steps with resets", deployed)
        rates = ", ".join(f"{name} {value:.2%}" for name, value in outcome.deployed_accuracy.items())
        console.print(f"accuracy on these digits: {rates}")
        console.print(f"as trained, {_speeds(training)}; as deployed, {_speeds(deployed)}", soft_wrap=True)
        console.print(f"wrote {outcome.path} and {picture}", soft_wrap=True)
        if lava and "lava" in deployed.skipped:
            console.print("Lava did not run: see `lavadl-ref doctor`")
        if not outcome.exact:
            raise typer.Exit(DIFFERENT)


@app.command(epilog="Example: lavadl-ref verify digits.net --steps 100")
def verify(
    file: Annotated[Path, typer.Argument(help="The .net file.")],
    input: Annotated[
        Path | None, typer.Option(help="Input: .npy of integers, (C, H, W, T) or (N, T); random spikes if not given.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps to run: the input's length, or 64.")] = None,
    slayer: Annotated[bool, typer.Option(help="Compare slayer, where the file can be rebuilt.")] = True,
    lava: Annotated[bool, typer.Option(help="Compare Lava.")] = True,
    reset_interval: Annotated[int | None, typer.Option(min=1, help="Steps between resets of the neurons.")] = None,
    reset_offset: Annotated[int, typer.Option(min=0, help="Phase of the resets, as Lava counts.")] = 0,
    timeout: Annotated[float | None, typer.Option(help="Seconds that Lava may take.")] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Run Lava's process models here: fast, without its runtime.")
    ] = False,
) -> None:
    """Run a file through the integer reference, Lava and slayer and compare every message and final state."""
    with _plain_errors():
        from lavadl_ref import verify as job

        data = None if input is None else _load(input)
        with _waiting(f"running {file}"):
            report = job.verify(
                file,
                data,
                steps,
                slayer=slayer,
                lava=lava,
                reset_interval=reset_interval,
                reset_offset=reset_offset,
                timeout=timeout,
                in_process=in_process,
            )
        _show(f"{file}: {report.steps} steps", report)
        console.print(_speeds(report), soft_wrap=True)
        if report.divergences:
            raise typer.Exit(DIFFERENT)
        if not report.exact:
            console.print("nothing was compared")
            raise typer.Exit(DIFFERENT)


def _load(path: Path) -> Any:
    """The array of a .npy file, floats that are whole as integers."""
    import numpy as np

    from lavadl_ref.verify import exact_integers

    with open(path, "rb") as file:
        try:
            data = np.load(file, allow_pickle=False)
        except Exception as error:  # a damaged header raises whatever its parser meets
            raise ValueError(f"{path}: expected a .npy file of integers: {str(error).splitlines()[0]}") from None
    if not isinstance(data, np.ndarray):
        raise ValueError(f"{path}: expected a .npy file of integers, found an archive of arrays")
    return exact_integers(data, 1, str(path)) if data.dtype.kind == "f" else data


@app.command(epilog="Example: lavadl-ref inspect digits.net")
def inspect(file: Annotated[Path, typer.Argument(help="The .net file.")]) -> None:
    """Show a file's layers, quantised parameters, value ranges, and the Lava process each layer becomes."""
    with _plain_errors():
        from lavadl_ref import _tables, exchange
        from lavadl_ref import audit as job

        network = exchange.read(file)
        processes, reason = job.processes(network)
        console.print(_tables.layers(str(file), network, processes))
        console.print(_tables.neurons(network))
        if reason:
            console.print(f"not available on Lava: {reason}", markup=False, soft_wrap=True)
        console.print("decays in 1/4096, thresholds in 1/64; a layer starts at the given step of a deployed run")


@app.command(epilog="Example: lavadl-ref audit digits.net --steps 100")
def audit(
    file: Annotated[Path, typer.Argument(help="The .net file.")],
    input: Annotated[
        Path | None, typer.Option(help="Input: .npy of integers, (C, H, W, T) or (N, T); random if not given.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps to run: the input's length, or 64.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random input.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show what each layer becomes, what lava-dl's netx does with it, its head-room, and its work."""
    with _plain_errors():
        from lavadl_ref.audit import audit as job
        from lavadl_ref.audit.tables import tables

        data = None if input is None else _load(input)
        with _waiting(f"running {file}"):
            found = job(file, data, steps, seed)
        if json:
            console.print_json(data=asdict(found))
            return
        for table in tables(str(file), found):
            console.print(table)
        for name, reason in (("available on Lava", found.lava), ("run", found.reference)):
            if reason:
                console.print(f"not {name}: {reason}", markup=False, soft_wrap=True)
        for beyond in found.exceeded:
            console.print(f"width: {beyond}", markup=False)


@app.command(epilog="Example: lavadl-ref doctor")
def doctor(
    run: Annotated[bool, typer.Option(help="Also run a small network on Lava.")] = True,
) -> None:
    """Show what this machine has: Python, packages, threads, whether Lava can run, and what to type if not."""
    from lavadl_ref.doctor import report

    with _waiting("looking"):
        findings = report(run_lava=run)
    table = Table(show_header=False)
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else "[red]no[/]"
        table.add_row(mark, finding.name, finding.value)
    console.print(table)
    for finding in findings:
        if finding.advice:
            console.print(f"{finding.name}: {finding.advice}", markup=False, soft_wrap=True)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(DIFFERENT)


@app.command(epilog="Example: lavadl-ref vectors out/vectors")
def vectors(
    out: Annotated[Path | None, typer.Argument(help="Folder to write them to.")] = None,
    check: Annotated[
        str | None, typer.Option(metavar="CMD", help="Compare this program, which answers over stdin and stdout.")
    ] = None,
    family: Annotated[list[str] | None, typer.Option(help="Only this neuron family; may be repeated.")] = None,
    widths: Annotated[list[str] | None, typer.Option(help="Only slayer or loihi integers.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that one answer may take.")] = 10.0,
) -> None:
    """Write golden vectors of the neuron families, or compare another implementation with them."""
    with _plain_errors():
        from lavadl_ref.testing import vectors as job

        if (out is None) == (check is None):
            raise ValueError("expected either a folder or --check CMD")
        if out is not None:
            folders = job.write(out, family or None, widths or None)
            console.print(f"wrote {len(folders)} cases below {out}", markup=False, soft_wrap=True)
            return
        assert check is not None
        with _waiting("comparing"):
            report = job.check(check, family or None, widths or None, timeout)
        console.print(str(report), markup=False, soft_wrap=True)
        if not report.exact:
            raise typer.Exit(DIFFERENT)


@app.command(epilog="Example: lavadl-ref fuzz --files 10000 --seed 0")
def fuzz(
    files: Annotated[int, typer.Option(min=1, help="Corrupted files to read.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of networks and damage.")] = 0,
    memory_mb: Annotated[float, typer.Option(help="Memory that reading a file may take, in megabytes.")] = 300.0,
    json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Read corrupted .net files in processes of their own and count what came of each kind of damage."""
    with _plain_errors():
        try:
            from lavadl_ref.testing import fuzz as job
        except ImportError as error:
            raise ValueError(str(error)) from None
        with _bar("reading") as progress:
            report = job.run(files, seed, megabytes=memory_mb, progress=progress)
        if json:
            console.print_json(data=report.as_dict())
        else:
            _show_damage(report)
        if report.failures:
            raise typer.Exit(DIFFERENT)


def _show_damage(report: Any) -> None:
    from lavadl_ref import _tables

    console.print(_tables.damage(report))
    for failure in report.failures:
        console.print(f"failure: {failure}", markup=False, soft_wrap=True)
    largest, slowest = report.largest, report.slowest
    console.print(
        f"{report.seconds:.0f} s; most memory {largest.megabytes:.0f} MB (file {largest.index}, {largest.damage}), "
        f"longest {slowest.seconds:.2f} s (file {slowest.index}, {slowest.damage})",
        soft_wrap=True,
    )
    console.print(f"{len(report.failures)} failures" if report.failures else "no failures")


def main() -> None:
    """Entry point; Ctrl-C, SIGTERM and SIGHUP end it within two seconds, and nothing is left behind."""
    from lavadl_ref import _ending

    with _ending.unwound_by_signals(to_the_end=True):
        _ending.remove_left_behind()
        try:
            app(standalone_mode=True)
        except KeyboardInterrupt:
            errors.print("interrupted")
            sys.exit(130)


if __name__ == "__main__":
    main()
