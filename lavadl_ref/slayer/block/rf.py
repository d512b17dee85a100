"""Blocks of RF neurons."""

from __future__ import annotations

from lavadl_ref.slayer import neuron, synapse
from lavadl_ref.slayer.block import recurrent, synaptic
from lavadl_ref.slayer.block._family import Family
from lavadl_ref.slayer.block.plain import Average, Flatten, TimeDecimation

__all__ = [
    "KWTA",
    "Affine",
    "Average",
    "Conv",
    "ConvT",
    "Dense",
    "Flatten",
    "Input",
    "Pool",
    "Recurrent",
    "TimeDecimation",
    "Unpool",
]

family = Family(__name__, neuron.rf.Neuron, synapse.complex)
Input = family(synaptic.Input)
Affine = family(synaptic.Affine)
Dense = family(synaptic.Dense)
Conv = family(synaptic.Conv)
ConvT = family(synaptic.ConvT)
Pool = family(synaptic.Pool)
Unpool = family(synaptic.Unpool)
Recurrent = family(recurrent.Recurrent)
KWTA = family(recurrent.KWTA)
