"""The command ``lavadl-ref``."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from lavadl_ref.verify import Report

DIFFERENT, BAD_INPUT, FAILED = 1, 2, 3  #: exit statuses: a backend differs; a bad file or argument; Lava failed

app = typer.Typer(
    help="Train spiking networks, export them, run them on Lava, and prove that training, reference and Lava agree.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# text is printed as it is, without markup: names, paths and messages may hold any characters
console = Console(highlight=False, markup=False, emoji=False)
errors = Console(stderr=True, highlight=False, markup=False, emoji=False)


def _say(text: str) -> None:
    """Print lines, unbroken."""
    from lavadl_ref._text import printable

    console.print("\n".join(map(printable, text.split("\n"))), soft_wrap=True)


def _fail(text: str, status: int) -> typer.Exit:
    """Print `text` as an error; return the exception to raise for it."""
    errors.print(f"error: {text}", soft_wrap=True)
    return typer.Exit(status)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn the errors that a user can cause into one line and an exit status."""
    from lavadl_ref._text import printable

    try:
        with _plain_notes():
            yield
    except typer.Exit:  # which is a RuntimeError, and is caught as one below
        raise
    except TimeoutError as error:
        raise _fail(str(error), FAILED) from None
    except OSError as error:
        raise _fail(printable(_told(error)), BAD_INPUT) from None
    except ImportError as error:
        from lavadl_ref.cli.doctor import missing

        raise _fail(printable(missing(error)), BAD_INPUT) from None
    except MemoryError as error:
        raise _fail(printable(f"not enough memory: {error}".removesuffix(": ")), BAD_INPUT) from None
    except (ValueError, TypeError, NotImplementedError, OverflowError) as error:
        raise _fail(printable(str(error)), BAD_INPUT) from None
    except RuntimeError as error:
        raise _fail(str(error), FAILED) from None


def _told(error: OSError) -> str:
    """The message of the operating system, without its number."""
    if error.strerror is None:
        return str(error)
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return ": ".join([*names, error.strerror])


