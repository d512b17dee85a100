"""Models that run the processes of this folder on a CPU."""

from __future__ import annotations

import os
import traceback
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort, PyRefPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lavadl_ref.netx.io.process import BiasWriter, InputLoader, OutputReader, sample


@implements(proc=InputLoader, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyInputLoaderModel(PyLoihiProcessModel):
    """`InputLoader`: a sample is taken from the dataset at the step at which it leaves."""

    data_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    ground_truth: Any = LavaPyType(PyOutPort.VEC_DENSE, float)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.dataset, self.shapes = proc_params["dataset"], proc_params["shapes"]
        self.interval, self.offset = proc_params["interval"], proc_params["offset"]
        self.data, self.label = np.zeros(self.shapes[0], np.int32), np.zeros(self.shapes[1])

    def run_spk(self) -> None:
        """Send one step."""
        self.ground_truth.send(self.label)
        index, within = divmod(self.time_step - 1 - self.offset, self.interval)
        if index >= 0 and within == 0:
            try:
                self.data, self.label = sample(self.dataset, index % len(self.dataset), self.shapes)
            except Exception:
                traceback.print_exc()  # Lava may wait for ever instead of reporting it
                raise
        self.data_out.send(self.data)


@implements(proc=BiasWriter, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyBiasWriterModel(PyLoihiProcessModel):
    """`BiasWriter`: writes between two steps, and only values that have changed."""

    bias_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    bias_out: Any = LavaPyType(PyRefPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.arrived: Any = None
        self.written: Any = None

    def run_spk(self) -> None:
        """Receive one step."""
        self.arrived = self.bias_in.recv()

    def post_guard(self) -> bool:
        return not np.array_equal(self.arrived, self.written)

    def run_post_mgmt(self) -> None:
        self.bias_out.write(self.arrived)
        self.bias_out.wait()
        self.written = self.arrived


@implements(proc=OutputReader, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyOutputReaderModel(PyLoihiProcessModel):
    """`OutputReader`: one frame after the other in a file."""

    net_output_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.file, self.buffer = proc_params["file"], proc_params["buffer"]

    def run_spk(self) -> None:
        """Collect one step."""
        frame = self.net_output_in.recv().astype("<i4").tobytes()
        step = self.time_step - 1
        if step == 0:
            os.ftruncate(self.file, 0)
        os.pwrite(self.file, frame, len(frame) * (step if self.buffer is None else step % self.buffer))
