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
NOTHING_COMPARED = 5  #: exit status of `verify` where neither Lava nor slayer could be compared

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
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of the split, the weights and the order of samples.")
    ] = 0,
    lava: Annotated[bool, typer.Option(help="Also run on Lava.")] = True,
) -> None:
    """Train a classifier of handwritten digits, export it, run it on every backend and compare all integers.

    The network is written to digits.net; digits.png shows its spikes, voltages and training loss. The exit status is 1
    if a backend differs.
    """
    with _plain_errors():
        folder = _local(out)
        from lavadl_ref import _extras

        _extras.require("demo", "the demo")
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
Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="The .net file, or several.")]
Jobs = Annotated[int, typer.Option(min=1, help="Files to work on at a time, each in a process of its own.")]
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


def _each(command: str, given: dict[str, Any], files: list[str], behind: list[int] | None = None) -> None:
    """Run a command on each of several files; its exit status is the most severe of theirs.

    Parameters
    ----------
    command : str
        Name of its function.
    given : dict
        All its arguments.
    files : list of str
        More than one.
    behind : list of int, optional
        Arguments that follow each file.
    """
    from contextlib import closing

    from lavadl_ref.cli import _many

    options = {name: value for name, value in given.items() if name not in ("file", "jobs")}
    as_json = options["json"]
    # what the command prints looks as if it had printed it here
    screen = {
        "width": console.width,
        "force_terminal": console.is_terminal and not as_json,
        "color_system": None if as_json else console.color_system,
    }
    ran = _many.run(
        _many.Command(command, [str(end) for end in behind or []], options, screen),
        files,
        given["jobs"],
        lambda: _bar(f"{command}, {len(files)} files"),
    )
    outcomes = []
    with closing(ran):
        for outcome in ran:
            outcomes.append(outcome)
            if not as_json:
                console.file.write(outcome.out)
                console.file.flush()
            for line in outcome.problems:
                errors.print(line, soft_wrap=True)
    if as_json:
        console.print_json(data=[outcome.as_dict() for outcome in outcomes])
    raise typer.Exit(_many.most_severe([outcome.status for outcome in outcomes]))


@app.command(epilog="Example: lavadl-ref verify digits.net --steps 100")
def verify(
    file: Files,
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
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, of several files as a list.")] = False,
    jobs: Jobs = 1,
) -> None:
    """Run a file through the integer reference, Lava and slayer and compare every message and final state.

    The first difference is shown with its layer, neuron and step. The exit status is 1 if a backend differs, and 5 if
    nothing could be compared, for example without PyTorch and Lava. For several files it is the most severe.
    """
    given = dict(locals())
    with _plain_errors():
        from lavadl_ref import verify as job

        if reset_offset is not None and reset_interval is None:
            raise ValueError("--reset-offset needs --reset-interval, got it alone")
        if len(file) > 1:
            _input_options(input, steps, seed, rate, memory_mb)  # a bad one is told once
            _each("verify", given, file)
        name = file[0]
        path = _local(name)
        options = _input_options(input, steps, seed, rate, memory_mb)
        with _waiting(f"running {name}"):
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
        if json:
            console.print_json(data=report.as_dict())
        else:
            _show(f"{name}: {report.steps} steps" + (f" of {report.random}" if report.random else ""), report)
            _say(_speeds(report))
        if report.divergences:
            raise typer.Exit(DIFFERENT)
        if not report.exact:
            if not json:
                _say("nothing was compared")
            raise typer.Exit(NOTHING_COMPARED)


@app.command(epilog="Example: lavadl-ref inspect digits.net")
def inspect(file: File) -> None:
    """Show the layers of a file, their parameters and ranges as integers, and their Lava processes."""
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
        _say(
            "decays in units of 1/4096, thresholds in units of 1/64; a layer starts at the step given in a deployed run"
        )


