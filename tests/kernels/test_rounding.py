"""The product of a float32 state and a decay, cut to an integer: both ways to it against Python's integers."""

import numba
import numpy as np
import pytest
from lavadl_kernels import fixed_point as fp
from lavadl_kernels.engine import train
from lavadl_kernels.fixed_point import FLOAT32_BOUND
from lavadl_kernels.neurons import cuba
from lavadl_kernels.runtime import rounding

TOP = 2 * FLOAT32_BOUND  #: what a state less a threshold stays below


@numba.njit
def _cut(state, fraction, out):
    rounding.stay_apart()
    for i in range(state.size):
        out[i] = fp.scale_to_zero(state[i], fraction)


@numba.njit
def scaled(state, fraction, out):
    mode = fp.steps_begin(state)
    _cut(state, fraction, out)
    fp.steps_end(state, mode)


@numba.njit
def scaled_in_parts(state, fraction, out):
    for i in range(state.size):
        out[i] = fp._scale_to_zero_in_float32(state[i], fraction)


@numba.njit
def scaled_to_nearest(state, fraction, out):
    for i in range(state.size):
        out[i] = np.trunc(state[i] * (fraction * np.float32(1 / 4096)))


@numba.njit
def nearest(a, b):
    return a * b


def states(fraction, rng):
    """Integers at the ends, at whole results and beside them, and at random, of both signs."""
    whole = rng.integers(1, TOP, 60) * 4096 // max(abs(fraction), 1)
    near = (whole[:, None] + [-1, 0, 1]).ravel()
    parts = 1 << rng.integers(0, 24, 60)
    found = np.concatenate([[0, 1, 4095, 4096, 4097, TOP - 1, TOP // 2], near, parts - 1, rng.integers(0, TOP, 120)])
    found = found[(found >= 0) & (found < TOP)]
    return np.concatenate([found, -found])


@pytest.mark.parametrize("way", [scaled, scaled_in_parts], ids=["as steps do", "in two parts"])
def test_the_cut_product_of_every_decay_is_that_of_integers(way):
    rng = np.random.default_rng(0)
    for fraction in (*range(4097), *range(-4096, 0, 7)):
        given = states(fraction, rng)
        product = given * fraction
        expected = np.sign(product) * (np.abs(product) // 4096)
        out = np.empty(given.size, np.float32)
        way(given.astype(np.float32), np.float32(fraction), out)
        np.testing.assert_array_equal(out.astype(np.int64), expected)


def test_the_cut_product_of_every_small_state_is_that_of_integers():
    given = np.arange(-(2**13), 2**13 + 1)
    for fraction in (1, 2, 3, 1023, 2047, 2048, 2049, 4093, 4094, 4095, 4096):
        product = given * fraction
        out = np.empty(given.size, np.float32)
        scaled(given.astype(np.float32), np.float32(fraction), out)
        np.testing.assert_array_equal(out.astype(np.int64), np.sign(product) * (np.abs(product) // 4096))


def test_a_product_rounded_to_nearest_would_give_another_integer():
    given = np.arange(TOP - 5000, TOP)
    out = np.empty(given.size, np.float32)
    scaled_to_nearest(given.astype(np.float32), np.float32(4095), out)
    assert (out.astype(np.int64) != given * 4095 // 4096).any()


@pytest.mark.parametrize("steps", [1, 40])
def test_steps_leave_the_rounding_as_it_was(steps):
    """The square of 1 + e is nearer to the float32 above it if e**2 is more than half of 2**-23."""
    a = np.float32(1 + 1.25 * 2**-12)
    above = np.float32(np.float64(a) * np.float64(a))
    assert np.float64(above) > np.float64(a) ** 2
    x = np.full((steps, 100), 0.3, np.float32)
    neuron, state = cuba.Cuba(np.array([100, 200, 0]), 4096), np.zeros((2, 100), np.int64)
    run = train.forward(neuron, (x,), state, keep=True)
    assert nearest(a, a) == above
    train.backward(neuron, (x,), state, 1.0, 1.0, run.spike, checkpoints=run.checkpoints)
    assert nearest(a, a) == above


def test_the_mode_is_told_only_where_it_can_be_set():
    if not rounding.CAN_ROUND_TOWARD_ZERO:
        return

    @numba.njit
    def between():
        before = rounding.round_toward_zero()
        inside = rounding.round_toward_zero()
        rounding.round_as(before)
        return before, inside

    assert between() == (0, 0x6000)
    assert rounding.round_toward_zero() == 0
    assert rounding.round_as(0) is None