def _local(name: str) -> Path:
    """A path of this machine."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name):
        raise ValueError(f"{name} must be a local file or folder, got a URL; fetch it first")
    if not name:
        raise ValueError("the name of a file or folder must not be empty, got an empty one")
    return Path(name)


@contextmanager
def _plain_notes() -> Iterator[None]:
    """Print each warning about a file in one line, once."""
    from lavadl_ref._text import printable
    from lavadl_ref.exchange import ExponentWarning, LegacyKeyWarning

    notes = (LegacyKeyWarning, ExponentWarning)
    said: set[str] = set()
    with warnings.catch_warnings():
        for note in notes:
            warnings.simplefilter("always", note)
        usual = warnings.showwarning

        def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, notes):
                usual(message, category, *where, **more)
            elif str(message) not in said:
                said.add(str(message))
                errors.print(f"note: {printable(str(message))}", soft_wrap=True)

        warnings.showwarning = show
        yield


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on a terminal, nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn(title, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
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
    with errors.status(Text(text)):
        yield


def _show(title: str, report: Report) -> None:
    from lavadl_ref.cli import _tables

    console.print(_tables.paths(title, report))
    for divergence in report.divergences:
        _say(f"first divergence: {divergence}")
    for path, reason in report.skipped.items():
        _say(f"{path}: not compared: {reason}")
    for beyond in report.exceeded:
        _say(f"width: {beyond}")


def _speeds(report: Report) -> str:
    total = report.steps * report.samples
    rates = (f"{path} {total / max(seconds, 1e-9):,.0f}" for path, seconds in report.seconds.items())
    return "steps per second: " + ", ".join(rates)


def _version(wanted: bool) -> None:
    if wanted:
        from lavadl_ref.cli.doctor import versions

        _say(versions())
        raise typer.Exit()


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show versions and exit.")
    ] = False,
) -> None:
    pass


@app.command(
    epilog="Example: lavadl-ref demo --out digits-demo",
)
def demo(
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Folder for digits.net and digits.png.")] = "out",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training digits.")] = 30,
    samples: Annotated[int, typer.Option(min=1, max=360, help="Held-out digits to run on every backend.")] = 100,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of split, weights and order of samples.")] = 0,
    lava: Annotated[bool, typer.Option(help="Run on Lava too.")] = True,
) -> None:
    """Train a classifier of handwritten digits, export it, run it on every backend and compare all integers.

    The network is written to digits.net; digits.png shows its spikes, voltages and training loss. The exit status is 1
    where a backend differs.
    """
    with _plain_errors():
        folder = _local(out)
        import matplotlib.figure  # noqa: F401  fails before the training where it is missing

        from lavadl_ref.cli import demo as job

        with _bar("training") as progress:
            outcome = job.run(folder, epochs, samples, seed, lava, progress)
        picture = folder / "digits.png"
        job.draw(outcome, picture)
        training, deployed = outcome.training, outcome.deployed
        assert training is not None and deployed is not None
        _say(
            f"trained {epochs} epochs in {outcome.train_seconds:.1f} s: "
            f"test accuracy {outcome.test_accuracy:.2%}, training accuracy {outcome.train_accuracy:.2%}"
        )
        _show(f"as trained: {training.samples} held-out digits, {training.steps} steps each", training)
        _show(f"as deployed: the same digits as one stream of {deployed.steps} steps with resets", deployed)
        rates = ", ".join(f"{name} {value:.2%}" for name, value in outcome.deployed_accuracy.items())
        _say(f"accuracy on these digits: {rates}")
        _say(f"widths of the device: {outcome.proof}")
        _say(f"as trained, {_speeds(training)}; as deployed, {_speeds(deployed)}")
        _say(f"wrote {outcome.path} and {picture}")
        if lava and "lava" in deployed.skipped:
            _say("Lava did not run: see `lavadl-ref doctor`")
        if not outcome.exact:
            raise typer.Exit(DIFFERENT)


File = Annotated[str, typer.Argument(metavar="FILE", help="The .net file.")]
Input = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Input: a .npy file of integers, (C, H, W, T) or (N, T), one sample; random if not given."
    ),
]
Steps = Annotated[int | None, typer.Option(min=1, help="Steps to run: at most the input's, by default all, or 64.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of the random input: 0 if not given.")]
Rate = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Fraction of neurons that random input makes send at a step: 0.2 if not given."),
]
Memory = Annotated[
    float | None, typer.Option(help="Megabytes that the run may take, as estimated before it: 4000 if not given.")
]


def _input_options(
    input: str | None, steps: int | None, seed: int | None, rate: float | None, memory_mb: float | None
) -> dict[str, Any]:
    """The arguments of `verify` and `audit` for the options of the command."""
    from lavadl_ref.verify.files import read_input

    found: dict[str, Any] = {"steps": steps, "seed": seed, "rate": rate}
    if memory_mb is not None:
        found["megabytes"] = memory_mb
    return {**found, "inputs": None if input is None else read_input(_local(input))}


@app.command(epilog="Example: lavadl-ref verify digits.net --steps 100")
def verify(
    file: File,
    input: Input = None,
    steps: Steps = None,
    slayer: Annotated[bool, typer.Option(help="Compare slayer, if it has blocks for all layers of the file.")] = True,
    lava: Annotated[bool, typer.Option(help="Compare Lava.")] = True,
    reset_interval: Annotated[int | None, typer.Option(min=1, help="Steps between resets of the neurons.")] = None,
    reset_offset: Annotated[
        int | None, typer.Option(min=0, help="Phase of the resets, as Lava counts it; with --reset-interval.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that Lava may take.")] = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Run Lava's process models in this process: fast, without its runtime.")
    ] = False,
    seed: Seed = None,
    rate: Rate = None,
    memory_mb: Memory = None,
) -> None:
    """Run a file through the integer reference, Lava and slayer and compare every message and final state.

    The first difference is shown with its layer, neuron and step. The exit status is 1 where a backend differs or
    nothing could be compared.
    """
    with _plain_errors():
        from lavadl_ref import verify as job

        if reset_offset is not None and reset_interval is None:
            raise ValueError("--reset-offset needs --reset-interval, got it alone")
        path = _local(file)
        options = _input_options(input, steps, seed, rate, memory_mb)
        with _waiting(f"running {file}"):
            report = job.verify(
                path,
                slayer=slayer,
                lava=lava,
                reset_interval=reset_interval,
                reset_offset=reset_offset or 0,
                timeout=timeout,
                in_process=in_process,
                **options,
            )
        _show(f"{file}: {report.steps} steps" + (f" of {report.random}" if report.random else ""), report)
        _say(_speeds(report))
        if report.divergences:
            raise typer.Exit(DIFFERENT)
        if not report.exact:
            _say("nothing was compared")
            raise typer.Exit(DIFFERENT)


@app.command(epilog="Example: lavadl-ref inspect digits.net")
def inspect(file: File) -> None:
    """Show the layers of a file, their parameters and ranges as integers, and the Lava processes that they become."""
    with _plain_errors():
        from lavadl_ref import audit as job
        from lavadl_ref import exchange
        from lavadl_ref.cli import _tables

        network = exchange.read(_local(file))
        processes, reason = job.processes(network)
        console.print(_tables.layers(file, network, processes))
        console.print(_tables.neurons(network))
        if reason:
            _say(f"not available on Lava: {reason}")
        _say("decays in 1/4096, thresholds in 1/64; a layer starts at the given step of a deployed run")


@app.command(epilog="Example: lavadl-ref audit digits.net --steps 100")
def audit(
    file: File,
    input: Input = None,
    steps: Steps = None,
    seed: Seed = None,
    rate: Rate = None,
    memory_mb: Memory = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show for each layer its Lava processes, lava-dl's netx on it, the head-room of its integers, and its work.

    Head-room is in bits; work is messages and synaptic operations per step.
    """
    with _plain_errors():
        from lavadl_ref.audit import audit as job
        from lavadl_ref.audit.tables import tables

        path = _local(file)
        options = _input_options(input, steps, seed, rate, memory_mb)
        with _waiting(f"running {file}"):
            found = job(path, **options)
        if json:
            console.print_json(data=asdict(found))
            return
        for table in tables(file, found):
            console.print(table)
        for name, reason in (("available on Lava", found.lava), ("run", found.reference)):
            if reason:
                _say(f"not {name}: {reason}")
        for beyond in found.exceeded:
            _say(f"width: {beyond}")


