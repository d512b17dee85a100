"""Interleaved timing of two implementations of one job."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

Job = Callable[[], object]
Timed = Callable[[], float]


@dataclass(frozen=True)
class Ratio:
    """Two jobs measured in turn."""

    name: str
    ours_ms: float  #: median
    theirs_ms: float  #: median
    low: float  #: smallest ratio of a pair
    high: float  #: largest ratio of a pair

    @property
    def times(self) -> float:
        """How many times faster ours is: the ratio of the medians."""
        return self.theirs_ms / self.ours_ms


def once(job: Job) -> float:
    """Milliseconds that `job` takes."""
    began = time.perf_counter()
    job()
    return (time.perf_counter() - began) * 1e3


def compare(name: str, ours: Job, theirs: Job, rounds: int) -> Ratio:
    """Run both jobs in turn, `rounds` times after two rounds that do not count."""
    return compare_timed(name, partial(once, ours), partial(once, theirs), rounds)


def compare_timed(name: str, ours: Timed, theirs: Timed, rounds: int, warm_up: int = 2) -> Ratio:
    """As `compare`, of jobs that return their own time in milliseconds, both of the same amount of work.

    The faster job runs several times a round, so that both are measured over like times
    and a passing disturbance does not hit one alone.
    """
    for _ in range(warm_up):
        ours()
        slow = theirs()
    repeats = max(1, min(20, int(0.3 * slow / max(ours(), 1e-3))))
    pairs = []
    for _ in range(rounds):
        mine = statistics.median(ours() for _ in range(repeats))
        pairs.append((mine, theirs()))
    ratios = [b / a for a, b in pairs]
    return Ratio(
        name, statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), min(ratios), max(ratios)
    )
