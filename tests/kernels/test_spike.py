"""The surrogate gradient against its formula in float64."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lavadl_kernels.neurons import _surrogate as spike

from tests.support import oracle as naive


@numba.njit
def exponentials(x):
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = spike.exp_negative(x[i])
    return out


def test_exponential_has_24_bits():
    """Every 997th float32 in [-87, 0]: relative error below 2**-23, one unit in the last place."""
    top = np.float32(87).view(np.int32)
    x = -np.arange(0, top + 1, 997, dtype=np.int32).view(np.float32)
    assert x[0] == 0
    exact = np.exp(x.astype(np.float64))
    error = np.abs(exponentials(x) / exact - 1)
    assert error.max() < 2.0**-23


def test_the_exponential_is_right_at_the_ends():
    x = np.array([0, -0.0, -(2.0**-149), -87, -88, -1e30, -np.inf], np.float32)
    y = exponentials(x)
    assert y[:3].tolist() == [1, 1, 1]
    assert (y[3:] == y[3]).all()
    assert 0 < y[3] < 2e-38


def test_the_exponential_may_be_interpreted():
    x = -np.linspace(0, 90, 300, dtype=np.float32)
    interpreted = np.array([spike.exp_negative(value) for value in x], np.float32)
    np.testing.assert_allclose(interpreted, exponentials(x), rtol=2.0**-22)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.01, 1.0, 30.0]),
    st.sampled_from([0.1, 2.0]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 50, 16387]),
)
def test_the_surrogate_equals_its_formula(seed, tau, scale, graded, per_element, size):
    rng = np.random.default_rng(seed)
    voltage = rng.normal(scale=3, size=size).astype(np.float32)
    threshold = rng.normal(size=size if per_element else 1).astype(np.float32)
    voltage[0] = threshold[0]
    grad = rng.normal(size=size).astype(np.float32)
    actual = spike.backward(voltage, threshold, tau, scale, graded, grad)
    level = threshold if per_element else np.broadcast_to(threshold, size)
    distance = (voltage - level).astype(np.float64)
    picks = np.unique(np.linspace(0, size - 1, 60, dtype=int))
    expected = [grad[i] * naive.surrogate(distance[i], np.float32(tau), np.float32(scale), graded) for i in picks]
    # the exponential's argument is rounded to float32, and it does not fall below exp(-87)
    np.testing.assert_allclose(actual[picks], expected, rtol=3e-5, atol=2e-38 * scale / (2 * tau) * 10)


@pytest.mark.parametrize("graded", [False, True])
def test_the_surrogate_is_largest_at_the_threshold(graded):
    """Largest at the threshold; flat above it where spikes are graded, symmetric where they are not."""
    voltage = np.array([-1, 0, 1, 2, 3], np.float32)
    out = spike.backward(voltage, np.ones(1, np.float32), 0.5, 2.0, graded, np.ones_like(voltage))
    assert out[2] == 2.0
    assert out[0] < out[1] < out[2]
    if graded:
        assert out[2:].tolist() == [2, 2, 2]
    else:
        assert out[:2].tolist() == out[:2:-1].tolist()
