"""Choosing from a table by name."""

from __future__ import annotations

from collections.abc import Iterable


def known(names: str | Iterable[str] | None, table: Iterable[str], what: str) -> tuple[str, ...]:
    """The chosen keys of `table` in its order; all of them for None.

    Raises
    ------
    ValueError
        If a name is not in `table`, or none is given.
    """
    if names is None:
        return tuple(table)
    chosen = (names,) if isinstance(names, str) else tuple(names)
    unknown = [name for name in chosen if name not in table]
    if unknown or not chosen:
        raise ValueError(f"{what}: expected some of {', '.join(table)}, found {', '.join(unknown) or 'none'}")
    return tuple(name for name in table if name in chosen)
