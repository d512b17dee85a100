"""The largest inputs: bounds that know decays, against Python's integers at the extremes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lavadl_kernels.engine import train as dynamics
from lavadl_kernels.fixed_point import FLOAT32_BOUND, input_bound
from lavadl_kernels.neurons import _adaptation as adaptation
from lavadl_kernels.neurons import _resonator as resonator

from tests.support import oracle as naive
from tests.support.checks.families import every, uniform
from tests.support.families import SPIKING as FAMILIES
from tests.support.kernel_cases import rotations

LIMIT = {False: 2**53, True: 2**63}  #: of a state times a decay


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 400), st.booleans())
def test_resonators_stay_below_what_their_type_holds(seed, steps, wide):
    """Inputs of the largest size, of the signs that turn with the state or at random, from the largest states."""
    rng = np.random.default_rng(seed)
    sin, cos = (int(row[0]) for row in rotations(rng, 1, True))
    largest = int(input_bound(resonator.gain(np.array([[sin], [cos]]), steps), wide))
    re, im = (int(sign) * largest for sign in rng.choice([-1, 1], 2))
    follow = rng.random() < 0.7
    for _ in range(steps):
        a, b = (int(sign) * largest for sign in rng.choice([-1, 1], 2))
        if follow:
            a = abs(a) if cos * re - sin * im >= 0 else -abs(a)
            b = abs(b) if sin * re + cos * im >= 0 else -abs(b)
        re, im = resonator.rotate(re, im, a, b, sin, cos, False)
        assert max(abs(re), abs(im)) * 4096 < LIMIT[wide]


def test_a_resonator_that_grows_is_bounded_by_its_growth():
    decay = np.array([[2896], [4096]])
    assert resonator.gain(decay, 3) > 2 * resonator.gain(decay, 1)
    assert resonator.gain(decay, 1000) == np.inf
    assert resonator.gain(np.array([[0], [4096]]), 1000) == 1001
    assert resonator.gain(np.array([[0], [4092]]), 10**6) == pytest.approx(1 + 1024)


@settings(max_examples=60)
@given(*[st.integers(0, 4096)] * 2, *[st.integers(0, 2**24)] * 2, st.integers(-(2**24), 2**24), st.integers(1, 300))
def test_the_bound_of_an_adaptation_holds_at_a_spike_each_step(th_decay, r_decay, threshold, step, start, steps):
    """A spike at every step."""
    reach = adaptation._growth(np.array([start]), (th_decay, r_decay), (threshold, step), steps)
    th, r = start, start
    for _ in range(steps):
        th, r = adaptation.relax(th, r, th_decay, r_decay, threshold)
        assert abs(th) + abs(r) <= reach
        th, r = adaptation.fire(th, r, True, step, False)
        assert max(abs(th), abs(r)) <= reach


@every
def test_long_runs_of_moderate_sums_are_not_refused(family):
    """100,000 steps, sums of 30, decays of 0.001: far from any limit, and equal to the oracle."""
    steps = 100_000
    rng = np.random.default_rng(3)
    case = uniform(family, 4, 1, 4096 * 8192, steps=1)
    case.decay[:] = 4
    if family.complex:
        case.decay[0], case.decay[1] = 1200, 3910
    if family.biased:
        case.decay[-1] = 64
    one = case.state.shape[1] == 1
    assert one
    case = replace(case, x=tuple(rng.integers(0, 31, (steps, 1)).astype(np.float32) for _ in case.x), graded=False)
    run = dynamics.forward(case.parameters, case.x, case.state, traces=True)
    traces, spikes, after = case.oracle()
    np.testing.assert_array_equal(run.spike, spikes)
    np.testing.assert_array_equal(run.trace, (traces / 4096).astype(np.float32))
    np.testing.assert_array_equal(run.state, after)


def test_what_could_overflow_is_refused():
    """CUBA without decay over as many steps; and with it, inputs beyond what it leaves room for."""
    cuba = FAMILIES["cuba"].kernel
    x = (np.full((100_000, 1), 300.0, np.float32),)
    state = np.zeros((2, 1), np.int64)
    with pytest.raises(ValueError, match="neuron input must be finite and below"):
        dynamics.forward(cuba.Cuba(np.zeros((3, 1), np.int64), 2**61), x, state)
    leaky = cuba.Cuba(np.array([[4], [4], [0]]), 2**61)
    run = dynamics.forward(leaky, x, state)
    us, ws, *_ = naive.cuba([300 * 4096] * 100_000, 4, 4, 2**61)
    assert run.state[:, 0].tolist() == [us[-1], ws[-1]]
    with pytest.raises(ValueError, match=r"below 2.62e.05 in magnitude over 100000 steps"):
        dynamics.forward(leaky, (x[0] * 1000,), state)


@pytest.mark.parametrize("state", [0, FLOAT32_BOUND - 1, FLOAT32_BOUND, -FLOAT32_BOUND, 2**40])
@pytest.mark.parametrize("lanes", [0, 1, 100])
def test_the_largest_state_decides_about_the_type_whoever_looks_for_it(state, lanes):
    neuron = FAMILIES["cuba"].kernel.Cuba(np.array([100, 200, 0]), 64)
    types = []

    def run(bound, zero):
        types.append(type(zero))
        return True

    x, states = (np.zeros((3, lanes), np.float32),), np.full((2, lanes), state)
    for largest in (None, abs(state)):
        dynamics.run_in_narrowest_type(run, neuron, x, states, largest)
    assert types[0] is types[1]
    assert (types[0] is np.float32) == (abs(state) < FLOAT32_BOUND or lanes == 0)
