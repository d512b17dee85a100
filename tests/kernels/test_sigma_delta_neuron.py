"""The whole neuron in one walk against its parts one after the other, with ==; gradients against float64."""

import numpy as np
import pytest
import torch
from lavadl_kernels.neurons import sigma_delta
from lavadl_kernels.neurons import sigma_delta_fused as sigma_delta_neuron
from lavadl_kernels.ops import layout
from lavadl_kernels.runtime import jit as _jit

from tests.support.checks.sigma_delta import unrolled_delta
from tests.support.kernel_cases import MANY

LANES, CHANNELS = 6 * 90, 3


def signal(kind, steps=14, lanes=LANES, seed=0):
    """(T, M) float32: what float32 states hold, what only float64 holds, or what no grid does."""
    rng = np.random.default_rng(seed)
    if kind == "real":
        return rng.normal(size=(steps, lanes)).astype(np.float32) * np.float32(0.5)
    unit = {"small": 2.0**-18, "large": 2.0**-6, "late": 2.0**-18}[kind]
    x = rng.integers(-(2**17), 2**17, (steps, lanes)) * (rng.random((steps, lanes)) < 0.5) * unit
    if kind == "late":  # beyond float32 in one lane, near the end
        x[-2, -1] = 100
    return x.astype(np.float32)


def offsets(rng, size):
    return (rng.integers(-40, 40, size) / 64).astype(np.float32)


