"""The one table of what lava-dl names and this package does not, each bound to a row of ``docs/errata.md``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exception_:
    """One reason for which names are not here."""

    patterns: tuple[str, ...]  #: kind and name of the differences, `*` for anything
    reason: str
    instead: str  #: the way round
    row: str  #: part of the row of ``docs/errata.md``


EXCEPTIONS: tuple[Exception_, ...] = ()
