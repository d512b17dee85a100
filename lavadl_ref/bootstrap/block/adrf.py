"""Bootstrap blocks of ADRF neurons, which have no rates."""

from __future__ import annotations

from lavadl_ref.bootstrap.block._family import Family
from lavadl_ref.bootstrap.block._rates import Phase
from lavadl_ref.bootstrap.block.blocks import Average as Average
from lavadl_ref.bootstrap.block.blocks import Flatten as Flatten
from lavadl_ref.slayer import neuron, synapse

family = Family(__name__, neuron.adrf.Neuron, synapse.complex, Phase())
Input, Affine, Dense, Conv, Pool = family.rated()
