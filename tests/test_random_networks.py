"""The random networks are what the comparisons built on them take for granted."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from tests.support import generate
from tests.support.generate import ALL_FAMILIES, EVERY, NEVER, as_arrays, case, exceeded, oracle, run
from tests.support.oracle import network as naive_network

SEEDS = range(60)


@cache
def ran(seed, wild=False):
    """A network of all families, the records of its layers and when neurons left a width."""
    drawn = case(seed, families=ALL_FAMILIES, wild=wild)
    records, _ = run(drawn)
    return drawn, as_arrays(drawn, records), exceeded(drawn, records)


def layers():
    """Layers and records of all of them."""
    for seed in SEEDS:
        drawn, records, _ = ran(seed)
        yield from zip(drawn.network.layers, records, strict=True)


def test_random_networks_are_alive():
    rates = [
        (record["spikes"] != 0).mean()
        for layer, record in layers()
        if layer.neuron is not None
        and not layer.neuron.parameters.get("sigma_output")
        and np.max(layer.neuron["threshold"]) != NEVER
    ]
    assert len(rates) > 100
    assert sum(0 < rate < 1 for rate in rates) > 0.75 * len(rates)


def test_every_family_of_the_random_networks_is_alive():
    for family in ALL_FAMILIES:
        rates = [
            (record["spikes"] != 0).mean()
            for layer, record in layers()
            if layer.neuron is not None and layer.neuron.type == family
        ]
        assert sum(0 < rate < 1 for rate in rates) > 0.5 * len(rates) > 3, family


def test_random_networks_hold_everything_that_a_file_can_say():
    drawn = [layer for layer, _ in layers()]
    assert {layer.kind for layer in drawn} == set(EVERY) - {"bare"} | {"flatten"}
    with_neurons = [layer for layer in drawn if layer.neuron is not None]
    assert {layer.neuron.type for layer in with_neurons} == set(ALL_FAMILIES)
    parameters = [layer.neuron.parameters for layer in with_neurons]
    for name in ("graded_spike", "weight_exp", "weight_exp_imag", "cum_error", "sigma_output"):
        assert sum(bool(values.get(name)) for values in parameters) > 2, name
    for name in ("current_decay", "threshold_decay", "sin_decay", "threshold"):
        assert sum(isinstance(values.get(name), np.ndarray) for values in parameters) > 2, name
    assert (
        sum(values.get("threshold") is not None and np.max(values["threshold"]) == NEVER for values in parameters) > 2
    )
    for name in ("bias", "bias_imag", "weight_imag", "weight_rec_imag", "input_bias", "delay"):
        assert sum(getattr(layer, name, None) is not None for layer in drawn if layer.kind != "input") > 2, name
    constant = {layer.kind for layer in drawn if getattr(layer, "input_bias", None) is not None}
    assert constant == {"dense", "dense_rec", "conv", "convT"}
    assert {layer.delay_shift for layer in with_neurons} == {None, True, False}
    assert sum(layer.neuron is None and hasattr(layer, "weight") and layer.kind != "input" for layer in drawn) > 2
    assert sum(layer.neuron is None and layer.kind == "input" for layer in drawn) > 2
    assert sum(bool(ran(seed)[0].options) for seed in SEEDS) > 9


def test_families_are_mixed():
    pairs = set()
    for seed in SEEDS:
        types = [x.neuron.type for x in ran(seed)[0].network.layers if x.neuron is not None]
        pairs |= {(a == "SDNN", b == "SDNN") for a, b in pairwise(types)}
    assert len(pairs) == 4, "sigma-delta neurons behind spiking ones, the other way round, and each behind its like"


def test_tame_networks_stay_inside_widths_and_float32():
    for seed in range(30):
        drawn, records, left = ran(seed)
        assert all(steps is None or (steps < 0).all() for steps in left), drawn.label
        assert all(np.abs(values).max() < 2**24 for record in records for values in record.values()), drawn.label
        unbounded, _ = oracle(drawn, profile="slayer")
        for record, other in zip(records, unbounded, strict=True):
            assert all(np.array_equal(record[name], other[name]) for name in record), drawn.label


def test_wild_networks_leave_the_widths():
    """Before the first step at which something does, both profiles give the same integers."""
    count = 0
    for seed in range(20):
        drawn, records, left = ran(seed, wild=True)
        unbounded, _ = oracle(drawn, profile="slayer")
        for steps, record, other in zip(left, records, unbounded, strict=True):
            if steps is None:
                continue
            first = steps[steps >= 0].min(initial=drawn.inputs.shape[-1])
            for name in record.keys() - {"exceeded"}:
                np.testing.assert_array_equal(record[name][..., :first], other[name][..., :first], drawn.label)
            if (steps >= 0).any():
                count += 1
                break  # what follows has another input
    assert count > 8


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_start_as_the_description_says(seed):
    """A layer without a state may start at any step."""
    network = ran(seed)[0].network
    starts = zip(network.layers, naive_network.start_steps(network.layers), network.start_steps, strict=True)
    assert all(a == b for layer, a, b in starts if layer.kind not in ("flatten", "average"))


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_gives_one_network(seed):
    (first, records, _), again = ran(seed), case(seed, families=ALL_FAMILIES)
    assert (first.label, first.options) == (again.label, again.options)
    np.testing.assert_array_equal(first.inputs, again.inputs)
    for record, other in zip(records, oracle(again)[0], strict=True):
        assert record.keys() == other.keys()
        assert all(np.array_equal(record[name], other[name]) for name in record)
    assert case(seed + 100, families=ALL_FAMILIES).inputs.tolist() != first.inputs.tolist()


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_one_family_and_some_kinds_may_be_drawn_alone(family):
    for seed in range(6):
        drawn = case(seed, kinds=generate.ON_LAVA, steps=12, families=(family,))
        assert {x.neuron.type for x in drawn.network.layers if x.neuron is not None} == {family}
        assert {x.kind for x in drawn.network.layers} <= {"conv", "dense", "flatten"}
        assert drawn.inputs.shape[-1] == oracle(drawn, time_base="lava")[1].shape[-1] == 12