@app.command(epilog="Example: lavadl-ref audit digits.net --steps 100")
def audit(
    file: Files,
    input: Input = None,
    steps: Steps = None,
    seed: Seed = None,
    rate: Rate = None,
    memory_mb: Memory = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, of several files as a list.")] = False,
    jobs: Jobs = 1,
) -> None:
    """Show, layer by layer, the Lava processes, the treatment by lava-dl's netx, head-room and work.

    Head-room is given in bits, work as messages and synaptic operations per step.
    """
    given = dict(locals())
    with _plain_errors():
        from lavadl_ref.audit import audit as job
        from lavadl_ref.audit.tables import tables

        if len(file) > 1:
            _input_options(input, steps, seed, rate, memory_mb)  # a bad one is told once
            _each("audit", given, file)
        name = file[0]
        path = _local(name)
        options = _input_options(input, steps, seed, rate, memory_mb)
        with _waiting(f"running {name}"):
            found = job(path, **options)
        if json:
            console.print_json(data=asdict(found))
            return
        for table in tables(name, found):
            console.print(table)
        for what, reason in (("available on Lava", found.lava), ("run", found.reference)):
            if reason:
                _say(f"not {what}: {reason}")
        for beyond in found.exceeded:
            _say(f"width: {beyond}")


OPEN = 4  #: exit status of `prove`: a bound lies beyond a width, and no input was found that leaves it


@app.command(
    epilog="Example: lavadl-ref prove digits.net --input graded 0 3 --reset-interval 32",
    context_settings={"ignore_unknown_options": True},  # the ends of a range may be negative
)
def prove(
    file: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE... [LO HI]", help="The .net file, or several; then the range of graded input or bias."
        ),
    ],
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
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, of several files as a list.")] = False,
    jobs: Jobs = 1,
) -> None:
    """Prove that no input makes a sum, state or message exceed the width of the device, in a run of any length.

    The exit status is 0 if everything is proved, 1 if an input was found that exceeds a width, and 4 if a bound lies
    beyond a width but no such input was found. For several files it is the most severe.
    """
    given = dict(locals())
    with _plain_errors():
        from lavadl_ref import proof
        from lavadl_ref.cli import _tables

        files, ends = _files_and_ends(file)
        target = None if witness is None else _local(witness)
        domain = _domain(input, ends)
        if len(files) > 1:
            if target is not None:
                raise ValueError(f"--witness needs one FILE, got {len(files)}")
            _each("prove", given, files, ends)
        name = files[0]
        path = _local(name)
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
            console.print(_tables.proof(name, found))
            for layer in found.layers:
                for line in layer.advice:
                    _say(f"layer {layer.position}: {line}")
            _say(str(found))
            if target is not None:
                _say(f"wrote {target}" if written else f"{target} was not written: no input exceeds a width")
        if found.verdict != proof.PROVED:
            raise typer.Exit(DIFFERENT if found.verdict == proof.EXCEEDED else OPEN)


def _files_and_ends(words: list[str]) -> tuple[list[str], list[int]]:
    """The files that `prove` is given, and the integers behind them; the first word is a file whatever it is."""
    count = len(words)
    while count > 1 and re.fullmatch(r"-?[0-9]+", words[count - 1]):
        count -= 1
    for word in words[:count]:
        if word.startswith("-"):  # integers may be negative, so that click takes whatever begins so
            raise ValueError(f"FILE must not begin with -, and no option is called so, got {word}")
    return words[:count], [int(word) for word in words[count:]]


def _domain(kind: str, ends: list[int], option: str = "--input") -> Any:
    """The domain that the arguments of `prove` and `certify` name."""
    from lavadl_ref.proof import Domain

    if len(ends) != (0 if kind == "binary" else 2):
        wanted = "no range" if kind == "binary" else "two integers, LO HI, after it"
        raise ValueError(f"{option} {kind} must have {wanted}, got {len(ends)}")
    return Domain(kind, *ends)


