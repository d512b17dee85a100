"""The command ``lavadl-ref``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


def _paths_table(title: str, report: Report) -> Table:
    paths = sorted({path for result in report.layers for path in result.paths}, reverse=True)
    table = Table(title=title, title_justify="left")
    for column in ("layer", "type", "neurons", "spikes", *(f"{path} = reference" for path in paths)):
        table.add_column(column, justify="right" if column in ("layer", "neurons", "spikes") else "left")
    for result in report.layers:
        cells = [str(result.position), result.layer.kind, "x".join(map(str, result.layer.shape)), f"{result.spikes:,}"]
        for path in paths:
            comparison = result.paths.get(path)
            cells.append("-" if comparison is None else f"{comparison} ({comparison.compared:,} integers)")
        table.add_row(*cells)
    return table


def _show(title: str, report: Report) -> None:
    console.print(_paths_table(title, report))
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
    reset_interval: Annotated[int | None, typer.Option(min=1, help="Steps between resets of u and v.")] = None,
    reset_offset: Annotated[int, typer.Option(min=0, help="Phase of the resets, as Lava counts.")] = 0,
    timeout: Annotated[float | None, typer.Option(help="Seconds that Lava may take.")] = None,
) -> None:
    """Run a file through the integer reference, Lava and slayer and compare every spike and final state."""
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


def _range(values: Any) -> str:
    import numpy as np

    if values is None or np.size(values) == 0:
        return "-"
    low, high = int(np.min(values)), int(np.max(values))
    return str(low) if low == high else f"{low}..{high}"


def _ranges(layer: Any, **units: str) -> str:
    """The ranges of those arrays of `layer` that are there, each with what follows it."""
    found = {name: getattr(layer, name, None) for name in units}
    return ", ".join(_range(value) + units[name] for name, value in found.items() if value is not None) or "-"


@app.command(epilog="Example: lavadl-ref inspect digits.net")
def inspect(file: Annotated[Path, typer.Argument(help="The .net file.")]) -> None:
    """Show a file's layers, quantised parameters, value ranges, and the Lava process each layer becomes."""
    with _plain_errors():
        from lavadl_ref import exchange

        network = exchange.read(file)
        processes, reason = _processes(network)
        table = Table(title=str(file), title_justify="left")
        for column in ("layer", "type", "shape", "weights (1/64)", "bias (1/64)", "delay", "starts", "on Lava"):
            table.add_column(column)
        for position, (layer, start) in enumerate(zip(network.layers, network.start_steps, strict=True)):
            table.add_row(
                str(position),
                layer.kind,
                "x".join(map(str, layer.shape)),
                _ranges(layer, weight="", weight_imag="i", weight_rec=" back", weight_rec_imag="i back"),
                _ranges(layer, bias="", bias_imag="i", input_bias=" to input"),
                _range(layer.delay),
                str(start),
                processes[position],
            )
        console.print(table)
        neurons = Table(title="neurons: integers of the file", title_justify="left")
        for column in ("layer", "family", "parameters"):
            neurons.add_column(column)
        for position, layer in enumerate(network.layers):
            if layer.neuron is not None:
                neurons.add_row(str(position), layer.neuron.type, _parameters(layer.neuron))
        console.print(neurons)
        if reason:
            console.print(f"not available on Lava: {reason}", markup=False, soft_wrap=True)
        console.print("decays in 1/4096, thresholds in 1/64; a layer starts at the given step of a deployed run")


def _parameters(neuron: Any) -> str:
    """The parameters that are not their family's defaults."""
    from lavadl_ref.exchange import FAMILIES

    usual = {field.name: field.default for field in FAMILIES[neuron.type].fields if not field.required}
    parts = []
    for name, value in neuron.parameters.items():
        whole = isinstance(value, (bool, str, int)) or value is None
        if name in usual and (value is None or (whole and value == usual[name])):
            continue
        unit = {"threshold": 64, "threshold_step": 64}.get(name, 4096 if name.endswith("_decay") else None)
        text = str(value) if isinstance(value, (bool, str)) or value is None else _range(value)
        if unit and ".." not in text:
            text += f" ({int(text) / unit:.4g})"
        parts.append(f"{name} {text}")
    return ", ".join(parts)


def _processes(network: Any) -> tuple[dict[int, str], str]:
    """What each layer becomes on Lava, and why the network cannot go there."""
    from lavadl_ref.exchange import Kernel
    from lavadl_ref.netx.plan import Options, plan
    from lavadl_ref.verify import input_shape

    names = dict.fromkeys(range(len(network.layers)), "-")
    first = network.layers[0]
    shape = input_shape(network)[::-1] if isinstance(first, Kernel) else None
    try:
        names.update({p.position: p.processes for p in plan(network, Options(input_shape=shape))})
    except (NotImplementedError, ValueError) as error:
        return names, str(error)
    return names, ""


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


def main() -> None:
    """Entry point; Ctrl-C and SIGTERM unwind, so that nothing is left behind."""

    def end(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        app(standalone_mode=True)
    except KeyboardInterrupt:
        errors.print("interrupted")
        sys.exit(130)


if __name__ == "__main__":
    main()
