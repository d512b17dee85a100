"""A port that knows nothing of a case but its text: the rule of docs/rtl.md, with the oracle's neurons.

``python -m tests.support.text_port [FAULT]`` reads cases of all levels on standard input and answers line by line; with
a fault it is wrong in one way on purpose.
"""

from __future__ import annotations

import sys
from collections import deque

from tests.support.foreign import FAMILIES
from tests.support.oracle.neurons import scaled, wrap32


def wrapped(value, bits):
    """Two's complement."""
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def products(matrix, messages):
    """The sums of each row."""
    size = len(messages)
    pairs = [(j, message) for j, message in enumerate(messages) if message]
    return [sum(matrix[first + j] * message for j, message in pairs) for first in range(0, len(matrix), size)]


class Neurons:
    """Lanes of one family, with their states; `records` are those of a case or of a layer."""

    def __init__(self, records, loihi, fault=None):
        self.loihi, self.fault = loihi, fault
        self.function = FAMILIES[" ".join(records["family"])]
        self.parameters = self.lanes(records, "parameter.")
        self.rest = self.lanes(records, "state.")
        self.names = list(self.rest[0])
        self.states = self.rest

    @staticmethod
    def lanes(records, prefix):
        named = {name.removeprefix(prefix): list(map(int, v)) for name, v in records.items() if name.startswith(prefix)}
        return [dict(zip(named, values, strict=True)) for values in zip(*named.values(), strict=True)]

    def step(self, inputs):
        """Spikes, and what graded ones carry, for the inputs (parts, lanes)."""
        parts = ("input",) if len(inputs) == 1 else ("real_input", "imag_input")
        given = [dict(zip(parts, values, strict=True)) for values in zip(*inputs, strict=True)]
        found = [self.function(*lane, self.loihi) for lane in zip(self.states, given, self.parameters, strict=True)]
        self.states = [dict(zip(self.names, states, strict=True)) for states, _, _ in found]
        return [spike for _, spike, _ in found], [value for _, _, value in found]

    def shown(self):
        return [state[name] for name in self.names for state in self.states]


class Layer:
    """One layer of a network."""

    def __init__(self, records, loihi, fault=None):
        self.numbers = {name: list(map(int, v)) for name, v in records.items() if name not in ("layer", "family")}
        self.loihi, self.fault, self.time = loihi, fault, 0
        self.size, sources = self.numbers["neurons"][0], self.numbers["sources"][0]
        self.neurons = Neurons(records, loihi) if "family" in records else None
        self.before, self.sent = [0] * sources, [0] * self.size
        self.lines = [deque([0] * d) for d in self.numbers.get("delay", [0] * self.size)]

    def step(self, arriving):
        numbers = self.numbers
        if numbers["wait"][0]:
            arriving, self.before = self.before, arriving
        interval, phase = numbers.get("reset", (0, 0))
        if interval and self.fault != "no reset" and (self.time + 1) % interval == phase:
            self.neurons.states = self.neurons.rest
        begun = self.time >= numbers["start"][0]
        self.time += 1
        if "average" in numbers:
            group = numbers["average"][0]
            self.sent = [sum(arriving[n : n + group]) for n in range(0, len(arriving), group)]
        elif self.neurons is None:
            sums = products(numbers["matrix"], arriving)
            if self.loihi:
                sums = [wrapped(value, numbers["sum_bits"][0]) for value in sums]
            sums = [value + bias * begun for value, bias in zip(sums, numbers["bias"], strict=True)]
            self.sent = [wrap32(value) if self.loihi else value for value in sums]
        elif begun:
            self.sent = self.fire(arriving)
        for line, message in zip(self.lines, self.sent, strict=True):
            line.append(message)
        return [line.popleft() for line in self.lines]

    def fire(self, arriving):
        numbers, inputs = self.numbers, []
        for part in ("", "_imag"):
            if f"shift{part}" not in numbers:
                continue
            if "matrix" in numbers:
                sums = products(numbers[f"matrix{part}"], arriving)
            else:
                sums = [0] * self.size if part else arriving
            sums = [value << numbers["sum_shift"][0] for value in sums]
            if "feedback" in numbers and self.fault != "no feedback":
                back = products(numbers[f"feedback{part}"], self.sent)
                sums = [value + more for value, more in zip(sums, back, strict=True)]
            if self.loihi and self.fault != "no width":
                sums = [wrapped(value, numbers["sum_bits"][0]) for value in sums]
            shift = numbers[f"shift{part}"][0]
            sums = [scaled(value + b, shift) for value, b in zip(sums, numbers[f"bias{part}"], strict=True)]
            inputs.append([wrap32(value) if self.loihi else value for value in sums])
        spikes, values = self.neurons.step(inputs)
        if numbers["graded"][0] and values[0] is not None:
            return [spike * value for spike, value in zip(spikes, values, strict=True)]
        return spikes


class Case:
    """A case that was read as far as its first piece."""

    def __init__(self, records, layers, fault):
        self.level, loihi = int(records["level"][0]), records["widths"] == ["loihi"]
        self.parts = int(records["inputs"][0] == "real_input") + 1 if self.level == 1 else 1
        self.neurons = Neurons(records, loihi) if self.level == 1 else None
        self.layers = [Layer(layer, loihi, fault) for layer in layers]

    def step(self, numbers):
        """The numbers of the line that answers one."""
        if self.level == 1:
            lanes = len(numbers) // self.parts
            spikes, _ = self.neurons.step([numbers[n : n + lanes] for n in range(0, len(numbers), lanes)])
            return [*spikes, *self.neurons.shown()]
        for layer in self.layers:
            numbers = layer.step(numbers)
        shown = self.layers[0].neurons.shown() if self.level == 2 and self.layers[0].neurons else []
        return [*numbers, *shown]


def main(fault=None):
    """Answer every piece."""
    records, layers, case = {}, [], None
    for line in iter(sys.stdin.readline, ""):
        name, _, *values = line.split()
        if name == "case":
            records, layers, case = {}, [], None
        if name == "layer":
            layers.append({})
        if name != "run":
            (layers[-1] if layers else records)[name] = values
            continue
        case = case or Case(records, layers, fault)
        for _ in range(int(values[0])):
            print(*case.step(list(map(int, sys.stdin.readline().split()))))
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
