"""The contents of a family's golden vectors, and the scalar `step` that computes them.

All of it is derived from the family's record, `lavadl_kernels.neurons.Family`: names and their order are those of
`step`, units follow from what a parameter is, and so does the input that brings a neuron to its threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from lavadl_kernels.fixed_point import DECAY_ONE, STATE_BITS, STATE_ONE, WEIGHT_BITS
from lavadl_kernels.neurons import FAMILIES, Family

from lavadl_ref import exchange

Values = Mapping[str, int]
SIGMA_ONE = 1 << (STATE_BITS + WEIGHT_BITS)  #: one unit of a message weighted


@dataclass(frozen=True)
class Definition:
    """One family: its `step`, called as ``step(*states, *inputs, *parameters, loihi)``.

    `step` returns the new states, the spike, and the values that were compared.  The mappings hold
    the names, in the order of the call, and how many units make 1.
    """

    family: Family

    @property
    def one(self) -> int:
        """Units of a state that make 1."""
        return SIGMA_ONE if self.family.sends_messages else STATE_ONE

    @property
    def spike(self) -> int:
        """Units of a spike that make 1: more where it is a message."""
        return STATE_ONE if self.family.sends_messages else 1

    @cached_property
    def states(self) -> Mapping[str, int]:
        """Names of the states, in the order of `step`."""
        return dict.fromkeys(self.family.states, self.one)

    @cached_property
    def inputs(self) -> Mapping[str, int]:
        """Names of the inputs, in the order of `step`."""
        return dict.fromkeys(self.family.inputs, self.one)

    @cached_property
    def parameters(self) -> Mapping[str, int]:
        """Names of the parameters, in the order of `step`."""
        return {name: self._unit(name) for name in self.family.step_parameters}

    def _unit(self, name: str) -> int:
        if name in self.family.decays:
            return DECAY_ONE
        plain = name in self.family.defaults or _is_switch(self.family.parameters, name)
        return 1 if plain else self.one

    @cached_property
    def compared(self) -> Mapping[str, int]:
        """Names of the values that were compared, where they are not the new states."""
        if self.family.adaptive:
            return dict.fromkeys(("threshold_level", "refractory_level"), self.one)
        return dict.fromkeys((f"{name}_before_reset" for name in self.family.resets), self.one)

    def at_rest(self, parameters: Values) -> dict[str, int]:
        """The states of a neuron that has never had any input."""
        rest = self.family.rest
        return {name: parameters[rest[name]] if name in rest else 0 for name in self.states}

    def arguments(self, state: Values, inputs: Values, parameters: Values) -> tuple[int, ...]:
        """The arguments of `step` in front of `loihi`."""
        given = ((self.states, state), (self.inputs, inputs), (self.parameters, parameters))
        return tuple(values[name] for names, values in given for name in names)

    def advance(self, state: Values, inputs: Values, parameters: Values, loihi: bool) -> Result:
        """One step of one neuron."""
        found = self.family.step(*self.arguments(state, inputs, parameters), loihi)
        count = len(self.states)
        values = [int(value) for value in found]
        return Result(
            dict(zip(self.states, values, strict=False)),
            values[count],
            dict(zip(self.compared, values[count + 1 :], strict=False)),
        )

    def lacking(self, before: Values, after: Values, parameters: Values) -> dict[str, int]:
        """The inputs that would bring the compared value exactly to the threshold.

        Parameters
        ----------
        before : mapping
            The state before a step.
        after : mapping
            Everything that the step gives without input.
        parameters : mapping
            Of the neuron.

        Returns
        -------
        dict of int
            Those inputs that decide about the spike.
        """
        family = self.family
        if family.sends_messages:
            return {family.inputs[0]: _to_message(before, parameters)}
        level = parameters["threshold"]
        if family.adaptive:
            level = after["threshold_level"] + after["refractory_level"]
        value = after[f"{family.carried}_before_reset" if family.carried in family.resets else family.carried]
        needed = {family.inputs[family.fires_on]: level - value}
        if family.by_phase:  # the other part comes from below zero to exactly 0
            needed[family.inputs[1]] = -after[family.states[1]]
        return needed


@dataclass(frozen=True)
class Result:
    """The results of one step."""

    state: dict[str, int]  #: carried to the next step
    spike: int
    compared: dict[str, int]

    @property
    def values(self) -> dict[str, int]:
        """New state and compared values."""
        return {**self.state, **self.compared}


def _to_message(before: Values, given: Values) -> int:
    """The input that makes the change of an activation, or with cum_error the sum of changes, equal the threshold."""
    activation = before["activation"] - before["residue"] + given["threshold"] - given["cum_error"] * before["error"]
    return activation - given["bias"] - before["sigma"]


def _is_switch(parameters: type, name: str) -> bool:
    """Tell whether a parameter is True or False: its field of the NamedTuple is annotated ``bool``."""
    kind = parameters.__annotations__.get(name)
    return getattr(kind, "__forward_arg__", kind) in ("bool", bool)


class _Definitions(Mapping[str, Definition]):
    """The definition of every family that the file format and the kernels know, also of those registered later."""

    def __getitem__(self, name: str) -> Definition:
        if name not in exchange.FAMILIES:
            raise KeyError(name)
        return _definition(FAMILIES[name])

    def __iter__(self) -> Iterator[str]:
        return (name for name in exchange.FAMILIES if name in FAMILIES)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@cache
def _definition(family: Family) -> Definition:
    return Definition(family)


#: Every family by its name in a ``.net`` file.
DEFINITIONS: Mapping[str, Definition] = _Definitions()
