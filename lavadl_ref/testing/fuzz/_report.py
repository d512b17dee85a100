"""Outcomes of reading corrupted files, and the report of a whole run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from lavadl_ref.testing.fuzz._corpus import DAMAGES, GRAPH_DAMAGES
from lavadl_ref.testing.fuzz._outcomes import FAILURES

_KINDS = list(dict.fromkeys((*DAMAGES, *GRAPH_DAMAGES)))


@dataclass(frozen=True)
class Outcome:
    """The outcome of reading one file."""

    index: int  #: of the file, from 0
    damage: str  #: key of `DAMAGES` or `GRAPH_DAMAGES`
    outcome: str  #: one of `SURVIVED` or `FAILURES`
    message: str  #: the error, or how the process ended
    seconds: float  #: of the processor, to read it; of the clock if there was no answer
    megabytes: float  #: that the reading process held at most, all told; 0 if it ended

    def __str__(self) -> str:
        return f"file {self.index} ({self.damage}): {self.outcome}" + (f": {self.message}" if self.message else "")


@dataclass(frozen=True)
class Report:
    """The outcomes of all files."""

    seed: int
    outcomes: tuple[Outcome, ...]  #: in the order of the files
    seconds: float  #: of the whole run

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The files that the reader did not survive."""
        return tuple(found for found in self.outcomes if found.outcome in FAILURES)

    @property
    def counts(self) -> dict[str, Counter[str]]:
        """The number of times that each outcome was found, for each damage."""
        found: dict[str, Counter[str]] = {name: Counter() for name in _KINDS}
        for one in self.outcomes:
            found[one.damage][one.outcome] += 1
        return {name: counter for name, counter in found.items() if counter}

    @property
    def worst(self) -> dict[str, tuple[float, float]]:
        """The most megabytes and the most seconds that a file took, for each damage."""
        found: dict[str, tuple[float, float]] = {}
        for one in self.outcomes:
            megabytes, seconds = found.get(one.damage, (0.0, 0.0))
            found[one.damage] = max(megabytes, one.megabytes), max(seconds, one.seconds)
        return {name: found[name] for name in sorted(found, key=_KINDS.index)}

    @property
    def largest(self) -> Outcome:
        """The file that took most memory."""
        return max(self.outcomes, key=lambda found: found.megabytes)

    @property
    def slowest(self) -> Outcome:
        """The file that took longest."""
        return max(self.outcomes, key=lambda found: found.seconds)

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            "seed": self.seed,
            "files": len(self.outcomes),
            "survived": not self.failures,
            "counts": self.counts,
            "worst": {
                name: {"megabytes": round(megabytes, 1), "seconds": round(seconds, 3)}
                for name, (megabytes, seconds) in self.worst.items()
            },
            "megabytes": round(self.largest.megabytes, 1),
            "slowest_seconds": round(self.slowest.seconds, 3),
            "seconds": round(self.seconds, 1),
            "failures": [vars(found) for found in self.failures],
        }
