"""Read thousands of corrupted ``.net`` or ``.nir`` files in separate processes, and record the outcome of each.

The files start as networks of every family in every kind of layer, in the layout of `lavadl_ref.exchange.write` and two
others. Each is then damaged in one of the ways of `DAMAGES`, or in every word (`Words`). File `i` of a seed is always
the same. A reader passes if it refuses each file with one line that names it, or returns exactly the network that was
written. A ``.nir`` file without the integers of this package may also be read as another legal network.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from lavadl_ref import _ending
from lavadl_ref._arguments import positive, whole
from lavadl_ref.testing._choices import Seeded
from lavadl_ref.testing.fuzz._corpus import (
    _STRIDE,
    DAMAGES,
    GRAPH_DAMAGES,
    OFTEN,
    Corpus,
    Damage,
    Graphs,
    Words,
    corrupted,
)
from lavadl_ref.testing.fuzz._outcomes import FAILURES, LEGAL, SURVIVED
from lavadl_ref.testing.fuzz._processes import STARTING, Limits, outcomes
from lavadl_ref.testing.fuzz._report import Outcome, Report

__all__ = [
    "DAMAGES",
    "FAILURES",
    "GRAPH_DAMAGES",
    "LEGAL",
    "OFTEN",
    "STARTING",
    "SURVIVED",
    "Corpus",
    "Damage",
    "Graphs",
    "Outcome",
    "Report",
    "Seeded",
    "Words",
    "corrupted",
    "run",
]

_VICTIM = f"{__name__}._victim"  # by name: a module that is imported already cannot be run cleanly with -m
#: Of ``.net`` files, and of graphs.
_READERS = ("lavadl_ref.exchange:read", "lavadl_ref.testing.fuzz._graphs:read")


def run(
    files: int | None = None,
    seed: int = 0,
    *,
    words: bool = False,
    graphs: bool = False,
    damages: Sequence[str] | None = None,
    megabytes: float = 300.0,
    seconds: float = 1.0,
    timeout: float = 60.0,
    workers: int = 2,
    reader: str | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Report:
    """Read corrupted files and report the outcome of each.

    Parameters
    ----------
    files : int, optional
        Number of files: by default 10,000, or all with `words`.
    seed : int
        Seed of the networks and of the damage.
    words : bool
        If True, replace every aligned word of a network of each family with each of nine numbers, instead of random
        damage.
    graphs : bool
        If True, damage ``.nir`` files instead of ``.net`` files.
    damages : sequence of str, optional
        Only these kinds, keys of `DAMAGES`, or of `GRAPH_DAMAGES` with `graphs`.
    megabytes : float
        Memory that the reading process may use, including the interpreter and its libraries.
    seconds : float
        Processor time that one file may take.
    timeout : float
        Seconds of wall-clock time after which the reading process is killed.
    workers : int
        Processes that read at the same time.
    reader : str, optional
        Module and name of a function that takes a path and returns a `lavadl_ref.exchange.Network`; by default
        `lavadl_ref.exchange.read`, or `lavadl_ref.nir.read` with `graphs`.
    progress : callable, optional
        Called with the number of finished files, the total, and a short text.

    Returns
    -------
    Report

    Raises
    ------
    TypeError, ValueError
        If a number is not positive, the seed negative, a kind of damage unknown, or `words` asked of graphs.
    ImportError
        If the package nir, which makes the `graphs`, is not installed.
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
    kinds = GRAPH_DAMAGES if graphs else DAMAGES
    unknown = [name for name in damages or () if name not in kinds]
    if unknown or (damages and words):
        wrong = f"got {unknown[0]!r}" if unknown else "got some together with words"
        raise ValueError(f"damages must be among {', '.join(kinds)}, {wrong}")
    if words and graphs:
        raise ValueError("words must be of .net files, got words together with graphs")
    wanted = 1 if files is None else files
    for name, number, least in (("files", wanted, 1), ("workers", workers, 1), ("seed", seed, 0)):
        whole(name, number, least)
    start = time.monotonic()
    with _ending.temporary_folder() as made:
        folder = made.path.resolve()
        corpus = Words(folder, seed) if words else (Graphs if graphs else Corpus)(folder, seed, damages)
        if files is None:
            files = len(corpus) if isinstance(corpus, Words) else 10_000
        found = []
        failed = 0
        command = [sys.executable, "-W", "error", "-m", _VICTIM, str(folder), reader or _READERS[graphs], str(timeout)]
        command += [str(corpus.whole)] if isinstance(corpus, Graphs) else []
        limits = Limits(megabytes, seconds, timeout)
        for outcome in outcomes(corpus, files, min(workers, files), folder, command, limits):
            found.append(outcome)
            failed += outcome.outcome in FAILURES
            if progress is not None:
                progress(len(found), files, f"{failed} failures" if failed else outcome.damage)
    found.sort(key=lambda outcome: outcome.index)
    return Report(seed, tuple(found), time.monotonic() - start)
