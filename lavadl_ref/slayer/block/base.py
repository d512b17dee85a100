"""The classes that the blocks of a family are derived from, and blocks of the user's own can be.

A class of this module keeps the arguments of its neuron as ``neuron_params`` and those of its synapse as
``synapse_params``; a family's ``Abstract...`` class, e.g. `block.cuba.AbstractCuba`, makes the neuron and the delay. A
block of the user's is a class of both:

>>> from lavadl_ref import slayer
>>> class Doubled(slayer.block.cuba.AbstractCuba, slayer.block.base.AbstractDense):
...     def __init__(self, *args, **kwargs):
...         super().__init__(*args, **kwargs)
...         self.synapse = slayer.synapse.Dense(**self.synapse_params)
...         self.synapse.pre_hook_fx = self.neuron.quantize_8bit
...         del self.synapse_params
...
...     def forward(self, x):
...         return super().forward(2 * x)
>>> block = Doubled({"threshold": 1, "current_decay": 0.5, "voltage_decay": 0.1}, 3, 2)
>>> block.neuron.threshold
1.0

Such blocks train, are exported and run on Lava as those here do; a neuron that is not one of `slayer.neuron` trains,
but no file has a place for it.
"""

from lavadl_ref.slayer.block._block import Block, SpikingBlock, SynapticBlock, step_delay
from lavadl_ref.slayer.block.plain import Average as AbstractAverage
from lavadl_ref.slayer.block.plain import Flatten as AbstractFlatten
from lavadl_ref.slayer.block.plain import TimeDecimation as AbstractTimeDecimation
from lavadl_ref.slayer.block.readout import AbstractOutput
from lavadl_ref.slayer.block.recurrent import AbstractKWTA, AbstractRecurrent
from lavadl_ref.slayer.block.synaptic import (
    AbstractAffine,
    AbstractConv,
    AbstractConvT,
    AbstractDense,
    AbstractInput,
    AbstractPool,
    AbstractUnpool,
)

__all__ = [
    "AbstractAffine",
    "AbstractAverage",
    "AbstractConv",
    "AbstractConvT",
    "AbstractDense",
    "AbstractFlatten",
    "AbstractInput",
    "AbstractKWTA",
    "AbstractOutput",
    "AbstractPool",
    "AbstractRecurrent",
    "AbstractTimeDecimation",
    "AbstractUnpool",
    "Block",
    "SpikingBlock",
    "SynapticBlock",
    "step_delay",
]
