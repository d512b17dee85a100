"""Every family's `step` and `forward` against the oracle, with ==."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lavadl_kernels.engine import train as dynamics
from lavadl_kernels.fixed_point import NEVER, input_bound

from tests.support.checks.families import check_forward, every, uniform
from tests.support.families import SPIKING as FAMILIES
from tests.support.kernel_cases import MANY, Neurons, neurons

stepped = pytest.mark.parametrize("family", [f for f in FAMILIES.values() if not f.biased], ids=lambda f: f.name)
few = settings(max_examples=40)


@every
@few
@given(st.data())
def test_every_family_equals_its_oracle(family, data):
    check_forward(data.draw(neurons(family)))


@every
@few
@given(st.data())
def test_decays_that_all_lanes_share_act_as_equal_columns(family, data):
    """(P,) decays are (P, M) of equal columns, forward and backward; checkpoints change nothing."""
    case = data.draw(neurons(family))
    case = replace(case, decay=np.repeat(case.decay[:, :1], case.decay.shape[1], axis=1))
    neuron, x, state = case.parameters, case.x, case.state
    one = neuron._replace(decay=np.ascontiguousarray(neuron.decay[:, 0]))
    each, shared = (dynamics.forward(n, x, state, case.graded, keep=keep) for n, keep in ((neuron, False), (one, True)))
    np.testing.assert_array_equal(each.spike, shared.spike)
    np.testing.assert_array_equal(each.state, shared.state)
    assert shared.checkpoints.shape == (-(-len(x[0]) // dynamics.SEGMENT), *state.shape)
    grad = np.random.default_rng(1).normal(size=x[0].shape).astype(np.float32)
    options = {"graded": case.graded}
    a = dynamics.backward(neuron, x, state, 1.0, 0.5, grad, **options)
    b = dynamics.backward(one, x, state, 1.0, 0.5, grad, **options, checkpoints=shared.checkpoints)
    for left, right in zip((*a.x, a.decay), (*b.x, b.decay), strict=True):
        np.testing.assert_array_equal(left, right)


@every
def test_one_row_of_gradients_stands_for_every_step(family):
    case = uniform(family, 1000, 300, 4096, steps=dynamics.SEGMENT + 3)
    grad = np.full(case.x[0].shape, 0.75, np.float32)
    one, all_rows = (
        dynamics.backward(case.parameters, case.x, case.state, 1.0, 0.5, rows) for rows in (grad[:1], grad)
    )
    for left, right in zip((*one.x, one.decay), (*all_rows.x, all_rows.decay), strict=True):
        np.testing.assert_array_equal(left, right)


@every
@few
@given(st.data())
def test_the_order_of_memory_changes_no_bit_of_a_walk(family, data):
    """Input and gradient with time innermost give what they give with time slowest, to the last bit."""
    case = data.draw(neurons(family))
    steps = data.draw(st.sampled_from([2, 16, 35]))
    lanes = data.draw(st.sampled_from([2, 16, 37]))
    case = replace(
        case,
        x=tuple(np.resize(part, (steps, lanes)) for part in case.x),
        state=np.resize(case.state, (len(case.state), lanes)),
        decay=np.repeat(case.decay[:, :1], lanes, axis=1),
    )
    turned = replace(case, x=tuple(np.asfortranarray(part) for part in case.x))
    later, grad = data.draw(st.integers(0, steps + 1)), np.random.default_rng(1).normal(size=(steps, lanes))
    grad = grad.astype(np.float32)
    expected, run = (one.forward(traces=True, keep=True, later=later) for one in (case, turned))
    for left, right in zip(run[:-1], expected[:-1], strict=True):
        np.testing.assert_array_equal(left, right)
    found = [
        dynamics.backward(one.parameters, one.x, one.state, 1.0, 0.5, given, graded=one.graded, later=later)
        for one in (case, turned)
        for given in (grad, np.asfortranarray(grad), grad[:1].repeat(steps, 0), grad[:1])
    ]
    for half in (found[:2], found[4:6]):
        for gradients in half:
            for left, right in zip((*gradients.x, gradients.decay), (*found[0].x, found[0].decay), strict=True):
                np.testing.assert_array_equal(left, right)
    for gradients in (found[3], found[6], found[7]):
        for left, right in zip((*gradients.x, gradients.decay), (*found[2].x, found[2].decay), strict=True):
            np.testing.assert_array_equal(left, right)
    assert all(part.flags.f_contiguous for part in found[5].x)


@every
@settings(max_examples=8)
@given(st.data())
def test_every_family_is_exact_beyond_float64(family, data):
    """One input too large for float64 states makes all lanes int64, still exact."""
    case = data.draw(neurons(family, (4096, 2**36, 2**39, 2**40), off_grid=False))
    case.x[-1][0, 0] = 2.0**28
    assert input_bound(dynamics.bounds(case.parameters, case.state, len(case.x[0]))[0], wide=False) < 2.0**40
    check_forward(case)


@every
def test_a_family_in_float64_would_give_another_integer(family):
    state = 2**44 + 1
    assert int(np.float64(state) * 4095 / 4096) != state * 4095 >> 12
    check_forward(uniform(family, 0, 1, 2**46, state=state))


def test_a_threshold_in_float64_would_give_another_integer():
    """The adaptation's own growth asks for int64, whatever the inputs are."""
    for family in FAMILIES.values():
        if family.adaptive:
            case = uniform(family, 0, 1, 1, steps=2, threshold_step=2**44 + 1)
            case.decay[2:] = 1
            check_forward(case)


