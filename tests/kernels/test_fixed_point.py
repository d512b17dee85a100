"""Scalar arithmetic: Python integers of any size, numpy scalars and compiled code agree with the oracle."""

import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lavadl_kernels import fixed_point as fp

from tests.support import oracle as naive

EDGES = [0, 1, 4095, 4096, 4097, 2**22, 2**23 - 1, 2**23, 2**23 + 1, 2**24, 3 * 2**23, 2**31 - 1, 2**31, 2**32, 2**40]
edges = st.sampled_from([sign * value for value in EDGES for sign in (1, -1)])
wide = st.integers(-(2**50), 2**50) | edges
decay = st.integers(0, 4096)


@numba.njit
def compiled(value, state, d, like):
    return (
        fp.shift_to_zero(value),
        fp.leak(state, d),
        fp.wrap32(value),
        fp.wrap24(value),
        fp.saturate24(value),
        fp.leak(state + like, d + like),
    )


@given(wide, st.integers(-(2**40), 2**40), decay)
@example(-4095, -1, 1)
@example(-(2**23), 2**23, 0)
def test_compiled_code_agrees_with_plain_integers(value, state, d):
    expected = (
        fp.shift_to_zero(value),
        fp.leak(state, d),
        fp.wrap32(value),
        fp.wrap24(value),
        fp.saturate24(value),
        fp.leak(state, d),
    )
    assert compiled(value, state, d, 0) == expected
    # float64 holds every state below 2**40, and its products, exactly
    assert compiled(value, state, d, 0.0) == expected


@given(st.integers() | edges, decay)
@example(10**40, 1)
def test_plain_integers_may_have_any_size(value, d):
    assert fp.leak(value, d) == naive.leak(value, d)
    assert fp.wrap32(value) == naive.wrap32(value)
    assert fp.wrap24(value) == naive.current24(value)
    assert fp.saturate24(value) == naive.voltage24(value)


@given(wide)
def test_shift_rounds_toward_zero(value):
    expected = abs(value) // 4096 * (-1 if value < 0 else 1)
    assert fp.shift_to_zero(value) == expected
    assert fp.shift_to_zero(np.int64(value)) == expected
    assert fp.shift_to_zero(float(value)) == expected


def test_one_fold_leaves_what_is_beyond_it():
    assert fp.wrap24(3 * 2**23) == 2**23
    assert fp.wrap24(3 * 2**23 + 1) == 2**23 + 1
    assert fp.wrap24(2**23) == 2**23
    assert fp.wrap24(2**23 + 1) == -(2**23) + 1
    assert fp.wrap24(-(2**23)) == 2**23


@numba.njit
def compiled_fixed(value):
    return fp.fixed(value, 0.0), fp.fixed(value, 0)


@given(st.floats(-(2.0**37), 2.0**37, width=32))
@example(-1 / 8192)
@example(2.0**-140)
@example(0.99999994)
def test_fixed_truncates_toward_zero(value):
    expected = int(value * 4096)
    assert fp.fixed(value, 0) == expected
    assert compiled_fixed(np.float32(value)) == (expected, expected)


@given(st.integers(0, 300), st.lists(st.integers(0, 4096), min_size=1, max_size=2), st.booleans())
@example(300, [0, 0], False)
@example(300, [1, 4095], True)
@example(300, [4, 4], True)
def test_bound_keeps_products_exact(steps, decays, wide):
    """Constant input at the bound from states at the bound, never reset: the worst there is."""
    bound = int(fp.input_bound(fp.chain_gain(decays, steps), wide))
    xs, largest = [bound] * steps, bound
    for decay in decays:
        state, out = bound, []
        for x in xs:
            state = fp.leak(state, decay) + x
            out.append(state)
        xs, largest = out, max(largest, *out, 0)
    assert largest * 4096 < 2 ** (63 if wide else 53) // 2 * (1 + 1e-9)


@given(st.integers(0, 4096), st.integers(0, 2000), st.integers(0, 2**40))
def test_a_leaky_integrator_stays_within_its_bound(decay, steps, largest):
    state = 0
    for _ in range(steps):
        state = fp.leak(state, decay) + largest
    assert state <= largest * fp.leaky_gain(decay, steps) * (1 + 1e-12)


def test_the_bound_of_several_decays_is_that_of_the_least():
    assert fp.leaky_gain(np.array([4096, 4, 100]), 10**6) == 1024
    assert fp.leaky_gain(np.array([4096, 0, 100]), 10**6) == 10**6
    assert fp.leaky_gain(4, 7) == 7


def test_bound_of_int64_is_wider():
    assert fp.input_bound(10, True) == 1024 * fp.input_bound(10, False)


@pytest.mark.parametrize("name", ["STATE", "WEIGHT", "DECAY"])
def test_the_units_are_powers_of_their_bits(name):
    assert getattr(fp, f"{name}_ONE") == 2 ** getattr(fp, f"{name}_BITS")
