"""The record of a family: a neuron defined outside the package by its rows, and records that contradict themselves."""

import re
from dataclasses import replace
from typing import Any, NamedTuple

import numba
import numpy as np
import pytest
from lavadl_kernels import FAMILIES, Family
from lavadl_kernels.engine import deployed, eligibility, recurrent, train
from lavadl_kernels.fixed_point import as_type_of, leak, saturate24
from lavadl_kernels.neurons import _leaky_integrator as leaky_integrator
from lavadl_kernels.neurons import cuba, register
from lavadl_kernels.neurons._family import family as look_up
from lavadl_kernels.neurons._surrogate import slopes
from lavadl_kernels.runtime import cache
from lavadl_kernels.runtime.jit import scalar

from tests.support.kernel_deployment import deploy


@scalar
def step(voltage, a, voltage_decay, threshold, loihi):
    voltage = leak(voltage, voltage_decay) + a
    if loihi:
        voltage = saturate24(voltage)
    spike = voltage > threshold
    return (as_type_of(0, voltage) if spike else voltage), spike, voltage


def adjoint(neuron, at, surrogate):
    spike, level = at.arriving.spike, np.float32(neuron.threshold / 4096)
    slopes(spike, at.history.trace[0, at.t, : spike.size], level, None, at.leaving.x[0], surrogate)
    leaky_integrator.adjoint(at, True)


@scalar
def tangent(d_states, d_inputs, d_decays, before, decays):
    return (leaky_integrator.kept(d_states[0], decays[0]) + d_inputs[0] - before[0] * d_decays[0],)


class OneState(NamedTuple):
    decay: Any
    threshold: int


ONE_STATE = Family(
    "ONE_STATE",
    OneState,
    step,
    states=("voltage",),
    decays=("voltage_decay",),
    advance_adjoint=adjoint,
    tangent=tangent,
    carried="voltage",
    resets=("voltage",),
)


@pytest.fixture
def registered():
    """The family, known for one test."""
    yield register(ONE_STATE)
    del FAMILIES["ONE_STATE"]


def as_cuba(lanes):
    """The same neuron as CUBA has it: its current is the input of each step."""
    decay = np.stack([np.full(lanes, 4096), np.arange(lanes) * 100, np.zeros(lanes, np.int64)])
    return cuba.Cuba(decay, 3000), OneState(decay[1:2].copy(), 3000)


def pair(graded):
    """Inputs and states of 12 lanes, for CUBA and for the family."""
    rng = np.random.default_rng(1)
    x = (rng.integers(-2000, 3000, (40, 12)) / 4096).astype(np.float32)
    voltage = rng.integers(-4000, 2000, (1, 12))
    return x, np.concatenate([np.zeros_like(voltage), voltage]), voltage


@pytest.mark.parametrize("graded", [False, True])
def test_a_family_of_one_state_trains_as_the_neuron_that_it_is(registered, graded):
    x, two, one = pair(graded)
    known, new = as_cuba(12)
    expected, actual = (
        train.forward(neuron, (x,), state, graded, True) for neuron, state in ((known, two), (new, one))
    )
    assert actual.spike.any()
    np.testing.assert_array_equal(actual.spike, expected.spike)
    np.testing.assert_array_equal(actual.trace[0], expected.trace[1])
    np.testing.assert_array_equal(actual.state[0], expected.state[1])
    grad = np.random.default_rng(2).normal(size=x.shape).astype(np.float32)
    expected, actual = (
        train.backward(neuron, (x,), state, 1.0, 0.5, grad, None, graded)
        for neuron, state in ((known, two), (new, one))
    )
    np.testing.assert_array_equal(actual.x[0], expected.x[0])
    np.testing.assert_array_equal(actual.decay[0], expected.decay[1])
    assert actual.decay.any()


def test_a_family_of_one_state_has_the_traces_of_the_neuron_that_it_is(registered):
    x, two, one = pair(False)
    known, new = as_cuba(12)
    slope = np.random.default_rng(2).normal(size=(2, *x.shape)).astype(np.float32)
    expected, actual = (
        eligibility.of_inputs(neuron, x, eligibility.at_rest(neuron, 12), True)[1][-1] for neuron in (known, new)
    )
    np.testing.assert_array_equal(actual, expected)
    expected, actual = (
        eligibility.of_decays(neuron, (x,), state, eligibility.decays_at_rest(neuron, 12), given).grad[-1]
        for neuron, state, given in ((known, two, slope * np.float32([[[0]], [[1]]])), (new, one, slope[1:]))
    )
    np.testing.assert_array_equal(actual, expected)
    assert actual.any()


def test_a_family_of_one_state_takes_feedback_as_the_neuron_that_it_is(registered):
    x, two, one = pair(False)
    known, new = as_cuba(12)
    matrix = recurrent.Weights((np.arange(16).reshape(4, 4) / 64 - 0.1).astype(np.float32))
    runs = [recurrent.forward(n, (x,), state, 4, (matrix,), keep=True) for n, state in ((known, two), (new, one))]
    np.testing.assert_array_equal(runs[1].spike, runs[0].spike)
    found = [
        recurrent.backward(n, run.x, run.checkpoints, 1.0, 0.5, np.ones_like(x), 4, (matrix,))
        for n, run in zip((known, new), runs, strict=True)
    ]
    np.testing.assert_array_equal(found[1].x[0], found[0].x[0])


