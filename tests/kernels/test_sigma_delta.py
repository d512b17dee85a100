"""Sigma, Delta and `step` against the oracle, with ==; gradients against torch autograd."""

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from lavadl_kernels.neurons import sigma_delta
from lavadl_kernels.runtime import jit as _jit

from tests.support import oracle as naive
from tests.support.checks.sigma_delta import unrolled_delta
from tests.support.kernel_cases import MANY

ONE = 1 << 18


@st.composite
def signals(draw, magnitudes=(1, 3, 64, 2**12, 2**18, 2**23)):
    """(T, M) integers in 1/2**18 that float32 holds, and a generator."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lanes = draw(st.sampled_from([1, 2, 7, MANY]))
    steps = draw(st.integers(1, 4 if lanes == MANY else 16))
    magnitude = draw(st.sampled_from(magnitudes))
    grid = rng.integers(-magnitude, magnitude + 1, (steps, lanes))
    return grid * (rng.random(grid.shape) < draw(st.sampled_from([0.3, 1]))), rng


@st.composite
def deltas(draw):
    """Integers of a Delta: activations (T, M) and states in 1/2**18, thresholds in 1/64, and whether errors add up."""
    grid, rng = draw(signals())
    largest = int(np.abs(grid).max())
    lanes = grid.shape[1]
    kind = draw(st.sampled_from(["rest", "moved"]))
    states = np.zeros((3, lanes), np.int64)
    if kind == "moved":
        states[:2] = rng.integers(-largest - 1, largest + 2, (2, lanes))
    mantissas = rng.integers(0, largest // 4096 + 3, lanes)
    if draw(st.booleans()):
        mantissas[:] = mantissas[0]
    cum_error = draw(st.booleans())
    if cum_error and kind == "moved":
        states[2] = rng.integers(-largest - 1, largest + 2, lanes)
    if draw(st.booleans()):  # steps of thresholds, so that changes reach them exactly
        grid = rng.integers(-2, 3, grid.shape) * np.maximum(mantissas, 1) * 4096
    return grid, states, mantissas, cum_error


def real(integers):
    return np.asarray(integers) / ONE


def delta(grid, states, mantissas, cum_error, scale=4096):
    return sigma_delta.delta_forward(
        real(grid).astype(np.float32), *real(states), mantissas / 64, scale, cum_error
    )  # fmt: skip


def delta_oracle(grid, states, mantissas, cum_error):
    """Messages (T, M) in 1/4096 and states (3, M) in 1/2**18."""
    lanes = [
        naive.delta(column, int(mantissas[i]), cum_error, *(int(s[i]) for s in states))
        for i, column in enumerate(grid.T.tolist())
    ]
    return np.array([trace[1] for trace, _ in lanes]).T, np.array([after for _, after in lanes]).T


def uniform(values, mantissa, cum_error=False):
    """One lane at rest."""
    return np.array(values)[:, None], np.zeros((3, 1), np.int64), np.array([mantissa]), cum_error


# -- forward ----------------------------------------------------------------------------------


@given(signals(), st.booleans())
def test_sigma_equals_the_oracle(case, rest):
    grid, rng = case
    start = np.zeros(grid.shape[1], np.int64) if rest else rng.integers(-(2**40), 2**40, grid.shape[1])
    y, after = sigma_delta.sigma_forward(real(grid).astype(np.float32), real(start))
    sums = start + np.cumsum(grid, 0)
    assert (y.dtype, after.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(after * ONE, sums[-1])
    np.testing.assert_array_equal(y, real(sums).astype(np.float32))


def test_sums_stay_exact_where_float32_is_not():
    """2**24 steps of 1/64 would stop float32 at 2**18; and a small change survives beside a large one."""
    x = np.array([[2.0**20], [2.0**-18], [-(2.0**20)]], np.float32)
    y, after = sigma_delta.sigma_forward(x, np.zeros(1))
    assert after[0] == y[2, 0] == 2.0**-18
    assert np.cumsum(x, dtype=np.float32)[-1] == 0


@given(deltas())
@example(uniform([4096, 0, 4095, -4096, -4096], 1))
@example(uniform([1, 0, 64, 63, -1], 0))
@example(uniform([4095, 4095, 8191, 0, -8192], 1, cum_error=True))
def test_delta_equals_the_oracle(case):
    message, *states = delta(*case)
    messages, after = delta_oracle(*case)
    assert message.dtype == np.float32
    np.testing.assert_array_equal(message, (messages / 4096).astype(np.float32))
    np.testing.assert_array_equal(states, real(after))


def test_a_change_of_the_threshold_is_sent():
    message, *_ = delta(*uniform([4096 * 5, 4096 * 5, 4096 * 10 - 1, 4096 * 10], 5))
    assert (message[:, 0] * 64).tolist() == [5, 0, 0, 5]


def test_the_floor_is_lost():
    """The part of a change that a message cannot hold is not sent later: -1/2**18 becomes -1/4096, and 0 remains."""
    message, _, residue, _ = delta(*uniform([-1, -1, 64 + 62], 0))
    assert (message[:, 0] * 4096).tolist() == [-1, 0, 1]
    assert residue[0] == 0


def test_an_accumulated_error_is_sent_in_the_end():
    """Changes that cancel stay silent; with cum_error, a lasting one below the threshold is sent in the end."""
    values = [3 * 4096] * 4
    plain, *_ = delta(*uniform(values, 5))
    summed, _, residue, error = delta(*uniform(values, 5, cum_error=True))
    assert plain.sum() == 0
    assert (summed[:, 0] * 64).tolist() == [0, 3, 0, 0]
    assert (residue[0], error[0]) == (0, 0)


@pytest.mark.parametrize("scale", [1, 64, 4096])
def test_messages_are_multiples_of_the_scale(scale):
    x = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    zero = np.zeros(5)
    message, *_ = sigma_delta.delta_forward(x, zero, zero, zero, np.full(5, 0.3), scale)
    np.testing.assert_array_equal(np.rint(message * scale), message * scale)
    fine, *_ = sigma_delta.delta_forward(x, zero, zero, zero, np.full(5, 0.3), 2**40)
    np.testing.assert_array_equal(message, np.floor(fine * scale) / scale)


@given(deltas(), st.data())
def test_sigma_and_delta_in_chunks_of_time_give_the_same(case, data):
    grid, states, *rest = case
    x = real(grid).astype(np.float32)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(grid)), max_size=3)))
    whole, *end = delta(*case)
    sums, total = sigma_delta.sigma_forward(x, real(states)[0])
    carried, sigma, parts = real(states), real(states)[0], []
    for lo, hi in zip([0, *cuts], [*cuts, len(grid)], strict=True):
        part, *carried = sigma_delta.delta_forward(x[lo:hi], *carried, rest[0] / 64, 4096, rest[1])
        y, sigma = sigma_delta.sigma_forward(x[lo:hi], sigma)
        parts.append((part, y))
    messages, ys = zip(*parts, strict=True)
    np.testing.assert_array_equal(np.concatenate(messages), whole)
    np.testing.assert_array_equal(carried, end)
    np.testing.assert_array_equal(np.concatenate(ys), sums)
    np.testing.assert_array_equal(sigma, total)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**34, -3e38])
@pytest.mark.parametrize("lane", [0, MANY - 1])
def test_sigma_refuses_input_without_a_fixed_point(bad, lane):
    x, zero = np.zeros((3, MANY), np.float32), np.zeros(MANY)
    x[1, lane] = bad
    with pytest.raises(ValueError, match=r"the sum of a sigma must be finite and stay below 1.72e\+10"):
        sigma_delta.sigma_forward(x, zero)
    with pytest.raises(ValueError, match=r"the input of a delta must be finite and stay below 1.72e\+10"):
        sigma_delta.delta_forward(x, zero, zero, zero, zero, 4096)


def test_sums_beyond_exactness_are_refused():
    x = np.full((3, 1), 2.0**33, np.float32)
    assert sigma_delta.sigma_forward(x[:1], np.zeros(1))[1] == 2.0**33
    with pytest.raises(ValueError, match="the sum of a sigma"):
        sigma_delta.sigma_forward(x, np.zeros(1))


@pytest.mark.parametrize(("steps", "lanes"), [(0, 3), (3, 0), (0, 0)])
def test_sigma_and_delta_run_without_steps_or_lanes(steps, lanes):
    x, state = np.zeros((steps, lanes), np.float32), np.arange(lanes, dtype=np.float64)
    y, after = sigma_delta.sigma_forward(x, state)
    message, *states = sigma_delta.delta_forward(x, state, state, state, state, 64)
    assert y.shape == message.shape == (steps, lanes)
    if steps == 0:
        np.testing.assert_array_equal([after, *states], [state] * 4)
    assert sigma_delta.sigma_backward(x).shape == sigma_delta.delta_backward(x).shape == (steps, lanes)
    grad = sigma_delta.threshold_backward(x, state, state, state, state, 64, False, 1, 1, x)
    np.testing.assert_array_equal(grad, np.zeros(lanes))


def test_states_given_are_not_changed():
    x, state = np.ones((3, 2), np.float32), np.ones(2)
    sigma_delta.sigma_forward(x, state)
    sigma_delta.delta_forward(x, state, state, state, state, 64, True)
    sigma_delta.threshold_backward(x, state, state, state, state, 64, True, 1, 1, x)
    assert state.tolist() == [1, 1]


# -- step -------------------------------------------------------------------------------------

INT32 = st.integers(-(2**31), 2**31 - 1)
EDGE = st.sampled_from([-(2**31), -(2**31) + 1, -1, 0, 1, 4095, 4096, 2**30, 2**31 - 1])


@given(
    st.tuples(*[st.one_of(INT32, EDGE)] * 4),
    st.lists(st.one_of(INT32, EDGE), min_size=1, max_size=6),
    st.integers(-(2**18), 2**18),
    st.one_of(st.integers(0, 2**19 - 1), st.integers(0, 70)),
    st.sampled_from(["identity", "relu"]),
    st.booleans(),
    st.booleans(),
)
@example((0, 0, 0, 0), [-(2**31)], 0, 1, "identity", False, True)
@example((2**31 - 1, 0, 0, 0), [1], 0, 0, "relu", True, True)
def test_the_sigma_delta_step_equals_the_oracle(states, inputs, bias, mantissa, activation, cum_error, loihi):
    """Over a few steps, so that one step's states are the next one's."""
    states = (*states[:3], states[3] if cum_error else 0)  # without cum_error there is no error
    expected, carried = naive.sigma_delta(inputs, mantissa, bias, activation, cum_error, *states, loihi=loihi)
    assume(-(2**25) not in expected[3])  # Lava takes the most negative message for none, the oracle does not
    messages = []
    for a in inputs:
        *states, message, _ = sigma_delta.step(
            *states, a, bias * 4096, mantissa * 4096, activation == "relu", cum_error, 0, loihi
        )
        messages.append(message)
    assert messages == expected[3]
    assert tuple(states) == carried
    assert all(isinstance(value, int) for value in (*states, *messages))


def test_the_most_negative_message_leaves_the_error():
    """As in Lava, whose 32 bits hold no magnitude of it; without widths the error is cleared."""
    state, bias_and_more = (0, -1, 2**31 - 1, 1), (0, 0, 0, False, True, 0)
    assert sigma_delta.step(*state, *bias_and_more, True) == (0, 0, 0, 1 - 2**31, -(2**25), 1 - 2**31)
    assert sigma_delta.step(*state, *bias_and_more, False) == (0, 0, 0, 0, 2**25, 2**31 + 1)


def test_the_sigma_delta_step_takes_unbounded_integers():
    states, a = (2**90 + 1, -(3**60), 5, -7), 7**40
    expected, carried = naive.sigma_delta([a], 2**70, -1, "relu", True, *states)
    *actual, _ = sigma_delta.step(*states, a, -4096, 2**82, True, True, 0, False)
    assert tuple(actual) == (*carried, expected[3][0])


@given(deltas(), st.sampled_from(["identity", "relu"]))
def test_sigma_and_delta_make_a_step(case, activation):
    """The trained neuron, Sigma then activation then Delta, gives the integers of the deployed one."""
    grid, states, mantissas, cum_error = case
    grid = grid // 4
    sums, _ = sigma_delta.sigma_forward(real(grid).astype(np.float32), real(states)[0])
    assume(np.abs(sums).max() * ONE < 2**24)
    values = np.maximum(sums, 0) if activation == "relu" else sums
    message, *_ = sigma_delta.delta_forward(values, *real(states), mantissas / 64, 4096, cum_error)
    for i in range(grid.shape[1]):
        state, expected = (int(states[0][i]), *(int(s[i]) for s in states)), []
        for a in grid[:, i].tolist():
            *state, sent, _ = sigma_delta.step(
                *state, a, 0, int(mantissas[i]) * 4096, activation == "relu", cum_error, 0, False
            )
            expected.append(sent)
        assert (message[:, i] * 4096).tolist() == expected


# -- gradients --------------------------------------------------------------------------------


@given(deltas(), st.sampled_from([0.1, 1.0, 7.0]), st.sampled_from([0.5, 2.0]))
def test_the_gradient_of_delta_is_autograds(case, tau_grad, scale_grad):
    grid, states, mantissas, cum_error = case
    x = real(grid).astype(np.float32)
    grad = np.random.default_rng(6).normal(size=x.shape).astype(np.float32)
    given_, thresholds = real(states), mantissas / 64
    leaves = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (x, thresholds)]
    y = unrolled_delta(*leaves, *map(torch.tensor, given_), 4096, cum_error, tau_grad, scale_grad)
    np.testing.assert_array_equal(delta(*case)[0], y.detach().numpy().astype(np.float32))
    y.backward(torch.tensor(grad, dtype=torch.float64))
    to_x = sigma_delta.delta_backward(grad)
    to_threshold = sigma_delta.threshold_backward(
        x, *given_, thresholds, 4096, cum_error, tau_grad, scale_grad, grad
    )  # fmt: skip
    np.testing.assert_allclose(to_x, leaves[0].grad, rtol=1e-6, atol=1e-6)
    expected = leaves[1].grad.numpy()
    size = np.abs(grid).max() / ONE * scale_grad / max(thresholds.min(), 1 / 4096) * len(x)
    np.testing.assert_allclose(to_threshold, expected, rtol=1e-5, atol=1e-6 * size + 1e-9)


def test_the_gradient_of_sigma_is_autograds():
    rng = np.random.default_rng(2)
    grad = rng.normal(size=(50, 4)).astype(np.float32)
    x = torch.zeros(50, 4, dtype=torch.float64, requires_grad=True)
    x.cumsum(0).backward(torch.tensor(grad, dtype=torch.float64))
    np.testing.assert_array_equal(sigma_delta.sigma_backward(grad), x.grad.numpy().astype(np.float32))


def test_a_higher_threshold_sends_less():
    """Above the threshold the gradient of what is sent, in its own direction, is negative."""
    x = np.cumsum(np.ones((6, 1), np.float32), 0)
    zero = np.zeros(1)
    grad = sigma_delta.threshold_backward(x, zero, zero, zero, zero + 0.9, 64, False, 1, 1, np.ones_like(x))
    assert grad[0] < 0


# -- threads ----------------------------------------------------------------------------------


def test_sigma_and_delta_do_not_depend_on_threads(monkeypatch):
    monkeypatch.setattr(_jit, "WORTH", 0)
    monkeypatch.setattr(_jit, "PROCESSORS", 8)
    rng = np.random.default_rng(0)
    x, grad = rng.normal(size=(2, 40, 5 * MANY)).astype(np.float32)
    states, thresholds = rng.normal(size=(3, 5 * MANY)), rng.random(5 * MANY)
    results = []
    for count in (1, 2, 7):
        monkeypatch.setattr(_jit, "_threads", count)
        arguments = *states, thresholds, 4096, True
        out = [*sigma_delta.sigma_forward(x, states[0]), *sigma_delta.delta_forward(x, *arguments)]
        out += [sigma_delta.sigma_backward(grad), sigma_delta.delta_backward(grad)]
        out.append(sigma_delta.threshold_backward(x, *arguments, 1.0, 1.0, grad))
        results.append(out)
    for other in results[1:]:
        for actual, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(actual.view(np.uint8), expected.view(np.uint8))
