"""Run networks on Lava's multiprocessing runtime without ever hanging or leaving anything behind.

Lava's runtime waits forever when a process model raises, when ``stop`` is missed or when a
signal arrives at the wrong moment, and its processes and shared memory outlive their
parent.  So every run here happens in a child in a process session of its own, within a time limit;
whatever ends it, the whole session and the shared memory it made are gone afterwards.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref import _ending
from lavadl_ref._arguments import brief, integers, positive, whole
from lavadl_ref.exchange import describe
from lavadl_ref.netx import lava_support
from lavadl_ref.netx.plan.network import Options, check_size, load, plan
from lavadl_ref.netx.run._worker import how_it_ended

RECORDS = ("spikes", "states")
_POLL = 0.02  # seconds between looks at the child


class LavaRunError(RuntimeError):
    """A network failed on Lava."""


class LavaTimeout(LavaRunError, TimeoutError):
    """A network did not finish in the time it was given."""


@dataclass(frozen=True, eq=False)
class Job:
    """One network to run once.

    Parameters
    ----------
    net_config : path or exchange.describe.Network
        The network.
    inputs : ndarray
        (C, H, W, T) or (N, T) integers at each step: what `hdf5.Network.inp` takes, spikes, sigma-delta messages, or
        for an input layer values in 1/64 after its transform.  After T steps the input is 0.
    steps : int
        Steps to run.
    record : tuple of str
        ``spikes``: what the neurons of every layer send at each step; ``states``: theirs after the last step.
    states_at : sequence of (layer, step)
        Generated layers and 0-based steps after which to read the states as well.
    arguments : dict
        Further arguments of `hdf5.Network`.
    """

    net_config: str | PathLike[str] | describe.Network
    inputs: NDArray[Any]
    steps: int
    record: tuple[str, ...] = RECORDS
    states_at: Sequence[tuple[int, int]] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How messages call the network."""
        if isinstance(self.net_config, describe.Network):
            return f"network of {len(self.net_config.layers)} layers"
        return os.fspath(self.net_config)


@dataclass(frozen=True, eq=False)
class Records:
    """What a run produced.  Arrays are int32, (C, H, W) or (N,) per step, lists run over the generated layers."""

    output: NDArray[np.int32]  #: what left the network, delays included, (..., T)
    spikes: list[NDArray[np.int32] | None]  #: what the neurons themselves send, (..., T); None if not recorded
    states: list[dict[str, NDArray[np.int32]]]  #: by name, after the last step; {} without neurons
    states_at: dict[tuple[int, int], dict[str, NDArray[np.int32]]]  #: by name, after (layer, step)
    table: str  #: the network's layers and processes
    seconds: float  #: time of the steps alone

    @property
    def current(self) -> list[NDArray[np.int32] | None]:
        """The state of that name of each layer; None where there is none."""
        return [states.get("current") for states in self.states]

    @property
    def voltage(self) -> list[NDArray[np.int32] | None]:
        """The state of that name of each layer; None where there is none."""
        return [states.get("voltage") for states in self.states]


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
    """Run one network; arguments as in `Job`, errors as in `run_all`."""
    job = Job(net_config, inputs, steps, record, states_at, network_arguments)
    return run_all([job], timeout=timeout)[0]


def run_all(jobs: Sequence[Job], *, timeout: float = 120.0) -> list[Records]:
    """Run networks one after the other in one child process, sparing all but one of the start-ups.

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
        If time runs out; names the network that was running.
    LavaRunError
        If a network cannot be built or one of Lava's processes raises; carries the child's traceback.
    UnsupportedLayer
        If a layer has no exact counterpart on Lava.
    ValueError
        If a job is malformed or an argument does not fit its network.
    """
    usable, reason = lava_support.available()
    if not usable:
        raise lava_support.LavaUnavailable(reason)
    if not jobs:
        return []
    for job in jobs:
        _check(job)
    positive("timeout", timeout)
    with _ending.unwound_by_signals(), _ending.temporary_folder(_short()) as folder:
        place = folder.path
        (place / "jobs.pkl").write_bytes(pickle.dumps([_portable(job) for job in jobs]))
        _supervise(folder, jobs, timeout)
        return pickle.loads((place / "records.pkl").read_bytes())


def _short() -> str | None:
    """Where the folder goes: the default, unless its name leaves no room for that of a socket inside."""
    return None if len(tempfile.gettempdir()) <= 40 else "/tmp"


