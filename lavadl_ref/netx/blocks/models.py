"""Models by which Lava finds the processes inside a block."""

from __future__ import annotations

from typing import cast

from lava.magma.core.decorator import implements, tag
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lavadl_ref.netx.blocks import process as blocks
from lavadl_ref.netx.blocks.base import AbstractBlock


class AbstractPyBlockModel(AbstractSubProcessModel):
    """Names the processes that the block has already built."""

    def __init__(self, proc: AbstractProcess) -> None:
        for name, part in proc.processes.items():
            setattr(self, name, part)


def _model(block: type[AbstractBlock]) -> type[AbstractPyBlockModel]:
    """The model of a block: Lava wants one for each class of processes."""
    members = {"__doc__": f"`{block.__name__}`.", "__module__": __name__}
    model = type(f"Py{block.__name__}Model", (AbstractPyBlockModel,), members)
    return cast(type[AbstractPyBlockModel], implements(proc=block, protocol=LoihiProtocol)(tag("fixed_pt")(model)))


PyInputModel = _model(blocks.Input)
PyComplexInputModel = _model(blocks.ComplexInput)
PyDenseModel = _model(blocks.Dense)
PyRecurrentDenseModel = _model(blocks.RecurrentDense)
PyComplexDenseModel = _model(blocks.ComplexDense)
PyConvModel = _model(blocks.Conv)
PyPoolModel = _model(blocks.Pool)
PyConvTransposeModel = _model(blocks.ConvTranspose)
PyUnpoolModel = _model(blocks.Unpool)
PyAverageModel = _model(blocks.Average)
