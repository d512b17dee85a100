"""Neurons that hear each other: `feedback` against the oracle, torch autograd, and single steps of `dynamics`."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lavadl_kernels.engine import recurrent as feedback
from lavadl_kernels.engine import train as dynamics
from lavadl_kernels.runtime import jit as _jit

from tests.support.checks.families import every, uniform
from tests.support.checks.feedback import Net, check_forward, check_gradients
from tests.support.checks.gradients import close
from tests.support.families import SPIKING as FAMILIES
from tests.support.kernel_cases import Neurons, draw_decays, neurons


@st.composite
def nets(draw, family, units=None, samples=None):
    """A random `Net` of which every sum is exact in float32."""
    units = units or draw(st.sampled_from([1, 3, 5, 8]))
    samples = samples or draw(st.sampled_from([1, 4]))
    case = draw(neurons(family, (4096, 2**13), off_grid=False, lanes=samples * units))
    case = replace(case, x=tuple(part[:6] for part in case.x))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (units, units)
    if case.graded:
        # what is sent stays a multiple of 1/4096, and small: at most one unit each
        weights = [rng.choice([-1.0, 1.0], units)[:, None] * np.eye(units)[rng.permutation(units)] for _ in case.x]
    else:
        weights = [2 * rng.integers(-128, 128, shape) * (rng.random(shape) < 0.7) / 64 for _ in case.x]
    return Net(case, tuple(weight.astype(np.float32) for weight in weights))


@every
@settings(max_examples=20)
@given(st.data())
def test_feedback_equals_the_oracle(family, data):
    check_forward(data.draw(nets(family)))


@every
@settings(max_examples=25)
@given(st.data(), st.sampled_from([0.3, 1.0, 30.0]), st.booleans())
def test_gradients_through_feedback_are_autograds(family, data, tau, with_traces):
    check_gradients(data.draw(nets(family)), tau, with_traces)


@every
def test_the_membrane_is_in_the_gradient(family):
    """An input under the threshold reaches what a neighbour does later only through spikes that did not happen."""
    case = uniform(family, 0, 400, 4096, steps=4)
    case.decay, case.state = case.decay.repeat(2, 1), case.state.repeat(2, 1)
    case.x = tuple(np.full((4, 2), 0.0625, np.float32) for _ in case.x)
    weight = np.array([[0, 0], [1, 0]], np.float32)  # from unit 0 to unit 1
    net = Net(case, (weight, -weight)[: family.parts])
    run = net.forward()
    assert not run.spike.any()
    grad = np.zeros((4, 2), np.float32)
    grad[3, 1] = 1
    part = family.size if family.complex else 0
    fed = net.backward(run.x, 1.0, 1.0, grad).x[part]
    alone = net.with_weight(0 * weight).backward(run.x, 1.0, 1.0, grad).x[part]
    assert fed[0, 0] != 0
    assert fed[3, 0] == 0
    assert alone[0, 0] == 0
    np.testing.assert_array_equal(fed[:, 1], alone[:, 1])


@every
@settings(max_examples=8)
@given(st.data())
def test_no_weights_are_no_feedback(family, data):
    net = data.draw(nets(family))
    silent, case = net.with_weight(np.zeros_like(net.weights[0])), net.case
    run, plain = silent.forward(traces=True), case.forward(traces=True)
    for actual, expected in zip(run.x, case.x, strict=True):
        np.testing.assert_array_equal(actual, expected)
    for field in ("spike", "trace", "state"):
        np.testing.assert_array_equal(getattr(run, field), getattr(plain, field))
    grad = np.random.default_rng(1).normal(size=run.spike.shape).astype(np.float32)
    actual = silent.backward(run.x, 1.0, 1.0, grad)
    expected = dynamics.backward(case.parameters, case.x, case.state, 1.0, 1.0, grad, None, case.graded)
    for a, e in zip(actual.x, expected.x, strict=True):
        np.testing.assert_array_equal(a, e)
    close(actual.decay, expected.decay, len(grad))


@every
@settings(max_examples=8)
@given(st.data())
def test_samples_do_not_meet(family, data):
    """Sample by sample gives what all at once do."""
    net = data.draw(nets(family, units=3, samples=4))
    case, whole = net.case, net.forward(traces=True)
    grad = np.random.default_rng(1).normal(size=whole.spike.shape).astype(np.float32)
    gradient = net.backward(whole.x, 1.0, 1.0, grad)
    for lo in range(0, 12, 3):
        lanes = np.arange(lo, lo + 3)
        parts = {"state": case.state[:, lanes].copy(), "decay": case.decay[:, lanes].copy()}
        one = Net(replace(case, x=tuple(part[:, lanes].copy() for part in case.x), **parts), net.weights)
        run = one.forward(traces=True)
        np.testing.assert_array_equal(run.spike, whole.spike[:, lanes])
        np.testing.assert_array_equal(run.state, whole.state[:, lanes])
        alone = one.backward(run.x, 1.0, 1.0, grad[:, lanes].copy())
        np.testing.assert_array_equal(alone.x[0], gradient.x[0][:, lanes])
        np.testing.assert_array_equal(alone.decay, gradient.decay[:, lanes])


@every
@settings(max_examples=8)
@given(st.data())
def test_feedback_in_chunks_of_time_gives_the_same(family, data):
    """The caller adds to a chunk's first input what the last spikes before it send."""
    net = data.draw(nets(family))
    whole, steps = net.forward(traces=True), len(net.case.x[0])
    cut = data.draw(st.integers(0, steps))
    first = Net(replace(net.case, x=tuple(part[:cut] for part in net.case.x)), net.weights).forward()
    later = [part[cut:].copy() for part in net.case.x]
    if 0 < cut < steps:
        for part, more in zip(later, net.received(first.spike[-1]), strict=True):
            part[0] += more.astype(np.float32)
    second = Net(replace(net.case, x=tuple(later), state=first.state), net.weights).forward()
    np.testing.assert_array_equal(np.concatenate([first.spike, second.spike]), whole.spike)
    np.testing.assert_array_equal(second.state, whole.state)


