"""Every family's gradients against torch autograd through the unrolled surrogate model in float64."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lavadl_kernels.engine import train as dynamics

from tests.support import oracle as naive
from tests.support.checks.families import every, uniform
from tests.support.checks.gradients import check_gradients
from tests.support.families import ADAPTIVE
from tests.support.families import SPIKING as FAMILIES
from tests.support.kernel_cases import draw_decays, neurons


@every
@settings(max_examples=16)
@given(st.data(), st.sampled_from([0.03, 1.0, 100.0]), st.sampled_from([0.1, 3.0]), st.booleans())
def test_gradients_of_every_family_are_autograds(family, data, tau, scale, with_traces):
    case = data.draw(neurons(family, (4096, 2**14, 2**16)))
    check_gradients(case, tau, scale, with_traces)


@every
@pytest.mark.parametrize("graded", [False, True])
def test_gradients_are_right_with_many_spikes(family, graded):
    """If half of the neurons spike, every decay has a gradient to be right about."""
    rng = np.random.default_rng(2)
    case = uniform(family, 0, 1000, 4096, threshold_step=1024, graded=graded)
    case.decay, case.state = case.decay.repeat(40, 1), case.state.repeat(40, 1)
    if family.complex:
        case.decay[:2] = [[2000], [3000]]
    case.x = tuple(rng.normal(scale=3, size=(20, 40)).astype(np.float32) for _ in case.x)
    spike = case.forward().spike
    assert (spike != 0).mean() > 0.05
    actual = check_gradients(case, 1.0, 1.0, False)
    assert (np.abs(actual.decay[: len(family.kernel.FAMILY.decays)]).max(1) > 1e-6).all()


@every
def test_a_graded_spike_of_size_zero_is_a_spike(family):
    """At threshold 0 a value of 0 spikes: reset, threshold step and refractory state follow, whatever its size."""
    if not family.at_equality:
        return
    case = uniform(family, 0, 0, 0, steps=4, threshold_step=4096, graded=True)
    case.decay[2:] = 300
    if family.name in ("rf", "adrf"):
        case.state[1], case.x[1][0] = -4096, 1
    run = case.forward(traces=True)
    assert run.spike[0, 0] == 0
    assert case.oracle()[1][0, 0] == 1
    case.x[0][1:] = 0.25
    check_gradients(case, 1.0, 1.0, True)


@every
def test_lanes_do_not_meet(family):
    """A run so long that few lanes are taken at a time gives each what it gets alone."""
    rng = np.random.default_rng(4)
    lanes, steps = 200, 300
    shape = (steps, lanes)
    case = uniform(family, 0, 1, 4096, threshold_step=640)
    case.decay, case.state = draw_decays(family, rng, lanes, False), case.state.repeat(lanes, 1)
    case.x = tuple(rng.normal(scale=2, size=shape).astype(np.float32) for _ in case.x)
    grad = rng.normal(size=shape).astype(np.float32)
    whole = dynamics.backward(case.parameters, case.x, case.state, 1.0, 1.0, grad)
    for lo, hi in ((0, 7), (60, 70), (170, 200)):
        x = tuple(part[:, lo:hi].copy() for part in case.x)
        part = replace(case, x=x, state=case.state[:, lo:hi].copy(), decay=case.decay[:, lo:hi].copy())
        alone = dynamics.backward(part.parameters, x, part.state, 1.0, 1.0, grad[:, lo:hi].copy())
        np.testing.assert_array_equal(alone.decay, whole.decay[:, lo:hi])
        for actual, expected in zip(alone.x, whole.x, strict=True):
            np.testing.assert_array_equal(actual, expected[:, lo:hi])


@pytest.mark.parametrize("name", ADAPTIVE)
def test_gradients_of_an_adaptation_have_the_right_sign(name):
    """The sooner threshold and refractory state are forgotten, the more spikes."""
    rng = np.random.default_rng(0)
    case = uniform(FAMILIES[name], 0, 800, 4096, threshold_step=4096)
    lanes = 300
    case.decay, case.state = case.decay.repeat(lanes, 1), case.state.repeat(lanes, 1)
    if case.family.complex:
        case.decay[:2] = [[2000], [3400]]
    case.x = tuple(rng.normal(scale=2, size=(40, lanes)).astype(np.float32) for _ in case.x)
    ones = np.ones((40, lanes), np.float32)
    for row in (2, 3):
        counts = []
        for value in (400, 800, 1200):
            case.decay[row] = value
            counts.append(case.forward().spike.sum())
        case.decay[row] = 800
        gradient = dynamics.backward(case.parameters, case.x, case.state, 3.0, 1.0, ones).decay[row]
        assert counts[0] < counts[1] < counts[2]
        assert gradient.sum() > 0


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("tau", [0.1, 1.0, 20.0])
def test_the_slope_of_a_phase_is_the_surrogate(graded, tau):
    """RF's gradient within one step is the surrogate itself: on a grid of distances and phases, zero included."""
    points = (-9, -2, -0.5, -1 / 4096, 0, 1 / 4096, 0.5, 2, 9)
    pairs = [(distance, imag) for distance in points for imag in points]
    case = uniform(FAMILIES["rf"], 0, 4096, 4096, graded=graded)
    case.decay, case.state = case.decay.repeat(len(pairs), 1), case.state.repeat(len(pairs), 1)
    case.x = tuple(np.array([[(d + 1, i) for d, i in pairs]], np.float32).transpose(2, 0, 1).copy())
    ones = np.ones(case.x[0].shape, np.float32)
    actual = dynamics.backward(case.parameters, case.x, case.state, tau, 2.0, ones, None, graded)
    expected = [naive.complex_surrogate(d, i, tau, 2.0, graded) for d, i in pairs]
    np.testing.assert_allclose(np.array(actual.x)[:, 0].T, expected, rtol=3e-5, atol=1e-35)
