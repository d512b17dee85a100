"""Thousands of corrupted ``.net`` files, read in processes of their own, and what came of each.

The files begin as networks of every family in every kind of layer, laid out as
`lavadl_ref.exchange.write` does and in two other ways; each is then damaged in one of the ways of
`DAMAGES`, or in every word (`Words`).  File `i` of a seed is always the same.  A reader survives
if it refuses each file with one line that names it, or gives exactly the network that was written.

Needs Hypothesis, an optional dependency, which draws the networks.
"""

from __future__ import annotations

import json
import queue
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from lavadl_ref import _ending, exchange
from lavadl_ref._arguments import positive, whole
from lavadl_ref.testing._choices import Choices, Seeded
from lavadl_ref.testing.fuzz import _bases, _bombs, _damage, _victim
from lavadl_ref.testing.vectors.dialogue import Dialogue, DialogueError

SURVIVED = ("refused", "same")  #: outcomes that are none of `FAILURES`
#: What must not happen: another network is returned; the process ends; no answer in time; more memory or more time
#: of the processor than allowed; another exception than `ExchangeError`; an error that is not one line naming the file.
FAILURES = ("different", "crash", "hang", "memory", "slow", "exception", "bad message")

_STRIDE = 15_485_863  # a prime, more than there are words and values
STARTING = 600.0  #: seconds that a process may take to start

Damage = Callable[[Choices, bytes], bytes]

#: Every way of damaging a file.
DAMAGES: Mapping[str, Damage] = {
    "bytes": _damage.flipped,
    "word": _damage.any_word,
    "stretch": _damage.overwritten,
    "truncation": _damage.truncated,
    "shift": _damage.shifted,
    "value": partial(_damage.applied, _damage.nudge, True),
    **{name: partial(_damage.applied, edit, name == "type or shape") for name, edit in _damage.EDITS.items()},
    "exchanged": partial(_damage.applied, _damage.exchange_entries, False),
    "attribute": partial(_damage.applied, _damage.attribute, False),
    **{name: partial(_damage.applied, edit, True) for name, edit in _bombs.EDITS.items()},
    "endless heap": _bombs.endless_heap,
    "user block": _bombs.user_block,
    "other format": _bombs.other_format,
}
#: Kinds drawn more often than the others, and how much: what they do depends most on where they hit.
OFTEN = {"bytes": 8, "word": 8, "stretch": 6, "truncation": 3, "shift": 3, "value": 3, "type or shape": 3}


@dataclass(frozen=True)
class Outcome:
    """What came of reading one file."""

    index: int  #: of the file, from 0
    damage: str  #: key of `DAMAGES`
    outcome: str  #: one of `SURVIVED` or `FAILURES`
    message: str  #: the error, or how the process ended
    seconds: float  #: of the processor, to read it; of the clock if there was no answer
    megabytes: float  #: that the reading process held at most, all told; 0 if it ended

    def __str__(self) -> str:
        return f"file {self.index} ({self.damage}): {self.outcome}" + (f": {self.message}" if self.message else "")


