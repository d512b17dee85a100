"""The oracle of deployed neurons, in plain Python integers: `deployed.run` once more, from the formulas.

Each step is taken twice from the same state, with the device's widths and without: a width mattered where any number of
the two differs, be it a sum, an input, a value that is compared, a state or a message.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from lavadl_kernels.neurons import cuba, sigma_delta

from tests.support import oracle as naive
from tests.support.families import SPIKING as FAMILIES
from tests.support.kernel_deployment import CAREFUL, Ran


class Step(NamedTuple):
    """Every number of one step of one lane."""

    sums: list[int]
    inputs: list[int]
    compared: list[int]
    state: list[int]
    message: int


def fold(value, bits):
    """Two's complement in so many bits."""
    value %= 2**bits
    return value - 2**bits if value >= 2 ** (bits - 1) else value


def run(case):
    """Run a `Deployment`; its results are arrays of Python integers."""
    parts, steps, lanes = case.total.shape
    units = lanes if case.weights is None else case.weights.shape[1]
    total, bias, up = case.total.tolist(), case.bias.tolist(), case.up.tolist()
    weights = None if case.weights is None else case.weights.tolist()
    states, rest = case.state.T.tolist(), case.rest.T.tolist()
    sent, exceeded = [0] * lanes, [-1] * lanes
    messages, records = [], []
    for t in range(steps):
        if case.reset[t]:
            states = [list(values) for values in rest]
        before, sent = sent, [0] * lanes
        for i in range(lanes if t >= case.start else 0):
            sums = [total[p][t][i] for p in range(parts)]
            if weights:
                first, o = i // units * units, i % units
                sums = [z + sum(weights[p][o][j] * before[first + j] for j in range(units)) for p, z in enumerate(sums)]
            offsets = [row[i] for row in bias]
            free, narrow = (step(case, i, states[i], sums, offsets, up, loihi) for loihi in (False, True))
            if free != narrow and exceeded[i] < 0:
                exceeded[i] = t
            taken = narrow if case.loihi else free
            states[i], sent[i] = taken.state, taken.message
        messages.append(sent), records.append([list(values) for values in states])
    record = np.moveaxis(np.array(records), 2, 0)
    return Ran(np.array(messages), record, record[:, -1], np.array(exceeded))


def bounded(ran):
    """Tell whether a run without widths stays where 64 bits hold everything."""
    return max(np.abs(ran.record).max(), np.abs(ran.message).max()) < CAREFUL


def step(case, i, state, sums, bias, up, loihi):
    """One step of lane i from `state`."""
    if loihi:
        sums = [fold(value, case.bits) for value in sums]
    inputs = [naive.scaled(value + offset, shift) for value, offset, shift in zip(sums, bias, up, strict=True)]
    if loihi:
        inputs = [fold(value, 32) for value in inputs]
    compared, after, spike, value = NEURONS[type(case.neuron)](case.neuron, i, state, inputs, loihi)
    return Step(sums, inputs, compared, after, (value if case.graded else 1) if spike else 0)


def spiking(family):
    """A step of a family of spiking neurons as in `tests.support.oracle`."""

    def step(neuron, i, state, inputs, loihi):
        constants = (neuron.threshold, neuron.threshold_step) if family.adaptive else (neuron.threshold,)
        options = {"weight_exp": neuron.exponent} if family.kernel is cuba else {}
        traces, after = family.naive(
            *([value] for value in inputs), *neuron.decay[:, i].tolist(), *constants,
            **dict(zip(family.states, state, strict=True)), loihi=loihi, **options,
        )  # fmt: skip
        *compared, spike = (trace[0] for trace in traces)
        return compared, list(after), spike, compared[family.size]

    return step


def sigma(neuron, i, state, inputs, loihi):
    """Sums, and sends sum and bias."""
    total, value = state[0] + inputs[0], state[0] + inputs[0] + int(neuron.bias[i])
    if loihi:
        total = naive.wrap32(total)
        value = naive.wrap32(total + int(neuron.bias[i]))
    return [value], [total], True, value


def delta(neuron, i, state, inputs, loihi, finer=0):
    """Sends the changes of its input; the unit is finer by so many bits."""
    act, res, err = state
    threshold = Fraction(int(neuron.threshold[i]), 2**12)  # the oracle takes 1/64
    ((change,), _), (now, left, error) = naive.delta(inputs[:1], threshold, neuron.cum_error, act, res, err, loihi)
    compared = naive.wrap32(err + change) if loihi else err + change
    return [change, compared * neuron.cum_error], [now, left, error], True, (change - left) // 2 ** (6 + finer)


def sigma_delta_with_norm(neuron, i, state, inputs, loihi):
    """(sum + bias) / 2**exponent, exactly: the activation's unit is that of the sum, or finer by the exponent."""
    finer = max(neuron.exponent, 0)
    total = state[0] + inputs[0]
    if loihi:
        total = naive.wrap32(total)
    activation = (total + int(neuron.bias[i])) / Fraction(2) ** neuron.exponent * 2**finer
    assert activation.denominator == 1
    activation = int(activation)
    if loihi:
        activation = naive.wrap32(activation)
    if neuron.relu:
        activation = max(activation, 0)
    compared, after, _, message = delta(neuron, i, state[1:], [activation], loihi, finer)
    return [activation, *compared], [total, *after], True, message


NEURONS = {
    **{family.kernel.Parameters: spiking(family) for family in FAMILIES.values()},
    sigma_delta.SigmaDelta: sigma_delta_with_norm,
    sigma_delta.Delta: delta,
    sigma_delta.Sigma: sigma,
}
