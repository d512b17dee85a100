"""The rule by which the records of a network make its integers, in plain Python on unbounded integers.

It is what ``docs/rtl.md`` asks of a port.  The neurons are the families' own `step`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from lavadl_kernels.fixed_point import scale_by_power_of_two, wrap, wrap32
from lavadl_kernels.neurons import FAMILIES, Family

Values = tuple[int | str, ...]
Records = Mapping[str, tuple[int, ...]]


def split(records: Iterable[tuple[str, Values]]) -> list[dict[str, Values]]:
    """The records of each layer by their names."""
    layers: list[dict[str, Values]] = []
    for name, values in records:
        if name == "layer":
            layers.append({})
        layers[-1][name] = values
    return layers


class LayerRun:
    """A layer that runs step by step.

    Parameters
    ----------
    records : mapping
        What the suite says of the layer.
    loihi : bool
        Whether sums and states have the device's widths.
    """

    def __init__(self, records: Mapping[str, Values], loihi: bool) -> None:
        # what is used as numbers is numbers: words are those of `layer` and `family` alone
        self.records = cast(Records, records)
        self.loihi = loihi
        self.neurons = range(self.records["neurons"][0])
        self.parts = [part for part in ("", "_imag") if f"shift{part}" in records]
        self.family = _family(records.get("family"))
        self.time = 0
        self.sent: Sequence[int] = [0] * len(self.neurons)  #: at the last step, before the delay
        self.held = [0] * self.records["sources"][0]  #: what came in at the step before
        delays = self.records.get("delay", (0,) * len(self.neurons))
        self.lines = [deque([0] * steps) for steps in delays]
        names = () if self.family is None else self.family.step_parameters
        self.parameters = [[self.records[f"parameter.{name}"][i] for name in names] for i in self.neurons]
        self.states: list[list[int]] = []
        self._rest()

    def step(self, arriving: Sequence[int]) -> list[int]:
        """Take one step; return what leaves the layer, after its delay."""
        if self.records["wait"][0]:
            arriving, self.held = self.held, list(arriving)
        interval, phase = self.records.get("reset", (0, 0))
        if interval and (self.time + 1) % interval == phase:
            self._rest()
        awake = self.time >= self.records["start"][0]
        if "average" in self.records:
            size = self.records["average"][0]
            self.sent = [sum(arriving[i * size : (i + 1) * size]) for i in self.neurons]
        elif self.family is None:
            self.sent = [self._bare(i, arriving, awake) for i in self.neurons]
        elif awake:
            before, self.sent = self.sent, [0] * len(self.neurons)
            self.sent = [self._neuron(i, arriving, before) for i in self.neurons]
        self.time += 1
        for line, message in zip(self.lines, self.sent, strict=True):
            line.append(message)
        return [line.popleft() for line in self.lines]

    def _rest(self) -> None:
        names = () if self.family is None else self.family.states
        self.states = [[self.records[f"state.{name}"][i] for name in names] for i in self.neurons]

    def _sum(self, name: str, i: int, arriving: Sequence[int]) -> int:
        row, first = self.records[name], i * len(arriving)
        return sum(row[first + j] * message for j, message in enumerate(arriving) if message)

    def _bare(self, i: int, arriving: Sequence[int], awake: bool) -> int:
        total, bias = self._sum("matrix", i, arriving), self.records["bias"][i] * awake
        bits = self.records["sum_bits"][0]
        return wrap32(wrap(total, bits) + bias) if self.loihi else total + bias

    def _input(self, part: str, i: int, arriving: Sequence[int], before: Sequence[int]) -> int:
        """The input of a neuron on the scale of its states."""
        if "matrix" in self.records:
            total = self._sum(f"matrix{part}", i, arriving)
        else:  # what drives a neuron drives its real part
            total = 0 if part else arriving[i]
        total <<= self.records["sum_shift"][0]
        if "feedback" in self.records:
            total += self._sum(f"feedback{part}", i, before)
        if self.loihi:
            total = wrap(total, self.records["sum_bits"][0])
        scaled = scale_by_power_of_two(total + self.records[f"bias{part}"][i], self.records[f"shift{part}"][0])
        return int(wrap32(scaled) if self.loihi else scaled)

    def _neuron(self, i: int, arriving: Sequence[int], before: Sequence[int]) -> int:
        assert self.family is not None
        inputs = [self._input(part, i, arriving, before) for part in self.parts]
        results = [int(value) for value in self.family.step(*self.states[i], *inputs, *self.parameters[i], self.loihi)]
        count = len(self.states[i])
        self.states[i] = results[:count]
        if self.family.sends_messages or not self.records["graded"][0]:
            return results[count]
        shown = results[count + 1 :] if self.family.resets else []
        # the last states are those that a spike resets; they are carried as they were before
        unreset = [*results[: count - len(shown)], *shown]
        return unreset[self.family.states.index(self.family.carried)] * results[count]


def _family(named: Values | None) -> Family | None:
    """The kernels' record of the neurons that a layer names; None for a layer without neurons."""
    if named is None:
        return None
    family, *kind = (str(word) for word in named)
    record = FAMILIES[family]
    found = {"INPUT": record.as_input, "OUTPUT": record.as_output}[kind[0]] if kind else record
    assert found is not None
    return found


def run(
    layers: Sequence[Mapping[str, Values]], inputs: Iterable[Sequence[int]], loihi: bool
) -> tuple[list[list[int]], dict[str, list[list[int]]]]:
    """Run a network from rest.

    Parameters
    ----------
    layers : sequence of mapping
        The records of each layer, as `split` gives them.
    inputs : iterable of sequence of int
        What enters at each step.
    loihi : bool
        Whether sums and states have the device's widths.

    Returns
    -------
    output : list of list of int
        (T, M), what leaves the last layer.
    traces : dict of list
        (T, M) by name: ``layer0.sent``, what a layer sent before its delay, and ``layer0.`` with the name of a state.
    """
    running = [LayerRun(records, loihi) for records in layers]
    output: list[list[int]] = []
    traces: dict[str, list[list[int]]] = {}
    for frame in inputs:
        messages = list(frame)
        for index, layer in enumerate(running):
            messages = layer.step(messages)
            traces.setdefault(f"layer{index}.sent", []).append(list(layer.sent))
            names = () if layer.family is None else layer.family.states
            for place, name in enumerate(names):
                traces.setdefault(f"layer{index}.{name}", []).append([states[place] for states in layer.states])
        output.append(messages)
    return output, traces
