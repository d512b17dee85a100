"""The piecewise linear function and its slope against the naive model, bit for bit."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lavadl_kernels.ops import piecewise
from lavadl_kernels.runtime import jit as _jit

from tests.support.checks.piecewise import KNOTS, SLOPES, arrays, check

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