OPEN = 4  #: exit status of `prove`: a bound lies beyond a width, and no input was found that leaves it


@app.command(
    epilog="Example: lavadl-ref prove digits.net --input graded 0 3 --reset-interval 32",
    context_settings={"ignore_unknown_options": True},  # the ends of a range may be negative
)
def prove(
    file: File,
    ends: Annotated[list[int] | None, typer.Argument(metavar="[LO HI]", help="Range of graded input or bias.")] = None,
    input: Annotated[
        str,
        typer.Option(
            metavar="binary | graded LO HI | bias LO HI",
            help="The inputs it is proved for: spikes, integers within a range at each step, or pictures that stay.",
        ),
    ] = "binary",
    steps: Annotated[int | None, typer.Option(min=1, help="Most steps of a run: any number if not given.")] = None,
    reset_interval: Annotated[int | None, typer.Option(min=1, help="Steps between resets of the neurons.")] = None,
    reset_offset: Annotated[int, typer.Option(min=0, help="When the first reset happens.")] = 0,
    tries: Annotated[
        int | None, typer.Option(min=0, help="Inputs to run in search of one that leaves a width: 64 if not given.")
    ] = None,
    witness: Annotated[
        str | None, typer.Option(metavar="FILE.npy", help="Where to write the first input that leaves a width.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Prove that no input makes a sum, state or message leave the width of the device, in a run of any length.

    The exit status is 0 where all is proved, 1 where an input was found that leaves a width, and 4 where a bound lies
    beyond a width and no such input was found.
    """
    with _plain_errors():
        from lavadl_ref import proof
        from lavadl_ref.cli import _tables

        path = _local(file)
        target = None if witness is None else _local(witness)
        domain = _domain(input, ends or [])
        with _bar("proving") as progress:
            found = proof.prove(
                path,
                domain,
                steps,
                reset_interval,
                reset_offset,
                proof.TRIES if tries is None else tries,
                progress,
            )
        if target is not None:
            written = proof.write_witness(target, found)
        if json:
            console.print_json(data=found.as_dict())
        else:
            console.print(_tables.proof(file, found))
            for layer in found.layers:
                for line in layer.advice:
                    _say(f"layer {layer.position}: {line}")
            _say(str(found))
            if target is not None:
                _say(f"wrote {target}" if written else f"{target} is not written: no input leaves a width")
        if found.verdict != proof.PROVED:
            raise typer.Exit(DIFFERENT if found.verdict == proof.EXCEEDED else OPEN)


def _domain(kind: str, ends: list[int]) -> Any:
    """The domain that the arguments of `prove` name."""
    from lavadl_ref.proof import Domain

    if len(ends) != (0 if kind == "binary" else 2):
        wanted = "no range" if kind == "binary" else "two integers, LO HI, behind it"
        raise ValueError(f"--input {kind} must have {wanted}, got {len(ends)}")
    return Domain(kind, *ends)


@app.command(epilog="Example: lavadl-ref doctor")
def doctor(
    run: Annotated[bool, typer.Option(help="Also run a small network on Lava.")] = True,
) -> None:
    """Check Python, packages, threads and whether Lava can run here; show what to type where something is missing.

    The exit status is 1 where something is missing.
    """
    from lavadl_ref.cli import _tables
    from lavadl_ref.cli.doctor import report

    with _waiting("checking"):
        findings = report(run_lava=run)
    console.print(_tables.findings(findings))
    for finding in findings:
        if finding.advice:
            _say(f"{finding.name}: {finding.advice}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(DIFFERENT)


@app.command(epilog="Example: lavadl-ref warm")
def warm(
    only: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Only jobs whose names begin so; may be repeated.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes to compile in: one a processor, at most 8, if not given.")
    ] = None,
    into: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Compile for a wheel: to FOLDER, and for levels of processors.")
    ] = None,
    level: Annotated[
        list[str] | None,
        typer.Option(help="Only this level, with --into; may be repeated. All that this processor has if not given."),
    ] = None,
) -> None:
    """Compile the kernels of common uses, so that no program has to wait for them.

    Kernels that are compiled already are loaded, which takes seconds. The exit status is 3 where a job fails.
    """
    with _plain_errors():
        from lavadl_kernels.runtime import processor

        from lavadl_ref.cli import warm as job

        if into is None and level:
            raise ValueError("--level needs --into FOLDER, got none")
        if into is None:
            with _bar("compiling kernels") as progress:
                _show_warm(job.run(only or (), jobs, progress))
            return
        levels = level or [name for name in processor.LEVELS if processor.is_of(name)]
        if not levels:
            raise ValueError(f"this processor must be of a level, {' or '.join(processor.LEVELS)}, got one of none")
        for name in levels:
            with _bar(f"compiling kernels for {name}") as progress:
                _show_warm(job.build(_local(into), name, only or (), jobs, progress))


def _show_warm(outcome: Any) -> None:
    for note in outcome.notes:
        errors.print(f"note: {note}", soft_wrap=True)
    compiled = f"compiled {outcome.kernels} kernels" if outcome.kernels else "all kernels were there"
    kept = f"{outcome.files} files, {outcome.size / 1e6:.1f} MB, in {outcome.folder}" if outcome.folder else "not kept"
    _say(f"{compiled}, in {outcome.seconds:.0f} s: {kept}")
    if outcome.failures:
        raise _fail("\n".join(outcome.failures), FAILED)


@app.command(epilog="Example: lavadl-ref vectors out/vectors")
def vectors(
    out: Annotated[str | None, typer.Argument(metavar="[FOLDER]", help="Folder to write them to.")] = None,
    check: Annotated[
        str | None, typer.Option(metavar="CMD", help="Compare this program, which answers on its standard output.")
    ] = None,
    family: Annotated[list[str] | None, typer.Option(help="Only this neuron family; may be repeated.")] = None,
    widths: Annotated[list[str] | None, typer.Option(help="Only slayer or loihi integers.")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds that one answer to --check may take: 10 if not given.")
    ] = None,
) -> None:
    """Write golden vectors of the neuron families, or compare another implementation with them.

    docs/porting.md describes the files and the dialogue with the program.
    """
    with _plain_errors():
        from lavadl_ref.testing import vectors as job

        if (out is None) == (check is None):
            raise ValueError("vectors needs either a folder or --check CMD, got " + ("both" if out else "neither"))
        if out is not None:
            if timeout is not None:
                raise ValueError("--timeout needs --check, got a folder")
            folders = job.write(_local(out), family or None, widths or None)
            _say(f"wrote {len(folders)} cases below {out}")
            return
        assert check is not None
        with _waiting("comparing"):
            limit = {} if timeout is None else {"timeout": timeout}
            report = job.check(check, family or None, widths or None, **limit)
        _say(str(report))
        if not report.exact:
            raise typer.Exit(DIFFERENT)


@app.command("export-c", epilog="Example: lavadl-ref export-c digits.net out/digits --name digits")
def export_c(
    file: File,
    out: Annotated[str | None, typer.Argument(metavar="[FOLDER]", help="Folder to write the C files to.")] = None,
    sizes: Annotated[bool, typer.Option("--sizes", help="Write nothing, show only what it takes.")] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of the files, and prefix of the functions: network if not given.")
    ] = None,
    reset_interval: Annotated[int | None, typer.Option(min=1, help="Steps between resets of the neurons.")] = None,
    reset_offset: Annotated[
        int | None, typer.Option(min=0, help="Phase of the resets, as Lava counts it; with --reset-interval.")
    ] = None,
    time_base: Annotated[str | None, typer.Option(help="When biases begin to act: slayer or lava.")] = None,
    spike_exp: Annotated[int | None, typer.Option(help="Scale of sigma-delta messages, 2**(6 + it): 6.")] = None,
    input_shape: Annotated[
        str | None, typer.Option(metavar="C,H,W", help="Shape of the input, where the file leaves it open.")
    ] = None,
    input_bias: Annotated[
        bool, typer.Option("--input-bias", help="Let a constant drive the input layer: a function NAME_bias sets it.")
    ] = False,
) -> None:
    """Write a file as portable C that gives the same integers, and show the flash, RAM and work that it takes.

    docs/microcontroller.md describes the files. Flash and RAM are bytes, work is that of a step in which all send.
    """
    with _plain_errors():
        from lavadl_ref import port as job
        from lavadl_ref.cli import _tables

        if sizes == (out is not None):
            raise ValueError("export-c needs either a folder or --sizes, got " + ("both" if sizes else "neither"))
        if reset_offset is not None and reset_interval is None:
            raise ValueError("--reset-offset needs --reset-interval, got it alone")
        given = {"reset_offset": reset_offset, "time_base": time_base, "spike_exp": spike_exp}
        options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        options.update(reset_interval=reset_interval, input_bias=input_bias)
        if input_shape is not None:
            options["input_shape"] = _shape(input_shape)
        path = _local(file)
        if out is None:
            if name is not None:
                raise ValueError("--name needs a folder, got --sizes")
            found = job.sizes(path, **options)
        else:
            found = job.export(path, _local(out), name=name or "network", **options)
        console.print(_tables.sizes(file, found))
        if out is not None:
            _say(f"wrote {name or 'network'}.h, {name or 'network'}.c, main.c and Makefile to {out}")


def _shape(text: str) -> list[int]:
    """The numbers of an option such as 2,34,34."""
    if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9}){0,2}", text):
        raise ValueError(f"--input-shape must be C,H,W or N, got {text}")
    return [int(extent) for extent in text.split(",")]


@app.command(epilog="Example: lavadl-ref fuzz --files 10000 --seed 0")
def fuzz(
    files: Annotated[
        int | None, typer.Option(min=1, help="Corrupted files to read: 10,000, or all of --words.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of networks and damage.")] = 0,
    words: Annotated[
        bool,
        typer.Option("--words", help="Replace every 8-byte word of a file of each family by each of nine numbers."),
    ] = False,
    damage: Annotated[list[str] | None, typer.Option(help="Only this kind of damage; may be repeated.")] = None,
    memory_mb: Annotated[float, typer.Option(help="Memory that reading a file may take, in megabytes.")] = 300.0,
    seconds: Annotated[float, typer.Option(help="Seconds of processor time that reading a file may take.")] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Read corrupted .net files in processes of their own and count the outcomes of each kind of damage.

    The exit status is 1 where the reader fails: it must refuse a file in one line, or return the network written.
    """
    with _plain_errors():
        from lavadl_ref.testing import fuzz as job

        with _bar("reading") as progress:
            report = job.run(
                files,
                seed,
                words=words,
                damages=damage,
                megabytes=memory_mb,
                seconds=seconds,
                progress=progress,
            )
        if json:
            console.print_json(data=report.as_dict())
        else:
            _show_damage(report)
        if report.failures:
            raise typer.Exit(DIFFERENT)


def _show_damage(report: Any) -> None:
    from lavadl_ref.cli import _tables

    console.print(_tables.damage(report))
    for failure in report.failures:
        _say(f"failure: {failure}")
    largest, slowest = report.largest, report.slowest
    _say(
        f"{report.seconds:.0f} s; most memory {largest.megabytes:.0f} MB (file {largest.index}, {largest.damage}), "
        f"longest {slowest.seconds:.2f} s (file {slowest.index}, {slowest.damage})"
    )
    _say(f"{len(report.failures)} failures" if report.failures else "no failures")


def main() -> None:
    """Run the command; Ctrl-C, SIGTERM and SIGHUP end it within two seconds, and it leaves nothing behind."""
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
