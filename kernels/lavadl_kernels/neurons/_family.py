"""The record of a neuron family: everything that the engines and other packages need to know about it.

A family's file ends with its record, ``FAMILY = register(Family(...))``. Training, deployment, the reference, Lava
processes, golden vectors and tests read what they need about a family from there; none of it is written a second time.
`register` checks the record, builds the functions over lanes from the family's `step`, and passes them to the engines.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lavadl_kernels.engine import deployed, eligibility, train
from lavadl_kernels.engine._lane_functions import Shape
from lavadl_kernels.fixed_point import WRAPPED32, chain_gain
from lavadl_kernels.neurons._reach import Drive, Reach
from lavadl_kernels.runtime.array_types import Integers


@dataclass(frozen=True, eq=False)
class Family:
    """A neuron family as the kernels know it.

    `step` takes ``(*states, *inputs, *parameters, loihi)`` by position and returns ``(*states, spike, *compared)``:
    `compared` are the values of the last states before the spike acted on them, of those states that a spike changes.
    Its parameters bear the names of `decays`, of ``bias``, and of fields of `parameters`.

    `parameters` is a NamedTuple.  That of a family that trains begins with ``decay``, (P, M) int64 with one row for
    each of `rows`, and has `constants` behind it; further fields, which must have defaults, concern deployed neurons
    alone.
    """

    name: str  #: its name in a ``.net`` file
    parameters: type  #: the NamedTuple that holds a layer's parameters
    step: Callable[..., Any]  #: one step of one neuron, on integers: the definition of the family
    states: tuple[str, ...]  #: in the order of the rows of a layer's states
    decays: tuple[str, ...] = ()  #: trained rows of ``parameters.decay``, in this order
    constants: tuple[str, ...] = ("threshold",)  #: fields of `parameters` that a ``.net`` file has and training takes
    inputs: tuple[str, ...] = ("input",)  #: names of the synaptic inputs of `step`: one, or real and imaginary part
    #: the adjoint of one step over lanes, see `engine.train.advance_adjoint`; None where a family trains otherwise
    advance_adjoint: Callable[..., Any] | None = None
    #: the derivative of one step with rounding, spike and reset as constants, in units of 1: it takes tuples, the
    #: derivatives of the states before the step, of the inputs and of the decays, then the states before the step,
    #: those of `rest` less their rest, and the decays, and returns the derivatives of the states before a spike acts
    tangent: Callable[..., Any] | None = None
    #: what a spike makes of these derivatives, where its action on a state depends on another state
    spike_tangent: Callable[..., Any] | None = None
    integrators: int = 1  #: leaky integrators in a chain between the input and the value that is compared
    #: of the decays and a number of steps: how many times inputs and initial states, whichever is larger, the states
    #: can come to; by default that of a chain of `integrators`, whose decays are the first rows
    gain: Callable[[Integers, int], float] | None = None
    #: of parameters, states and a number of steps: the magnitude to which states can come without input, 1/4096; by
    #: default 0
    state_bound: Callable[[Any, Integers, int], int] | None = None
    spikes_at_equality: bool = False  #: whether a neuron spikes where its value equals the threshold: also at rest
    by_phase: bool = False  #: whether a spike also needs the imaginary part to come from below zero
    carried: str = ""  #: the state whose value before a reset a graded spike carries; "" where `step` gives messages
    resets: tuple[str, ...] = ()  #: states that a spike sets back
    #: bits of the least width on the device, where each number that has one is an input or a result of `step`: a
    #: deployed step is then taken once wherever all of them fit; 0 where one may be lost within, as in a rectified sum
    width: int = 0
    #: bits such that, where states, inputs and results of `step` have no more, no number within it leaves its width; by
    #: default `width`, 0 where that cannot be told
    room: int = 0
    #: of parameters: whether `room` holds for them; by default it always does
    has_room: Callable[[Any], bool] | None = None
    #: the least and largest number of each state that the device's widths leave as it is; by default those of 32 bits,
    #: without the most negative one, which has no magnitude
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    #: of parameters and a `_reach.Drive`: the ranges of all numbers of the neurons, a `_reach.Reach`; None where
    #: nothing is proved of the family
    reach: Callable[[Any, Drive], Reach] | None = None
    bias_at: str = "input"  #: the state that the bias of a ``.net`` file is added to, or "input"
    rest: Mapping[str, str] = field(default_factory=dict)  #: states that are not 0 at rest, and the constant they equal
    without_adaptation: Family | None = None  #: the family with the same first states and no adaptive threshold
    as_input: Family | None = None  #: the neurons of an input layer, where they are others
    as_output: Family | None = None  #: the neurons of a layer whose sums are read out, where they are others

    @property
    def adaptive(self) -> bool:
        """True if the threshold is a state."""
        return "threshold" in self.states

    @property
    def complex(self) -> bool:
        """True if the synaptic input has a real and an imaginary part."""
        return len(self.inputs) == 2

    @property
    def bias_at_state(self) -> bool:
        """True if the bias of a ``.net`` file acts on a state, behind the input."""
        return self.bias_at in self.states

    @property
    def sends_messages(self) -> bool:
        """True if `step` gives the integer that is sent instead of a spike."""
        return not self.carried

    @property
    def fires_on(self) -> int:
        """The part of the input that leads to the value that is compared: 0, or 1 for the imaginary part."""
        return self.states.index(self.carried) if self.complex else 0

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows of ``parameters.decay``: the decays, and the bias of a state, which is not trained."""
        fields = _fields(self.parameters)
        if "decay" not in fields:
            return ()
        return (*self.decays, "bias") if self.bias_at_state else self.decays

    @property
    def step_parameters(self) -> tuple[str, ...]:
        """Names of the parameters of `step`, in the order of the call."""
        return tuple(inspect.signature(self.step).parameters)[len(self.states) + len(self.inputs) : -1]

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Parameters of deployed neurons alone, and the value that says that there is nothing of the kind."""
        return getattr(self.parameters, "_field_defaults", {})

    def limit(self, state: str) -> tuple[int, int]:
        """The least and the largest number of a state that the device's widths leave as it is."""
        return self.limits.get(state, WRAPPED32)

    def input_gain(self, decay: Integers, steps: int) -> float:
        """The factor by which states can exceed inputs and initial states, whichever is larger.

        Parameters
        ----------
        decay : ndarray
            (P, M) or (P,) int64, 1/4096.
        steps : int
            Number of steps.
        """
        return float(chain_gain(decay[: self.integrators], steps) if self.gain is None else self.gain(decay, steps))

    def largest_by_itself(self, neuron: Any, state: Integers, steps: int) -> int:
        """The magnitude to which states can come without input, 1/4096.

        Parameters
        ----------
        neuron : NamedTuple
            Of the class `parameters`.
        state : ndarray
            (K, M) int64, before the first step, 1/4096.
        steps : int
            Number of steps.
        """
        return 0 if self.state_bound is None else int(self.state_bound(neuron, state, steps))


