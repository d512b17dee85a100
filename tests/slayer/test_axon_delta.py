"""`axon.Delta` and `dendrite.Sigma`: parameters, values, state, gradients."""

import itertools
import math

import numpy as np
import pytest
import torch

from lavadl_ref.slayer import axon, dendrite
from tests.support import oracle as naive

SHAPES = pytest.mark.parametrize("shape", [(2, 3, 12), (2, 3, 4, 5, 12), (2, 3, 4, 3, 12)])
CUTS = pytest.mark.parametrize("cuts", [(4,), (0, 1, 2), (11,), (3, 3)])
ONE = 1 << 18


def signal(shape=(2, 3, 12), seed=0, unit=64):
    """Multiples of 1 / unit up to 2."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-2 * unit, 2 * unit, shape, generator=generator) / unit


def layouts(x):
    yield x.contiguous()
    yield x.movedim(-1, 0).contiguous().movedim(0, -1)
    yield x.movedim(1, -1).contiguous().movedim(-1, 1)


def oracle(x, mantissas, cum_error=False):
    """Messages for `x` (N, C, ..., T) and one threshold in 1/64 for each channel."""
    rows = x.movedim(1, 0).flatten(1, -2)
    sent = [
        [naive.delta([int(v * ONE) for v in row], m, cum_error)[0][1] for row in channel.tolist()]
        for channel, m in zip(rows, mantissas, strict=True)
    ]
    flat = torch.tensor(sent) / 4096
    return flat.reshape(x.movedim(1, 0).shape).movedim(0, 1)


# -- Delta ------------------------------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize("cum_error", [False, True])
@pytest.mark.parametrize("mantissa", [1, 5, 64, 100])
def test_the_messages_of_a_delta_equal_the_oracle(shape, cum_error, mantissa):
    x = signal(shape, unit=ONE)
    expected = oracle(x, [mantissa] * 3, cum_error)
    assert expected.any()
    for given in layouts(x):
        layer = axon.Delta(mantissa / 64, scale=4096, cum_error=cum_error)
        assert torch.equal(layer(given), expected)
        assert layer.shape == shape[1:-1]


@SHAPES
@pytest.mark.parametrize("cum_error", [False, True])
def test_a_delta_may_have_a_threshold_for_each_channel(shape, cum_error):
    """Also where the number of channels is that of another axis."""
    x = signal(shape)
    layer = axon.Delta(np.array([0.25, 0.5, 1.5]), scale=4096, shared_param=False, cum_error=cum_error)
    assert torch.equal(layer(x), oracle(x, [16, 32, 96], cum_error))


def test_the_threshold_is_not_rounded():
    x = torch.tensor([[[0.09, 0.095, 0.1001, 0.1001]]])
    layer = axon.Delta(0.1, scale=4096)
    assert layer.threshold.item() == np.float32(0.1)
    assert (layer(x) > 0).tolist() == [[[False, False, True, False]]]


@pytest.mark.parametrize("scale", [64, 4096])
def test_the_threshold_is_at_least_one_message(scale):
    layer = axon.Delta(0, scale=scale)
    assert layer.threshold.item() == 1 / scale
    layer.threshold.data.fill_(-3)
    layer(signal())
    assert layer.threshold.item() == 1 / scale
    assert f"threshold={1 / scale:.6g}, scale={scale}" in repr(layer)


@pytest.mark.parametrize(("threshold", "low", "high"), [(0.5, 0.495, 0.505), ((0.2, 0.9), 0.2, 0.9)])
@SHAPES
def test_own_thresholds_are_drawn_at_the_first_input(shape, threshold, low, high):
    layer = axon.Delta(threshold, shared_param=False)
    parameter = layer.threshold
    layer(signal(shape))
    assert layer.threshold is parameter
    assert parameter.shape == (3,)
    assert ((parameter >= low - 1e-6) & (parameter <= high + 1e-6)).all()
    assert len(parameter.unique()) == 3
    before = parameter.detach().clone()
    layer(signal(shape))
    assert torch.equal(parameter, before)


@SHAPES
def test_the_input_gradient_of_a_delta_counts_each_message(shape):
    """Each message counts for the change it was made of."""
    for given in layouts(signal(shape)):
        x, g = given.detach().requires_grad_(), torch.randn(shape)
        axon.Delta(0.3)(x).backward(g)
        expected = g.clone()
        expected[..., :-1] -= g[..., 1:]
        assert torch.equal(x.grad, expected)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("cum_error", [False, True])
@SHAPES
def test_the_threshold_gradient_of_a_delta_equals_the_formula(shape, shared, cum_error):
    """The formula, neuron by neuron, on the changes that the oracle finds."""
    mantissas, tau_grad, scale_grad = [16, 40, 40], 0.5, 3.0
    mantissas = [40] * 3 if shared else mantissas
    threshold = 40 / 64 if shared else np.array(mantissas) / 64
    layer = axon.Delta(
        threshold, 4096, tau_grad, scale_grad, cum_error=cum_error, shared_param=shared, requires_grad=True
    )
    x, g = signal(shape), torch.randn(shape)
    layer(x).backward(g)
    expected = [0.0] * 3
    for c, m in enumerate(mantissas):
        for row, weights in zip(x[:, c].flatten(0, -2).tolist(), g[:, c].flatten(0, -2).tolist(), strict=True):
            (changes, sent), _ = naive.delta([int(v * ONE) for v in row], m, cum_error)
            error = 0
            for change, message, weight in zip(changes, sent, weights, strict=True):
                change, error = change / ONE, error + change / ONE
                distance = abs(error if cum_error else change) - m / 64
                error = 0 if message else error
                slope = change * scale_grad * math.exp(-abs(distance) / tau_grad) / (m / 64)
                expected[c] -= weight * (slope if distance > 0 else math.copysign(1, change) * (change != 0))
    if shared:
        expected = [sum(expected)]
    torch.testing.assert_close(layer.threshold.grad, torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_gradient_of_the_threshold_is_asked_for():
    for requires_grad in (False, True):
        layer = axon.Delta(0.3, requires_grad=requires_grad)
        x = signal().requires_grad_()
        layer(x).sum().backward()
        assert (layer.threshold.grad is not None) == requires_grad
        assert x.grad is not None


@SHAPES
@CUTS
@pytest.mark.parametrize("cum_error", [False, True])
def test_chunks_of_a_delta_are_the_whole_where_state_persists(shape, cuts, cum_error):
    """Bit for bit, also for values that no fixed point holds."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    whole = axon.Delta(0.6, cum_error=cum_error)(x)
    layer = axon.Delta(0.6, cum_error=cum_error, persistent_state=True)
    for _ in range(2):
        parts = [layer(x[..., lo:hi]) for lo, hi in itertools.pairwise([0, *cuts, 12])]
        assert torch.equal(torch.cat(parts, -1), whole)
        layer.reset()