@app.command(
    epilog="Example: lavadl-ref certify digits.net -o report.html -o report.json; then --check report.json digits.net",
    context_settings={"ignore_unknown_options": True},  # the ends of a range may be negative
)
def certify(
    file: File,
    ends: Annotated[list[int] | None, typer.Argument(metavar="[LO HI]", help="Range of graded input or bias.")] = None,
    out: Annotated[
        list[str] | None,
        typer.Option("-o", "--out", metavar="FILE", help="Write the page to this .html, or the JSON to this .json."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, which --check reads.")] = False,
    check: Annotated[
        str | None,
        typer.Option(metavar="FILE.json", help="Repeat and compare what this certificate claims about the file."),
    ] = None,
    input: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE.npy", help="Also compare on this input, in the form that verify takes; may be repeated."
        ),
    ] = None,
    steps: Steps = None,
    seed: Annotated[
        list[int] | None, typer.Option(min=0, help="Seed of a random input; may be repeated. Default: 0.")
    ] = None,
    reset_interval: Annotated[int | None, typer.Option(min=1, help="Steps between resets of the neurons.")] = None,
    reset_offset: Annotated[
        int | None, typer.Option(min=0, help="Phase of the resets, as Lava counts it; with --reset-interval.")
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(
            metavar="binary | graded LO HI | bias LO HI",
            help="Inputs that the proof covers, see prove. Default: all values that random input may have.",
        ),
    ] = None,
    proof_steps: Annotated[
        int | None, typer.Option(min=1, help="Maximum steps of a run that the proof covers. Default: no limit.")
    ] = None,
    tries: Annotated[
        int | None, typer.Option(min=0, help="Inputs to run in search of one that leaves a width: 64 if not given.")
    ] = None,
    slayer: Annotated[bool, typer.Option(help="Compare slayer, if it has blocks for all layers of the file.")] = True,
    lava: Annotated[bool, typer.Option(help="Compare Lava.")] = True,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Run Lava's process models in this process: fast, without its runtime.")
    ] = False,
    memory_mb: Memory = None,
) -> None:
    """Write a page that states what was compared, proved and measured about a file, and what was not; or check one.

    The exit status is 1 if a backend differs or nothing was compared; with --check, if a claim does not hold.
    """
    with _plain_errors():
        from lavadl_ref import certify as job
        from lavadl_ref.exchange import atomic
        from lavadl_ref.verify.files import read_input

        path = _local(file)
        more: dict[str, Any] = {} if memory_mb is None else {"megabytes": memory_mb}
        given = {Path(name).name: name for name in input or []}
        if len(given) != len(input or []):
            raise ValueError(f"--input must have files of different names, got {', '.join(input or [])}")
        inputs = {name: read_input(_local(place)) for name, place in given.items()}
        if check is not None:
            fixed = {
                "-o": out or None,
                "--json": json or None,
                "--steps": steps,
                "--seed": seed or None,
                "--reset-interval": reset_interval,
                "--reset-offset": reset_offset,
                "--domain": domain,
                "--proof-steps": proof_steps,
                "--tries": tries,
                "--in-process": in_process or None,
            }
            if set_to := [name for name, value in fixed.items() if value is not None]:
                raise ValueError(f"--check takes all settings from the certificate, got {', '.join(set_to)} too")
            with _bar("checking") as progress:
                checked = job.check(_local(check), path, inputs, slayer=slayer, lava=lava, progress=progress, **more)
            _say(str(checked))
            if not checked.holds:
                raise typer.Exit(DIFFERENT)
            return
        places = [_certificate_place(name) for name in out or []]
        if not places and not json:
            raise ValueError("certify must have -o FILE, --json or --check FILE.json, got none of them")
        if reset_offset is not None and reset_interval is None:
            raise ValueError("--reset-offset needs --reset-interval, got it alone")
        if domain is None and ends:
            raise ValueError("a range of the proof needs --domain graded or --domain bias, got it alone")
        if domain is not None:
            more["domain"] = _domain(domain, ends or [], "--domain")
        if tries is not None:
            more["tries"] = tries
        with _bar("certifying") as progress:
            found = job.certify(
                path,
                inputs,
                steps,
                seed or (0,),
                slayer=slayer,
                lava=lava,
                in_process=in_process,
                reset_interval=reset_interval,
                reset_offset=reset_offset or 0,
                proof_steps=proof_steps,
                progress=progress,
                **more,
            )
        for place in places:
            atomic.write_bytes(place, (found.json() if place.suffix == ".json" else found.html()).encode())
        if json:
            console.print_json(data=found.content)
        else:
            _say(str(found))
            _say(f"wrote {' and '.join(map(str, places))}")
        if not found.exact:
            raise typer.Exit(DIFFERENT)


