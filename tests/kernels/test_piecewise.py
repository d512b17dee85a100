"""The piecewise linear function and its slope against the naive model, bit for bit."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lavadl_kernels.ops import piecewise
from lavadl_kernels.ops.weights import Grid
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


def _scaled(gain=1.5, offset=-0.25, factor=0.75):
    return piecewise.Scaled(Grid.of(1 / 32, -4, 127 / 32), *map(np.float32, (gain, offset, factor)))


def _drives(u, scaled):
    grid = scaled.grid
    rounded = np.clip(np.rint(u * grid.inverse) * grid.step, grid.low, grid.high)
    return rounded, (rounded * scaled.gain + scaled.offset) * scaled.factor


CURVE = [np.array(values, np.float32) for values in ([-0.5, 0.5, 2], [0, 0.25, 1], [0.25, 0.5])]


@pytest.mark.parametrize("size", [1, 5, 2048, 5000])
def test_values_of_scaled_inputs_are_those_of_their_drives(size):
    u = np.random.default_rng(0).standard_normal(size).astype(np.float32) * 3
    u[0] = np.nan
    values = piecewise.forward_scaled(u, _scaled(), *CURVE)
    assert np.array_equal(values, piecewise.forward(_drives(u, _scaled())[1], *CURVE), equal_nan=True)


@pytest.mark.parametrize("size", [1, 5, 2048, 5000])
def test_gradients_to_gain_and_offset_are_sums_of_those_to_drives(size):
    random = np.random.default_rng(0)
    u, grad = (random.standard_normal(size).astype(np.float32) * 3 for _ in range(2))
    z, _, slopes = CURVE
    rounded, drives = _drives(u, _scaled())
    each = piecewise.backward(drives, z, slopes, 1e-3, grad).astype(float) * 0.75
    found = piecewise.backward_scaled(u, _scaled(), z, slopes, 1e-3, grad)
    scale = np.abs(each).sum()
    assert abs(found[0] - (each * rounded).sum()) <= 1e-6 * scale * 4
    assert abs(found[1] - each.sum()) <= 1e-6 * scale


def test_gradients_to_gain_and_offset_are_the_same_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(_jit, "WORTH", 0)
    u, grad = (np.random.default_rng(n).standard_normal(70_000).astype(np.float32) for n in range(2))
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(_jit, "_threads", threads)
        found.append(piecewise.backward_scaled(u, _scaled(), CURVE[0], CURVE[2], 1e-3, grad).tolist())
    assert found[0] == found[1] == found[2]
