"""Run Lava's own compiler and process models inside this process: milliseconds for a small network.

`run` gives the same records as `lavadl_ref.netx.runtime.run`; `Session` takes any network of Lava processes. The
process models are Lava's, compiled and built by Lava, and execute the phases of a step in Lava's order. Only Lava's
runtime, with its operating-system processes and its shared memory, is replaced: one model computes after the other,
each as soon as its messages have arrived.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any

from numpy.typing import NDArray

from lavadl_ref._arguments import integers, positive
from lavadl_ref.exchange import describe
from lavadl_ref.netx import lava_support

lava_support.enable()  # raises an error with the command to type where Lava is missing

from lava.magma.core.process.process import ProcessServer  # noqa: E402
from lava.magma.core.process.variable import VarServer  # noqa: E402

from lavadl_ref.netx.run._session import Session, one_at_a_time, quiet  # noqa: E402
from lavadl_ref.netx.run.errors import LavaRunError  # noqa: E402
from lavadl_ref.netx.run.job import RECORDS, Job, Records, Task  # noqa: E402

__all__ = ["Session", "run"]


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
    """Run one network in this process.

    Runs of several threads take turns.

    Parameters
    ----------
    net_config, inputs, steps, record, states_at, **network_arguments
        As for `lavadl_ref.netx.runtime.run`; inputs are (C, H, W, T) or (N, T) integers.
    timeout : float
        Seconds. The time is checked whenever a process begins to compute, so a process that computes for ever is not
        stopped.

    Returns
    -------
    Records
        As for `lavadl_ref.netx.runtime.run`, which also names the errors.

    Examples
    --------
    >>> import numpy as np
    >>> from lavadl_ref.exchange import Dense, Network, Neuron
    >>> neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 10})
    >>> network = Network((Dense(shape=(2,), weight=np.array([[8, 4], [-8, 6]]), neuron=neuron),))
    >>> records = run(network, np.array([[1, 1, 0, 0], [0, 1, 1, 0]]), steps=6)
    >>> records.output.tolist()
    [[0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]]
    >>> records.states[0]["voltage"].tolist()
    [630, -915]
    """
    job = Job(net_config, integers("inputs", inputs), steps, record, states_at, network_arguments)
    records: Records = supervised(job, timeout)
    return records


def supervised(task: Task, timeout: float) -> Any:
    """The result of a task that runs in this process.

    Parameters
    ----------
    task : Task
        The network.
    timeout : float
        Seconds.

    Raises
    ------
    LavaTimeout, LavaRunError, ValueError
        As `run`.
    """
    task.check()
    positive("timeout", timeout)
    with one_at_a_time, quiet(), _registers_kept():
        try:
            return task.in_process(timeout)
        except LavaRunError:
            raise
        except Exception as error:
            raise LavaRunError(f"{task.name} failed on Lava\n{traceback.format_exc()}") from error


@contextmanager
def _registers_kept() -> Iterator[None]:
    """Let Lava forget the processes made meanwhile; it would keep every one of them for ever."""
    registers = [ProcessServer().processes, VarServer().vars]
    lengths = [len(register) for register in registers]
    try:
        yield
    finally:
        for register, length in zip(registers, lengths, strict=True):
            del register[length:]