@every
@settings(max_examples=6)
@given(st.data())
def test_feedback_is_exact_beyond_float64(family, data):
    """One unit that receives nothing is given more than float64 states can take: int64, with feedback as before."""
    net = data.draw(nets(family))
    for weight in net.weights:
        weight[0] = 0
    net.case.x[0][-1, 0] = 2.0**28
    check_forward(net)


@every
def test_feedback_without_a_fixed_point_is_refused(family):
    """A sum with feedback is bounded as inputs are."""
    case = uniform(family, 2**14, 4096, 64, steps=3)
    case.state[1] = -1
    if family.complex:
        case.decay[:2] = 0
    for bad in (2.0**50, np.nan):
        with pytest.raises(ValueError, match="must be finite and below"):
            Net(case, (np.full((1, 1), bad, np.float32),) * family.parts).forward()


# -- sizes, threads, and weights of two numbers ------------------------------------------------------


def sized(family, units, samples, steps, graded=False, seed=5):
    """A `Net` of that size, of which every sum is exact in float32."""
    rng = np.random.default_rng(seed)
    lanes = units * samples
    grid = rng.integers(-(2**13), 2**13, (family.parts, steps, lanes))
    state = rng.integers(-4096, 4097, (len(family.states), lanes))
    case = Neurons(
        family,
        tuple((grid / 4096).astype(np.float32)),
        state,
        draw_decays(family, rng, lanes, False),
        4096,
        640,
        graded,
    )
    weights = 2 * rng.integers(-16, 17, (family.parts, units, units)) / 64
    return Net(case, tuple(weights.astype(np.float32)))


def stepped(net):
    """`Net.forward` as single steps of `dynamics`: spikes, inputs with the feedback in them, states after."""
    case, state, sent = net.case, net.case.state, np.zeros(net.case.state.shape[1], np.float32)
    spikes, fed = [], []
    for t in range(len(case.x[0])):
        x = [part[t] + more for part, more in zip(case.x, net.received(sent), strict=True)]
        x = tuple(part.astype(np.float32)[None] for part in x)
        run = dynamics.forward(case.parameters, x, state, case.graded)
        sent, state = run.spike[0], run.state
        spikes.append(sent)
        fed.append(x)
    return np.array(spikes), [np.concatenate(part) for part in zip(*fed, strict=True)], state


SIZES = [(1, 1, 1), (1, 33, 5), (5, 1, 4), (5, 33, 1), (5, 3, 50), (8, 16, 2), (65, 17, 7), (513, 3, 4)]


