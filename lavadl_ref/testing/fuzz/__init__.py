"""Thousands of corrupted ``.net`` files, read in processes of their own, and the outcome of each.

The files begin as networks of every family in every kind of layer, laid out as
`lavadl_ref.exchange.write` does and in two other ways; each is then damaged in one of the ways of
`DAMAGES`, or in every word (`Words`).  File `i` of a seed is always the same.  A reader survives
if it refuses each file with one line that names it, or gives exactly the network that was written.

Needs Hypothesis, an optional dependency, which draws the networks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from lavadl_ref import _ending
from lavadl_ref._arguments import positive, whole
from lavadl_ref.testing._choices import Seeded
from lavadl_ref.testing.fuzz._corpus import _STRIDE, DAMAGES, OFTEN, Corpus, Damage, Words, corrupted
from lavadl_ref.testing.fuzz._processes import STARTING, Limits, outcomes
from lavadl_ref.testing.fuzz._report import FAILURES, SURVIVED, Outcome, Report

__all__ = [
    "DAMAGES",
    "FAILURES",
    "OFTEN",
    "STARTING",
    "SURVIVED",
    "Corpus",
    "Damage",
    "Outcome",
    "Report",
    "Seeded",
    "Words",
    "corrupted",
    "run",
]

_VICTIM = f"{__name__}._victim"  # by name: a module that is imported already cannot be run cleanly with -m


def run(
    files: int | None = None,
    seed: int = 0,
    *,
    words: bool = False,
    damages: Sequence[str] | None = None,
    megabytes: float = 300.0,
    seconds: float = 1.0,
    timeout: float = 60.0,
    workers: int = 2,
    reader: str = "lavadl_ref.exchange:read",
    progress: Callable[[int, int, str], None] | None = None,
) -> Report:
    """Read corrupted files and report the outcome of each.

    Parameters
    ----------
    files : int, optional
        How many: by default 10,000, and with `words` all.
    seed : int
        Of the networks and of the damage.
    words : bool
        Instead of any damage: every aligned word of a network of each family, replaced by each of nine numbers.
    damages : sequence of str, optional
        Only these kinds, keys of `DAMAGES`.
    megabytes : float
        Memory that the process which reads may hold, the interpreter and its libraries included.
    seconds : float
        Time of the processor that one file may take.
    timeout : float
        Seconds of the clock after which there will be no answer; then its process is killed.
    workers : int
        Processes that read at the same time.
    reader : str
        Module and name of what takes a path and returns a `lavadl_ref.exchange.Network`.
    progress : callable, optional
        Called with files done, files in all, and a word on what was found.

    Returns
    -------
    Report

    Raises
    ------
    TypeError, ValueError
        If a number is not positive or the seed negative.
    ImportError
        If Hypothesis is not installed.
    RuntimeError
        If a process that reads cannot be started.

    Examples
    --------
    >>> report = run(4, seed=1, seconds=60.0)
    >>> len(report.outcomes), report.failures
    (4, ())
    """
    for name, value in (("megabytes", megabytes), ("seconds", seconds), ("timeout", timeout)):
        positive(name, value)
    unknown = [name for name in damages or () if name not in DAMAGES]
    if unknown or (damages and words):
        wrong = f"got {unknown[0]!r}" if unknown else "got some together with words"
        raise ValueError(f"damages must be among {', '.join(DAMAGES)}, {wrong}")
    wanted = 1 if files is None else files
    for name, number, least in (("files", wanted, 1), ("workers", workers, 1), ("seed", seed, 0)):
        whole(name, number, least)
    start = time.monotonic()
    with _ending.temporary_folder() as made:
        folder = made.path.resolve()
        corpus = Words(folder, seed) if words else Corpus(folder, seed, damages)
        if files is None:
            files = len(corpus) if isinstance(corpus, Words) else 10_000
        found = []
        failed = 0
        command = [sys.executable, "-W", "error", "-m", _VICTIM, str(folder), reader, str(timeout)]
        limits = Limits(megabytes, seconds, timeout)
        for outcome in outcomes(corpus, files, min(workers, files), folder, command, limits):
            found.append(outcome)
            failed += outcome.outcome in FAILURES
            if progress is not None:
                progress(len(found), files, f"{failed} failures" if failed else outcome.damage)
    found.sort(key=lambda outcome: outcome.index)
    return Report(seed, tuple(found), time.monotonic() - start)
