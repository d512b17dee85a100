"""The model that runs a block that learns on a CPU."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lavadl_ref.netx.online.process import LearningBlock
from lavadl_ref.netx.online.values import bits, blocks_of, set_bits, to_integers, to_signal
from lavadl_ref.online import Learner


@implements(proc=LearningBlock, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyLearningBlockModel(PyLoihiProcessModel):
    """`LearningBlock` as a learner that is given one step at a time."""

    s_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=32)
    label_in: Any = LavaPyType(PyInPort.VEC_DENSE, np.int32, precision=32)
    s_out: Any = LavaPyType(PyOutPort.VEC_DENSE, np.int32, precision=32)
    parameters: np.ndarray = LavaPyType(np.ndarray, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self.learner: Learner = pickle.loads(proc_params["learner"])
        (self.block,) = blocks_of(self.learner)
        self.units, self.interval = proc_params["units"], proc_params["interval"]
        self.last, self.path = proc_params["steps"], proc_params["path"]
        self.held = bits(self.block)
        self.sent: list[torch.Tensor] = []
        self.read: list[torch.Tensor] = []

    def start(self) -> None:
        torch.set_num_threads(1)  # the threads of the process that it was forked from do not exist here
        super().start()

    def run_spk(self) -> None:
        """Take one step."""
        x = to_signal(self.s_in.recv(), self.units[0])
        label = int(self.label_in.recv()[0])
        if self.held.size and not np.array_equal(self.parameters, self.held):
            set_bits(self.block, self.parameters)
        within = None if self.interval is None else (self.time_step - 1) % self.interval
        if within == 0:
            self.learner.reset()
        read = self.learner.stream(x[None, ..., None], None if label < 0 else torch.tensor([label]))
        if self.interval is not None and within == self.interval - 1:
            self.learner.update()
        assert self.learner.output is not None
        sent = self.learner.output[0, ..., 0]
        self.s_out.send(to_integers(sent, self.units[1], f"messages of a {type(self.block).__name__} block"))
        if self.held.size:
            self.held = bits(self.block)
            self.parameters = self.held.copy()  # Lava sets a Var in place
        if self.path is not None:
            self._record(sent, read[0, :, 0])

    def _record(self, sent: torch.Tensor, read: torch.Tensor) -> None:
        self.sent.append(sent.clone())
        self.read.append(read.clone())
        if self.time_step == self.last:
            left = self.learner, torch.stack(self.sent, -1), torch.stack(self.read, -1)
            Path(self.path).write_bytes(pickle.dumps(left))