@every
@pytest.mark.parametrize(("units", "samples", "steps"), SIZES)
def test_feedback_of_any_size_equals_its_steps(family, units, samples, steps, monkeypatch):
    monkeypatch.setattr(_jit, "WORTH", 0)
    net = sized(family, units, samples, steps)
    spikes, fed, after = stepped(net)
    grad = np.random.default_rng(1).normal(size=spikes.shape).astype(np.float32)
    found = []
    for count in (1, 2):
        monkeypatch.setattr(_jit, "_threads", count)
        run = net.forward()
        np.testing.assert_array_equal(run.spike, spikes)
        np.testing.assert_array_equal(run.state, after)
        for actual, expected in zip(run.x, fed, strict=True):
            np.testing.assert_array_equal(actual, expected)
        gradient = net.backward(run.x, 1.0, 0.5, grad)
        to_weights = [feedback.weight_gradient(part, spikes, units) for part in gradient.x]
        found.append([*gradient.x, gradient.decay, *to_weights])
    for actual, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(actual.view(np.uint8), expected.view(np.uint8))
    assert not (steps > 1 and units > 8) or spikes[:-1].any()
    # backward against float64, from the gradients that it gave to the step after
    back = grad.astype(np.float64)
    for part, weight in zip(gradient.x, net.weights, strict=True):
        back[:-1] += (part[1:].reshape(-1, units) @ weight.astype(np.float64)).reshape(back[1:].shape)
    plain = dynamics.backward(net.case.parameters, run.x, net.case.state, 1.0, 0.5, back.astype(np.float32))
    for actual, expected in zip((*gradient.x, gradient.decay), (*plain.x, plain.decay), strict=True):
        close(actual, expected.astype(np.float64), 8 * units * steps)


@every
@pytest.mark.parametrize("graded", [False, True], ids=["binary", "graded"])
@pytest.mark.parametrize("steps", [1, 2, 16, 33])
def test_feedback_sends_later_what_it_would_have_sent(family, graded, steps):
    net = sized(family, 5, 3, steps, graded)
    now, later = net.forward(), net.forward(later=1)
    assert steps == 1 or now.spike[:-1].any()
    assert not later.spike[0].any()
    np.testing.assert_array_equal(later.spike[1:], now.spike[:-1])
    np.testing.assert_array_equal(later.checkpoints, now.checkpoints)
    np.testing.assert_array_equal(later.state, now.state)
    grad = np.random.default_rng(3).normal(size=now.spike.shape).astype(np.float32)
    for arrives in (grad, grad[:1]):  # the second the same at every step
        before = np.concatenate([np.broadcast_to(arrives, grad.shape)[1:], np.zeros_like(grad[:1])])
        expected = net.backward(now.x, 1.0, 0.5, before)
        actual = net.backward(later.x, 1.0, 0.5, arrives, later=1)
        for a, e in zip((*actual.x, actual.decay), (*expected.x, expected.decay), strict=True):
            np.testing.assert_array_equal(a, e)
    for part in expected.x:
        known = feedback.weight_gradient(part, now.spike, 5), feedback.own_gradient(part, now.spike)
        found = feedback.weight_gradient(part, later.spike, 5, 1), feedback.own_gradient(part, later.spike, 1)
        np.testing.assert_array_equal(found[0], known[0])
        assert found[1] == known[1]


def test_feedback_runs_without_samples():
    net = sized(FAMILIES["cuba"], 3, 0, 4)
    run = net.forward()
    assert run.spike.shape == net.backward(run.x, 1.0, 1.0, run.spike).x[0].shape == (4, 0)
    assert not feedback.weight_gradient(run.spike, run.spike, 3).any()
    assert feedback.own_gradient(run.spike, run.spike) == 0


def lateral(family, units, samples, own, others, graded, seed=5):
    """A `Net` whose part that fires has two numbers, and the same as `Weights` of two numbers."""
    net = sized(family, units, samples, 6, graded, seed)
    matrix = np.full((units, units), others, np.float32)
    np.fill_diagonal(matrix, own)
    at = len(net.weights) - 1
    weights = tuple(matrix if k == at else 0 * matrix for k in range(at + 1))
    numbers = tuple(feedback.uniform(own, others) if k == at else feedback.uniform(0, 0) for k in range(at + 1))
    return Net(net.case, weights), numbers


