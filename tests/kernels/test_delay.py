"""Delay against the oracle; its gradients are the opposite shift and the slope in time."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lavadl_kernels.ops import delay

from tests.support import oracle as naive


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps, lanes = draw(st.integers(0, 12)), draw(st.sampled_from([0, 1, 3, delay.CHUNK + 5]))
    x = rng.integers(-100, 100, (steps, lanes)).astype(np.float32)
    return x, rng.integers(-15, 16, lanes)


@given(cases())
def test_the_delayed_output_equals_the_oracles(case):
    x, steps = case
    y = delay.forward(x, steps)
    assert y.shape == x.shape
    for i, d in enumerate(steps.tolist()):
        assert y[:, i].tolist() == naive.delay(x[:, i].tolist(), d)


@given(cases())
def test_gradient_to_the_delayed_input_is_the_adjoint(case):
    """<g, shift(x)> = <shift'(g), x>, integers."""
    x, steps = case
    g = np.random.default_rng(0).integers(-9, 9, x.shape).astype(np.float32)
    y = delay.forward(x, steps)
    grad_x, _ = delay.backward(g, y, steps)
    np.testing.assert_array_equal((g * y).sum(0), (grad_x * x).sum(0))
    for i, d in enumerate(steps.tolist()):
        assert grad_x[:, i].tolist() == naive.delay(g[:, i].tolist(), -d)


@given(cases())
def test_gradient_to_the_delay_is_the_slope_of_the_signal(case):
    """Autograd through linear interpolation y(d + e) = (1 - e) shift_d(x) + e shift_{d+1}(x) at e = 0."""
    x, steps = case
    g = np.random.default_rng(0).integers(-9, 9, x.shape).astype(np.float32)
    y = delay.forward(x, steps)
    _, grad_delay = delay.backward(g, y, steps)
    here = torch.tensor(y, dtype=torch.float64)
    later = torch.zeros_like(here)
    later[1:] = here[:-1]
    e = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    ((1 - e) * here + e * later).backward(torch.tensor(g, dtype=torch.float64))
    np.testing.assert_array_equal(grad_delay, e.grad)


@given(cases(), st.integers(-15, 15))
def test_one_shift_moves_all_lanes(case, steps):
    x, delays = case
    expected = delay.forward(x, np.full(delays.shape, steps))
    np.testing.assert_array_equal(delay.shift(x, steps), expected)
    for i in range(min(3, delays.size)):
        assert expected[:, i].tolist() == naive.delay(x[:, i].tolist(), steps)


@given(cases(), st.integers(0, 5))
def test_two_delays_add_up(case, steps):
    x, delays = case
    later = np.abs(delays)
    np.testing.assert_array_equal(delay.forward(x, later + steps), delay.forward(delay.shift(x, steps), later))


@given(cases(), st.sampled_from([None, 1, 1 / 0.95]), st.booleans())
def test_kept_spikes_give_the_gradients_of_the_output(case, value, one):
    x, steps = case
    x = x if value is None else np.where(x > 50, np.float32(value), np.float32(0))
    steps = steps[:1].repeat(len(steps)) if one else steps
    y, kept, size = delay.forward_kept(x, steps[:1] if one and len(steps) else steps)
    np.testing.assert_array_equal(y, delay.forward(x, steps))
    np.testing.assert_array_equal(kept * np.float32(size), y)
    assert value is None or kept.dtype == np.uint8
    g = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    for actual, expected in zip(delay.backward(g, kept, steps, size), delay.backward(g, y, steps), strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("other", [1, np.nan, np.inf])
def test_values_that_are_no_spikes_are_kept_as_they_are(other):
    x = np.array([[0, other], [0 if other == np.inf else 2, other]], np.float32)
    y, kept, size = delay.forward_kept(x, np.array([0]))
    assert kept is y
    assert size == 1
