"""The model by which Lava finds the processes inside a `Network`."""

from __future__ import annotations

from lava.magma.core.decorator import implements, tag
from lava.magma.core.model.sub.model import AbstractSubProcessModel
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

from lavadl_ref.netx.hdf5.process import Network


@implements(proc=Network, protocol=LoihiProtocol)
@tag("fixed_pt")
class PyNetworkModel(AbstractSubProcessModel):
    """Names the layers that the network has already built."""

    def __init__(self, proc: AbstractProcess) -> None:
        for index, layer in enumerate(proc.layers):
            setattr(self, f"layer_{index}", layer)
