"""The golden vectors as single steps: arguments of a family's `step` and the integers that it must give."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lavadl_ref.testing.vectors import DEFINITIONS, Case
from lavadl_ref.testing.vectors.recipes import ENDS, Lane


@dataclass(frozen=True)
class Step:
    """One step of one lane of a case."""

    case: str  #: its label
    arguments: tuple[Any, ...]  #: of `step`
    expected: tuple[int, ...]  #: the new states and the spike, which a port answers with


def steps(cases: Iterable[Case]) -> list[Step]:
    """The steps of cases, each from the golden state before it, without repetitions.

    A program that is run over a whole case differs first where a step from a right state gives another integer: the
    steps by themselves find the same programs.
    """
    found: dict[tuple[Any, ...], Step] = {}
    for case in cases:
        definition = DEFINITIONS[case.family]
        for lane in range(case.lanes):
            given = {name: values[lane] for name, values in case.parameters.items()}
            state = {name: values[lane] for name, values in case.state.items()}
            for t in range(case.steps):
                inputs = {name: rows[t][lane] for name, rows in case.inputs.items()}
                arguments = (*definition.arguments(state, inputs, given), case.widths == "loihi")
                state = {name: rows[t][lane] for name, rows in case.states.items()}
                found.setdefault(arguments, Step(case.label, arguments, (*state.values(), case.spike[t][lane])))
    return list(found.values())


def noticed(step: Callable[..., Any], by: list[Step]) -> Step | None:
    """A step that a program gets wrong, which is put first for the next program; None if it gets all of them right."""
    for index, one in enumerate(by):
        if not _right(step, one):
            by.insert(0, by.pop(index))
            return one
    return None


def _right(step: Callable[..., Any], one: Step) -> bool:
    try:
        given = step(*one.arguments)
    except (ValueError, TypeError, LookupError, ArithmeticError):
        return False
    return bool(given[: len(one.expected)] == one.expected)


def drawn(family: str, count: int, seed: int = 0) -> list[Step]:
    """Steps at random: any state, input and parameter that a neuron can have, near the ends of widths more often.

    The expected integers are all that the family's own `step` gives, also those that a port does not answer with.
    """
    definition, rng = DEFINITIONS[family], random.Random(f"{family} {seed}")
    found = []
    for _ in range(count):
        lane = Lane(family, rng)
        lane.parameters |= {name: rng.choice((low, high, rng.randint(low, high))) for name, (low, high) in _ends(lane)}
        state = {name: _anything(rng) if name in lane.used else 0 for name in definition.states}
        inputs = {name: _anything(rng) for name in definition.inputs}
        arguments = (*definition.arguments(state, inputs, lane.parameters), rng.random() < 0.5)
        found.append(Step("", arguments, definition.family.step(*arguments)))
    return found


def _ends(lane: Lane) -> list[tuple[str, tuple[int, int]]]:
    """Every parameter and the least and largest number that it can be."""
    decays, found = lane.decays, []
    for name, one in lane.definition.parameters.items():
        low, high = decays.get(name, (0, 2**31 - 1))
        if name == "bias":
            low = -high
        elif name in lane.definition.family.defaults:
            low, high = -16, 16
        elif one == 1:
            high = 1
        found.append((name, (low, high)))
    return sorted(found, key=lambda item: item[0] != "cum_error")


def _anything(rng: random.Random) -> int:
    kind = rng.randrange(3)
    if kind == 0:
        return rng.randint(-3, 3)
    if kind == 1:
        return rng.choice(ENDS) + rng.randint(-2, 2)
    size = 2 ** rng.randint(1, 33)
    return rng.randint(-size, size)