@every
@pytest.mark.parametrize("graded", [False, True])
def test_every_family_but_cuba_has_a_spike_at_its_threshold(family, graded):
    """All but CUBA spike at equality; a phase counts from -1 to 0."""
    case = uniform(family, 4096, 4096, 4096, graded=graded)
    if family.name in ("rf", "adrf"):
        case.x[1][:] = 0
        case.state[1] = -1
    assert case.forward().spike[0, 0] == family.at_equality
    check_forward(case)
    compared = case.x[family.size if family.complex else 0]
    compared -= np.float32(1 / 4096)
    assert case.forward().spike[0, 0] == 0
    compared += np.float32(2 / 4096)
    assert case.forward().spike[0, 0] == (4097 / 4096 if graded else 1)


@every
@few
@given(st.data())
def test_every_family_in_chunks_of_time_gives_the_same(family, data):
    case = data.draw(neurons(family))
    steps = len(case.x[0])
    cuts = sorted(data.draw(st.lists(st.integers(0, steps), max_size=3)))
    whole, parts, state = case.forward(traces=True), [], case.state
    for lo, hi in zip([0, *cuts], [*cuts, steps], strict=True):
        parts.append(replace(case, x=tuple(part[lo:hi] for part in case.x), state=state).forward(traces=True))
        state = parts[-1].state
    np.testing.assert_array_equal(np.concatenate([part.spike for part in parts]), whole.spike)
    np.testing.assert_array_equal(np.concatenate([part.trace for part in parts], 1), whole.trace)
    np.testing.assert_array_equal(state, whole.state)


@every
@settings(max_examples=6)
@given(st.data())
def test_arrays_that_are_given_stay_as_they_are(family, data):
    case = data.draw(neurons(family))
    given = [*case.x, case.state, case.decay]
    copies = [array.copy() for array in given]
    case.forward(traces=True)
    dynamics.backward(case.parameters, case.x, case.state, 1.0, 1.0, copies[0])
    for array, copy in zip(given, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**50, -3e38])
def test_every_family_refuses_input_without_a_fixed_point(family, bad):
    for part in range(family.parts):
        for lane in (0, MANY - 1):
            case = uniform(family, 0, 5, 64, steps=3)
            case = replace(case, state=case.state.repeat(MANY, 1), decay=case.decay.repeat(MANY, 1))
            case.x = tuple(np.zeros((3, MANY), np.float32) for _ in case.x)
            case.x[part][1, lane] = bad
            with pytest.raises(ValueError, match="must be finite and below"):
                case.forward()


@pytest.mark.parametrize("name", ["cuba", "rf", "rf_iz"])
def test_a_threshold_that_is_never_reached_adds_no_gradient(name):
    """The states of a neuron that is read out; the surrogate so far below the threshold adds nothing to a gradient."""
    case = uniform(FAMILIES[name], 2**14, 400, NEVER, steps=5, state=-4097)
    check_forward(case)
    nothing = np.zeros_like(case.x[0])
    grad_trace = np.ones((2, *nothing.shape), np.float32)
    actual, expected = (
        dynamics.backward(case.parameters, case.x, case.state, 1.0, 1.0, grad_spike, grad_trace)
        for grad_spike in (nothing + 1, nothing)
    )
    assert expected.x[0].all()
    for a, e in zip((*actual.x, actual.decay), (*expected.x, expected.decay), strict=True):
        np.testing.assert_array_equal(a, e)


def test_a_threshold_that_outgrows_every_type_is_refused():
    for family in FAMILIES.values():
        if family.adaptive:
            with pytest.raises(ValueError, match=r"thresholds can grow to .* over 4 steps"):
                uniform(family, 0, 1, 64, steps=4, threshold_step=2**48).forward()