@pytest.mark.parametrize("loihi", [True, False])
def test_a_family_of_one_state_is_deployed_as_the_neuron_that_it_is(registered, loihi):
    rng = np.random.default_rng(3)
    total = rng.integers(-(2**22), 2**23, (1, 30, 12))
    _, two, one = pair(False)
    known, new = as_cuba(12)
    expected, actual = (deploy(n, total, state, loihi=loihi).run() for n, state in ((known, two), (new, one)))
    assert (actual.exceeded >= 0).any()
    np.testing.assert_array_equal(actual.message, expected.message)
    np.testing.assert_array_equal(actual.record[0], expected.record[1])
    np.testing.assert_array_equal(actual.exceeded, expected.exceeded)


def test_the_bound_of_a_family_follows_its_integrators(registered):
    decay = np.array([[1024], [2048]])
    state = np.zeros((2, 1), np.int64)
    assert train.bounds(OneState(decay[:1], 0), state[:1], 1000) == (1 + 4, 0)
    rows = np.concatenate([decay, [[0]]])
    assert train.bounds(cuba.Cuba(rows, 0), state, 1000) == ((1 + 4) * (1 + 2), 0)


class NoDecay(NamedTuple):
    threshold: int


class LateDefault(NamedTuple):
    decay: Any
    threshold: int
    other: int


def without_loihi(voltage, a, voltage_decay, threshold):
    return voltage, False, voltage


def two_results(voltage, a, voltage_decay, threshold, loihi):
    return voltage


def of_other_name(voltage, a, leak, threshold, loihi):
    return voltage, False, voltage


def not_compared(voltage, a, voltage_decay, threshold, loihi):
    return voltage, False


@pytest.mark.parametrize(
    ("row", "changed"),
    [
        ("name", {"name": ""}),
        ("states", {"states": ()}),
        ("states", {"states": ("",)}),
        ("states", {"states": ["voltage"]}),
        ("states", {"states": ("voltage", "voltage")}),
        ("inputs", {"inputs": ("a", "b", "c")}),
        ("carried", {"carried": "current"}),
        ("carried", {"carried": ""}),
        ("resets", {"resets": ("current",)}),
        ("resets", {"step": not_compared}),
        ("rest", {"rest": {"current": "threshold"}}),
        ("rest", {"rest": {"voltage": "level"}}),
        ("bias_at", {"bias_at": "current"}),
        ("step", {"bias_at": "voltage"}),
        ("constants", {"constants": ("threshold", "threshold_step")}),
        ("parameters", {"parameters": dict}),
        ("parameters", {"parameters": NoDecay}),
        ("parameters", {"parameters": LateDefault}),
        ("integrators", {"integrators": 2}),
        ("advance_adjoint", {"advance_adjoint": step}),
        ("tangent", {"tangent": step}),
        ("spike_tangent", {"spike_tangent": step}),
        ("states", {"without_adaptation": cuba.FAMILY}),
        ("step", {"step": None}),
        ("step", {"step": without_loihi}),
        ("step", {"step": two_results}),
        ("step parameter", {"step": of_other_name}),
        ("step", {"decays": ("voltage_decay", "current_decay")}),
    ],
)
def test_register_names_the_row_that_is_wrong(row, changed):
    bad = replace(ONE_STATE, **changed)
    with pytest.raises(ValueError, match=rf"^{re.escape(row)} of family '{bad.name}' must .*, got "):
        register(bad)
    assert bad.name not in FAMILIES


def test_register_refuses_a_second_family_of_a_name():
    with pytest.raises(ValueError, match="name of a family must be unique, got a second 'CUBA'"):
        register(replace(ONE_STATE, name="CUBA"))


def test_register_refuses_a_second_class_of_a_name():
    class Cuba(NamedTuple):
        decay: Any
        threshold: int

    with pytest.raises(ValueError, match="class name of a family's parameters must be unique, got a second 'Cuba'"):
        register(replace(ONE_STATE, parameters=Cuba))
    assert deployed._ADVANCE.keys().isdisjoint({Cuba})
    assert "ONE_STATE" not in FAMILIES


def test_family_names_those_that_are_known():
    assert look_up("CUBA") is cuba.FAMILY
    with pytest.raises(KeyError, match="family 'IF' must have a record in"):
        look_up("IF")


def test_machine_code_of_a_family_elsewhere_is_bound_to_the_state_of_its_file(tmp_path, monkeypatch):
    """The package's own files are part of the stamp; of a family elsewhere only its class is known to a kernel."""
    file = tmp_path / "elsewhere.py"
    text = "from typing import NamedTuple\nclass Elsewhere(NamedTuple):\n    threshold: int\n"
    file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    import elsewhere

    signature = numba.typeof((elsewhere.Elsewhere(1), cuba.Cuba(np.zeros((3, 1), np.int64), 0))).types
    before = cache._files_outside(signature)
    assert [name for name, *_ in before] == ["elsewhere"]
    assert cache._files_outside(signature) == before
    file.write_text(text + "# another step\n")
    assert cache._files_outside(signature) != before
    assert cache._files_outside(signature[1:]) == ()
