"""The recipes of golden cases, for any family: parameters, states and inputs of each lane."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from lavadl_kernels.fixed_point import DECAY_ONE, STATE_ONE, WEIGHT_ONE

from lavadl_ref.exchange import FAMILIES
from lavadl_ref.exchange.families import THRESHOLD_LIMIT
from lavadl_ref.testing.vectors.definitions import DEFINITIONS, Definition, Values

EDGE_LANES = 49
EXPONENTS = (-16, -5, -1, 0, 1, 2, 7, 16)
#: Numbers at and next to the ends of the device's widths, and where its fold of the current ends.
ENDS = [sign * (end + d) for end in (2**23, 2**24, 3 * 2**23, 2**31, 2**32) for d in (-1, 0, 1, 2) for sign in (1, -1)]
BEYOND = [sign * (edge + d) for edge in (2**22, 2**23, 2**24, 3 * 2**23, 2**30) for d in (-1, 0, 1) for sign in (1, -1)]
BEYOND += [2**31 - 1, -(2**31), 0, 1, -1]


class Lane:
    """One neuron of a case and the random numbers that its case is made of.

    Attributes
    ----------
    family : str
    definition : Definition
    random : random.Random
    parameters, state : dict of int
        Usual parameters, and the state of rest, for a recipe to change.
    """

    def __init__(self, family: str, rng: random.Random) -> None:
        self.family = family
        self.definition: Definition = DEFINITIONS[family]
        self.random = rng
        self.parameters = {name: self._usual(name) for name in self.definition.parameters}
        self._turn()
        self.state = self.definition.at_rest(self.parameters)

    @property
    def decays(self) -> dict[str, tuple[int, int]]:
        """Lowest and highest integer of each parameter that multiplies a state."""
        fields = FAMILIES[self.family].fields
        decays = (f for f in fields if f.name in self.parameters and f.kind == "int" and f.high == DECAY_ONE)
        return {field.name: (field.low, field.high) for field in decays}

    @property
    def used(self) -> dict[str, int]:
        """Units of the states that the neuron uses: without cum_error its error stays 0."""
        states = dict(self.definition.states)
        if not self.parameters.get("cum_error", 1):
            del states["error"]
        return states

    def _usual(self, name: str) -> int:
        if name in self.definition.family.defaults:
            return int(self.definition.family.defaults[name])
        one = self.definition.parameters[name]
        if one == 1:
            return self.random.randint(0, 1)
        if name in ("threshold", "threshold_step"):
            return self.random.randint(30, 400) * (one // WEIGHT_ONE)
        return self.random.randint(-40, 60) * (one // WEIGHT_ONE) if name == "bias" else self.random.randint(100, 3000)

    def _turn(self) -> None:
        """Make the decays of an oscillator a rotation with a little loss."""
        if "cos_decay" in self.parameters:
            cos, gain = self.random.randint(1000, 3600), self.random.randint(3700, 4090)
            self.parameters |= {"cos_decay": cos, "sin_decay": math.isqrt(gain * gain - cos * cos)}

    def weighted(self, low: int, high: int) -> dict[str, int]:
        """Inputs as spikes and weights give them, the sum of weights (1/64) within [low, high]; often none."""
        fires = self.random.random() < 0.4
        # what messages weigh has finer steps than what spikes weigh
        grain = STATE_ONE // WEIGHT_ONE if self.definition.spike == 1 else 1
        return {
            name: fires
            * grain
            * self.random.randint(low * one // WEIGHT_ONE // grain, high * one // WEIGHT_ONE // grain)
            for name, one in self.definition.inputs.items()
        }

    def any(self, low: int, high: int) -> dict[str, int]:
        """Inputs of any integers."""
        return {name: self.random.randint(low, high) for name in self.definition.inputs}

    def nothing(self) -> dict[str, int]:
        """Inputs of 0."""
        return dict.fromkeys(self.definition.inputs, 0)


@dataclass(frozen=True)
class Ahead:
    """The step that is about to be taken, as it would be without input."""

    lane: Lane
    state: Values  #: before it
    loihi: bool

    def lacking(self) -> dict[str, int]:
        """The inputs that bring the compared value exactly to the threshold."""
        return self.lane.definition.lacking(self.state, self._idle(self.loihi), self.lane.parameters)

    def missing(self, t: int, to: int) -> dict[str, int]:
        """The inputs that bring a state to the number `to`, if it had no width: each state in turn."""
        definition, after = self.lane.definition, self._idle(False)
        names = list(definition.inputs)
        if len(names) > 1:
            return {name: to - after[state] for name, state in zip(names, definition.states, strict=False)}
        if definition.family.sends_messages:
            change = after["activation"] - self.state["activation"] + self.state["residue"]
            return {names[0]: to - (change, after["sigma"])[t % 2]}
        states = [name for name in definition.states if name not in definition.family.rest]
        state = states[t % 2 % len(states)]
        return {names[0]: to - after.get(f"{state}_before_reset", after[state])}

    def _idle(self, loihi: bool) -> dict[str, int]:
        """Everything that the step gives without input."""
        lane = self.lane
        return lane.definition.advance(self.state, lane.nothing(), lane.parameters, loihi).values


Feed = Callable[[Lane, int, Ahead], dict[str, int]]  # lane, step: the inputs


@dataclass(frozen=True)
class Recipe:
    """The making of a case, for any family."""

    name: str
    shows: str
    lanes: int
    chunks: tuple[int, ...]
    prepare: Callable[[Lane, int], None]  #: changes parameters and state of a lane, by its index
    feed: Feed
    needs: str = ""  #: the parameter without which a family has no such case


def _shaken(lane: Lane, index: int) -> None:
    """Somewhere in the middle of a run."""
    for name, one in lane.used.items():
        lane.state[name] += lane.random.randint(-one, one)


def _at_edges(lane: Lane, index: int) -> None:
    """Parameters at and next to their limits: all combinations of two decays, else some."""
    choices = {name: sorted({low, low + 1, 0, 1, 2048, high - 1, high}) for name, (low, high) in lane.decays.items()}
    if not choices:
        one = lane.definition.parameters["threshold"]
        choices = {"threshold": [0, 1, one // WEIGHT_ONE, one, THRESHOLD_LIMIT * (one // WEIGHT_ONE)]}
    combinations = math.prod(map(len, choices.values()))
    if combinations <= EDGE_LANES:
        picked = next(itertools.islice(itertools.product(*choices.values()), index % combinations, None))
    else:
        picked = tuple(lane.random.choice(values) for values in choices.values())
    lane.parameters |= dict(zip(choices, picked, strict=True))
    lane.state = lane.definition.at_rest(lane.parameters)


def _negative(lane: Lane, index: int) -> None:
    """Negative states: decays of them must be truncated toward zero, not down."""
    for name, one in lane.used.items():
        lane.state[name] -= lane.random.randint(1, 9 if index % 2 else 3 * one)


def _free(lane: Lane, index: int) -> None:
    """Thresholds of 0, without adaptation."""
    lane.parameters |= {name: 0 for name in ("threshold", "threshold_step", "bias") if name in lane.parameters}
    lane.state = lane.definition.at_rest(lane.parameters)


def _scaled(lane: Lane, index: int) -> None:
    """Exponents of both signs, and thresholds that what they leave of an input can reach."""
    lane.parameters |= {"exponent": EXPONENTS[index % len(EXPONENTS)], "threshold": lane.random.randint(1, 2**14)}
    lane.state = lane.definition.at_rest(lane.parameters)


def _tiny(lane: Lane, index: int) -> None:
    """States of a few units, and parameters next to their limits."""
    for name, (low, high) in lane.decays.items():
        lane.parameters[name] = lane.random.choice(sorted({low, low + 1, -1 if low < 0 else 0, 1, high - 1, high}))
    for name in ("threshold", "threshold_step", "bias"):
        if name in lane.parameters:
            lane.parameters[name] = lane.random.choice((0, 1, 2, 100))
    if "exponent" in lane.parameters:
        lane.parameters["exponent"] = EXPONENTS[index % len(EXPONENTS)]
    lane.state = lane.definition.at_rest(lane.parameters)
    for name in lane.used:
        lane.state[name] += lane.random.randint(-2, 2)
    if index % 4 == 0 and "error" in lane.used:  # an error that nothing adds to, though nothing has to be reached
        lane.parameters |= {"threshold": 0, "bias": 0}
        lane.state = {**lane.definition.at_rest(lane.parameters), "error": lane.random.randint(1, 9)}


def _at_widths(lane: Lane, index: int) -> None:
    """Thresholds, biases and adaptive states that let numbers come to the ends of 24 and 32 bits and stay."""
    family, grain = lane.definition.family, lane.definition.parameters["threshold"] // WEIGHT_ONE
    if index % 3 == 0:
        lane.parameters["threshold"] = min(THRESHOLD_LIMIT * grain, 2**31 - grain)
    elif index % 3 == 1 and "bias" in lane.parameters:
        lane.parameters["bias"] = lane.random.choice((-1, 1)) * 2**26
    lane.state = lane.definition.at_rest(lane.parameters)
    if index % 3 == 2 and family.adaptive:
        lane.parameters |= {"threshold_decay": 0, "refractory_decay": 0}
        lane.state["threshold"] = lane.random.choice((2**31 - 1, 2**31 - 2, 2**31 - 2**10))
        lane.state["refractory"] = -lane.state["threshold"] - 2**20
        if family.by_phase:
            lane.state[family.states[1]] = -1
    if "error" in lane.used:
        lane.state["error"] = index


def _aimed(lane: Lane, t: int, ahead: Ahead) -> dict[str, int]:
    """One unit below the threshold, at it and one above; a phase goes from just below 0 to 0 meanwhile."""
    needed = ahead.lacking()
    offsets = dict(zip(needed, (t % 3 - 1, t % 2 - 1), strict=False))
    others = lane.weighted(-60, 200)
    return {name: needed[name] + offsets[name] if name in needed else others[name] for name in others}


def _wide(lane: Lane, t: int, ahead: Ahead) -> dict[str, int]:
    """Inputs at and beyond the widths of the chip, now and then none."""
    return {name: lane.random.choice(BEYOND) for name in lane.definition.inputs} if t % 3 < 2 else lane.nothing()


def _untouched(lane: Lane, index: int) -> None:
    """Usual parameters, from rest."""


def _busy(lane: Lane, t: int, ahead: Ahead) -> dict[str, int]:
    return lane.weighted(-60, 200)


def _odd(lane: Lane, t: int, ahead: Ahead) -> dict[str, int]:
    return lane.any(-4999, 99) if t % 3 == 0 else lane.nothing()


def _dense(lane: Lane, t: int, ahead: Ahead) -> dict[str, int]:
    return lane.any(-(2**14), 2**15)


def _to_ends(lane: Lane, t: int, ahead: Ahead) -> dict[str, int]:
    """Inputs that bring a state to the end of a width; where a part has none left, at the end themselves."""
    if t % 4 == 3:
        return {name: lane.random.choice(ENDS) for name in lane.definition.inputs}
    # -2**31 has no magnitude in 32 bits; 2**23 makes a neuron spike whose threshold is negative
    first = -(2**31) if lane.definition.family.sends_messages else 2**23
    return ahead.missing(t, lane.random.choice(ENDS) if t else first)


def _by_exponent(lane: Lane, t: int, ahead: Ahead) -> dict[str, int]:
    size = 2 ** (12 + max(lane.parameters["exponent"], 0))
    return lane.any(-size, 2 * size)


def _faint(lane: Lane, t: int, ahead: Ahead) -> dict[str, int]:
    return lane.any(-2, 2)


def _still(lane: Lane, t: int, ahead: Ahead) -> dict[str, int]:
    """Nothing at first."""
    return lane.any(-2, 2) if t else lane.nothing()


RECIPES = (
    Recipe("usual", "usual parameters and spikes, from rest", 8, (48,), _untouched, _busy),
    Recipe("chunks", "from any state, states handed on between pieces of a run", 8, (1, 7, 16, 2, 22), _shaken, _busy),
    Recipe("ties", "one unit below the threshold, at it and one above", 12, (36,), _untouched, _aimed),
    Recipe("negative", "negative states and inputs: truncation is toward zero", 12, (24,), _negative, _odd),
    Recipe("edges", "parameters at and next to their limits", EDGE_LANES, (20,), _at_edges, _dense),
    Recipe("zero-threshold", "thresholds of 0", 6, (20,), _free, _faint),
    Recipe("wide", "values at and beyond 24 and 32 bits", 24, (18,), _shaken, _wide),
    Recipe("units", "numbers of a few units: what is rounded to 0", 24, (20,), _tiny, _still),
    Recipe("limits", "numbers that come exactly to the ends of 24 and 32 bits", 24, (24,), _at_widths, _to_ends),
    Recipe("exponents", "exponents of a norm", 16, (24,), _scaled, _by_exponent, needs="exponent"),
)