@dataclass(frozen=True)
class Report:
    """What came of all files."""

    seed: int
    outcomes: tuple[Outcome, ...]  #: in the order of the files
    seconds: float  #: of the whole run

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The files that the reader did not survive."""
        return tuple(found for found in self.outcomes if found.outcome in FAILURES)

    @property
    def counts(self) -> dict[str, Counter[str]]:
        """For each damage, how often each outcome was found."""
        found: dict[str, Counter[str]] = {name: Counter() for name in DAMAGES}
        for one in self.outcomes:
            found[one.damage][one.outcome] += 1
        return {name: counter for name, counter in found.items() if counter}

    @property
    def worst(self) -> dict[str, tuple[float, float]]:
        """For each damage, the most megabytes and the most seconds that a file took."""
        found: dict[str, tuple[float, float]] = {}
        for one in self.outcomes:
            megabytes, seconds = found.get(one.damage, (0.0, 0.0))
            found[one.damage] = max(megabytes, one.megabytes), max(seconds, one.seconds)
        return {name: found[name] for name in sorted(found, key=list(DAMAGES).index)}

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


class Words:
    """Files of which one word is another number: every word of one network of each family, and every number.

    Parameters
    ----------
    folder : path
        Holds the whole files that they are made from.
    seed : int
        Of the networks.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        seen: dict[str, exchange.Network] = {}
        for network in _bases.networks(seed):
            last = network.layers[-1].neuron
            if last is not None:
                seen.setdefault(last.type, network)
        self._bases = [folder / f"words-{family}.net" for family in seen]
        for path, network in zip(self._bases, seen.values(), strict=True):
            exchange.write(path, network)
        whole = [(base, base.read_bytes()) for base in self._bases]
        whole += [(base, _bases.laid_out(base, "newest")) for base in self._bases]
        self._whole = whole
        self._edges = np.cumsum([len(data) // _damage.WORD * _damage.VALUES for _, data in whole])

    def __len__(self) -> int:
        return int(self._edges[-1])

    def file(self, index: int) -> tuple[str, Path, bytes]:
        """How file `index` is damaged, the file it was made from, and its content."""
        # a stride that shares no factor with the count, so that the first files are spread over all of them
        index = index * _STRIDE % len(self)
        number = int(np.searchsorted(self._edges, index, side="right"))
        base, data = self._whole[number]
        word, value = divmod(index - int(self._edges[number - 1] if number else 0), _damage.VALUES)
        return "word", base, _damage.word(data, word, value)


class Corpus:
    """The corrupted files of a seed.

    Parameters
    ----------
    folder : path
        Holds the whole files that they are made from.
    seed : int
        Not negative.
    damages : sequence of str, optional
        Kinds of damage, keys of `DAMAGES`; by default all, some more often than others.
    """

    def __init__(self, folder: Path, seed: int, damages: Sequence[str] | None = None) -> None:
        self._seed = seed
        self._bases = []
        for index, network in enumerate(_bases.networks(seed)):
            self._bases.append(folder / f"base-{index}.net")
            exchange.write(self._bases[-1], network)
        exchange.write(folder / _bombs.OTHER, network)
        self._names = list(damages or (name for name in DAMAGES for _ in range(OFTEN.get(name, 1))))
        self._laid_out = lru_cache(None)(_bases.laid_out)

    def file(self, index: int) -> tuple[str, Path, bytes]:
        """How file `index` is damaged, the file it was made from, and its content."""
        choose = Seeded(np.random.default_rng([self._seed, index]))
        base, name = choose.one(self._bases), choose.one(self._names)
        whole = self._laid_out(base, choose.one(_bases.LAYOUTS))
        return name, base, DAMAGES[name](choose, whole)


def corrupted(index: int, seed: int = 0) -> bytes:
    """Content of file `index` of a run with `seed`, to look at it again.

    Raises
    ------
    ImportError
        If Hypothesis is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        return Corpus(Path(folder), seed).file(index)[2]


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
    """Read corrupted files and say what came of each.

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

    Raises
    ------
    TypeError, ValueError
        If a number is not positive or the seed negative.
    ImportError
        If Hypothesis is not installed.
    RuntimeError
        If a process that reads cannot be started.
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
        command = [sys.executable, "-W", "error", "-m", _victim.__name__, str(folder), reader, str(timeout)]
        limits = _Limits(megabytes, seconds, timeout)
        for outcome in _outcomes(corpus, files, min(workers, files), folder, command, limits):
            found.append(outcome)
            failed += outcome.outcome in FAILURES
            if progress is not None:
                progress(len(found), files, f"{failed} failures" if failed else outcome.damage)
    found.sort(key=lambda outcome: outcome.index)
    return Report(seed, tuple(found), time.monotonic() - start)


@dataclass(frozen=True)
class _Limits:
    """What one file may cost."""

    megabytes: float
    seconds: float
    timeout: float


def _outcomes(
    corpus: Corpus | Words, files: int, workers: int, folder: Path, command: list[str], limits: _Limits
) -> Iterator[Outcome]:
    """Of all files, as they come."""
    results: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
    stop = threading.Event()

    def serve(first: int) -> None:
        try:
            with _Victim(folder / f"x{first}.net", command, limits) as victim:
                for index in range(first, files, workers):
                    if stop.is_set():
                        return
                    results.put(victim.read(index, *corpus.file(index)))
        except BaseException as error:
            results.put(error)

    threads = [threading.Thread(target=serve, args=(first,)) for first in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(files):
            result = results.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class _Victim:
    """A process that reads, replaced whenever it is gone or has become too large."""

    def __init__(self, path: Path, command: list[str], limits: _Limits) -> None:
        self._path = path
        self._command = command
        self._limits = limits
        self._dialogue: Dialogue | None = None

    def __enter__(self) -> _Victim:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def read(self, index: int, damage: str, base: Path, data: bytes) -> Outcome:
        """Let `data` be read."""
        self._path.write_bytes(data)
        if self._dialogue is None:
            self._dialogue = Dialogue(self._command, self._limits.timeout + STARTING)
            # what it takes to start is not the file's fault
            self._dialogue.ask(json.dumps(["", str(base)]))
        start = time.monotonic()
        try:
            answer = self._dialogue.ask(json.dumps([str(self._path), str(base)]))
        except DialogueError as error:
            self._end()
            outcome, message = "crash", str(error)
            if f"signal {signal.SIGALRM.value}" in message or message.startswith("no answer"):
                outcome, message = "hang", f"no answer within {self._limits.timeout:g} s"
            return Outcome(index, damage, outcome, message, time.monotonic() - start, 0.0)
        outcome, message, seconds, peak = json.loads(answer)
        if peak > self._limits.megabytes:
            self._end()
            outcome, message = "memory", f"{peak:.0f} MB"
        elif seconds > self._limits.seconds and outcome in SURVIVED:
            outcome, message = "slow", f"{seconds:.2f} s"
        return Outcome(index, damage, outcome, message, seconds, peak)

    def _end(self) -> None:
        if self._dialogue is not None:
            with suppress(ProcessLookupError):
                self._dialogue.close()
        self._dialogue = None
