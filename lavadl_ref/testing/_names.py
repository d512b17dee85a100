"""Choosing from a table by name."""

from __future__ import annotations

from collections.abc import Iterable

from lavadl_ref._arguments import brief


def known(names: str | Iterable[str] | None, table: Iterable[str], what: str) -> tuple[str, ...]:
    """The chosen keys of `table` in its order; all of them for None.

    Raises
    ------
    TypeError, ValueError
        If a name is not in `table`, or none is given.
    """
    if names is None:
        return tuple(table)
    if not isinstance(names, Iterable):
        raise TypeError(f"{what} must be a name or names, got {brief(names)}")
    chosen = (names,) if isinstance(names, str) else tuple(names)
    unknown = [name for name in chosen if name not in table]
    if unknown or not chosen:
        found = ", ".join(str(name) if str(name).isprintable() else brief(name) for name in unknown) or "none"
        raise ValueError(f"{what} must be some of {', '.join(table)}, got {found}")
    return tuple(name for name in table if name in chosen)
