"""Processes for what Lava's own cannot do exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

from lavadl_ref.netx.update import compile_ahead


class GatedLIF(AbstractProcess):
    """Lava's LIF that stays at rest and silent until it starts, with optional periodic reset.

    From step `start` on (0-based; Lava's ``time_step`` - 1) it computes what LIF computes.
    Biases have 32 bits instead of 16.

    Parameters
    ----------
    shape : tuple of int
        Neurons.
    current_decay, voltage_decay, bias : ndarray or int
        Broadcast to `shape`; decays 0 to 4096, bias in 1/64.
    threshold : int
        In 1/64; a neuron spikes strictly above it.
    start : int
        First step at which the neurons are updated.
    reset_interval : int, optional
        u and v become 0 before the update when ``time_step % reset_interval ==
        reset_offset % reset_interval``.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        current_decay: Any,
        voltage_decay: Any,
        threshold: int,
        bias: Any = 0,
        start: int = 0,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(shape=shape, name=name)
        compile_ahead()

        def filled(value: Any) -> np.ndarray:
            return np.broadcast_to(value, shape).astype(np.int32)

        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.u = Var(shape=shape, init=filled(0))
        self.v = Var(shape=shape, init=filled(0))
        self.current_decay = Var(shape=shape, init=filled(current_decay))
        self.voltage_decay = Var(shape=shape, init=filled(voltage_decay))
        self.bias = Var(shape=shape, init=filled(bias))
        self.threshold = Var(shape=(1,), init=np.array([threshold], np.int32))
        self.first_step = Var(shape=(1,), init=np.array([start], np.int32))
        # An interval of 0 stands for no reset.
        self.reset_interval = Var(shape=(1,), init=np.array([reset_interval or 0], np.int32))
        self.reset_offset = Var(shape=(1,), init=np.array([reset_offset], np.int32))


class DelayLine(AbstractProcess):
    """Hands each element on `delays` steps later, in the same step where the delay is 0.

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
    """Writes what it receives at each step into a file, which is far faster than reading it from a sink.

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
        """What was recorded: (steps, *shape) int32."""
        return np.fromfile(self.path, dtype="<i4").reshape(self.frames)
