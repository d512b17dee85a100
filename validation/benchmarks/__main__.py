"""Measure speed, memory and start next to lava-dl 0.6.0, Lava's runtime and other libraries; make the page of it.

python -m validation.benchmarks                                 all parts but peers and another version, as tables
python -m validation.benchmarks --only neurons --json FILE      one part, kept
python -m validation.benchmarks --out docs/benchmarks.md FILE...    nothing measured: the page of what was kept
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import lavadl_kernels
import torch

from validation.benchmarks import against, page, results
from validation.benchmarks.parts import PARTS
from validation.benchmarks.results import Part, Settings, Table, busy

Show = Callable[[str], object]


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m validation.benchmarks", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="results of earlier runs: nothing is measured")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds of each pair (3)")
    parser.add_argument("--threads", type=int, default=None, help="threads of torch and of the kernels")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, not how fast")
    parser.add_argument("--only", choices=PARTS, action="append", help="run this part; may be given again")
    parser.add_argument("--before", type=Path, help="a checkout of another version, measured next to this one")
    parser.add_argument("--json", type=Path, help="keep the results in this file, row by row")
    parser.add_argument("--out", type=Path, help="write this page and its plots, if all was measured in full")
    found = parser.parse_args(arguments)
    if found.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {found.rounds}")
    if found.threads is not None and found.threads < 1:
        parser.error(f"--threads must be at least 1, got {found.threads}")
    return found


def header(part: Part) -> str:
    """The first line of a part's table."""
    return line(part, [column.head for column in part.columns])


def line(part: Part, cells: list[str]) -> str:
    """A line of a part's table."""
    widths = [74, *(max(column.width, len(column.head)) for column in part.columns[1:])]
    return "  ".join([cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))])


def measured(part: Part, settings: Settings, table: Table, show: Show, keep: Callable[[], object]) -> str:
    """Fill and show a table, and keep it after each row; why it is not complete, or nothing."""
    show(f"\n{part.title}\n{header(part)}")
    watched = sys.stderr.isatty()
    try:
        if watched:
            print("measuring ...", end="\r", file=sys.stderr, flush=True)
        for row in part.rows(settings):
            table.rows.append(row)
            keep()
            show(line(part, part.cells(row)))
            if watched:
                print("measuring ...", end="\r", file=sys.stderr, flush=True)
    except ImportError as error:
        return f"nothing to compare with: {error}"
    finally:
        if watched:
            print(" " * 13, end="\r", file=sys.stderr, flush=True)
    starred = sum(busy(row) for row in table.rows)
    if starred:
        show(f"* {starred} of {len(table.rows)} rows were measured while other processes were at work")
    table.complete = not settings.quick
    keep()
    return ""


def run(wanted: argparse.Namespace, show: Show) -> tuple[dict[str, Table], int]:
    """Measure what is wanted; also how many parts could not run."""
    if wanted.threads is not None:
        torch.set_num_threads(wanted.threads)
    lavadl_kernels.set_num_threads(torch.get_num_threads())
    machine = page.machine()
    show(machine)
    settings = Settings(wanted.rounds, wanted.quick, torch.get_num_threads(), wanted.before)
    tables: dict[str, Table] = {}
    missing = 0

    def keep() -> None:
        if wanted.json:
            results.write(wanted.json, tables)

    for name, part in PARTS.items():
        asked = not part.optional or (part is against.PART and wanted.before is not None)
        if not (name in wanted.only if wanted.only else asked):
            continue
        table = tables[name] = Table(machine)
        reason = measured(part, settings, table, show, keep)
        if reason:
            missing += 1
            show(reason)
    return tables, missing


def main(arguments: list[str] | None = None, show: Show = print) -> int:
    """Show the tables; 0 if all was measured, 2 if a part could not run or the page could not be written."""
    wanted = parsed(arguments)
    missing = 0
    if wanted.files:
        tables = {name: table for file in wanted.files for name, table in results.read(file).items()}
        if wanted.json:
            results.write(wanted.json, tables)
    else:
        tables, missing = run(wanted, show)
    if wanted.out:
        partial = [name for name, table in tables.items() if not table.complete and not wanted.quick]
        if partial:
            show(f"{wanted.out} is not written: {', '.join(partial)} was not measured in full")
            return 2
        page.write(wanted.out, tables)
        show(f"wrote {wanted.out}")
    return 2 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
