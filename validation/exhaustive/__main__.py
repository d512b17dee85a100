"""Check the arithmetic of the kernels over all states: compiled functions against formulas of their own.

python -m validation.exhaustive                         all parts, on all processors: some minutes each
python -m validation.exhaustive --part leaks            one part; may be given again
python -m validation.exhaustive --slice 3               a few blocks of each part: shows that it runs, proves nothing
python -m validation.exhaustive --page docs/exhaustive.md       all parts, and the page of them

What is done is kept in the folder of --out: the same command goes on from there after an interrupt.
The status is 0 if all is equal, 1 at a difference, which is shown, 2 if the record or the page cannot be written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lavadl_kernels.runtime.jit import PROCESSORS

from lavadl_ref.exchange import atomic
from validation.exhaustive import page
from validation.exhaustive.checks import PARTS, Checked, Part
from validation.exhaustive.record import Progress, Record
from validation.exhaustive.run import Difference, check, finish, sliced

Tell = Callable[[str], object]


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m validation.exhaustive",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="check this part; may be given again")
    parser.add_argument("--list", action="store_true", help="list the parts, and what is done of them")
    parser.add_argument("--out", type=Path, default=Path(".exhaustive"), help="the folder of the record (.exhaustive)")
    parser.add_argument("--slice", type=int, metavar="N", help="check N blocks of each part, and record nothing")
    parser.add_argument("--threads", type=int, default=PROCESSORS, help=f"blocks at a time ({PROCESSORS})")
    parser.add_argument("--page", type=Path, help="write this page, if all parts are finished")
    found = parser.parse_args(arguments)
    for name in ("slice", "threads"):
        value = getattr(found, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value}")
    if found.slice and found.page:
        parser.error("--page must be of all blocks, got --slice too")
    found.parts = [PARTS[name] for name in PARTS if found.part is None or name in found.part]
    found.record = None
    if not found.slice:
        try:
            found.record = Record(found.out)
        except (OSError, ValueError) as error:
            parser.error(f"--out must be a folder for the record, got {error}")
    return found


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    errors = Console(stderr=True)
    columns = (TextColumn(title, markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    shown = Progress(*columns, TimeRemainingColumn(), console=errors, disable=not errors.is_terminal, transient=True)
    with shown as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, blocks: progress.update(task, completed=done, total=blocks)


def _sliced(part: Part, count: int, threads: int) -> str:
    """Check some blocks of a part; a line about them."""
    numbers, compared = sliced(part, count), 0

    def done(number: int, checked: Checked) -> None:
        nonlocal compared
        compared += checked.compared

    check(part, numbers, threads, done)
    return f"{part.name}: {compared:,} results are equal in {len(numbers)} of {part.blocks} blocks"


def _finished(part: Part, record: Record, threads: int, tell: Tell) -> str:
    """Check the rest of a part; a line about all of it."""
    outdated = record.outdated(part)
    if outdated:
        tell(f"{part.name}: begins anew, for another {' and '.join(outdated)}")
    before = record.of(part)
    if before.finished:
        return f"{part.name}: already finished, on {before.finished}: {_figures(before)}"
    if before.done:
        tell(f"{part.name}: goes on, {len(before.numbers())} of {part.blocks} blocks are done")
    with _bar(part.name) as show:
        progress = finish(part, record, threads, show)
    return f"{part.name}: finished: {_figures(progress)}"


def _figures(progress: Progress) -> str:
    return f"{progress.compared:,} results are equal, {progress.seconds:.0f} s"


def _listed(part: Part, record: Record | None) -> str:
    text = f"{part.name:<12}{part.title}: {part.domain}"
    if record is None or record.outdated(part) or not record.of(part).done:
        return text
    progress = record.of(part)
    state = f"finished on {progress.finished}" if progress.finished else f"{len(progress.numbers())} blocks are done"
    return f"{text} ({part.blocks} blocks; {state})"


def _write_page(path: Path, record: Record) -> str:
    """Write the page; the reason if it cannot be, or nothing."""
    unfinished = [name for name, part in PARTS.items() if record.outdated(part) or not record.of(part).finished]
    if unfinished:
        return f"{path} is not written: {', '.join(unfinished)} must be finished"
    text = page.page({name: record.of(part) for name, part in PARTS.items()})
    try:
        atomic.write_bytes(path, text.encode())
    except OSError as error:
        return f"{path} is not written: {error.strerror}"
    return ""


def main(arguments: list[str] | None = None, tell: Tell = print) -> int:
    """Check, tell a line for each part, and write the page; the status that the command ends with."""
    wanted = parsed(arguments)
    if wanted.list:
        for part in wanted.parts:
            tell(_listed(part, wanted.record))
        return 0
    try:
        for part in wanted.parts:
            if wanted.slice:
                tell(_sliced(part, wanted.slice, wanted.threads))
            else:
                tell(_finished(part, wanted.record, wanted.threads, tell))
    except Difference as error:
        tell(f"DIFFERENT: {error}")
        return 1
    except KeyboardInterrupt:
        tell("interrupted: the same command goes on from here")
        return 130
    except OSError as error:
        tell(f"the record cannot be kept: {error}")
        return 2
    if wanted.page:
        reason = _write_page(wanted.page, wanted.record)
        tell(reason or f"wrote {wanted.page}")
        return 2 if reason else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
