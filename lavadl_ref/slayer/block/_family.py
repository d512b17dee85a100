"""The blocks of one family, made of the blocks for any family."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any, TypeVar

from lavadl_ref.slayer.block import recurrent, synaptic
from lavadl_ref.slayer.block.base import Block
from lavadl_ref.slayer.neuron.base import Neuron

B = TypeVar("B", bound=Block)


class Family:
    """What makes a block a block of a family.

    Parameters
    ----------
    module : str
        Where its blocks are.
    neuron_class : type
        Its neuron.
    synapses : module
        Its synapses: `slayer.synapse`, or `slayer.synapse.complex`.
    default_shift : bool
        Whether its blocks shift their output by one step unless told otherwise.
    """

    def __init__(
        self, module: str, neuron_class: type[Neuron], synapses: ModuleType, default_shift: bool = True
    ) -> None:
        self.module = module
        self.attributes: dict[str, Any] = {
            "neuron_class": neuron_class,
            "synapses": synapses,
            "default_shift": default_shift,
        }

    def blocks(
        self,
    ) -> tuple[
        type[synaptic.Input],
        type[synaptic.Affine],
        type[synaptic.Dense],
        type[synaptic.Conv],
        type[synaptic.ConvT],
        type[synaptic.Pool],
        type[synaptic.Unpool],
        type[recurrent.Recurrent],
        type[recurrent.KWTA],
    ]:
        """The blocks that every family has, with its neurons."""
        return (
            self(synaptic.Input),
            self(synaptic.Affine),
            self(synaptic.Dense),
            self(synaptic.Conv),
            self(synaptic.ConvT),
            self(synaptic.Pool),
            self(synaptic.Unpool),
            self(recurrent.Recurrent),
            self(recurrent.KWTA),
        )

    def __call__(self, block: type[B]) -> type[B]:
        """`block` with this family's neurons."""
        name = self.module.rpartition(".")[2]
        summary, _, rest = (block.__doc__ or "").partition("\n")
        doc = f"{summary}\n\n    With neurons of `slayer.neuron.{name}`.\n{rest}"
        made = type(block.__name__, (block,), {**self.attributes, "__module__": self.module, "__doc__": doc})
        made.__signature__ = self._signature(block)  # type: ignore[attr-defined]
        return made

    def _signature(self, block: type[Block]) -> inspect.Signature:
        """The arguments of `block`, with this family's default shift."""
        signature = inspect.signature(block)
        shift = self.attributes["default_shift"]
        return signature.replace(
            parameters=[
                p.replace(default=shift, annotation=bool) if p.name == "delay_shift" else p
                for p in signature.parameters.values()
            ]
        )
