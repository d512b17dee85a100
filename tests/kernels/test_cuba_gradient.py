"""CUBA's gradients against torch autograd through the unrolled surrogate model in float64."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support.checks.cuba_gradients import differentiate
from tests.support.checks.gradients import close
from tests.support.kernel_cases import Case, cases


@given(
    cases((4096, 2**14, 2**16), off_grid=False),
    st.sampled_from([0.03, 1.0, 100.0]),
    st.sampled_from([0.1, 3.0]),
)
def test_cuba_gradients_are_autograds(case, tau, scale):
    grad_spike = np.random.default_rng(5).normal(size=case.x.shape).astype(np.float32)
    actual = case.backward(tau, scale, grad_spike)
    spike, expected = differentiate(case, np.float32(tau), np.float32(scale), grad_spike)
    np.testing.assert_array_equal(case.forward().spike, spike.astype(np.float32))
    for a, e in zip(actual, expected, strict=True):
        close(a, e, len(case.x))


def test_the_reset_changes_what_a_decay_sees():
    """A neuron that spikes at every step carries nothing: no voltage to decay, no gradient to its decay."""
    steps, one = 6, np.ones(1, np.int64)
    x, grad = np.full((steps, 1), 2, np.float32), np.ones((steps, 1), np.float32)
    case = Case(x, 0 * one, 0 * one, 100 * one, 100 * one, 4096, False)
    _, to_current, to_voltage = case.backward(1.0, 1.0, grad)
    assert to_voltage[0] == 0
    assert to_current[0] < 0


def test_the_gradient_of_a_cuba_decay_has_the_right_sign():
    """More decay, less voltage, fewer spikes: the gradient of the spike count is negative."""
    rng = np.random.default_rng(0)
    x = rng.random((30, 200)).astype(np.float32)
    lanes = np.ones(200, np.int64)
    cases = [Case(x, 0 * lanes, 0 * lanes, d * lanes, 400 * lanes, 3 * 4096, False) for d in (800, 1200, 1600)]
    counts = [case.forward().spike.sum() for case in cases]
    assert counts[0] > counts[1] > counts[2]
    _, gradient, other = cases[1].backward(3.0, 1.0, np.ones_like(x))
    assert gradient.sum() < 0
    assert other.sum() < 0
