"""Bootstrap blocks of RF-IZ neurons."""

from __future__ import annotations

from torch import Tensor

from lavadl_ref.bootstrap.block._family import Family
from lavadl_ref.bootstrap.block._rates import Resonant
from lavadl_ref.bootstrap.block.blocks import Average as Average
from lavadl_ref.bootstrap.block.blocks import Flatten as Flatten
from lavadl_ref.slayer import neuron, synapse


class RfIzRates(Resonant):
    """Rates over the imaginary part of ``(1 + lambda) z``, with z the complex weighted input.

    The input of the step before still counts; input from before that has mostly been reset.
    """

    def weights(self, lam: Tensor) -> Tensor:
        return 1 + lam


family = Family(__name__, neuron.rf_iz.Neuron, synapse.complex, RfIzRates())
Input, Affine, Dense, Conv, Pool = family.rated()