@every
@pytest.mark.parametrize(("steps", "lanes"), [(0, 3), (3, 0), (0, 0)])
def test_every_family_runs_without_steps_or_lanes(family, steps, lanes):
    x = tuple(np.zeros((steps, lanes), np.float32) for _ in range(family.parts))
    state = np.arange(len(family.states) * lanes, dtype=np.int64).reshape(len(family.states), lanes)
    case = Neurons(family, x, state, np.zeros((family.rows, lanes), np.int64), 64, 0, False)
    run = case.forward(traces=True)
    assert run.spike.shape == (steps, lanes)
    assert run.trace.shape == (len(state), steps, lanes)
    if steps == 0:
        np.testing.assert_array_equal(run.state, state)
    gradients = dynamics.backward(case.parameters, x, state, 1.0, 1.0, x[0])
    assert [g.shape for g in gradients.x] == [(steps, lanes)] * family.parts
    assert gradients.decay.shape == case.decay.shape
    assert not gradients.decay.any()


# -- step: plain integers, also with the chip's widths -----------------------------------------


def oracle_step(family, state, inputs, decay, constants, loihi):
    """The states after, the spike, and the traces."""
    states = dict(zip(family.states, state, strict=True))
    trace, after = family.naive(*([a] for a in inputs), *decay, *constants, **states, loihi=loihi)
    *values, spike = (column[0] for column in trace)
    return after, spike, tuple(values)


def check_step(family, state, inputs, decay, constants, loihi):
    result = family.kernel.step(*state, *inputs, *decay, *constants, loihi)
    after, spike, values = result[: len(state)], result[len(state)], result[len(state) + 1 :]
    # what is not given apart is a state that nothing changed after the comparison
    trace = after[: len(state) - len(values)] + values
    assert (after, spike, trace) == oracle_step(family, state, inputs, decay, constants, loihi)
    assert all(isinstance(value, int) for value in result)


TOP = 2**23 - 1
inside = st.sampled_from([0, -1, 1, TOP, -TOP, TOP - 1]) | st.integers(-TOP, TOP)
given_input = st.sampled_from(
    [0, 1, -1, 2**23, -(2**23), 2**24, 3 * 2**23, 3 * 2**23 + 1, 2**31 - 1, 2**31, -(2**31)]
) | st.integers(-(2**33), 2**33)
rotation = st.sampled_from([(0, 4095), (4095, 0), (-4095, 0), (0, -4095), (0, 0), (2895, 2895), (100, 4000), (7, 9)])
decay = st.sampled_from([0, 1, 4095, 4096]) | st.integers(0, 4096)


@stepped
@settings(max_examples=150)
@given(st.data(), st.booleans())
def test_every_step_equals_its_oracle(family, data, loihi):
    """States are those that a neuron of these widths can have."""
    threshold = data.draw(st.sampled_from([0, 1, TOP, (2**17 - 1) * 64]) | st.integers(0, TOP))
    state = [data.draw(inside), data.draw(inside)]
    if family.adaptive:
        state += [threshold + data.draw(st.integers(0, 2**24)), data.draw(st.sampled_from([0, 1, 2**20, 2**26]))]
    constants = (threshold, data.draw(st.sampled_from([0, 64, TOP])))[: 1 + family.adaptive]
    decays = [*data.draw(rotation)] if family.complex else []
    decays += [data.draw(decay) for _ in range(family.rows - len(decays))]
    inputs = [data.draw(given_input) for _ in range(family.parts)]
    check_step(family, state, inputs, decays, constants, loihi)


@stepped
def test_every_step_takes_unbounded_integers(family):
    state = [2**90 + 1, -(3**60), 2**77 + 5, 7**30][: len(family.states)]
    constants = (2**80 + 3, 2**70 + 1)[: 1 + family.adaptive]
    for a in (7**40, -(7**40)):
        check_step(family, state, [a, 5**41][: family.parts], [5, 4000, 77, 1][: family.rows], constants, False)


@stepped
@pytest.mark.parametrize("loihi", [False, True])
def test_the_two_semantics_differ_beyond_24_bits(family, loihi):
    """OutOfRange 24 bits the two semantics differ: the test above would see a width left out."""
    state = [TOP] * 2 + [0] * (len(family.states) - 2)
    constants = (0, 0)[: 1 + family.adaptive]
    decays = ([0, 4096] if family.complex else [0, 0]) + [0] * (family.rows - 2)
    result = family.kernel.step(*state, *[TOP] * family.parts, *decays, *constants, loihi)
    largest = max(abs(value) for value in result)
    assert largest <= TOP if loihi else largest >= 2 * TOP
