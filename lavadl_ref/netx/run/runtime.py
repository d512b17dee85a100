"""Run networks on Lava's multiprocessing runtime without ever hanging or leaving anything behind.

Lava's runtime waits forever when a process model raises, when ``stop`` is missed or when a signal arrives at the wrong
moment, and its processes and shared memory outlive their parent. Every run here therefore happens in a child process
with its own session, within a time limit; however it ends, the whole session and its shared memory are removed
afterwards.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lavadl_ref import _ending
from lavadl_ref._arguments import positive
from lavadl_ref.exchange import describe
from lavadl_ref.netx import lava_support
from lavadl_ref.netx.run._worker import how_it_ended
from lavadl_ref.netx.run.errors import LavaRunError, LavaTimeout
from lavadl_ref.netx.run.job import RECORDS, Job, Records, Task

__all__ = ["RECORDS", "Job", "LavaRunError", "LavaTimeout", "Records", "run", "run_all"]

POLL = 0.02  # seconds between looks at the child: short beside its start, which takes seconds
NAME_LIMIT = 40  # characters: the name of a socket, inside a folder inside this one, has room for 108 in all


def run(
    net_config: str | PathLike[str] | describe.Network,
    inputs: NDArray[Any],
    steps: int,
    *,
    timeout: float = 120.0,
    record: tuple[str, ...] = RECORDS,
    states_at: Sequence[tuple[int, int]] = (),
    **network_arguments: Any,
) -> Records:
    """Run one network on Lava's multiprocessing runtime.

    Parameters
    ----------
    net_config, inputs, steps, record, states_at
        As for `Job`; inputs are (C, H, W, T) or (N, T) integers.
    timeout : float
        Seconds, including the start-up; most networks need five to ten.
    **network_arguments
        Further arguments of `hdf5.Network`.

    Returns
    -------
    Records
        Messages and states, int32, and the table of the network's processes.

    Raises
    ------
    LavaUnavailable, LavaTimeout, LavaRunError, UnsupportedLayer, ValueError
        As `run_all`.

    Examples
    --------
    >>> import numpy as np
    >>> from lavadl_ref.exchange import Dense, Network, Neuron
    >>> neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 10})
    >>> network = Network((Dense(shape=(2,), weight=np.array([[8, 4], [-8, 6]]), neuron=neuron),))
    >>> records = run(network, np.array([[1, 1, 0, 0], [0, 1, 1, 0]]), steps=6)
    >>> records.output.tolist()
    [[0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]]
    """
    job = Job(net_config, inputs, steps, record, states_at, network_arguments)
    return run_all([job], timeout=timeout)[0]


def run_all(jobs: Sequence[Job], *, timeout: float = 120.0) -> list[Records]:
    """Run networks one after the other in one child process, with a single start-up.

    Parameters
    ----------
    jobs : sequence of Job
        The networks.
    timeout : float
        Seconds for all of them, start-up included.

    Raises
    ------
    LavaUnavailable
        If Lava is not installed.
    LavaTimeout
        If time runs out; the message names the network that was running.
    LavaRunError
        If a network cannot be built or one of Lava's processes raises; contains the child's traceback.
    UnsupportedLayer
        If a layer has no exact counterpart on Lava.
    ValueError
        If a job is malformed or an argument does not fit its network.
    """
    records: list[Records] = supervised(jobs, timeout)
    return records


def supervised(tasks: Sequence[Task], timeout: float) -> list[Any]:
    """The results of tasks that run one after the other in one child process.

    Parameters
    ----------
    tasks : sequence of Task
        The networks.
    timeout : float
        Seconds for all of them, start-up included.

    Raises
    ------
    LavaUnavailable, LavaTimeout, LavaRunError, ValueError
        As `run_all`.
    """
    usable, reason = lava_support.available()
    if not usable:
        raise lava_support.LavaUnavailable(reason)
    if not tasks:
        return []
    for task in tasks:
        task.check()
    positive("timeout", timeout)
    with _ending.unwound_by_signals(), _ending.temporary_folder(_short()) as folder:
        place = folder.path
        (place / "jobs.pkl").write_bytes(pickle.dumps([task.portable() for task in tasks]))
        _supervise(folder, tasks, timeout)
        records: list[Any] = pickle.loads((place / "records.pkl").read_bytes())
        return records


def _short() -> str | None:
    """The place of the folder: the default, unless its name leaves no room for that of a socket inside."""
    return None if len(tempfile.gettempdir()) <= NAME_LIMIT else "/tmp"


def _supervise(folder: _ending.Folder, jobs: Sequence[Task], timeout: float) -> None:
    """Start the child and wait for it; no trace of it is left."""
    place = folder.path
    environment = {**os.environ, "TMPDIR": str(place)}
    environment["PYTHONPATH"] = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    command = [sys.executable, "-m", "lavadl_ref.netx.run._worker", str(place), str(os.getpid())]
    # the lock goes along: while one of Lava's processes lives, nobody takes the folder for left behind
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "env": environment, "pass_fds": (folder.lock,)}
    deadline = time.monotonic() + timeout
    with open(place / "log", "wb") as log, _ending.session(command, stdout=log, stderr=log, **options) as child:
        while not (ended := _ended(child)) and not any((place / name).exists() for name in ("killed", "actor_error")):
            if time.monotonic() > deadline:
                raise LavaTimeout(_message(place, jobs, f"did not finish within {timeout:g} s on Lava"))
            time.sleep(POLL)
        if (place / "killed").exists():
            raise LavaRunError(_message(place, jobs, f"failed on Lava: {(place / 'killed').read_text()}"))
        if (place / "actor_error").exists():
            raise LavaRunError(_message(place, jobs, "failed in a Lava process", "actor_error"))
        if (place / "error").exists():
            raise LavaRunError(_message(place, jobs, "failed on Lava", "error"))
        if not (place / "records.pkl").exists():
            raise LavaRunError(_message(place, jobs, f"failed on Lava: the process that runs it {ended}"))


def _message(place: Path, jobs: Sequence[Task], what: str, details: str = "log") -> str:
    progress = place / "progress"
    index = int(progress.read_text() or 0) if progress.exists() else 0
    name = jobs[index].name if len(jobs) == 1 else f"job {index}, {jobs[index].name},"
    lines = (place / details).read_text(errors="replace").strip().splitlines()[-30:]
    return "\n".join([f"{name} {what}", *lines])


def _ended(child: subprocess.Popen[bytes]) -> str:
    """The way in which the child has ended, '' if it lives; not reaped, so that its id still names its session."""
    found = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return how_it_ended(found) if found else ""
