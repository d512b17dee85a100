"""Golden cases of the neuron families: their inputs, and every integer that a neuron makes of them.

The integers come from the scalar `step` functions of the kernels, run as plain Python on
unbounded integers.  They do not change from one machine or version of Python to another.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lavadl_ref.testing._names import known
from lavadl_ref.testing.vectors.definitions import DEFINITIONS, Result, Values
from lavadl_ref.testing.vectors.recipes import RECIPES, Ahead, Lane, Recipe

WIDTHS = ("slayer", "loihi")
EXACT = 2**50  #: no value of a case reaches this, so that its product with a decay of 13 bits fits into 64 bits

Rows = list[list[int]]  # (T, M)
Lanes = dict[str, list[int]]  # (M,) by name
Moment = tuple[Values, Result]  # inputs of a lane at one step, and their result


@dataclass(frozen=True)
class Case:
    """One golden case; T steps of M lanes, each lane a neuron with parameters of its own."""

    family: str
    name: str
    widths: str  #: ``slayer``: unlimited integers; ``loihi``: the chip's widths
    shows: str  #: the property that the case is about
    chunks: tuple[int, ...]  #: steps of each piece in which it is run, states handed on between them
    parameters: Lanes
    state: Lanes  #: before the first step
    inputs: dict[str, Rows]
    spike: Rows
    states: dict[str, Rows]  #: after each step, as carried to the next
    compared: dict[str, Rows]  #: values that decided about the spike

    @property
    def label(self) -> str:
        """``family/name-widths``."""
        return f"{self.family}/{self.name}-{self.widths}"

    @property
    def steps(self) -> int:
        """T."""
        return len(self.spike)

    @property
    def lanes(self) -> int:
        """M."""
        return len(self.spike[0])


def cases(families: str | Iterable[str] | None = None, widths: str | Iterable[str] | None = None) -> Iterator[Case]:
    """The golden cases.

    Parameters
    ----------
    families : str or iterable of str, optional
        Keys of `lavadl_ref.testing.vectors.DEFINITIONS`; all if not given.
    widths : str or iterable of str, optional
        ``slayer``, ``loihi``; both if not given.

    Returns
    -------
    iterator of Case

    Raises
    ------
    ValueError
        If a name is unknown, or none is given.

    Examples
    --------
    >>> case = next(cases("CUBA", "slayer"))
    >>> case.label, case.steps, case.lanes
    ('CUBA/usual-slayer', 48, 8)
    """
    chosen = known(families, DEFINITIONS, "family"), known(widths, WIDTHS, "widths")
    return (
        _record(family, recipe, width)
        for family, recipe, width in itertools.product(chosen[0], RECIPES, chosen[1])
        if not recipe.needs or recipe.needs in DEFINITIONS[family].parameters
    )


def _record(family: str, recipe: Recipe, widths: str) -> Case:
    """Run a case lane by lane."""
    definition, steps = DEFINITIONS[family], sum(recipe.chunks)
    lanes, runs = [], []
    for index in range(recipe.lanes):
        # the same inputs whatever the widths, except where they aim at the threshold
        lane = Lane(family, random.Random(f"{family} {recipe.name} {index}"))
        recipe.prepare(lane, index)
        lanes.append(lane)
        runs.append(list(_run(lane, recipe, steps, widths == "loihi")))

    def over_time(pick: Callable[[Moment], Values], names: Iterable[str]) -> dict[str, Rows]:
        return {name: [[pick(run[t])[name] for run in runs] for t in range(steps)] for name in names}

    case = Case(
        family, recipe.name, widths, recipe.shows, recipe.chunks,
        parameters={name: [lane.parameters[name] for lane in lanes] for name in definition.parameters},
        state={name: [lane.state[name] for lane in lanes] for name in definition.states},
        inputs=over_time(lambda item: item[0], definition.inputs),
        spike=[[run[t][1].spike for run in runs] for t in range(steps)],
        states=over_time(lambda item: item[1].state, definition.states),
        compared=over_time(lambda item: item[1].compared, definition.compared),
    )  # fmt: skip
    largest = max(abs(n) for rows in (*case.states.values(), *case.compared.values()) for row in rows for n in row)
    if largest >= EXACT:
        raise AssertionError(f"{case.label} reaches {largest}")
    return case


def _run(lane: Lane, recipe: Recipe, steps: int, loihi: bool) -> Iterator[Moment]:
    definition, state = lane.definition, lane.state
    for t in range(steps):
        inputs = recipe.feed(lane, t, Ahead(lane, state, loihi))
        result = definition.advance(state, inputs, lane.parameters, loihi)
        yield inputs, result
        state = result.state