def _check(job: Job) -> None:
    inputs = integers("inputs", job.inputs)
    if inputs.ndim not in (2, 4):
        raise ValueError(f"inputs must have shape (N, T) or (C, H, W, T), got {inputs.shape}")
    if inputs.size and (inputs.min() < -(2**31) or inputs.max() >= 2**31):
        raise ValueError(f"inputs must fit in 32 bits, found {inputs.min()} to {inputs.max()}")
    whole("steps", job.steps, 1)
    for name, given in (("record", job.record), ("states_at", job.states_at)):
        if isinstance(given, str) or not isinstance(given, Collection):
            raise TypeError(f"{name} must be a collection, got {brief(given)}")
    unknown = sorted({str(name) for name in job.record} - set(RECORDS))
    if unknown:
        raise ValueError(f"record must be some of {RECORDS}, got {unknown}")
    plans = plan(load(job.net_config), Options(**job.arguments))
    check_size(plans)
    taken = plans[0].input_shape[::-1]
    given = inputs.shape[:-1] if len(taken) == 3 else (int(np.prod(inputs.shape[:-1])),)
    if given != taken:
        raise ValueError(f"inputs have shape {inputs.shape}, the network takes {taken} per step")
    for place in job.states_at:
        if not isinstance(place, Sequence) or len(place) != 2:
            raise TypeError(f"states_at must hold pairs (layer, step), got {brief(place)}")
        layer, step = whole("states_at", place[0], 0), whole("states_at", place[1], 0)
        if not 0 <= layer < len(plans) or plans[layer].neuron is None:
            raise ValueError(f"states_at names layer {layer}; the network has {len(plans)} layers, some with neurons")
        if not 0 <= step < job.steps:
            raise ValueError(f"states_at names step {step} of a run of {job.steps} steps")


def _portable(job: Job) -> Job:
    """The job as the child can unpickle it from its own folder."""
    config = job.net_config
    if isinstance(config, describe.Network):
        # Read-only mappings do not pickle.
        layers = tuple(
            replace(x, neuron=x.neuron and describe.Neuron(x.neuron.type, dict(x.neuron.parameters)))
            for x in config.layers
        )
        config = describe.Network(layers, dict(config.simulation))
    else:
        config = str(Path(config).absolute())
    return replace(job, net_config=config, inputs=np.asarray(job.inputs), arguments=dict(job.arguments))


def _supervise(folder: _ending.Folder, jobs: Sequence[Job], timeout: float) -> None:
    """Start the child and wait for it; no trace of it is left."""
    place = folder.path
    environment = {**os.environ, "TMPDIR": str(place)}
    environment["PYTHONPATH"] = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    command = [sys.executable, "-m", "lavadl_ref.netx.run._worker", str(place), str(os.getpid())]
    # the lock goes along: while one of Lava's processes lives, nobody takes the folder for left behind
    options = {"stdin": subprocess.DEVNULL, "env": environment, "pass_fds": (folder.lock,)}
    deadline = time.monotonic() + timeout
    with open(place / "log", "wb") as log, _ending.session(command, stdout=log, stderr=log, **options) as child:
        while not (ended := _ended(child)) and not any((place / name).exists() for name in ("killed", "actor_error")):
            if time.monotonic() > deadline:
                raise LavaTimeout(_message(place, jobs, f"did not finish within {timeout:g} s on Lava"))
            time.sleep(_POLL)
        if (place / "killed").exists():
            raise LavaRunError(_message(place, jobs, f"failed on Lava: {(place / 'killed').read_text()}"))
        if (place / "actor_error").exists():
            raise LavaRunError(_message(place, jobs, "failed in a Lava process", "actor_error"))
        if (place / "error").exists():
            raise LavaRunError(_message(place, jobs, "failed on Lava", "error"))
        if not (place / "records.pkl").exists():
            raise LavaRunError(_message(place, jobs, f"failed on Lava: the process that runs it {ended}"))


def _message(place: Path, jobs: Sequence[Job], what: str, details: str = "log") -> str:
    progress = place / "progress"
    index = int(progress.read_text() or 0) if progress.exists() else 0
    name = jobs[index].name if len(jobs) == 1 else f"job {index}, {jobs[index].name},"
    lines = (place / details).read_text(errors="replace").strip().splitlines()[-30:]
    return "\n".join([f"{name} {what}", *lines])


def _ended(child: subprocess.Popen) -> str:
    """How the child has ended, if it has; it is not reaped, so that its id still names its session."""
    found = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return how_it_ended(found) if found else ""
