"""The blocks of one family, made of the blocks for any family."""

from __future__ import annotations

from types import ModuleType
from typing import Any, TypeVar

import torch

from lavadl_ref.slayer import axon
from lavadl_ref.slayer.block import recurrent, synaptic
from lavadl_ref.slayer.block._block import MAX_DELAY, SpikingBlock
from lavadl_ref.slayer.neuron.base import Neuron

B = TypeVar("B", bound=SpikingBlock)


class WithNeurons(torch.nn.Module):
    """Neurons of a family and a delay, for a class that has one of `block.base` behind this one."""

    neuron_class: type[Neuron]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        block: Any = self
        if block.neuron_params is not None:
            block.neuron = self.neuron_class(**block._neuron_arguments(self.neuron_class, block.neuron_params))
        if block._learns_delay:
            block.delay = axon.Delay(max_delay=MAX_DELAY)
        del block.neuron_params


class Complete(torch.nn.Module):
    """A block that has all of its parts as soon as it is made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        block: Any = self
        # by keyword None is no quantiser, by position it is what is not given, as in Lava-DL
        block._quantises = "pre_hook_fx" not in kwargs
        block._complete()


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
    **attributes
        More that its blocks have.
    """

    def __init__(
        self,
        module: str,
        neuron_class: type[Neuron],
        synapses: ModuleType,
        default_shift: bool = True,
        **attributes: Any,
    ) -> None:
        self.module = module
        self.name = module.rpartition(".")[2]
        common = {"neuron_class": neuron_class, "synapses": synapses, "default_shift": default_shift, **attributes}
        doc = f"""Neurons of `slayer.neuron.{self.name}` for a block derived from this class and one of `block.base`."""
        self.abstract = type("Abstract", (WithNeurons,), {**common, "__module__": module, "__doc__": doc})

    def base(self, name: str) -> type[torch.nn.Module]:
        """What blocks of the user's own are derived from, beside a class of `block.base`; `name` is Lava-DL's."""
        self.abstract.__name__ = self.abstract.__qualname__ = name
        return self.abstract

    def blocks(
        self,
    ) -> tuple[
        type[synaptic.AbstractInput],
        type[synaptic.AbstractAffine],
        type[synaptic.AbstractDense],
        type[synaptic.AbstractConv],
        type[synaptic.AbstractConvT],
        type[synaptic.AbstractPool],
        type[synaptic.AbstractUnpool],
        type[recurrent.AbstractRecurrent],
        type[recurrent.AbstractKWTA],
    ]:
        """The blocks that every family has, with its neurons."""
        return (
            self(synaptic.AbstractInput),
            self(synaptic.AbstractAffine),
            self(synaptic.AbstractDense),
            self(synaptic.AbstractConv),
            self(synaptic.AbstractConvT),
            self(synaptic.AbstractPool),
            self(synaptic.AbstractUnpool),
            self(recurrent.AbstractRecurrent),
            self(recurrent.AbstractKWTA),
        )

    def __call__(self, block: type[B]) -> type[B]:
        """`block` with this family's neurons."""
        summary, _, rest = (block.__doc__ or "").partition("\n")
        doc = f"{summary}\n\n    With neurons of `slayer.neuron.{self.name}`.\n{rest}"
        bases: Any = (Complete, self.abstract, block)
        return type(block.__name__.removeprefix("Abstract"), bases, {"__module__": self.module, "__doc__": doc})