def _certificate_place(name: str) -> Path:
    """The place of a certificate, if one can be written there: looked at before a run that may take long."""
    from lavadl_ref import _files

    place = _local(name)
    if place.suffix not in (".html", ".json"):
        raise ValueError(f"-o must be a file whose name ends in .html or .json, got {name}")
    _files.folder(place.parent, f"room for {place.name}")
    return place


@app.command(epilog="Example: lavadl-ref doctor")
def doctor(
    run: Annotated[bool, typer.Option(help="Also run a small network on Lava.")] = True,
) -> None:
    """Check Python, packages, threads and Lava on this machine, and show what to type if something is missing.

    The exit status is 1 if something required is missing or does not work. Optional parts are listed with the command
    that installs them.
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
        list[str] | None,
        typer.Option(metavar="TEXT", help="Run only jobs whose names begin with TEXT; may be repeated."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of processes that compile. Default: one per processor, at most 8.")
    ] = None,
    into: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Compile for a wheel: write to FOLDER, for each level of processors."),
    ] = None,
    level: Annotated[
        list[str] | None,
        typer.Option(help="With --into: only this level; may be repeated. Default: all levels of this processor."),
    ] = None,
) -> None:
    """Compile the kernels of common uses in advance, so that no program has to wait for them.

    Kernels that are already compiled are loaded, which takes seconds. The exit status is 3 if a job fails.
    """
    with _plain_errors():
        from lavadl_kernels.runtime import processor

        from lavadl_ref import _extras
        from lavadl_ref.cli import warm as job

        _extras.require("train", "warm, which trains small networks,")

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
    compiled = f"compiled {outcome.kernels} kernels" if outcome.kernels else "all kernels were compiled already"
    kept = f"{outcome.files} files, {outcome.size / 1e6:.1f} MB, in {outcome.folder}" if outcome.folder else "not kept"
    _say(f"{compiled}, in {outcome.seconds:.0f} s: {kept}")
    if outcome.failures:
        raise _fail("\n".join(outcome.failures), FAILED)


@app.command(epilog="Example: lavadl-ref vectors out/vectors")
def vectors(
    out: Annotated[
        str | None, typer.Argument(metavar="[FOLDER]", help="Folder to write the golden vectors to.")
    ] = None,
    check: Annotated[
        str | None,
        typer.Option(metavar="CMD", help="Run this program and compare its answers, read from its standard output."),
    ] = None,
    family: Annotated[list[str] | None, typer.Option(help="Only this neuron family; may be repeated.")] = None,
    widths: Annotated[list[str] | None, typer.Option(help="Only slayer or loihi integers.")] = None,
    level: Annotated[
        list[int] | None, typer.Option(help="1: neurons, 2: layers, 3: networks; may be repeated. Default: 1.")
    ] = None,
    suite: Annotated[
        int | None, typer.Option(help="Version of the suite; the integers of a version never change. Default: 1.")
    ] = None,
    text: Annotated[
        bool, typer.Option("--text", help="Talk to the program of --check in plain text instead of JSON.")
    ] = False,
    net: Annotated[
        str | None, typer.Option(metavar="FILE.net", help="Write a single case, of this network with --input.")
    ] = None,
    input: Annotated[
        str | None, typer.Option(metavar="FILE.npy", help="Input for --net: integers of shape (C, H, W, T) or (N, T).")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds that one answer may take, with --check. Default: 10.")
    ] = None,
) -> None:
    """Write golden vectors of neurons, layers and networks, or compare another implementation with them.

    docs/porting.md and docs/rtl.md describe the files and the dialogue with the program.
    """
    with _plain_errors():
        from lavadl_ref.testing import vectors as job

        if (out is None) == (check is None):
            raise ValueError("vectors needs either a folder or --check CMD, got " + ("both" if out else "neither"))
        levels, version = level or 1, job.SUITE if suite is None else suite
        if out is not None:
            if timeout is not None:
                raise ValueError("--timeout needs --check, got a folder")
            if text:
                raise ValueError("--text needs --check, got a folder, whose cases always contain text")
            if net is not None or input is not None:
                _own_case(out, net, input, family, level, widths)
                return
            folders = job.write(_local(out), family or None, widths or None, levels=levels, version=version)
            _say(f"wrote {len(folders)} cases below {out}")
            return
        assert check is not None
        if net is not None or input is not None:
            raise ValueError("--net and --input need a folder, got --check")
        with _waiting("comparing"):
            limit = {} if timeout is None else {"timeout": timeout}
            report = job.check(
                check, family or None, widths or None, levels=levels, version=version, text=text, **limit
            )
        _say(str(report))
        if not report.exact:
            raise typer.Exit(DIFFERENT)


def _own_case(
    out: str, net: str | None, input: str | None, family: list[str] | None, level: list[int] | None, widths: Any
) -> None:
    """Write a case of a network that a file holds."""
    from lavadl_ref.testing import vectors as job
    from lavadl_ref.verify.files import read_input

    if net is None or input is None:
        raise ValueError(f"--net and --input must be given together, got {'--input' if net is None else '--net'} alone")
    if family or level:
        raise ValueError("--family and --level must be left out with --net, which is a case of its own")
    job.write_network(_local(out), _local(net), read_input(_local(input)), widths or "loihi")
    _say(f"wrote a case of {net} to {out}")


@app.command("export-c", epilog="Example: lavadl-ref export-c digits.net out/digits --name digits")
def export_c(
    file: File,
    out: Annotated[str | None, typer.Argument(metavar="[FOLDER]", help="Folder to write the C files to.")] = None,
    sizes: Annotated[bool, typer.Option("--sizes", help="Only show the sizes; write nothing.")] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of the files and prefix of the functions. Default: network.")
    ] = None,
    reset_interval: Annotated[int | None, typer.Option(min=1, help="Steps between resets of the neurons.")] = None,
    reset_offset: Annotated[
        int | None, typer.Option(min=0, help="Phase of the resets, as Lava counts it; with --reset-interval.")
    ] = None,
    time_base: Annotated[
        str | None, typer.Option(help="When biases start to act: slayer (with the data) or lava (at step 0).")
    ] = None,
    spike_exp: Annotated[
        int | None, typer.Option(help="Exponent of the scale of sigma-delta messages, 2**(6 + exponent). Default: 6.")
    ] = None,
    input_shape: Annotated[
        str | None, typer.Option(metavar="C,H,W", help="Shape of the input, if the file does not determine it.")
    ] = None,
    input_bias: Annotated[
        bool, typer.Option("--input-bias", help="Drive the input layer with a constant, set by a function NAME_bias.")
    ] = False,
) -> None:
    """Write a file as portable C that gives the same integers, and show the flash, RAM and operations that it needs.

    docs/microcontroller.md describes the files. Flash and RAM are in bytes; operations are those of a step in which
    every neuron sends.
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


