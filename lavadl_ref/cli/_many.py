"""Commands on many files: each is run by a process of its own, and what they print appears in the order given."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import Any

from lavadl_ref import _ending

#: Exit statuses from the most severe: a difference, a failure, a bad file, open, nothing compared, well.
SEVERITY = (1, 3, 2, 4, 5, 0)
FAILED = 3
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Outcome:
    """The run of a command on one file."""

    file: str
    status: int  #: its exit status
    out: str  #: what it printed
    err: str  #: what it printed as notes and errors

    @property
    def problems(self) -> list[str]:
        """The lines of `err`, each of which names the file."""
        return [self._named(line) for line in self.err.splitlines()]

    @property
    def error(self) -> str | None:
        """The message of the error, without the word; None if there was none."""
        lines = self.err.splitlines()
        first = next((n for n, line in enumerate(lines) if line.startswith("error: ")), None)
        return None if first is None else "\n".join(lines[first:]).removeprefix("error: ")

    def as_dict(self) -> dict[str, Any]:
        """File, exit status, and what the command with ``--json`` printed, or the error."""
        plain: dict[str, Any] = {"file": self.file, "status": self.status}
        return {**plain, **json.loads(self.out)} if self.out else {**plain, "error": self.error}

    def _named(self, line: str) -> str:
        kind, colon, said = line.partition(": ")
        return line if self.file in line or not colon else f"{kind}: {self.file}: {said}"


@dataclass(frozen=True)
class Command:
    """A command of `lavadl_ref.cli.main`, without its file."""

    name: str  #: of the function
    behind: list[str]  #: arguments that follow the file
    options: Mapping[str, Any]  #: its other arguments, plain values
    screen: Mapping[str, Any]  #: arguments of the `rich.console.Console` that it prints to


def most_severe(statuses: Sequence[int]) -> int:
    """The exit status of several, the first of `SEVERITY` among them."""
    return min(statuses, key=lambda status: SEVERITY.index(status) if status in SEVERITY else 1)


def run(
    command: Command, files: Sequence[str], jobs: int, progress: Callable[[], AbstractContextManager[Progress]]
) -> Generator[Outcome, None, None]:
    """The outcomes of a command on many files, in their order, each as soon as all before it are there.

    Parameters
    ----------
    command : Command
        What is run on each.
    files : sequence of str
        Their names, as the user gave them.
    jobs : int
        Files at a time, at least 1. With more than one, a process computes on its share of the processors.
    progress : callable
        Makes a context manager that yields a function ``update(done, total, text)``; entered while nothing is printed.
    """
    count = min(jobs, len(files))
    workers: list[_Worker] = []
    local = threading.local()

    def work(file: str) -> Outcome:
        if not hasattr(local, "worker"):
            local.worker = _Worker(count)
            workers.append(local.worker)
        return local.worker.run(command, file)

    with ExitStack() as stack:
        threads = ThreadPoolExecutor(count)
        stack.callback(threads.shutdown, cancel_futures=True)
        # first of all to end the processes, so that no thread waits for an answer
        stack.callback(_end, workers)
        found = [threads.submit(work, file) for file in files]
        for file, future in zip(files, found, strict=True):
            if not future.done():
                with progress() as update:
                    _wait(future, found, file, update)
            yield future.result()


def _wait(wanted: Future[Outcome], found: list[Future[Outcome]], file: str, update: Progress) -> None:
    while not wanted.done():
        update(sum(one.done() for one in found), len(found), file)
        wait([one for one in found if not one.done()], timeout=0.5, return_when=FIRST_COMPLETED)


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.end()


class _Worker:
    """A process that runs a command on one file after the other; a new one takes the place of one that dies."""

    def __init__(self, count: int) -> None:
        self._settings = dict(os.environ)
        if count > 1:
            share = max((os.cpu_count() or 1) // count, 1)
            self._settings.setdefault("OMP_NUM_THREADS", str(share))
        self._process: subprocess.Popen[str] | None = None
        self._session: ExitStack | None = None
        self._ended = False
        self._lock = threading.Lock()

    def run(self, command: Command, file: str) -> Outcome:
        """Run `command` on `file`."""
        try:
            process = self._started()
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(json.dumps([file, asdict(command)]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError:
            answer = ""
        if answer:
            return Outcome(file, *json.loads(answer))
        said = self._last_words()
        self._stop()
        return Outcome(file, FAILED, "", f"error: {file}: the process that worked on it {said}\n")

    def end(self) -> None:
        """End the process, now and for good."""
        self._ended = True
        self._stop()

    def _started(self) -> subprocess.Popen[str]:
        with self._lock:
            if self._ended:
                raise OSError("all processes have been ended")
            if self._process is None:
                program = [sys.executable, "-m", "lavadl_ref.cli._many_worker"]
                pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
                self._session = ExitStack()
                started = _ending.session(program, gently=True, env=self._settings, **pipes)
                self._process = self._session.enter_context(started)
            return self._process

    def _last_words(self) -> str:
        if self._process is None:
            return "was ended"
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(timeout=5)
            return f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return "closed its pipe"

    def _stop(self) -> None:
        with self._lock:
            session, process = self._session, self._process
            self._session = self._process = None
        if session is None or process is None:
            return
        session.close()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # a process that has ended takes nothing that is left
                pipe.close()  # type: ignore[union-attr]
