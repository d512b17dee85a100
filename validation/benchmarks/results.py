"""Tables of measurements: rows of numbers, kept as JSON, shown as text or Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from validation.benchmarks import measure
from validation.benchmarks.measure import Ratio, Rounds

Row = dict[str, Any]  #: key of a column: number, text or None


@dataclass(frozen=True)
class Settings:
    """Settings of a measurement."""

    rounds: int = 3
    quick: bool = False  #: tiny sizes
    threads: int = 1  #: of torch and of the kernels
    before: Path | None = None  #: a checkout of another version


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    key: str
    head: str
    form: str = "{:.2f}"  #: of its numbers
    width: int = 10  #: at the least, on a terminal


@dataclass(frozen=True)
class Part:
    """A topic: a table and how to fill it."""

    name: str
    title: str
    about: str  #: for the page
    columns: tuple[Column, ...]
    rows: Callable[[Settings], Iterator[Row]]
    optional: bool = False  #: whether it is measured only when asked for

    def cells(self, row: Row) -> list[str]:
        """A row as text; what is missing is empty."""
        cells = [("" if row.get(c.key) is None else c.form.format(row[c.key])) for c in self.columns]
        return [cells[0] + (" *" if busy(row) else ""), *cells[1:]]


@dataclass
class Table:
    """The table that a part gave."""

    machine: str
    rows: list[Row] = field(default_factory=list)
    complete: bool = False  #: whether all rows are there, in full size


NAME = Column("name", "workload", "{}")


def ratio_columns(theirs: str, unit: str = "ms", digits: int = 2, name: Column = NAME) -> tuple[Column, ...]:
    """The columns of `ratio_row`."""
    form = f"{{:.{digits}f}}"
    return (
        name,
        Column("ours", f"ours, {unit}", form),
        Column("theirs", f"{theirs}, {unit}", f"{{:.{max(digits - 1, 0)}f}}"),
        Column("times", "times", "{:.1f}"),
        Column("pairs", "pairs", "{0[0]:.1f}..{0[1]:.1f}"),
    )


def ratio_row(ratio: Ratio, **more: Any) -> Row:
    """Two jobs as a row."""
    return {
        "name": ratio.name,
        "ours": ratio.ours_ms,
        "theirs": ratio.theirs_ms,
        "times": ratio.times,
        "pairs": [ratio.low, ratio.high],
        "others": ratio.others,
        **more,
    }


def alone_row(name: str, rounds: Rounds, **more: Any) -> Row:
    """A job that has none beside it."""
    return {"name": name, "ours": rounds.median(0), "others": rounds.others, **more}


def busy(row: Row) -> bool:
    """Tell whether other processes were at work in every round that could be had."""
    return bool(row.get("others", 0) > measure.SHARE)


def read(path: Path) -> dict[str, Table]:
    """Tables by the names of their parts.

    Raises
    ------
    ValueError
        If the file does not hold results.
    """
    try:
        return {name: Table(**table) for name, table in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} does not hold results of this program: {error}") from error


def write(path: Path, tables: dict[str, Table]) -> None:
    """Keep tables as JSON; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({name: asdict(table) for name, table in tables.items()}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
