"""Interleaved timing of several implementations of one job, away from what else the machine does."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import psutil

Job = Callable[[], object]
Timed = Callable[[], float]

SHARE = 0.15  #: of a processor, used by other processes: a round with more is repeated
GRAIN = 0.03  #: seconds that the system's count of processor time may be off in a round
ENOUGH = 120.0  #: milliseconds of calls that make a sample
WARM_UP = 2  #: rounds that do not count
PATIENCE = 2.0  #: seconds to wait for quiet before a round is repeated


@dataclass(frozen=True)
class Rounds:
    """Milliseconds of jobs measured in turn."""

    ms: list[tuple[float, ...]]  #: of each job, for each round
    others: float  #: most of a processor that other processes used in one of these rounds

    def median(self, job: int) -> float:
        """Milliseconds of a job."""
        return statistics.median(row[job] for row in self.ms)

    def pairs(self, job: int, other: int) -> tuple[float, float]:
        """The smallest and the largest ratio, over rounds, of the time of `other` to that of `job`."""
        ratios = [row[other] / row[job] for row in self.ms]
        return min(ratios), max(ratios)


@dataclass(frozen=True)
class Ratio:
    """Two jobs measured in turn."""

    name: str
    ours_ms: float  #: median
    theirs_ms: float  #: median
    low: float  #: smallest ratio of a pair
    high: float  #: largest ratio of a pair
    others: float = 0.0  #: as in `Rounds`

    @property
    def times(self) -> float:
        """The factor by which ours is faster: the ratio of the medians."""
        return self.theirs_ms / self.ours_ms


def ratio(name: str, rounds: Rounds, ours: int = 0, theirs: int = 1) -> Ratio:
    """Two of the jobs of `rounds`."""
    return Ratio(name, rounds.median(ours), rounds.median(theirs), *rounds.pairs(ours, theirs), rounds.others)


def once(job: Job) -> float:
    """Milliseconds that `job` takes."""
    began = time.perf_counter()
    job()
    return (time.perf_counter() - began) * 1e3


def used() -> tuple[float, float, float]:
    """Seconds on the clock, of all processors together at work, and of them by this process and its children."""
    machine, mine = psutil.cpu_times(), 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            own = process.cpu_times()
        except psutil.NoSuchProcess:  # it has just ended, and counts as its parent's
            continue
        mine += own.user + own.system + getattr(own, "children_user", 0.0) + getattr(own, "children_system", 0.0)
    busy = sum(getattr(machine, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq"))
    return time.perf_counter(), busy, mine


def others(before: tuple[float, float, float]) -> float:
    """The share of a processor that other processes used since `before`, a result of `used`."""
    passed, busy, own = (b - a for a, b in zip(before, used(), strict=True))
    return max(0.0, busy - own - GRAIN) / max(passed, 1e-9)


def wait_for_quiet(limit: float = PATIENCE) -> None:
    """Return when other processes rest, or after `limit` seconds."""
    until = time.perf_counter() + limit
    while time.perf_counter() < until:
        before = used()
        time.sleep(0.2)
        if others(before) <= SHARE:
            return


def interleaved(jobs: Sequence[Timed], rounds: int, warm_up: int | None = None, alone: bool = True) -> Rounds:
    """Run jobs, which return their own time in milliseconds, in turn.

    In a round a job runs as often as it takes to be measured over `ENOUGH`, at most 30 times; its median counts.  A
    round during which other processes were at work is repeated, at most `rounds` times in all: the `rounds`
    with the least work by others are taken, whatever they say.

    Parameters
    ----------
    jobs : sequence of callable
        What is timed.
    rounds : int
        Number of rounds that count.
    warm_up : int, optional
        Number of those before, at least 1; `WARM_UP` if not given.
    alone : bool
        Whether to look for other processes; not for jobs that are processes which outlive their parent.
    """
    for _ in range(WARM_UP if warm_up is None else warm_up):
        cost = [once(job) for job in jobs]  # what a job returns may be the time of a step, or leave out its start
    repeats = [max(1, min(30, round(ENOUGH / max(ms, 1e-3)))) for ms in cost]
    found: list[tuple[float, tuple[float, ...]]] = []
    quiet = 0
    while quiet < rounds and len(found) < 2 * rounds:
        if alone and len(found) > quiet:
            wait_for_quiet()
        before = used()
        sample = tuple(statistics.median(job() for _ in range(n)) for job, n in zip(jobs, repeats, strict=True))
        share = others(before) if alone else 0.0
        quiet += share <= SHARE
        found.append((share, sample))
    taken = sorted(found, key=lambda pair: pair[0])[:rounds]
    return Rounds([sample for _, sample in taken], taken[-1][0])


def compare(name: str, ours: Job, theirs: Job, rounds: int) -> Ratio:
    """Measure two jobs in turn."""
    return compare_timed(name, partial(once, ours), partial(once, theirs), rounds)


def compare_timed(
    name: str, ours: Timed, theirs: Timed, rounds: int, warm_up: int | None = None, alone: bool = True
) -> Ratio:
    """As `compare`, of jobs that return their own time in milliseconds, both of the same amount of work."""
    return ratio(name, interleaved((ours, theirs), rounds, warm_up, alone))
