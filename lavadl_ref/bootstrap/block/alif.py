"""Bootstrap blocks of ALIF neurons: a rate is a function of the weighted input."""

from __future__ import annotations

from lavadl_ref.bootstrap.block._family import Family
from lavadl_ref.bootstrap.block._rates import Rates
from lavadl_ref.bootstrap.block.blocks import Average as Average
from lavadl_ref.bootstrap.block.blocks import Flatten as Flatten
from lavadl_ref.slayer import neuron, synapse

family = Family(__name__, neuron.alif.Neuron, synapse, Rates())
Input, Affine, Dense, Conv, Pool = family.rated()
