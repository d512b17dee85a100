"""Batch norms: training and evaluation, statistics, quantiser, exported numbers."""

import pytest
import torch

from lavadl_ref.slayer import neuron
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from lavadl_ref.slayer.utils import quantize

SHAPES = pytest.mark.parametrize("shape", [(4, 3, 10), (4, 3, 2, 5, 10)])


def signal(shape, seed=0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
    return 2 * x + torch.tensor([1.0, -0.5, 0.25]).reshape(1, 3, *[1] * (len(shape) - 2))


def per_channel(x):
    return x.movedim(1, 0).flatten(1)


def spread(value, like):
    return value.reshape(1, -1, *[1] * (like.ndim - 2))


def even(value, descale=False):
    """A quantiser as neurons have it."""
    q = quantize(value, step=2 / 64)
    return q * 64 if descale else q


@SHAPES
def test_mean_is_subtracted_in_training(shape):
    x = signal(shape)
    norm = MeanOnlyBatchNorm()
    y = norm(x)
    torch.testing.assert_close(y, x - spread(per_channel(x).mean(1), x))
    assert per_channel(y).mean(1).abs().max() < 1e-6
    torch.testing.assert_close(norm.running_mean, 0.1 * per_channel(x).mean(1))


@SHAPES
@pytest.mark.parametrize("time_first", [True, False])
@pytest.mark.parametrize("hook", [None, even])
def test_the_gradient_of_a_norm_in_training_is_autograds(shape, time_first, hook):
    x = signal(shape)
    x = (x.movedim(-1, 0).contiguous().movedim(0, -1) if time_first else x).requires_grad_()
    norm = MeanOnlyBatchNorm(pre_hook_fx=hook)
    weight = torch.empty_like(x).copy_(signal(shape, 1)).detach()  # in the memory of the input
    (actual,) = torch.autograd.grad((norm(x) ** 2 * weight).sum(), x)
    mean = per_channel(x).mean(1)
    mean = mean if hook is None else mean + (even(mean) - mean).detach()
    (expected,) = torch.autograd.grad(((x - spread(mean, x)) ** 2 * weight).sum(), x)
    torch.testing.assert_close(actual, expected)
    assert actual.stride() == x.stride()


@SHAPES
def test_evaluation_uses_the_running_mean(shape):
    norm = MeanOnlyBatchNorm(momentum=0.5)
    means = []
    for seed in range(3):
        norm(x := signal(shape, seed))
        means.append(per_channel(x).mean(1))
    expected = means[0] / 8 + means[1] / 4 + means[2] / 2
    torch.testing.assert_close(norm.running_mean, expected)
    norm.eval()
    x = signal(shape, 9)
    torch.testing.assert_close(norm(x), x - spread(expected, x))
    torch.testing.assert_close(norm.running_mean, expected)


def test_batch_mean_carries_gradient():
    x = signal((4, 3, 10)).requires_grad_()
    g = torch.randn(4, 3, 10)
    MeanOnlyBatchNorm()(x).backward(g)
    torch.testing.assert_close(x.grad, g - spread(per_channel(g).mean(1), g))


def test_quantiser_rounds_the_mean():
    x = signal((4, 3, 10))
    norm = MeanOnlyBatchNorm(pre_hook_fx=even)
    y = norm(x)
    assert torch.equal(y, x - spread(even(per_channel(x).mean(1)), x))
    expected = -torch.round(norm.running_mean * 32) * 2
    assert torch.equal(norm.bias, expected)
    assert (norm.bias % 2 == 0).all()
    norm.pre_hook_fx = None
    assert torch.equal(norm.bias, -norm.running_mean)


def test_statistics_can_be_frozen():
    for cls in (MeanOnlyBatchNorm, WgtScaleBatchNorm):
        norm = cls(3)
        norm.update = False
        norm(signal((4, 3, 10)))
        assert all(not buffer.any() for buffer in norm.buffers())


def test_parameters_are_reset():
    norm = WgtScaleBatchNorm()
    norm(signal((4, 3, 10)))
    norm.reset_parameters()
    assert norm.running_mean.tolist() == [0, 0, 0]
    assert norm.running_var.tolist() == [0]


@pytest.mark.parametrize("scale", [1.0, 0.4, 0.01, 30.0])
@SHAPES
def test_scale_is_a_power_of_two_within_its_bits(shape, scale):
    x = scale * signal(shape)
    norm = WgtScaleBatchNorm()
    y = norm(x)
    centred = x - spread(per_channel(x).mean(1), x)
    var = (x - x.mean()).square().mean().item() + 1e-5
    exponent = next(e for e in range(-3, 4) if 2.0**e >= var**0.5 or e == 3)
    torch.testing.assert_close(y, centred / 2.0**exponent, rtol=1e-6, atol=1e-6)
    samples = x.numel() / 3
    torch.testing.assert_close(
        norm.running_var, torch.tensor([0.1 * (var - 1e-5) * samples / (samples + 1)]), rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize(
    ("var", "exponent"), [(1e-9, -3), (0.2, -1), (0.24, -1), (0.9, 0), (1.1, 1), (15, 2), (1e6, 3)]
)
def test_exported_exponent_is_what_evaluation_uses(var, exponent):
    norm = WgtScaleBatchNorm(3).eval()
    norm.running_var = torch.tensor([var])
    assert norm.weight_exp.tolist() == [exponent]
    x = signal((4, 3, 10))
    assert torch.equal(norm(x), x / 2.0**exponent)


def test_a_norm_may_have_more_exponent_bits():
    norm = WgtScaleBatchNorm(3, weight_exp_bits=5).eval()
    norm.running_var = torch.tensor([1e6])
    assert norm.weight_exp.tolist() == [5]


@pytest.mark.parametrize("cls", [MeanOnlyBatchNorm, WgtScaleBatchNorm])
def test_a_norm_refuses_another_number_of_channels(cls):
    with pytest.raises(ValueError, match="built for 4 channels, got input with 3"):
        cls(4)(signal((4, 3, 10)))


@pytest.mark.parametrize("cls", [MeanOnlyBatchNorm, WgtScaleBatchNorm])
@pytest.mark.parametrize("training", [True, False])
def test_spikes_of_any_dtype_have_a_mean(cls, training):
    x = torch.arange(12).reshape(2, 3, 2) % 2
    wanted = cls().train(training)(x.float())
    for dtype in (torch.bool, torch.int32, torch.uint8):
        assert torch.equal(cls().train(training)(x.to(dtype)), wanted)


@pytest.mark.parametrize("cls", [MeanOnlyBatchNorm, WgtScaleBatchNorm])
def test_a_norm_needs_channels(cls):
    with pytest.raises(ValueError, match=r"input of a batch norm must have at least 2 axes .*, got shape \(10,\)"):
        cls()(torch.ones(10))


def test_a_neuron_gives_its_quantiser():
    n = neuron.cuba.Neuron(1.0, 0.3, 0.1, norm=MeanOnlyBatchNorm)
    n(signal((4, 3, 10)))
    expected = n.quantize_8bit(n.norm.running_mean) * 64
    assert torch.equal(n.norm.bias, -expected)


def test_what_is_divided_by_is_a_power_of_two_within_its_bits():
    norm = WgtScaleBatchNorm(4, weight_exp_bits=2)
    assert norm.std(torch.tensor([1e-9, 0.9, 1.1, 4.1, 1e9])).tolist() == [0.25, 1, 2, 4, 4]
    norm.eval()
    norm.running_var, norm.weight_exp_bits, norm.eps = torch.tensor([60.0]), 3, 1.0
    assert torch.equal(norm(torch.ones(1, 4, 2)), torch.ones(1, 4, 2) / 8)
