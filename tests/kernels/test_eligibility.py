"""Eligibility traces against backward through time, against recurrences in float64, and against differences."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lavadl_kernels.engine import eligibility
from lavadl_kernels.engine import train as dynamics
from lavadl_kernels.neurons import cuba, sigma_delta
from lavadl_kernels.runtime.jit import get_num_threads, set_num_threads

from tests.support.checks.families import every
from tests.support.families import SPIKING
from tests.support.kernel_cases import neurons

few = settings(max_examples=25)


def same_decays(case):
    """`case` with decays that all lanes share, as a layer has them."""
    return replace(case, decay=np.repeat(case.decay[:, :1], case.decay.shape[1], axis=1))


def slopes(case, seed=3):
    """Gradients to the states at each step, before spikes act on them."""
    return np.random.default_rng(seed).normal(size=(len(case.state), *case.x[0].shape)).astype(np.float32)


def back_through_time(case, slope):
    silent = np.zeros(case.x[0].shape, np.float32)
    return dynamics.backward(case.parameters, case.x, case.state, 1.0, 0.5, silent, slope)


def close(found, expected, terms):
    """Sums of rounded terms agree to the rounding of the terms."""
    np.testing.assert_array_less(np.abs(found - expected), 1e-5 * terms + 1e-30)


@every
@few
@given(st.data())
def test_a_trace_gives_the_gradient_of_backward_through_time(family, data):
    """Gradient times trace, summed over time, is the gradient to the weight of each lane's input."""
    case = same_decays(data.draw(neurons(family)))
    slope, x = slopes(case), case.x[0]
    start = eligibility.at_rest(case.parameters, x.shape[1])
    _, traces = eligibility.of_inputs(case.parameters, x, start, every=True)
    back = back_through_time(case, slope)
    found = (slope.astype(float) * traces).sum((0, 1))
    close(found, (back.x[0].astype(float) * x).sum(0), (np.abs(slope) * np.abs(traces)).sum((0, 1)))
    if len(back.x) == 2:  # an imaginary weight turns the trace by a quarter
        re, im = traces[:2].astype(float)
        found = (slope[0] * -im + slope[1] * re).sum(0)
        close(found, (back.x[1].astype(float) * x).sum(0), (np.abs(slope) * np.abs(traces)).sum((0, 1)))


@every
@few
@given(st.data())
def test_traces_of_decays_give_the_gradients_of_backward_through_time(family, data):
    case = data.draw(neurons(family))
    slope = slopes(case)
    start = eligibility.decays_at_rest(case.parameters, case.x[0].shape[1])
    found = eligibility.of_decays(case.parameters, case.x, case.state, start, slope)
    expected = back_through_time(case, slope).decay[: len(found.grad)]
    # a state moves a later one by at most itself, or by one step's worth for each step of a second integrator
    states, steps = dynamics.forward(case.parameters, case.x, case.state, traces=True).trace, len(case.x[0])
    largest = np.abs(states).max() + np.abs(case.state).max() / 4096
    terms = np.abs(slope).sum((0, 1)) * largest * steps**2 / 4096
    close(found.grad, expected, np.broadcast_to(terms, expected.shape))


@pytest.mark.parametrize("name", ["cuba", "rf"])
def test_a_trace_is_the_family_s_recurrence(name):
    rng = np.random.default_rng(0)
    x = (rng.random((50, 7)) < 0.3).astype(np.float32)
    if name == "cuba":
        neuron, first, second = cuba.Cuba(np.array([400, 100, 0]), 1 << 40), 1 - 400 / 4096, 1 - 100 / 4096
    else:
        family = next(f for f in SPIKING.values() if f.name == "rf")
        neuron = family.kernel.FAMILY.parameters(np.array([1500, 3500]), 1 << 40)
        turn = (3500 + 1500j) / 4096
    _, traces = eligibility.of_inputs(neuron, x, eligibility.at_rest(neuron, 7), every=True)
    a, b = np.zeros(7, complex), np.zeros(7)
    for t in range(len(x)):
        if name == "cuba":
            a = first * a + x[t]
            b = second * b + a.real
            expected = a.real, b
        else:
            a = turn * a + x[t]
            expected = a.real, a.imag
        np.testing.assert_allclose(traces[:2, t], expected, rtol=1e-5, atol=1e-6)


