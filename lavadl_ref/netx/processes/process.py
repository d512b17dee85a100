"""Processes for all but neurons that Lava's own cannot do exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from scipy.sparse import csr_matrix


class DelayLine(AbstractProcess):
    """Delay line: hands each element on `delays` steps later, in the same step where the delay is 0.

    Parameters
    ----------
    shape : tuple of int
        Elements.
    delays : ndarray of int
        Steps, same shape, not negative.
    """

    def __init__(self, *, shape: tuple[int, ...], delays: np.ndarray, name: str | None = None) -> None:
        super().__init__(shape=shape, name=name)
        delays = np.broadcast_to(delays, shape).astype(np.int32)
        if delays.min(initial=0) < 0:
            raise ValueError(f"delays must not be negative, got {int(delays.min())}")
        held = (int(np.prod(shape)), int(delays.max(initial=0)) + 1)
        self.s_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.delays = Var(shape=shape, init=delays)
        self.held = Var(shape=held, init=np.zeros(held, np.int32))


class Recorder(AbstractProcess):
    """Writer of the messages of each step into a file, which is far faster than reading them from a sink.

    Parameters
    ----------
    shape : tuple of int
        Elements.
    path : path
        Raw little-endian int32 file of `steps` frames.
    steps : int
        Frames; later steps are not recorded.
    """

    def __init__(self, *, shape: tuple[int, ...], path: str | Path, steps: int, name: str | None = None) -> None:
        super().__init__(shape=shape, path=str(path), steps=int(steps), name=name)
        self.path, self.frames = Path(path), (int(steps), *shape)
        np.memmap(self.path, dtype="<i4", mode="w+", shape=self.frames).flush()
        self.s_in = InPort(shape=shape)

    def read(self) -> np.ndarray:
        """The recorded frames, (steps, \\*shape) int32."""
        return np.fromfile(self.path, dtype="<i4").reshape(self.frames)


class ExactSparse(AbstractProcess):
    """Weighted sums with any integers as weights, handed on one step later; sums wrap at 32 bits.

    Parameters
    ----------
    weights : ndarray or scipy.sparse matrix
        (O, I) integers.
    num_message_bits : int
        0 if every message that is not 0 is one spike, otherwise messages are taken as they are.
    """

    def __init__(self, *, weights: Any, num_message_bits: int = 0, name: str | None = None) -> None:
        matrix = csr_matrix(weights, dtype=np.int64)
        super().__init__(weights=matrix, binary=num_message_bits == 0, name=name)
        outputs, inputs = matrix.shape
        self.s_in = InPort(shape=(inputs,))
        self.a_out = OutPort(shape=(outputs,))
        self.sums = Var(shape=(outputs,), init=np.zeros(outputs, np.int32))


class AddBias(AbstractProcess):
    """Adds a constant to weighted sums that no neurons receive, and hands them on in the same step.

    Parameters
    ----------
    bias : ndarray
        Integers on the scale of the sums; its shape is that of the process.
    start : int
        First step (0-based) at which the constant is there.
    """

    def __init__(self, *, bias: np.ndarray, start: int = 0, name: str | None = None) -> None:
        super().__init__(start=int(start), name=name)
        self.a_in = InPort(shape=bias.shape)
        self.s_out = OutPort(shape=bias.shape)
        # kept in 32 bits, in which the sums wrap
        self.bias = Var(shape=bias.shape, init=np.asarray(bias, np.int64).astype(np.int32))


class GroupSum(AbstractProcess):
    """Sums of groups of consecutive elements, in the same step.

    Parameters
    ----------
    inputs, outputs : int
        Elements that arrive, and groups that they fall into.
    """

    def __init__(self, *, inputs: int, outputs: int, name: str | None = None) -> None:
        if outputs < 1 or inputs % outputs:
            raise ValueError(f"outputs must divide the {inputs} inputs, got {outputs}")
        super().__init__(name=name)
        self.s_in = InPort(shape=(inputs,))
        self.a_out = OutPort(shape=(outputs,))