@app.command(epilog="Example: lavadl-ref nir digits.net digits.nir")
def nir(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A .net or a .nir file.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="The .nir or .net file to write.")],
    dt: Annotated[float | None, typer.Option(help="Seconds per step. Default: 1e-4, or that of the source.")] = None,
    opaque: Annotated[
        bool, typer.Option("--opaque", help="Write what NIR cannot express as nodes that only this command reads.")
    ] = False,
    input_shape: Annotated[
        str | None, typer.Option(metavar="C,H,W", help="Shape of the input, if the .net file does not determine it.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="Framework that wrote the .nir file: nir, spikingjelly, snntorch or norse."),
    ] = None,
    reset: Annotated[
        str | None, typer.Option(help="What its neurons do at a spike, if the file does not say: zero.")
    ] = None,
    requantise: Annotated[
        bool, typer.Option("--requantise", help="Import a .nir file that this command wrote and that was edited since.")
    ] = False,
) -> None:
    """Convert a .net file to a NIR graph, or a graph to a .net file, and show what was rounded.

    docs/nir.md describes the mapping. Spikes are compared on random input: the parameters are the same, but a graph
    does not round as a file does.
    """
    with _plain_errors():
        from lavadl_ref import exchange
        from lavadl_ref import nir as job

        path, target = _local(file), _local(out)
        imports = job.holds_graph(path)
        wrong = [
            name for name, given in (("--opaque", opaque), ("--input-shape", input_shape)) if given and imports
        ] + [
            name
            for name, given in (("--from", source), ("--reset", reset), ("--requantise", requantise))
            if given and not imports
        ]
        if wrong:
            raise ValueError(f"{wrong[0]} must be left out for a {'.nir' if imports else '.net'} file, got {file}")
        ending = ".net" if imports else ".nir"
        if target.suffix != ending:
            raise ValueError(f"OUT must end in {ending}, as FILE is a {'graph' if imports else '.net file'}, got {out}")
        if imports:
            found = job.read(path, source=source, dt=dt, reset=reset, requantise=requantise)
            exchange.write(target, found.network)
            _say(str(found.report))
        else:
            options: dict[str, Any] = {"dt": job.DT if dt is None else dt}
            if input_shape is not None:
                options["input_shape"] = tuple(_shape(input_shape))
            job.write(target, path, opaque=opaque, **options)
            measured = None if opaque else job.difference(path, **options)
            _say("same parameters, different spikes: the graph does not round as the file does")
            _say(str(measured) if measured else "its spikes were not compared")
        _say(f"wrote {out}")


