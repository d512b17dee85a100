"""Faults of a whole port beside the networks of level 3: a reset or a decay that is missing.

The mutants of a step are noticed by level 1.  A network shows one only where its neurons spike and go on, and where
what they forget would have mattered: each network of the suite is to notice each of these faults that concerns it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lavadl_kernels.neurons import FAMILIES, Family

from lavadl_ref.testing.vectors import NetworkCase
from lavadl_ref.testing.vectors.stepping import LayerRun, Values, split

Records = Mapping[str, Values]


@dataclass(frozen=True)
class Fault:
    """One way in which a port is wrong, in all layers that it concerns."""

    name: str
    records: Callable[[Records], Mapping[str, Values]]  #: what the port makes of a layer's records
    family: str | None = None  #: whose neurons take `step`; None: no neurons are changed
    step: Callable[..., Any] | None = None


def faults(case: NetworkCase) -> Iterator[Fault]:
    """The faults that concern a network: of its resets, and of the families in it."""
    if case.options.get("reset_interval"):
        yield Fault("no reset of the network", lambda records: {**records, "reset": (0, 0)})
    for name in case.families:
        family = FAMILIES[name]
        if family.resets:
            yield Fault(f"no reset of {name} by a spike", lambda records: records, name, without_reset(family))
        for decay in family.decays:
            yield Fault(f"no {decay} of {name}", functools.partial(_without, name, f"parameter.{decay}"))


def _without(family: str, parameter: str, records: Records) -> Records:
    """Records of a layer whose neurons, where they are of a family, keep what a decay would take."""
    if records.get("family", ("",))[0] != family:
        return records
    return {**records, parameter: (0,) * len(records[parameter])}


def without_reset(family: Family) -> Callable[..., Any]:
    """A family's step whose states stay as they were before the spike."""
    count = len(family.states)

    @functools.wraps(family.step)
    def step(*arguments: Any) -> tuple[Any, ...]:
        results = tuple(family.step(*arguments))
        before = results[count + 1 :]
        return (*results[: count - len(before)], *before, *results[count:])

    return step


def notices(case: NetworkCase, fault: Fault) -> bool:
    """Tell whether a port with this fault answers with other integers."""
    layers = [LayerRun(fault.records(records), case.widths == "loihi") for records in split(case.records)]
    for layer in layers:
        if fault.step is not None and layer.family is not None and layer.family.name == fault.family:
            layer.family = replace(layer.family, step=fault.step)
    for frame, expected in zip(case.inputs.tolist(), case.answer["output"], strict=True):
        messages = frame
        for layer in layers:
            messages = layer.step(messages)
        if messages != expected:
            return True
    return False


def unnoticed(case: NetworkCase) -> list[str]:
    """Names of the faults that a network does not notice."""
    return [fault.name for fault in faults(case) if not notices(case, fault)]