def test_the_state_of_a_delta_belongs_to_a_batch():
    layer = axon.Delta(0.1, persistent_state=True)
    layer(signal())
    x = signal((5, 3, 12))
    assert torch.equal(layer(x), axon.Delta(0.1)(x))
    assert layer.pre_state.shape == (5, 3)


def test_delta_and_sigma_forget_without_persistence():
    for layer in (axon.Delta(0.3), dendrite.Sigma()):
        x = signal()
        first = layer(x)
        assert torch.equal(layer(x), first)
        assert torch.equal(layer.pre_state, torch.zeros(1))


def test_state_dict_without_persistence_holds_the_thresholds_alone():
    trained = axon.Delta((0.2, 0.9), shared_param=False)
    x = signal()
    expected = trained(x)
    assert list(trained.state_dict()) == ["threshold"]
    fresh = axon.Delta((0.2, 0.9), shared_param=False)
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh(x), expected)
    assert torch.equal(fresh.threshold, trained.threshold)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": float("nan")}, "threshold must be finite and not negative, got nan"),
        ({"threshold": -0.1}, "threshold must be finite and not negative, got -0.1"),
        ({"threshold": (0.1, 0.2)}, "threshold must be one number where shared_param is True"),
        ({"threshold": [0.1, 0.2, 0.3], "shared_param": False}, "threshold must be one number, a"),
        ({"threshold": 1, "scale": 0}, "scale must be positive and finite, got 0"),
        ({"threshold": 1, "tau_grad": -1}, "tau_grad must be positive and finite, got -1"),
        ({"threshold": 1, "scale_grad": float("inf")}, "scale_grad must be positive"),
    ],
)
def test_errors_of_a_delta_name_what_was_given(arguments, message):
    with pytest.raises(ValueError, match=message):
        axon.Delta(**arguments)


def test_a_delta_refuses_thresholds_for_another_number_of_channels():
    layer = axon.Delta(np.array([0.1, 0.2]), shared_param=False)
    with pytest.raises(ValueError, match="threshold has 2 values, one per channel, but the input has 3 channels"):
        layer(signal())


@pytest.mark.parametrize(("make", "what"), [(lambda: axon.Delta(1), "delta"), (dendrite.Sigma, "sigma")])
def test_unusable_input_of_delta_and_sigma_is_refused(make, what):
    layer = make()
    with pytest.raises(ValueError, match=rf"{what} input must have shape .* got \(3, 12\)"):
        layer(signal((3, 12)))
    with pytest.raises(TypeError, match=f"{what} input must be float32, got torch.float64"):
        layer(signal().double())
    layer(signal())
    with pytest.raises(ValueError, match=rf"{what} was built for inputs of shape \(N, 3, T\), got \(2, 4, 12\)"):
        layer(signal((2, 4, 12)))
    with pytest.raises(ValueError, match="must be finite"):
        layer(signal() / 0)


# -- Sigma ------------------------------------------------------------------------------------


@SHAPES
def test_the_sums_of_a_sigma_equal_numpys(shape):
    for given in layouts(signal(shape)):
        x, g = given.detach().requires_grad_(), torch.randn(shape)
        y = dendrite.Sigma()(x)
        y.backward(g)
        assert torch.equal(y, x.cumsum(-1))
        expected = g.double().flip(-1).cumsum(-1).flip(-1).float()
        assert torch.equal(x.grad, expected)


@SHAPES
@CUTS
def test_the_sums_of_chunks_are_the_whole(shape, cuts):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    whole = dendrite.Sigma()(x)
    layer = dendrite.Sigma(persistent_state=True)
    for _ in range(2):
        parts = [layer(x[..., lo:hi]) for lo, hi in itertools.pairwise([0, *cuts, 12])]
        assert torch.equal(torch.cat(parts, -1), whole)
        layer.reset()


def test_sigma_then_delta_is_the_identity_in_the_end():
    """Deltas of a signal, summed, follow it to within the threshold."""
    x = signal((2, 3, 12), unit=4096)
    y = dendrite.Sigma()(axon.Delta(0.25, scale=4096)(x))
    assert (y - x).abs().max() < 0.25
    assert not torch.equal(y, x)


def test_a_sigma_has_these_device_parameters():
    assert dendrite.Sigma().device_params == {"type": "SDNN", "sigma_output": True}