@app.command(epilog="Example: lavadl-ref fuzz --files 10000 --seed 0")
def fuzz(
    files: Annotated[
        int | None, typer.Option(min=1, help="Number of corrupted files to read. Default: 10,000, or all with --words.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the networks and the damage.")] = 0,
    words: Annotated[
        bool,
        typer.Option("--words", help="Replace every 8-byte word of a file of each family with each of nine numbers."),
    ] = False,
    nir: Annotated[bool, typer.Option("--nir", help="Corrupt .nir files instead of .net files.")] = False,
    damage: Annotated[list[str] | None, typer.Option(help="Only this kind of damage; may be repeated.")] = None,
    memory_mb: Annotated[float, typer.Option(help="Megabytes that reading a file may take.")] = 300.0,
    seconds: Annotated[float, typer.Option(help="Seconds of processor time that reading a file may take.")] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Read corrupted .net or .nir files in separate processes and count the outcomes of each kind of damage.

    The reader must refuse a file with a one-line error, or return the network that was written. The exit status is 1
    if it does neither. A .nir file without the integers of this package may also be read as another legal network.
    """
    with _plain_errors():
        from lavadl_ref.testing import fuzz as job

        with _bar("reading") as progress:
            report = job.run(
                files,
                seed,
                words=words,
                graphs=nir,
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
