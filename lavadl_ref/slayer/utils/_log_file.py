"""Text files of the values logged per epoch: a header that names the columns, then a line for each epoch."""

from __future__ import annotations

from lavadl_ref.exchange import atomic

Log = list[float | None]


def write(name: str, logs: dict[str, Log]) -> None:
    """Write `logs`, lists of one length by column. Values keep full precision; None becomes ``nan``."""
    lines = ["# " + "".join(column + " " * 8 for column in logs)]
    lines += ["".join(f"{_text(value)} " for value in row) for row in zip(*logs.values(), strict=True)]
    atomic.write_bytes(name, "".join(f"{line}\n" for line in lines).encode("ascii"))


def _text(value: float | None) -> str:
    """A number with six decimals if these are exact, else as the shortest text that reads back as the same number."""
    number = float("nan") if value is None else float(value)
    short = f"{number:12.6f}"
    return short if number != number or float(short) == number else f"{number!r:>12}"


def read(name: str) -> dict[str, Log]:
    """The logs of a file that `write` wrote, by column; ``nan`` becomes None.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file has another form; the message names file and line.
    """
    with open(name, encoding="ascii", errors="replace") as file:
        lines = file.read().splitlines()
    columns = lines[0].split()[1:] if lines and lines[0].startswith("#") else None
    if columns is None or not set(columns) <= {"Train", "Valid", "Test"} or len(set(columns)) < len(columns):
        line = lines[0][:80] if lines else ""
        raise ValueError(f"{name}, line 1: the header must be '#' and columns out of Train, Valid, Test, got {line!r}")
    logs: dict[str, Log] = {column: [] for column in columns}
    for number, line in enumerate(lines[1:], 2):
        words = line.split()
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise ValueError(f"{name}, line {number}: values must be numbers, got {line[:80]!r}") from None
        if len(values) != len(columns):
            raise ValueError(f"{name}, line {number}: there must be {len(columns)} values, got {len(values)}")
        for column, value in zip(columns, values, strict=True):
            logs[column].append(None if value != value else value)
    return logs
