"""Blocks of sigma-delta neurons."""

from __future__ import annotations

from lavadl_ref.slayer import neuron, synapse
from lavadl_ref.slayer.block import readout
from lavadl_ref.slayer.block._family import Family
from lavadl_ref.slayer.block.plain import Average as Average
from lavadl_ref.slayer.block.plain import Flatten as Flatten
from lavadl_ref.slayer.block.plain import TimeDecimation as TimeDecimation

family = Family(__name__, neuron.sigma_delta.Neuron, synapse)
AbstractSDRelu = family.base("AbstractSDRelu")
Input, Affine, Dense, Conv, ConvT, Pool, Unpool, Recurrent, KWTA = family.blocks()
Output = family(readout.AbstractOutput)
