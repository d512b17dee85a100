"""The piecewise linear function and its slope against the naive model, bit for bit."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lavadl_kernels.ops import piecewise
from lavadl_kernels.runtime import jit as _jit

from tests.support.oracle import rates as naive

KNOTS = [(-0.5, 0.0), (0.1, 0.2), (0.3, 0.25), (1.7, 0.8)]
SLOPES = [(q[1] - p[1]) / (q[0] - p[0]) for p, q in itertools.pairwise(KNOTS)]
EPS = 1e-5


def arrays(knots, slopes):
    z, a = np.array(knots, np.float32).T
    return np.ascontiguousarray(z), np.ascontiguousarray(a), np.array(slopes, np.float32)


def check(x, knots, slopes):
    x = np.asarray(x, np.float32)
    z, a, s = arrays(knots, slopes)
    np.testing.assert_array_equal(piecewise.forward(x, z, a, s), [naive.rate(v, knots, slopes) for v in x])
    scale = (z[-1] if z[-1] > 0 else z[-1] - z[0]) / a[-1]
    grad = np.random.default_rng(0).normal(size=x.size).astype(np.float32)
    factors = s * scale + np.float32(EPS)
    expected = [g * naive.gradient(v, knots, slopes, EPS) for v, g in zip(x, grad, strict=True)]
    np.testing.assert_array_equal(piecewise.backward(x, z, factors, EPS, grad), expected)


SPECIAL = [-np.inf, np.inf, np.nan, 0.0, -0.0, 3.4e38, -3.4e38, 1e-45, *(np.float32(z) for z, _ in KNOTS)]


@given(st.lists(st.floats(width=32), min_size=1, max_size=40))
@example(SPECIAL)
def test_piecewise_takes_any_number(x):
    check(x, KNOTS, SLOPES)


@pytest.mark.parametrize("size", [1, 63, 2048, 2049, 5000])
@pytest.mark.parametrize("threads", [1, 2])
def test_piecewise_gives_the_same_on_any_threads(monkeypatch, size, threads):
    monkeypatch.setattr(_jit, "WORTH", 0)
    monkeypatch.setattr(_jit, "_threads", threads)
    check(np.random.default_rng(size).normal(size=size), KNOTS, SLOPES)


def test_piecewise_takes_two_knots_and_a_piece_without_length():
    check(np.linspace(-1, 2, 50), [(0, 0), (0.8, 0.8)], [1])
    check(np.linspace(-1, 2, 50), [(0, 0), (0, 0), (0.5, 0.4), (1, 0.8)], [0.8, 0.8, 0.8])


def test_piecewise_takes_knots_below_zero():
    check(np.linspace(-4, 1, 50), [(-3, 0), (-2, 0.3), (-1, 0.8)], [0.3, 0.5])


def test_piecewise_of_nothing_is_nothing():
    assert piecewise.forward(np.zeros(0, np.float32), *arrays(KNOTS, SLOPES)).size == 0
