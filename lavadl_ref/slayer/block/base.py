"""Base classes of the blocks of a family, and of blocks that users write.

A class of this module stores the arguments of its neuron as ``neuron_params`` and those of its synapse as
``synapse_params``. A family's ``Abstract...`` class, e.g. `block.cuba.AbstractCuba`, creates the neuron and the delay.
To write a block, derive it from both:

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

Such blocks train, export and run on Lava like the built-in ones. A neuron that is not from `slayer.neuron` trains, but
cannot be exported.
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