def lanes_of(values, inner, lanes):
    """Per channel to per lane, as `inner` has it."""
    return np.array([values[lane // inner % values.size] for lane in range(lanes)])


def parts(x, state, shift, bias, threshold, inner, scale, relu, cum_error):
    """The functions of `sigma_delta`, with float32 between them."""
    lanes = x.shape[1]
    start = np.zeros((4, lanes)) if state is None else state
    sums, sigma = sigma_delta.sigma_forward(x, start[0])
    value = sums + lanes_of(shift, inner, lanes) + lanes_of(bias, inner, lanes)
    value = np.maximum(value, np.float32(0)) if relu else value
    message, *after = sigma_delta.delta_forward(value, *start[1:], lanes_of(threshold, inner, lanes), scale, cum_error)
    return value, message, np.stack([sigma, *after])


KINDS = pytest.mark.parametrize("kind", ["small", "large", "late", "real"])
OPTIONS = pytest.mark.parametrize(("relu", "cum_error"), [(True, False), (False, False), (True, True), (False, True)])


@KINDS
@OPTIONS
@pytest.mark.parametrize("inner", [1, 4])
@pytest.mark.parametrize("channels", [1, CHANNELS])
@pytest.mark.parametrize("rest", [True, False])
def test_the_fused_neuron_equals_its_parts(kind, relu, cum_error, inner, channels, rest):
    rng = np.random.default_rng(1)
    x = signal(kind)
    state = None if rest else rng.normal(size=(4, LANES))
    if state is not None and not cum_error:
        state[3] = 0
    shift, bias = offsets(rng, channels), offsets(rng, channels)
    threshold = rng.integers(0, 70, channels) / 64
    arguments = shift, bias, threshold, inner, 4096.0, relu, cum_error
    before = None if state is None else state.copy()
    _, expected, end = parts(x, state, *arguments)
    for surrogate in (None, (0.1, 1.0)):
        message, after, kept = sigma_delta_neuron.forward(x, state, *arguments, surrogate)
        assert message.dtype == np.float32
        np.testing.assert_array_equal(message, expected)
        assert (after is None) == rest
        assert (kept is None) == (surrogate is None)
        if after is not None:
            np.testing.assert_array_equal(after, end)
            np.testing.assert_array_equal(state, before)
    assert expected.any()


@pytest.mark.parametrize("sizes", [(1, 1, CHANNELS), (1, CHANNELS, 1), (CHANNELS, 1, 1), (CHANNELS, CHANNELS, 1)])
@pytest.mark.parametrize("kind", ["small", "real"])
def test_parameters_may_be_shared_by_channels_or_not(kind, sizes):
    rng = np.random.default_rng(4)
    x, (shifts, biases, levels) = signal(kind), sizes
    arguments = offsets(rng, shifts), offsets(rng, biases), rng.integers(1, 70, levels) / 64, 2, 4096.0, True, True
    alike = tuple(np.broadcast_to(value, CHANNELS).copy() for value in arguments[:3])
    message, _, kept = sigma_delta_neuron.forward(x, None, *arguments, (0.1, 1.0))
    np.testing.assert_array_equal(message, parts(x, None, *arguments)[1])
    np.testing.assert_array_equal(kept, sigma_delta_neuron.forward(x, None, *alike, *arguments[3:], (0.1, 1.0))[2])


@pytest.mark.parametrize(("inner", "channels"), [(1, 1), (1, 3), (5, 3), (1, 60), (1, 540)])
def test_sums_are_taken_by_channel(inner, channels):
    values = np.random.default_rng(0).integers(-(2**40), 2**40, 5 * 540).astype(np.float64)
    expected = values.reshape(-1, channels, inner).sum((0, 2))
    np.testing.assert_array_equal(sigma_delta_neuron.by_channel(values, inner, channels), expected)


@pytest.mark.parametrize("scale", [1.0, 64.0, 100.0, 2.0**20])
@pytest.mark.parametrize("threshold", [0.1, 0.0, 17.0])
@KINDS
def test_the_fused_neuron_takes_any_scale_and_threshold(scale, threshold, kind):
    none = sigma_delta_neuron.NONE
    x = signal(kind)
    arguments = none, none, np.array([np.float32(threshold)], np.float64), 1, scale, False, False
    np.testing.assert_array_equal(sigma_delta_neuron.forward(x, None, *arguments)[0], parts(x, None, *arguments)[1])


@pytest.mark.parametrize("kind", ["small", "real"])
def test_the_fused_delta_alone_equals_the_delta(kind):
    none, x = sigma_delta_neuron.NONE, signal(kind)
    zero = np.zeros(LANES)
    message, *_ = sigma_delta_neuron.forward(x, None, none, none, np.array([0.25]), 1, 64.0, False, False, None, False)
    expected, *_ = sigma_delta.delta_forward(x, zero, zero, zero, zero + 0.25, 64)
    np.testing.assert_array_equal(message, expected)


def test_the_fused_neuron_in_chunks_of_time_gives_the_same():
    x, none, threshold = signal("real"), sigma_delta_neuron.NONE, np.array([0.3])
    arguments = none, none, threshold, 1, 4096.0, True, True
    whole, *_ = sigma_delta_neuron.forward(x, None, *arguments)
    state, got = np.zeros((4, LANES)), []
    for lo, hi in ((0, 5), (5, 5), (5, 6), (6, 14)):
        part, state, _ = sigma_delta_neuron.forward(x[lo:hi], state, *arguments)
        got.append(part)
    np.testing.assert_array_equal(np.concatenate(got), whole)


@OPTIONS
@pytest.mark.parametrize("kind", ["small", "real"])
@pytest.mark.parametrize("sums", [True, False])
def test_the_gradient_of_the_fused_neuron_is_autograds(kind, relu, cum_error, sums):
    """Against autograd in float64, and the threshold's against the recomputing kernel."""
    if not sums and relu:
        pytest.skip("a delta alone has no activation")
    rng = np.random.default_rng(3)
    x, inner, tau, height = signal(kind), 2, 0.7, 2.0
    shift = offsets(rng, CHANNELS) if sums else sigma_delta_neuron.NONE
    threshold, none = rng.integers(1, 70, CHANNELS) / 64, sigma_delta_neuron.NONE
    arguments = shift, none, threshold, inner, 4096.0, relu, cum_error
    message, _, kept = sigma_delta_neuron.forward(x, None, *arguments, (tau, height), sums)
    grad = rng.normal(size=x.shape).astype(np.float32)
    to_x, to_threshold, to_offset = sigma_delta_neuron.backward(grad, kept, relu, inner, None, sums)

    leaf, moved, level = (
        torch.tensor(v, dtype=torch.float64, requires_grad=True)
        for v in (x, lanes_of(shift, inner, LANES), lanes_of(threshold, inner, LANES))
    )
    value = leaf.cumsum(0).float().double() + moved if sums else leaf + moved
    value = torch.relu(value) if relu else value
    zero = torch.zeros(LANES, dtype=torch.float64)
    y = unrolled_delta(value.float().double(), level, zero, zero, zero, 4096, cum_error, tau, height)
    np.testing.assert_array_equal(message, y.detach().numpy().astype(np.float32))
    y.backward(torch.tensor(grad, dtype=torch.float64))
    np.testing.assert_allclose(to_x, leaf.grad, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(to_threshold, level.grad, rtol=1e-4, atol=1e-4)
    if sums:
        np.testing.assert_allclose(to_offset, moved.grad, rtol=1e-4, atol=1e-5)


def test_a_gradient_to_every_sum_is_added():
    """`lift` takes a gradient to each offset, added at its step: its sum over later steps reaches the input."""
    x, inner, none = signal("small"), 2, sigma_delta_neuron.NONE
    _, _, kept = sigma_delta_neuron.forward(x, None, none, none, np.array([0.1]), inner, 4096.0, True, False, (1, 1))
    grad = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    plain, threshold, offset = sigma_delta_neuron.backward(grad, kept, True, inner)
    seen, lift = [], np.array([0.5, -1.0, 2.0])
    lifted, *same = sigma_delta_neuron.backward(grad, kept, True, inner, lambda g: (seen.append(g), lift)[1])
    np.testing.assert_array_equal(seen[0], offset)
    np.testing.assert_array_equal(same, [threshold, offset])
    later = np.arange(len(x), 0, -1)[:, None] * lanes_of(lift, inner, LANES)
    np.testing.assert_allclose(lifted, plain + later, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("inner", [1, 5])
def test_the_mean_of_sums_is_exact(inner):
    x, start = signal("small"), np.random.default_rng(0).integers(-9, 9, LANES) / 64
    for sigma in (None, start):
        sums = np.cumsum(x.astype(np.float64), 0) + (0 if sigma is None else sigma)
        expected = sums.reshape(len(x), -1, CHANNELS, inner).mean((0, 1, 3))
        np.testing.assert_allclose(
            sigma_delta_neuron.mean_of_sums(x, sigma, inner, CHANNELS), expected, rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**34, -3e38])
@pytest.mark.parametrize("lane", [0, MANY - 1])
def test_the_fused_neuron_leaves_to_the_parts_what_they_must_decide(bad, lane):
    x, none, level = np.zeros((3, MANY), np.float32), sigma_delta_neuron.NONE, np.array([0.1])
    for where in ((0, lane), (2, lane)):
        given = x.copy()
        given[where] = bad
        for state in (None, np.zeros((4, MANY))):
            arguments = none, none, level, 1, 4096.0, True, False
            assert sigma_delta_neuron.forward(given, state, *arguments) is None
        assert sigma_delta_neuron.mean_of_sums(given, None, 1, 1) is None
    offset = np.array([bad], np.float32)
    for pair in ((offset, none), (none, offset)):
        assert sigma_delta_neuron.forward(x, None, *pair, level, 1, 4096.0, True, False) is None
    state = np.zeros((4, MANY))
    state[1, lane] = bad
    assert sigma_delta_neuron.forward(x, state, none, none, level, 1, 4096.0, True, False) is None


@pytest.mark.parametrize(("steps", "lanes"), [(0, 3), (3, 0), (0, 0)])
def test_the_fused_neuron_runs_without_steps_or_lanes(steps, lanes):
    x, none = np.zeros((steps, lanes), np.float32), sigma_delta_neuron.NONE
    for state in (None, np.ones((4, lanes))):
        message, after, kept = sigma_delta_neuron.forward(
            x, state, none, none, np.array([0.1]), 1, 64.0, True, False, (1, 1)
        )
        assert message.shape == kept.shape == (steps, lanes)
        if state is not None and steps == 0:
            np.testing.assert_array_equal(after, state)
    to_x, *rest = sigma_delta_neuron.backward(x, kept, True, 1)
    assert to_x.shape == (steps, lanes)
    np.testing.assert_array_equal(rest, np.zeros((2, lanes)))


def test_the_fused_neuron_does_not_depend_on_threads(monkeypatch):
    monkeypatch.setattr(_jit, "WORTH", 0)
    monkeypatch.setattr(_jit, "PROCESSORS", 8)
    results = []
    for count in (1, 2, 7):
        monkeypatch.setattr(_jit, "_threads", count)
        out = []
        for kind in ("small", "late", "real"):
            x = signal(kind, lanes=6 * MANY)
            grad = np.random.default_rng(5).normal(size=x.shape).astype(np.float32)
            shift = offsets(np.random.default_rng(2), CHANNELS)
            arguments = shift, shift, np.array([0.25, 0.5, 0.1]), 2, 4096.0, True, False, (0.1, 1.0)
            message, _, kept = sigma_delta_neuron.forward(x, None, *arguments)
            out += [message, kept, sigma_delta_neuron.mean_of_sums(x, None, 2, CHANNELS)]
            out += sigma_delta_neuron.backward(grad, kept, True, 2, lambda g: np.array([1.0, 2.0, g.sum()]))
        results.append(out)
    for other in results[1:]:
        for actual, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(actual.view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("shape", [(2, 3, 35, 5), (1, 1, 1, 1), (3, 2, 130, 16), (0, 2, 3, 4), (2, 3, 0, 4)])
def test_frames_are_quantised_as_by_numpy(shape):
    x = (np.random.default_rng(0).normal(size=shape) * 3).astype(np.float32)
    x.flat[:3] = [np.nan, np.inf, -np.inf][: x.size]
    expected = np.clip(np.rint(x * 32) / 32, -4, 254 / 64).transpose(3, 0, 2, 1)
    actual = layout.quantised_frames(x, 1 / 32, -4.0, 254 / 64)
    assert actual.flags.c_contiguous
    np.testing.assert_array_equal(actual, expected)