@every
@pytest.mark.parametrize("graded", [False, True], ids=["binary", "graded"])
@pytest.mark.parametrize("kind", ["on the grid", "between", "too large for one sum", "weights between"])
@pytest.mark.parametrize(("units", "samples"), [(1, 1), (5, 33), (129, 3)])
def test_two_numbers_are_their_matrix(family, graded, kind, units, samples):
    own, others = (0.3, -0.1) if kind == "weights between" else (0.5, -0.25)
    net, numbers = lateral(family, units, samples, own, others, graded)
    rng = np.random.default_rng(2)
    for part in net.case.x:
        if kind == "between":
            part += rng.random(part.shape).astype(np.float32) / 4096
        if kind == "too large for one sum":
            part += (rng.random(part.shape) < 0.05) * np.float32(2**14 + 1 / 512)
    dense, actual = net.forward(traces=True), net.forward(True, numbers)
    assert units == 1 or dense.spike[:-1].any()
    for a, e in zip(
        (actual.spike, actual.trace, actual.state, *actual.x),
        (dense.spike, dense.trace, dense.state, *dense.x),
        strict=True,
    ):
        np.testing.assert_array_equal(a, e)
    grad = rng.normal(size=dense.spike.shape).astype(np.float32)
    expected = net.backward(dense.x, 1.0, 0.5, grad)
    given = net.backward(dense.x, 1.0, 0.5, grad, weights=numbers)
    for a, e in zip((*given.x, given.decay), (*expected.x, expected.decay), strict=True):
        close(a, e.astype(np.float64), 64 * units)


@pytest.mark.parametrize("rate", [0, 0.2, 1])
@pytest.mark.parametrize(("units", "samples", "steps"), [(1, 1, 1), (5, 33, 1), (5, 33, 9), (513, 1, 3), (20, 3, 200)])
def test_the_gradient_of_feedback_weights_is_a_product(rate, units, samples, steps):
    rng = np.random.default_rng(4)
    grad = rng.normal(size=(steps, samples * units)).astype(np.float32)
    spike = ((rng.random(grad.shape) < rate) * rng.integers(1, 4, grad.shape)).astype(np.float32)
    received, sent = grad[1:].reshape(-1, units).astype(np.float64), spike[:-1].reshape(-1, units)
    actual = feedback.weight_gradient(grad, spike, units)
    assert actual.flags.c_contiguous
    np.testing.assert_allclose(actual, received.T @ sent, rtol=0, atol=1e-5 * max(1, steps * samples) ** 0.5)
    np.testing.assert_allclose(feedback.own_gradient(grad, spike), (received * sent).sum(), rtol=1e-9, atol=1e-9)


def through_both(net, grad, weights=None):
    """Gradients of a `Net` whose feedback is multiplied by vectors, and on matrix tiles."""
    run = net.forward()
    weights = tuple(feedback.Weights(weight) for weight in net.weights) if weights is None else weights
    arguments = net.case.parameters, run.x, run.checkpoints, 1.0, 0.5, grad, net.weights[0].shape[0], weights, None
    return [feedback.backward(*arguments, net.case.graded, 0, tiled) for tiled in (False, True)]


@pytest.mark.parametrize("name", ["cuba", "rf"])  # of one input and of two: tiles know no more of a family
@pytest.mark.parametrize(("units", "samples"), [(1, 1), (5, 3), (32, 16), (40, 17), (33, 35), (70, 49)])
def test_gradients_return_through_tiles_as_through_vectors(name, units, samples):
    net = sized(FAMILIES[name], units, samples, 4)
    grad = np.random.default_rng(3).normal(size=net.case.x[0].shape).astype(np.float32)
    vectors, tiles = through_both(net, grad)
    for actual, expected in zip((*tiles.x, tiles.decay), (*vectors.x, vectors.decay), strict=True):
        close(actual, expected.astype(np.float64), 64 * units)


def test_tiles_leave_what_they_cannot_hold_to_vectors():
    net = sized(FAMILIES["cuba"], 5, 3, 4)
    grad = np.ones(net.case.x[0].shape, np.float32)
    grad[2, 4] = np.inf
    fine = Net(net.case, tuple(weight + np.float32(1 / 4096 + 2**-20) for weight in net.weights))
    for case, arriving in ((net, grad), (fine, np.ones_like(grad))):
        vectors, tiles = through_both(case, arriving)
        np.testing.assert_array_equal(tiles.x[0], vectors.x[0])
        np.testing.assert_array_equal(tiles.decay, vectors.decay)


def test_the_number_of_threads_does_not_change_gradients_on_tiles(monkeypatch):
    monkeypatch.setattr(_jit, "WORTH", 0)
    net = sized(FAMILIES["cuba"], 33, 35, 4)
    grad = np.random.default_rng(3).normal(size=net.case.x[0].shape).astype(np.float32)
    found = []
    for count in (1, 2, 3):
        monkeypatch.setattr(_jit, "_threads", count)
        found.append(through_both(net, grad)[1].x[0])
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_gradients_that_are_not_finite_have_no_events():
    grad, spike = np.zeros((3, 4), np.float32), np.ones((3, 4), np.float32)
    grad[1, 2] = np.nan
    assert feedback.weight_gradient(grad, spike, 2) is None
