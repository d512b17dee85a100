"""The table of exports: for each kind of block the function that describes it for a ``.net`` file.

A block is described by the function of the first of its classes that has one; a class of the user's can instead have a
method ``describe`` of its own.
"""

from __future__ import annotations

from functools import partial

from lavadl_ref import exchange
from lavadl_ref.slayer.block import describe
from lavadl_ref.slayer.block._block import EXPORTS
from lavadl_ref.slayer.block.plain import Average, Flatten, TimeDecimation
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

EXPORTS.update({
    Flatten: describe.flatten,
    Average: describe.average,
    TimeDecimation: describe.time_decimation,
    AbstractInput: describe.input,
    AbstractAffine: describe.affine,
    AbstractDense: describe.dense,
    AbstractOutput: describe.output,
    AbstractRecurrent: describe.recurrent,
    AbstractKWTA: describe.kwta,
    AbstractConv: partial(describe.kernel, layer=exchange.Conv),
    AbstractConvT: partial(describe.kernel, layer=exchange.ConvTranspose),
    AbstractPool: partial(describe.kernel, layer=exchange.Pool),
    AbstractUnpool: partial(describe.kernel, layer=exchange.Unpool),
})  # fmt: skip
