"""How the processes of this folder run on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lavadl_ref.netx.processes.process import DelayLine, GatedLIF, Recorder
from lavadl_ref.netx.update import cuba_update


@implements(proc=GatedLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyGatedLIFModel(PyLoihiProcessModel):
    """`GatedLIF` in the integers of the reference."""

    a_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=1)
    u: np.ndarray = LavaPyType(np.ndarray, np.int32)
    v: np.ndarray = LavaPyType(np.ndarray, np.int32)
    current_decay: np.ndarray = LavaPyType(np.ndarray, np.int32)
    voltage_decay: np.ndarray = LavaPyType(np.ndarray, np.int32)
    bias: np.ndarray = LavaPyType(np.ndarray, np.int32)
    threshold: np.ndarray = LavaPyType(np.ndarray, np.int32)
    first_step: np.ndarray = LavaPyType(np.ndarray, np.int32)
    reset_interval: np.ndarray = LavaPyType(np.ndarray, np.int32)
    reset_offset: np.ndarray = LavaPyType(np.ndarray, np.int32)

    def run_spk(self) -> None:
        """Update the neurons by one step."""
        a = self.a_in.recv()
        interval, offset = int(self.reset_interval[0]), int(self.reset_offset[0])
        if interval and self.time_step % interval == offset % interval:
            self.u[...] = 0
            self.v[...] = 0
        if self.time_step - 1 < self.first_step[0]:
            spike = np.zeros_like(self.u)
        else:
            spike = cuba_update(
                a, self.u, self.v, self.bias, self.current_decay, self.voltage_decay, int(self.threshold[0])
            )
        self.s_out.send(spike)


@implements(proc=DelayLine, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyDelayLineModel(PyLoihiProcessModel):
    """`DelayLine` as a ring of steps: each element is put where the ring will be after its delay."""

    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=24)
    delays: np.ndarray = LavaPyType(np.ndarray, np.int32)
    held: np.ndarray = LavaPyType(np.ndarray, np.int32)

    def run_spk(self) -> None:
        """Take this step's elements in and hand out those that are due."""
        elements, length = self.held.shape
        now = (self.time_step - 1) % length
        self.held[np.arange(elements), (now + self.delays.reshape(-1)) % length] = self.s_in.recv().reshape(-1)
        self.s_out.send(self.held[:, now].reshape(self.delays.shape))


@implements(proc=Recorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyRecorderModel(PyLoihiProcessModel):
    """`Recorder` as a memory-mapped file."""

    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=24)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.steps = proc_params["steps"]
        frames = (self.steps, *proc_params["shape"])
        self.frames = np.memmap(proc_params["path"], dtype="<i4", mode="r+", shape=frames)

    def run_spk(self) -> None:
        """Record one step."""
        data = self.s_in.recv()
        if self.time_step <= self.steps:
            self.frames[self.time_step - 1] = data
