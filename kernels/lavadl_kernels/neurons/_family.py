"""The record of a neuron family: what every engine and package above needs to know of it.

A family's file ends with its record, ``FAMILY = register(Family(...))``.  Training, deployment, the reference, Lava
processes, golden vectors and tests take what they need of a family from there; nothing of it is written a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lavadl_kernels.engine import deployed, train


@dataclass(frozen=True, eq=False)
class Family:
    """A neuron family as the kernels know it.

    Names are those of the parameters of `step` and of the fields of a ``.net`` file's family.
    """

    name: str  #: its name in a ``.net`` file
    parameters: type  #: the NamedTuple that holds a layer's parameters
    step: Callable[..., Any]  #: one step of one neuron, on integers: the definition of the family
    deploy: Callable[..., Any]  #: one step of one lane as deployed; see `engine.deployed`
    states: tuple[str, ...]  #: in the order of the rows of a layer's states
    decays: tuple[str, ...] = ()  #: trained rows of ``parameters.decay``, in this order
    constants: tuple[str, ...] = ("threshold",)  #: scalars behind ``decay`` in `parameters`, in units of 1/4096
    inputs: tuple[str, ...] = ("input",)  #: names of the synaptic inputs of `step`: one, or real and imaginary part
    #: one step of a chunk of lanes and its adjoint, in training; None where a family trains by functions of its own
    advance: Callable[..., Any] | None = None
    advance_adjoint: Callable[..., Any] | None = None
    integrators: int = 1  #: integrators in a chain between an input and the value that is compared
    spikes_at_equality: bool = False  #: whether a neuron spikes where its value equals the threshold: also at rest
    by_phase: bool = False  #: whether a spike also needs the imaginary part to come from below zero
    carried: str = ""  #: the state whose value before a reset a graded spike carries
    resets: tuple[str, ...] = ()  #: states that a spike sets back
    bias_at: str = "input"  #: the input or state that the bias of a ``.net`` file is added to
    rest: Mapping[str, str] = field(default_factory=dict)  #: states that are not 0 at rest, and the constant they equal
    without_adaptation: Family | None = None  #: the family with the same first states and no adaptive threshold
    as_input: Family | None = None  #: the neurons of an input layer, where they are others
    as_output: Family | None = None  #: the neurons of a layer whose sums are read out, where they are others

    @property
    def adaptive(self) -> bool:
        """Whether the threshold is a state."""
        return "threshold" in self.states

    @property
    def complex(self) -> bool:
        """Whether the synaptic input has a real and an imaginary part."""
        return len(self.inputs) == 2

    @property
    def fires_on(self) -> int:
        """The part of the input that leads to the value that is compared: 0, or 1 for the imaginary part."""
        return int(self.complex and self.carried == "imag")


#: Every family by its name in a ``.net`` file; `register` adds to it.
FAMILIES: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Add a family, and give its functions to the engines that run them.

    Raises
    ------
    ValueError
        If another family has its name, or another class of parameters the same class name: Numba tells named tuples
        apart by the names of class and fields alone.
    """
    if FAMILIES.get(family.name, family) is not family:
        raise ValueError(f"family names must be unique, got a second {family.name!r}")
    for part in (family, family.as_input, family.as_output):
        if part is not None:
            deployed.declare(part.parameters, part.deploy)
            if part.advance is not None and part.advance_adjoint is not None:
                train.declare(part.parameters, part.advance, part.advance_adjoint)
    FAMILIES[family.name] = family
    return family


def family(name: str) -> Family:
    """Look up the family that a ``.net`` file calls `name`.

    Raises
    ------
    KeyError
        If no kernel file has registered it.
    """
    if name not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise KeyError(f"family {name!r} must have a record in lavadl_kernels.neurons (Family, register), got {known}")
    return FAMILIES[name]
