"""Bootstrap blocks of ADRF-IZ neurons."""

from __future__ import annotations

from torch import Tensor

from lavadl_ref.bootstrap.block._family import Family
from lavadl_ref.bootstrap.block._rates import Resonant
from lavadl_ref.bootstrap.block.blocks import Average as Average
from lavadl_ref.bootstrap.block.blocks import Flatten as Flatten
from lavadl_ref.slayer import neuron, synapse


class AdrfIzRates(Resonant):
    """Rates over the imaginary part of ``z / (1 - lambda)``, to which a steady complex input z brings the neurons."""

    def weights(self, lam: Tensor) -> Tensor:
        return 1 / (1 - lam)


family = Family(__name__, neuron.adrf_iz.Neuron, synapse.complex, AdrfIzRates())
Input, Affine, Dense, Conv, Pool = family.rated()
