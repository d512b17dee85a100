"""The blocks of one family, made of the blocks for any family, and the registry of families.

A family of neurons becomes one of slayer by a neuron class, see `neuron.spiking.Neuron`, and by its row here::

    family = Family(__name__, Neuron, synapse)
    Input, Affine, Dense, Conv, ConvT, Pool, Unpool, Recurrent, KWTA = family.blocks()

`slayer.auto` finds it by the family's name in a ``.net`` file.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, TypeVar

import torch
from lavadl_kernels import neurons as kernels

from lavadl_ref import exchange
from lavadl_ref.slayer import axon
from lavadl_ref.slayer.block import readout, recurrent, synaptic
from lavadl_ref.slayer.block._block import MAX_DELAY, SpikingBlock
from lavadl_ref.slayer.neuron._docstrings import example_arguments
from lavadl_ref.slayer.neuron.base import Neuron

B = TypeVar("B", bound=SpikingBlock)

#: The kinds of block that `slayer.auto` makes, by the name that they have in every family.
KINDS: dict[str, type[SpikingBlock]] = {
    kind.__name__.removeprefix("Abstract"): kind
    for kind in (
        synaptic.AbstractInput,
        synaptic.AbstractAffine,
        synaptic.AbstractDense,
        synaptic.AbstractConv,
        synaptic.AbstractConvT,
        synaptic.AbstractPool,
        synaptic.AbstractUnpool,
        recurrent.AbstractRecurrent,
        recurrent.AbstractKWTA,
        readout.AbstractOutput,
    )
}


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


#: For the example of each kind of block: its arguments behind those of the neurons, a shape given, the shape returned.
EXAMPLES = {
    "Input": ("", "4, 2, 10", "4, 2, 10"),
    "Affine": (", 3, 2", "4, 3, 10", "4, 2, 10"),
    "Dense": (", 3, 2", "4, 3, 10", "4, 2, 10"),
    "Output": (", 3, 2", "4, 3, 10", "4, 2, 10"),
    "Conv": (", 2, 3, kernel_size=3", "4, 2, 8, 8, 10", "4, 3, 6, 6, 10"),
    "ConvT": (", 2, 3, kernel_size=3", "4, 2, 8, 8, 10", "4, 3, 10, 10, 10"),
    "Pool": (", kernel_size=2", "4, 2, 8, 8, 10", "4, 2, 4, 4, 10"),
    "Unpool": (", kernel_size=2", "4, 2, 8, 8, 10", "4, 2, 16, 16, 10"),
    "Recurrent": (", 3, 2", "4, 3, 10", "4, 2, 10"),
    "KWTA": (", 3, 2, num_winners=1", "4, 3, 10", "4, 2, 10"),
}

#: Kinds that need neurons that spike.
FED_BACK = ("Recurrent", "KWTA")

#: Every family of slayer by its name in a ``.net`` file; defining a `Family` adds to it.
FAMILIES: dict[str, Family] = {}


def missing(name: str) -> str | None:
    """The error that names the row that the family that a ``.net`` file calls `name` lacks; None if it lacks none."""
    if name in FAMILIES:
        return None
    wanted = {
        "a record in lavadl_kernels.neurons": name in kernels.FAMILIES,
        "a row in lavadl_ref.exchange.FAMILIES": name in exchange.FAMILIES,
        "a neuron class in slayer.neuron and a block family in slayer.block": False,
    }
    row = next(row for row, there in wanted.items() if not there)
    return f"family {name!r} must have {row}, got none"


def family_of(name: str) -> Family:
    """Look up the family that a ``.net`` file calls `name`.

    Raises
    ------
    KeyError
        If it has no blocks; the message names the row that is missing.
    """
    text = missing(name)
    if text is not None:
        raise KeyError(text)
    return FAMILIES[name]


class Family:
    """The family that makes a block a block of its neurons.

    Parameters
    ----------
    module : str
        Where its blocks are.
    neuron_class : type
        Its neuron.
    synapses : module
        Its synapses: `slayer.synapse`, or `slayer.synapse.complex`.
    default_shift : bool, optional
        Whether its blocks shift their output by one step unless told otherwise; if not given, as `exchange` says.
    **attributes
        More that its blocks have.

    Raises
    ------
    KeyError
        If the neurons' family has no record in the kernels, or no row in `exchange`.
    ValueError
        If another family of slayer has its name.
    """

    registers = True  #: whether `slayer.auto` makes these blocks of a file

    def __init__(
        self,
        module: str,
        neuron_class: type[Neuron],
        synapses: ModuleType,
        default_shift: bool | None = None,
        **attributes: Any,
    ) -> None:
        name = neuron_class.family
        text = missing(name)
        if text is not None and not (name in kernels.FAMILIES and name in exchange.FAMILIES):
            raise KeyError(text)
        if default_shift is None:
            default_shift = exchange.FAMILIES[name].delay_shift
        self.neuron_class = neuron_class
        self._made: dict[str, type[SpikingBlock]] = {}
        self.module = module
        self.name = module.rpartition(".")[2]
        common = {"neuron_class": neuron_class, "synapses": synapses, "default_shift": default_shift, **attributes}
        doc = f"""Neurons of `slayer.neuron.{self.name}` for a block derived from this class and one of `block.base`."""
        self.abstract = type("Abstract", (WithNeurons,), {**common, "__module__": module, "__doc__": doc})
        if self.registers:
            if FAMILIES.get(name, self).module != module:
                raise ValueError(f"family {name!r} must have one block family in slayer.block, got a second: {module}")
            FAMILIES[name] = self

    def block(self, name: str) -> Any:
        """The block of this family that is called `name`, e.g. ``"Dense"``."""
        if name not in self._made:
            self(KINDS[name])
        return self._made[name]

    def _example(self, name: str) -> str:
        """The section of examples of the block `name`; empty for kinds that the family cannot have."""
        if name in FED_BACK and exchange.FAMILIES[self.neuron_class.family].sends_changes:
            return ""
        arguments, given, returned = EXAMPLES[name]
        lines = [
            "Examples",
            "--------",
            ">>> import torch",
            f">>> from {self.module} import {name}",
            f">>> block = {name}({example_arguments(self.neuron_class)}{arguments})",
            f">>> block(torch.ones({given})).shape",
            f"torch.Size([{returned}])",
        ]
        return "".join(f"    {line}\n" for line in lines)

    def base(self, name: str) -> type[torch.nn.Module]:
        """The class, by Lava-DL's name, that blocks of the user's own are derived from beside one of `block.base`."""
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
        name = block.__name__.removeprefix("Abstract")
        if self.registers and name in EXAMPLES:
            doc = f"{doc.rstrip()}\n\n{self._example(name)}    "
        made = type(name, bases, {"__module__": self.module, "__doc__": doc})
        self._made[name] = made
        return made
