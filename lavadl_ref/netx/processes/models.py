"""Models that run the processes of this folder on a CPU."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol
from lavadl_kernels.neurons import Family

from lavadl_ref.deployed.deployment import Deployment, deploy, message_bits
from lavadl_ref.exchange.describe import Recurrent
from lavadl_ref.netx.processes._step import update
from lavadl_ref.netx.processes.neurons import ExactNeuron, exact_class, exact_records
from lavadl_ref.netx.processes.process import AddBias, DelayLine, ExactSparse, GroupSum, Recorder


class _Exact(PyLoihiProcessModel):
    """An `ExactNeuron` in the integers of the reference."""

    PROCESS: type[ExactNeuron]

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.layer, self.incoming, self.spike_exp = (proc_params[k] for k in ("layer", "incoming", "spike_exp"))
        self.first, self.interval = proc_params["start"], proc_params["reset_interval"]
        self.offset = proc_params["reset_offset"]
        self.deployment: Deployment | None = None
        self.of_bias = np.empty(0)

    def deployed(self) -> Deployment:
        """The layer's neurons on the kernels with the bias that they have now; input layers are driven through it."""
        if self.deployment is None or not np.array_equal(self.of_bias, self.bias):
            self.of_bias = self.bias.copy()
            self.deployment = deploy(
                self.layer, self.incoming, channels_last=True, bias=self.bias, spike_exp=self.spike_exp
            )
        return self.deployment

    def run_spk(self) -> None:
        """Update the neurons by one step."""
        deployment = self.deployed()
        sums = [getattr(self, port).recv().astype(np.int64) << deployment.sum_shift for port in self.PROCESS.INPUTS]
        if isinstance(self.layer, Recurrent):
            sent = message_bits(self.layer, self.incoming, self.spike_exp)
            up = self.incoming + deployment.sum_shift - sent
            fed_back = [getattr(self, port).recv().astype(np.int64) << up for port in self.PROCESS.FEEDBACK]
            sums = [total + more for total, more in zip(sums, fed_back, strict=True)]
        states = [getattr(self, name) for name in self.PROCESS.STATES]
        reset = self.interval is not None and self.time_step % self.interval == self.offset % self.interval
        message = update(deployment, tuple(sums), states, self.time_step > self.first, reset)
        self.s_out.send(message.reshape(self.bias.shape))


@cache
def _model(record: Family) -> type[_Exact]:
    """The model of a family's neurons: ports and Vars of the names that the class of the process gives them."""
    process = exact_class(record)
    members: dict[str, Any] = {"PROCESS": process, "__doc__": f"`{process.__name__}`.", "__module__": __name__}
    for port in (*process.INPUTS, *process.FEEDBACK):
        members[port] = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=32)
    members["s_out"] = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=32)
    for name in (*process.STATES, "bias"):
        members[name] = LavaPyType(np.ndarray, np.int32)
    model: type[_Exact] = type(f"Py{process.__name__}Model", (_Exact,), members)
    return cast(type[_Exact], implements(proc=process, protocol=LoihiProtocol)(requires(CPU)(tag("fixed_pt")(model))))


def _models() -> dict[str, type[_Exact]]:
    """The models of all classes of neurons by their names."""
    return {f"Py{name}Model": _model(record) for name, record in exact_records().items()}


# Each time Lava looks for a model, it executes this file anew, finds the class among its names, and takes the class of
# that name from the module that Python has imported.  That module may be older than the family, hence `__getattr__`.
globals().update(_models())


def __getattr__(name: str) -> type[_Exact]:
    if name.endswith("Model") and name in (models := _models()):
        return models[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@implements(proc=ExactSparse, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyExactSparseModel(PyLoihiProcessModel):
    """`ExactSparse` in 64 bits, wrapped to 32."""

    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=32)
    a_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=32)
    sums: np.ndarray = LavaPyType(np.ndarray, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.matrix, self.binary = proc_params["weights"], proc_params["binary"]

    def run_spk(self) -> None:
        """Hand on the sums of the step before, so that networks may have loops, and take this step's messages."""
        self.a_out.send(self.sums)
        messages = self.s_in.recv()
        self.sums = (self.matrix @ (messages != 0 if self.binary else messages).astype(np.int64)).astype(np.int32)


@implements(proc=AddBias, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyAddBiasModel(PyLoihiProcessModel):
    """`AddBias` in 32 bits."""

    a_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=32)
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=32)
    bias: np.ndarray = LavaPyType(np.ndarray, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.first = proc_params["start"]

    def run_spk(self) -> None:
        """Hand one step on."""
        data = self.a_in.recv()
        self.s_out.send(data + self.bias if self.time_step > self.first else data)


@implements(proc=GroupSum, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyGroupSumModel(PyLoihiProcessModel):
    """`GroupSum` in 32 bits."""

    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=32)
    a_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=32)

    def run_spk(self) -> None:
        """Sum one step."""
        (outputs,) = self.a_out.shape
        self.a_out.send(self.s_in.recv().reshape(outputs, -1).sum(axis=1))


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