def test_traces_of_decays_are_difference_quotients():
    """Of neurons that never spike, in float64."""
    rng = np.random.default_rng(1)
    x, slope = rng.normal(size=(30, 5)), rng.normal(size=(2, 30, 5)).astype(np.float32)
    x = np.round(x * 4096) / 4096

    def loss(first, second):
        u, v, total = np.zeros(5), np.zeros(5), np.zeros(5)
        for t in range(len(x)):
            u = (1 - first / 4096) * u + x[t]
            v = (1 - second / 4096) * v + u
            total += slope[0, t] * u + slope[1, t] * v
        return total

    neuron = cuba.Cuba(np.array([512, 256, 0]), 1 << 40)
    start = eligibility.decays_at_rest(neuron, 5)
    state = np.zeros((2, 5), np.int64)
    found = eligibility.of_decays(neuron, (x.astype(np.float32),), state, start, slope).grad
    expected = [
        (loss(512 + 1e-3, 256) - loss(512 - 1e-3, 256)) / 2e-3,
        (loss(512, 256 + 1e-3) - loss(512, 256 - 1e-3)) / 2e-3,
    ]
    # states are rounded to 1/4096 on the way
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02 * np.abs(expected).max())


@every
@few
@given(st.data())
def test_traces_have_the_same_bits_however_a_run_is_cut(family, data):
    case = same_decays(data.draw(neurons(family)))
    neuron, x, slope = case.parameters, case.x, slopes(case)
    lanes, steps = x[0].shape[1], len(x[0])
    cut = data.draw(st.integers(0, steps))
    whole, every_step = eligibility.of_inputs(neuron, x[0], eligibility.at_rest(neuron, lanes), every=True)
    first, before = eligibility.of_inputs(neuron, x[0][:cut], eligibility.at_rest(neuron, lanes), every=True)
    last, behind = eligibility.of_inputs(neuron, x[0][cut:], first, every=True)
    np.testing.assert_array_equal(last, whole)
    np.testing.assert_array_equal(np.concatenate([before, behind], 1), every_step)
    start = eligibility.decays_at_rest(neuron, lanes)
    expected = eligibility.of_decays(neuron, x, case.state, start, slope)
    state = dynamics.forward(neuron, tuple(part[:cut] for part in x), case.state).state
    one = eligibility.of_decays(neuron, tuple(part[:cut] for part in x), case.state, start, slope[:, :cut].copy())
    two = eligibility.of_decays(neuron, tuple(part[cut:] for part in x), state, one.trace, slope[:, cut:].copy())
    np.testing.assert_array_equal(two.trace, expected.trace)
    np.testing.assert_allclose(one.grad + two.grad, expected.grad, rtol=1e-9, atol=1e-9 * np.abs(expected.grad).max())


@every
def test_traces_do_not_depend_on_the_number_of_threads(family):
    rng = np.random.default_rng(0)
    layer = family.kernel.FAMILY
    rows = np.repeat(np.array([[500], [200], [300], [100]])[: len(layer.rows)], 3000, axis=1)
    neuron = layer.parameters(rows, *[4096] * len(layer.constants))
    x = tuple((rng.random((20, 3000)) < 0.2).astype(np.float32) for _ in layer.inputs)
    slope = rng.normal(size=(len(layer.states), 20, 3000)).astype(np.float32)
    state = np.zeros((len(layer.states), 3000), np.int64)
    found, before = [], get_num_threads()
    for threads in (1, 2):
        set_num_threads(threads)
        try:
            traces = eligibility.of_inputs(neuron, x[0], eligibility.at_rest(neuron, 3000))
            decays = eligibility.of_decays(neuron, x, state, eligibility.decays_at_rest(neuron, 3000), slope)
        finally:
            set_num_threads(before)
        found.append((*traces, *decays))
    for left, right in zip(*found, strict=True):
        np.testing.assert_array_equal(left, right)


def test_what_has_died_away_is_zero():
    neuron = cuba.Cuba(np.array([4000, 3000, 0]), 4096)
    x = np.zeros((200, 3), np.float32)
    x[0] = 1
    trace, traces = eligibility.of_inputs(neuron, x, eligibility.at_rest(neuron, 3), every=True)
    assert (trace == 0).all()
    assert (traces[:, -1] == 0).all()
    sizes = np.abs(traces[traces != 0])
    assert sizes.min() >= 2.0**-100


def test_an_input_without_exact_value_is_refused():
    neuron = cuba.Cuba(np.array([100, 100, 0]), 4096)
    x = np.array([[np.nan]], np.float32)
    with pytest.raises(ValueError, match="finite"):
        eligibility.of_decays(
            neuron,
            (x,),
            np.zeros((2, 1), np.int64),
            eligibility.decays_at_rest(neuron, 1),
            np.zeros((2, 1, 1), np.float32),
        )


def test_the_trace_of_sigma_delta_is_its_sum():
    """Sigma sums its input, so the derivative of the sum to a weight is the sum of the weight's input."""
    x = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    trace, _ = sigma_delta.sigma_forward(x, np.zeros(6))
    slope = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    back = sigma_delta.sigma_backward(slope)
    np.testing.assert_allclose((slope * trace).sum(0), (back * x).sum(0), rtol=1e-4)
