"""The compilation of kernels before they are needed: for this machine, or for the wheel that carries them."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lavadl_kernels
from lavadl_kernels.runtime import processor
from lavadl_kernels.runtime.cache import SUFFIX
from lavadl_kernels.runtime.cache_folders import cache_folders

from lavadl_ref import _ending

Progress = Callable[[int, int, str], None]


@dataclass
class Outcome:
    """The kernels that were prepared."""

    folder: Path | None  #: where they are kept; None if they cannot be kept
    kernels: int = 0  #: that were compiled, and not found
    seconds: float = 0.0
    files: int = 0  #: in the folder
    size: int = 0  #: of these files, bytes
    notes: list[str] = field(default_factory=list)  #: warnings about the cache, each once
    failures: list[str] = field(default_factory=list)  #: jobs that raised, and what


def run(
    only: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress = lambda done, total, text: None,
) -> Outcome:
    """Compile the kernels of common uses for this machine, or load those that are there.

    Parameters
    ----------
    only : sequence of str
        Beginnings of the names of jobs, such as ``"cuba"``; all jobs by default.
    workers : int, optional
        Number of processes; by default one a processor, at most 8.
    progress : callable
        Called with (done, total, text) after each job.

    Raises
    ------
    ValueError
        If no job's name begins with one of `only`.
    """
    package = Path(str(lavadl_kernels.__file__)).resolve().parent
    outcome = Outcome(cache_folders(package).write)
    _run(outcome, only, workers, {}, progress)
    if outcome.folder is not None:
        _measure(outcome, outcome.folder)
    return outcome


def build(
    into: Path,
    level: str,
    only: Sequence[str] = (),
    workers: int | None = None,
    progress: Progress = lambda done, total, text: None,
) -> Outcome:
    """Compile the kernels for a level of processors into ``into / level``, from where a wheel takes them.

    Parameters
    ----------
    into : Path
        Folder; made if it is missing. What it has of the level is replaced.
    level : str
        One of `processor.LEVELS`.  Kernels also run while they are prepared, so this processor must be of the level.
    only, workers, progress
        As in `run`.

    Raises
    ------
    ValueError
        If this processor is not of the level; if no job's name begins with one of `only`.
    OSError
        If the folder cannot be written.
    """
    if level not in processor.LEVELS:
        raise ValueError(f"level must be {' or '.join(processor.LEVELS)}, got {level!r}")
    if not processor.is_of(level):
        raise ValueError(f"level must be one that this processor is of, got {level}")
    folder = into / level
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Outcome(folder)
    with _ending.temporary_folder(into) as made:
        settings = {**processor.settings(level), "NUMBA_CACHE_DIR": str(made.path)}
        _run(outcome, only, workers, settings, progress)
        for old in _files(folder):
            old.unlink()
        for file in _files(made.path):
            os.replace(file, folder / file.name)
    _measure(outcome, folder)
    return outcome


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f"*{SUFFIX}"))


def _measure(outcome: Outcome, folder: Path) -> None:
    sizes = [file.stat().st_size for file in _files(folder)]
    outcome.files, outcome.size = len(sizes), sum(sizes)


def _chosen(only: Sequence[str]) -> list[str]:
    from lavadl_ref.cli._workloads import jobs

    names = list(jobs())
    for start in only:
        if not any(name.startswith(start) for name in names):
            subjects = ", ".join(dict.fromkeys(name.partition(":")[0] for name in names))
            raise ValueError(f"jobs must begin with {subjects}, got {start!r}")
    return [name for name in names if not only or name.startswith(tuple(only))]


def _run(
    outcome: Outcome, only: Sequence[str], workers: int | None, settings: dict[str, str], progress: Progress
) -> None:
    names = _chosen(only)
    began = time.monotonic()
    for number, (name, kernels, notes, error) in enumerate(_answers(names, workers, settings), 1):
        outcome.kernels += kernels
        outcome.notes += [note for note in notes if note not in outcome.notes]
        if error:
            outcome.failures.append(f"{name}: {error}")
        progress(number, len(names), name)
    outcome.seconds = time.monotonic() - began


def _answers(names: list[str], workers: int | None, settings: dict[str, str]) -> Iterable[tuple[str, int, Any, str]]:
    """The reports of processes about jobs, in the order in which they end."""
    count = max(1, min(workers or min(os.cpu_count() or 1, 8), len(names)))
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in names:
        waiting.put(name)
    said: queue.SimpleQueue[tuple[str, int, Any, str] | Exception] = queue.SimpleQueue()

    def serve(process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None and process.stdout is not None
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                process.stdin.write(json.dumps(name) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except OSError:
                answer = ""
            if not answer:
                said.put(RuntimeError(f"a process that compiles kernels ended at {name!r}"))
                return
            said.put(tuple(json.loads(answer)))

    threads: list[threading.Thread] = []
    processes: list[subprocess.Popen[str]] = []
    command = [sys.executable, "-m", "lavadl_ref.cli._warm_worker"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}

    def close() -> None:
        for thread in threads:
            thread.join()
        for process in processes:
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # a process that has ended takes nothing that is left
                    pipe.close()  # type: ignore[union-attr]

    with ExitStack() as stack:
        stack.callback(close)  # after all processes have ended, so that no thread waits for one
        for _ in range(count):
            processes.append(stack.enter_context(_ending.session(command, **pipes, env={**os.environ, **settings})))
            threads.append(threading.Thread(target=serve, args=(processes[-1],), daemon=True))
            threads[-1].start()
        for _ in names:
            answer = said.get()
            if isinstance(answer, Exception):
                raise answer
            yield answer
