"""Lava processes of this package, for all that Lava's own cannot do exactly.

Beside the names below there is a class of neurons for each family, such as ``ExactLIF``: see `ExactNeuron`.  Lava
imports every file of this folder whenever it compiles a network, so it holds nothing but processes and their models.
"""

from lavadl_ref.netx import lava_support

lava_support.enable()  # raises an error with the command to type where Lava is missing

from lavadl_ref.netx.processes import neurons  # noqa: E402
from lavadl_ref.netx.processes.neurons import ExactNeuron  # noqa: E402
from lavadl_ref.netx.processes.process import AddBias, DelayLine, ExactSparse, GroupSum, Recorder  # noqa: E402

__all__ = ["AddBias", "DelayLine", "ExactNeuron", "ExactSparse", "GroupSum", "Recorder"]


def __getattr__(name: str) -> type[ExactNeuron]:
    return neurons.__getattr__(name)
