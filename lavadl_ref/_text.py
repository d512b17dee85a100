"""Text as it may be printed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def printable(text: str) -> str:
    """`text` with what does not print, line ends included, as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def columns(head: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()) -> str:
    """A table in plain text, a line for each row, under a line of dashes.

    Parameters
    ----------
    head : sequence of str
        The names of the columns.
    rows : iterable of sequence of str
        The cells, as many as there are columns.
    right : collection of str
        Those of `head` that are set to the right.

    Examples
    --------
    >>> print(columns(["layer", "neurons"], [["dense", "12"], ["readout", "3"]], right=["neurons"]))
    layer    neurons
    -------  -------
    dense         12
    readout        3
    """
    lines = [list(map(printable, row)) for row in (head, *rows)]
    width = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    lines.insert(1, ["-" * n for n in width])
    aligned = (
        (cell.rjust(n) if name in right else cell.ljust(n) for cell, n, name in zip(line, width, head, strict=True))
        for line in lines
    )
    return "\n".join("  ".join(line).rstrip() for line in aligned)
