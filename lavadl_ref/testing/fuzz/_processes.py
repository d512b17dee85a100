"""Processes that read corrupted files, side by side."""

from __future__ import annotations

import json
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lavadl_ref.testing.fuzz._corpus import Corpus, Words
from lavadl_ref.testing.fuzz._outcomes import SURVIVED
from lavadl_ref.testing.fuzz._report import Outcome
from lavadl_ref.testing.vectors.dialogue import Dialogue, DialogueError

STARTING = 600.0  #: seconds that a process may take to start, which count for no file


@dataclass(frozen=True)
class Limits:
    """The cost that reading one file may have."""

    megabytes: float  #: that the process holds, all told
    seconds: float  #: of the processor
    timeout: float  #: seconds of the clock


def outcomes(
    corpus: Corpus | Words, files: int, workers: int, folder: Path, command: list[str], limits: Limits
) -> Iterator[Outcome]:
    """The outcomes of all files, in the order in which they come."""
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
    """A process that reads files, replaced whenever it has ended or has become too large."""

    def __init__(self, path: Path, command: list[str], limits: Limits) -> None:
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
            # the time that a process takes to start does not count as the file's
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
