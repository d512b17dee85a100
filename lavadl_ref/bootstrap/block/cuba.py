"""Bootstrap blocks of CUBA neurons."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lavadl_ref.bootstrap.block._family import Family
from lavadl_ref.bootstrap.block._rates import Rates, normed, per_channel
from lavadl_ref.bootstrap.block.blocks import Average as Average
from lavadl_ref.bootstrap.block.blocks import Flatten as Flatten
from lavadl_ref.slayer import neuron, synapse


class CubaRates(Rates):
    """Rates over the weighted input, or, with a norm, over the normalised current.

    A norm sits behind the current, which a steady input brings to ``1 / current_decay`` times itself.
    """

    def drive(self, neuron: Any, z: Any, gather: bool) -> Tensor:
        """The weighted input, or the current that it leads to where a norm acts on that."""
        if neuron.norm is None:
            drive: Tensor = z
            return drive
        decay = per_channel(neuron.applied_decay("current_decay").detach() / neuron.p_scale, z)
        if not bool((decay > 0).all()):
            raise ValueError(
                "CUBA neurons with a norm have no rate where current_decay is 0: their current has no bound"
            )
        return normed(neuron.norm, z / decay, gather)


family = Family(__name__, neuron.cuba.Neuron, synapse, CubaRates())
Input, Affine, Dense, Conv, Pool = family.rated()
