"""Recurrences against the convolution they stand for, in float64."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lavadl_kernels.ops import filter


def response(factor, order, length):
    return np.array([math.comb(i + order - 1, order - 1) * factor**i for i in range(length)])


def convolved(x, taps):
    columns = [np.convolve(column, taps)[: len(x)] for column in x.T.astype(np.float64)]
    return np.array(columns).reshape(x.shape[::-1]).T


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps, lanes = draw(st.integers(1, 60)), draw(st.sampled_from([0, 1, 3, filter.CHUNK + 5]))
    x = rng.normal(size=(steps, lanes)).astype(np.float32)
    return x, draw(st.sampled_from([0.01, 0.5, 0.9, 0.9999, 1.0])), draw(st.integers(1, 3)), draw(st.integers(1, 70))


@given(cases(), st.sampled_from([1.0, -0.5]))
def test_the_recurrence_gives_the_convolution(case, scale):
    x, factor, order, length = case
    taps = scale * response(factor, order, length)
    for adjoint in (False, True):
        y, energy = filter.exponential(x, factor, order, length, scale, adjoint)
        expected = convolved(x[::-1], taps)[::-1] if adjoint else convolved(x, taps)
        size = np.abs(taps).sum() * np.abs(x).max(initial=0)
        np.testing.assert_allclose(y, expected, rtol=1e-7, atol=2e-7 * size)
        np.testing.assert_allclose(energy, (expected**2).sum(0), rtol=1e-9, atol=1e-9 * size**2)


@given(cases())
def test_the_backward_filter_is_the_adjoint(case):
    """<g, filter(x)> = <filter'(g), x>."""
    x, factor, order, length = case
    g = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    y, _ = filter.exponential(x, factor, order, length)
    back, _ = filter.exponential(g, factor, order, length, adjoint=True)
    size = response(factor, order, length).sum() * len(x)
    np.testing.assert_allclose((g * y).sum(0), (back * x).sum(0), rtol=1e-5, atol=1e-5 * size)


@pytest.mark.parametrize("factor", [0.3, 0.77, 0.999])
@pytest.mark.parametrize("length", [1, 2, 9, 40, 100])
def test_a_lone_spike_is_forgotten_exactly(factor, length):
    x = np.zeros((60, 2), np.float32)
    x[3] = 1
    y, _ = filter.exponential(x, factor, 1, length)
    assert (y[:3] == 0).all()
    assert (y[3 : 3 + length] != 0).all()
    assert (y[3 + length :] == 0).all()


@pytest.mark.parametrize("length", [1, 7, 200])
def test_a_window_counts_spikes_exactly(length):
    x = (np.random.default_rng(0).random((150, 70)) < 0.3).astype(np.float32)
    y, _ = filter.exponential(x, 1.0, 1, length)
    expected = [x[max(0, t + 1 - length) : t + 1].sum(0) for t in range(150)]
    np.testing.assert_array_equal(y, expected)


def test_a_filter_runs_without_steps():
    y, energy = filter.exponential(np.zeros((0, 4), np.float32), 0.5, 2, 3)
    assert y.shape == (0, 4)
    assert energy.tolist() == [0] * 4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_do_not_vanish_in_a_filter(bad):
    x = np.zeros((9, 3), np.float32)
    x[2, 1] = bad
    y, _ = filter.exponential(x, 0.5, 2, 100)
    assert not np.isfinite(y[2:, 1]).any()
    assert (y[:, [0, 2]] == 0).all()


@given(cases(), st.integers(1, 70))
def test_a_filter_takes_any_taps(case, length):
    """Small integers: every sum is exact."""
    x = np.round(case[0] * 4)
    taps = np.random.default_rng(length).integers(-9, 9, length).astype(np.float32)
    np.testing.assert_array_equal(filter.convolve(x, taps), convolved(x, taps))
    np.testing.assert_array_equal(filter.convolve(x, taps, adjoint=True), convolved(x[::-1], taps)[::-1])
