"""CUBA's `step`, and its neurons in training, against the oracle, with ==; for it as deployed see `test_deployed`."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lavadl_kernels.engine import train
from lavadl_kernels.fixed_point import input_bound
from lavadl_kernels.neurons import cuba

from tests.support import oracle as naive
from tests.support.checks.cuba import check_forward, forward
from tests.support.kernel_cases import MANY, Case, cases


def uniform(value, current_decay, voltage_decay, threshold, steps=4, state=0):
    """One lane with constant input `value` (1/4096)."""
    one = np.ones(1, np.int64)
    x = np.full((steps, 1), value / 4096, np.float32)
    return Case(x, state * one, state * one, current_decay * one, voltage_decay * one, threshold, False)


@given(cases())
@example(uniform(64, 4096, 4096, 64))
@example(uniform(65, 4096, 4096, 64))
@example(uniform(0, 0, 0, 0))
@example(uniform(-1, 1, 1, 0, steps=9, state=-1))
def test_cuba_forward_equals_the_oracle(case):
    check_forward(case)


@given(cases((2**36, 2**39, 2**40), off_grid=False))
def test_cuba_forward_is_exact_beyond_float64(case):
    """Inputs too large for float64 states fall back to int64, still exact."""
    case.x[0, 0] = 2.0**28
    assert abs(case.x).max() * 4096 >= input_bound(1, wide=False)
    check_forward(case)


def test_cuba_in_float64_would_give_another_integer():
    """The fallback matters: the same recurrence in float64 gives another integer."""
    state = 2**44 + 1
    assert int(np.float64(state) * 4095 / 4096) != naive.leak(state, 1)
    check_forward(uniform(0, 1, 1, 2**60, steps=1, state=state))


def test_equality_is_no_spike_and_no_reset_of_cuba():
    spike, _, v = forward(uniform(4096, 4096, 4096, 4096))
    assert spike.sum() == 0
    assert v[0] == 4096
    spike, _, v = forward(uniform(4097, 4096, 4096, 4096))
    assert spike.all()
    assert v[0] == 0


@given(cases(), st.data())
def test_cuba_in_chunks_of_time_gives_the_same(case, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(case.x)), max_size=3)))
    spike, u, v = forward(case)
    parts, state = [], (case.u, case.v)
    for lo, hi in zip([0, *cuts], [*cuts, len(case.x)], strict=True):
        part, *state = forward(replace(case, x=case.x[lo:hi], u=state[0], v=state[1]))
        parts.append(part)
    np.testing.assert_array_equal(np.concatenate(parts), spike)
    np.testing.assert_array_equal(state, (u, v))


@given(cases())
def test_cuba_in_float64_and_int64_gives_the_same(case):
    state, results = case.state, []
    for zero in (np.float64(0), np.int64(0)):
        spike, after = np.empty_like(case.x), np.empty_like(state)
        checkpoints = np.empty((-(-len(case.x) // train.SEGMENT), *state.shape))
        bound = np.float32(2**40)
        given = train.Given((case.x,), state, case.graded)
        written = train.Written(spike, None, checkpoints, after)
        assert train._forward(case.u.size, case.neuron, given, bound, zero, written)
        results.append((spike, checkpoints, after))
    for actual, other in zip(*results, strict=True):
        np.testing.assert_array_equal(actual, other)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**50, -3e38])
@pytest.mark.parametrize("lane", [0, MANY - 1])
def test_cuba_refuses_input_without_a_fixed_point(bad, lane):
    x = np.zeros((3, MANY), np.float32)
    x[1, lane] = bad
    state = np.zeros(MANY, np.int64)
    with pytest.raises(ValueError, match="must be finite and below"):
        Case(x, state, state, state, state, 64, False).forward()


@pytest.mark.parametrize(("steps", "lanes"), [(0, 3), (3, 0), (0, 0)])
def test_cuba_runs_without_steps_or_lanes(steps, lanes):
    x, state = np.zeros((steps, lanes), np.float32), np.arange(lanes, dtype=np.int64)
    case = Case(x, state, state, state, state, 64, False)
    spike, u, v = forward(case)
    assert spike.shape == (steps, lanes)
    if steps == 0:
        np.testing.assert_array_equal([u, v], [state, state])
    grads = case.backward(1.0, 1.0, x)
    assert [g.shape for g in grads] == [(steps, lanes), (lanes,), (lanes,)]


@given(
    st.integers(-(2**26), 2**26),
    st.integers(-(2**26), 2**26),
    st.integers(-(2**34), 2**34),
    st.integers(-(2**24), 2**24),
    st.integers(0, 4096),
    st.integers(0, 4096),
    st.integers(0, 2**24),
    st.booleans(),
)
@example(0, 0, 2**23, 0, 0, 0, 2**23 - 1, True)
@example(0, 0, 3 * 2**23 + 1, 0, 0, 0, 0, True)
@example(-1, -1, 0, 0, 1, 1, 0, False)
def test_the_cuba_step_equals_the_oracle(u, v, a, bias, current_decay, voltage_decay, threshold, loihi):
    actual = cuba.step(u, v, a, bias, current_decay, voltage_decay, threshold, 0, loihi)
    assert actual == cuba.step(u, v, a, bias, current_decay, voltage_decay, threshold, None, loihi)
    us, ws, vs, spikes = naive.cuba([a], current_decay, voltage_decay, threshold, bias, u, v, loihi)
    assert actual == (us[0], vs[0], bool(spikes[0]), ws[0])
    assert all(isinstance(value, int) for value in actual)


def test_the_cuba_step_takes_unbounded_integers():
    u, v, a = 2**90 + 1, -(3**60), 7**40
    actual = cuba.step(u, v, a, -1, 5, 4000, 2**80, None, False)
    us, ws, vs, spikes = naive.cuba([a], 5, 4000, 2**80, -1, u, v)
    assert actual == (us[0], vs[0], bool(spikes[0]), ws[0])