_TANGENT = ("d_states", "d_inputs", "d_decays", "before", "decays")

#: Every family by its name in a ``.net`` file; `register` adds to it.
FAMILIES: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Add a family, and give its functions to the engines that run them.

    Raises
    ------
    ValueError
        If a row of the record is missing or contradicts another; if another family has its name, or another class of
        parameters the same class name: Numba tells named tuples apart by the names of class and fields alone.
    """
    if FAMILIES.get(family.name, family) is not family:
        raise ValueError(f"name of a family must be unique, got a second {family.name!r}")
    for part in (family, family.as_input, family.as_output):
        if part is not None:
            shape = _checked(part)
            deployed.declare(part.parameters, part.step, shape, part.has_room)
            if part.advance_adjoint is not None:
                train.declare(
                    part.parameters,
                    part.step,
                    shape,
                    part.advance_adjoint,
                    train.Bounds(part.input_gain, part.largest_by_itself),
                )
                if part.tangent is not None:
                    rests = tuple(part.rest.get(state, "") for state in part.states)
                    eligibility.declare(part.parameters, part.tangent, part.spike_tangent, shape, part.decays, rests)
    FAMILIES[family.name] = family
    return family


def _checked(family: Family) -> Shape:
    """The shape of the family's `step`, after every row of its record has been compared with the others."""

    def must(holds: bool, row: str, what: str, got: Any) -> None:
        if not holds:
            raise ValueError(f"{row} of family {family.name!r} must {what}, got {got!r}")

    def among(row: str, names: Iterable[str], of: str, known: Iterable[str]) -> None:
        known = tuple(known)
        for name in names:
            must(name in known, row, f"be among its {of} {known}", name)

    must(bool(family.name), "name", "not be empty", family.name)
    must(callable(family.step), "step", "be a function of scalars", family.step)
    for row in ("states", "decays", "constants", "inputs"):
        names = getattr(family, row)
        named = isinstance(names, tuple) and all(isinstance(name, str) and name for name in names)
        must(named, row, "be a tuple of names", names)
        must(len(set(names)) == len(names), row, "not name anything twice", names)
    must(len(family.states) > 0, "states", "name at least one state", family.states)
    must(len(family.inputs) in (1, 2), "inputs", "name one input, or a real and an imaginary part", family.inputs)
    among("carried", [family.carried] if family.carried else [], "states", family.states)
    among("resets", family.resets, "states", family.states)
    among("rest", family.rest, "states", family.states)
    among("rest", family.rest.values(), "constants", family.constants)
    among("bias_at", [family.bias_at], "states, or be 'input',", ("input", *family.states))

    fields = _fields(family.parameters)
    must(bool(fields), "parameters", "be a NamedTuple", family.parameters)
    among("constants", family.constants, "parameters' fields", fields)
    if family.decays or family.advance_adjoint is not None:
        begins = ("decay", *family.constants)
        must(fields[: len(begins)] == begins, "parameters", f"begin with the fields {begins}", fields)
        rest = [name for name in fields[len(begins) :] if name not in family.defaults]
        must(not rest, "parameters", "have a default for each field that training does not set", rest)
        must(bool(family.carried), "carried", "name the state that a graded spike carries", family.carried)
        must(bool(family.decays), "decays", "name the trained rows of the parameters' decay", family.decays)
        if family.advance_adjoint is not None:
            names = tuple(inspect.signature(family.advance_adjoint).parameters)
            must(names == ("neuron", "at", "surrogate"), "advance_adjoint", "take neuron, at and surrogate", names)
            for row, taking in (("tangent", _TANGENT), ("spike_tangent", _TANGENT[:1])):
                given = getattr(family, row)
                if given is not None:
                    names = tuple(inspect.signature(given).parameters)
                    must(names == taking, row, f"take {', '.join(taking)}", names)
        if family.gain is None:
            possible = range(1, len(family.decays) + 1)
            must(family.integrators in possible, "integrators", "be from 1 to the number of decays", family.integrators)
    if family.without_adaptation is not None:
        first = family.without_adaptation.states
        must(
            family.states[: len(first)] == first,
            "states",
            f"begin with those without adaptation {first}",
            family.states,
        )

    taken = tuple(inspect.signature(family.step).parameters)
    given = len(family.states) + len(family.inputs)
    must(len(taken) > given, "step", f"take {len(family.states)} states, {len(family.inputs)} inputs and loihi", taken)
    must(taken[-1] == "loihi", "step", "take loihi last", taken)
    among("step parameter", family.step_parameters, "rows and parameters' fields", (*family.rows, *fields))
    for name in (*family.rows, *family.constants):
        must(name in family.step_parameters, "step", f"take {name}", family.step_parameters)

    # at rest, without input and with parameters of 0, the number of results tells how many values are compared
    found = family.step(*[0] * (len(taken) - 1), False)
    least = len(family.states) + 1
    most = least + len(family.states)
    results = len(found) if isinstance(found, tuple) else 0
    must(least <= results <= most, "step", f"return {least} to {most} values", found)
    if family.resets and not family.sends_messages:
        compared = family.states[len(family.states) - (results - least) :] if results > least else ()
        among("resets", family.resets, "states that step returns as compared", compared)
    carried = -1 if family.sends_messages else family.states.index(family.carried)
    return Shape(
        family=family.name,
        states=len(family.states),
        inputs=len(family.inputs),
        parameters=family.step_parameters,
        rows=family.rows,
        constants=family.constants,
        compared=results - least,
        bits=family.width,
        room=family.room or family.width,
        carried=carried,
    )


def _fields(parameters: Any) -> tuple[str, ...]:
    """Names of the fields of a NamedTuple class; () for another class."""
    return tuple(getattr(parameters, "_fields", ()))


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
