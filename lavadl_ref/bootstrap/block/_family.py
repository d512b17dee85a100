"""The blocks of one family, made of the blocks for any family."""

from __future__ import annotations

from types import ModuleType

from lavadl_ref.bootstrap.block import blocks
from lavadl_ref.bootstrap.block._rates import Rates
from lavadl_ref.slayer.block import _family
from lavadl_ref.slayer.neuron.base import Neuron


class Family(_family.Family):
    """A family of slayer, without shift unless told otherwise, and its rates."""

    registers = False

    def __init__(self, module: str, neuron_class: type[Neuron], synapses: ModuleType, rates: Rates) -> None:
        super().__init__(module, neuron_class, synapses, default_shift=False, rates=rates)

    def rated(
        self,
    ) -> tuple[type[blocks.Input], type[blocks.Affine], type[blocks.Dense], type[blocks.Conv], type[blocks.Pool]]:
        """The blocks with this family's neurons."""
        return self(blocks.Input), self(blocks.Affine), self(blocks.Dense), self(blocks.Conv), self(blocks.Pool)
