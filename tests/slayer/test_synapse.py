"""Synapses against torch's three-dimensional convolutions with the same weight, and against plain sums."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lavadl_ref.slayer import neuron, synapse
from tests.support import oracle as naive

# Even 64ths and binary spikes: every sum is exact, in any order.


def spikes(shape, seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.4).float()


def quantised(layer, seed=1):
    """Give `layer` random weights that are even 64ths."""
    random = torch.randint(-128, 128, layer.weight.shape, generator=torch.Generator().manual_seed(seed))
    layer.weight.data = random / 32
    return layer


def agree(layer, x, reference):
    """Values exactly; gradients to input and weight to rounding."""
    layer.zero_grad()
    x = x.detach().requires_grad_()
    y = layer(x)
    weight = layer.weight.detach().clone().requires_grad_()
    x2 = x.detach().clone().requires_grad_()
    expected = reference(x2, weight)
    assert torch.equal(y, expected)
    g = torch.randn(y.shape)
    y.backward(g)
    expected.backward(g)
    torch.testing.assert_close(x.grad, x2.grad, rtol=1e-4, atol=1e-4)
    if layer.weight.requires_grad:
        torch.testing.assert_close(layer.weight.grad, weight.grad, rtol=1e-4, atol=1e-4)


def layouts(x):
    order = (x.ndim - 1, 0, *range(2, x.ndim - 1), 1)
    yield x.contiguous()
    yield x.permute(order).contiguous().permute([order.index(i) for i in range(x.ndim)])
    yield x.movedim(-1, 0).contiguous().movedim(0, -1)


@pytest.mark.parametrize(
    ("neurons", "weight"), [(7, (5, 7, 1, 1, 1)), ((4, 3), (5, 1, 3, 4, 1)), ((4, 3, 2), (5, 2, 3, 4, 1))]
)
def test_a_dense_synapse_equals_its_sums(neurons, weight):
    layer = quantised(synapse.Dense(neurons, 5))
    assert layer.shape == layer.weight.shape == weight
    for x in layouts(spikes((2, *weight[1:4], 6))):
        agree(layer, x, F.conv3d)
    flat = spikes((2, torch.Size(weight[1:4]).numel(), 6))
    y = layer(flat)
    assert y.shape == (2, 5, 6)
    assert torch.equal(y, F.conv3d(flat.reshape(2, *weight[1:4], 6), layer.weight)[:, :, 0, 0])


WINDOWS = [
    {"kernel_size": 3},
    {"kernel_size": (3, 2), "stride": (2, 1)},
    {"kernel_size": (1, 3), "padding": (0, 1), "groups": 2},
    {"kernel_size": 2, "stride": 3, "padding": 1, "dilation": (1, 2)},
    {"kernel_size": (2, 3), "stride": 2, "padding": (1, 2), "dilation": 2, "groups": 4},
]


def three(window):
    """The same window for a convolution over H, W and T."""
    both = {k: v if isinstance(v, tuple) else (v, v) for k, v in window.items() if k not in ("groups", "kernel_size")}
    neutral = {"stride": 1, "padding": 0, "dilation": 1}
    return {k: (*v, neutral[k]) for k, v in both.items()} | {"groups": window.get("groups", 1)}


@pytest.mark.parametrize("window", WINDOWS)
def test_a_convolution_equals_torchs(window):
    layer = quantised(synapse.Conv(4, 8, **window))
    assert layer.weight.ndim == 5
    for x in layouts(spikes((2, 4, 7, 8, 3))):
        agree(layer, x, lambda x, w: F.conv3d(x, w, **three(window)))


@pytest.mark.parametrize("window", WINDOWS)
def test_a_transposed_convolution_equals_torchs(window):
    layer = quantised(synapse.ConvTranspose(4, 8, **window))
    assert layer.weight.shape[:2] == (4, 8 // window.get("groups", 1))
    for x in layouts(spikes((2, 4, 5, 6, 3))):
        agree(layer, x, lambda x, w: F.conv_transpose3d(x, w, **three(window)))


def test_a_convolution_equals_the_oracle():
    layer = quantised(synapse.Conv(2, 4, (2, 3), (2, 1), (1, 0), (1, 2), 2))
    x = spikes((1, 2, 5, 6, 2))
    weight = (layer.weight[..., 0] * 64).long().tolist()
    z = (layer(x) * 64).long()
    for t in range(2):
        assert z[0, ..., t].tolist() == naive.conv(x[0, ..., t].long().tolist(), weight, (2, 1), (1, 0), (1, 2), 2)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        (1, None, 0),
        (1, 2, 0),
        (1, 3, 0),
        (2, 3, 0),
        (2, 3, 1),
        (2, None, 0),
        (2, 1, 0),
        (2, None, 1),
        (3, 2, 0),
        (3, 2, 1),
        (3, None, 1),
        ((2, 3), 2, 1),
        ((2, 3), None, 0),
    ],
)
@pytest.mark.parametrize("size", [(4, 4), (5, 7)])
def test_a_pool_adds_up_every_window(kernel, stride, padding, size):
    """Windows start at -padding, step by stride, until all of the frame is covered; none lies wholly past it."""
    kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
    sh, sw = (kh, kw) if stride is None else (stride, stride)
    x = spikes((2, 3, *size, 2))
    y = synapse.Pool(kernel, stride, padding)(x)
    starts = []
    for extent, k, s in ((size[0], kh, sh), (size[1], kw, sw)):
        starts.append([-padding])
        while starts[-1][-1] + k < extent + padding and starts[-1][-1] + s < extent:
            starts[-1].append(starts[-1][-1] + s)
    assert y.shape == (2, 3, len(starts[0]), len(starts[1]), 2)
    for (i, h), (j, w) in itertools.product(enumerate(starts[0]), enumerate(starts[1])):
        window = x[:, :, max(h, 0) : h + kh, max(w, 0) : w + kw]
        assert torch.equal(y[:, :, i, j], window.sum((2, 3)))


def test_a_pool_takes_dilation_and_scale():
    x = spikes((2, 3, 7, 7, 2))
    y = synapse.Pool(2, 1, 0, 3, weight_scale=0.5)(x)
    expected = 0.5 * (x[:, :, :4, :4] + x[:, :, 3:, :4] + x[:, :, :4, 3:] + x[:, :, 3:, 3:])
    assert torch.equal(y, expected)


@pytest.mark.parametrize("kernel", [1, 2, (2, 3)])
def test_an_unpool_copies_its_input(kernel):
    kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
    x = spikes((2, 3, 4, 5, 2))
    y = synapse.Unpool(kernel)(x)
    assert torch.equal(y, x.repeat_interleave(kh, 2).repeat_interleave(kw, 3))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_unpool_is_the_adjoint_of_pool(stride):
    x = spikes((2, 3, 4, 5, 2))
    y = synapse.Unpool(3, stride)(x)
    z = torch.randint(-9, 9, y.shape).float()
    assert (y * z).sum() == (x * synapse.Pool(3, stride)(z)).sum()


@pytest.mark.parametrize("cls", [synapse.Pool, synapse.Unpool])
@pytest.mark.parametrize("weight_norm", [False, True])
def test_windows_are_not_trained(cls, weight_norm):
    layer = cls(2, weight_norm=weight_norm)
    assert not any(p.requires_grad for p in layer.parameters())
    assert torch.equal(layer.weight, torch.ones(1, 1, 2, 2, 1))
    layer.disable_weight_norm()
    assert not layer.weight.requires_grad


# -- initial weights, weight norm, hooks ------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "twin"),
    [
        (lambda: synapse.Dense(7, 5), lambda: torch.nn.Conv3d(7, 5, 1, bias=False)),
        (lambda: synapse.Dense((4, 3, 2), 5), lambda: torch.nn.Conv3d(2, 5, (3, 4, 1), bias=False)),
        (lambda: synapse.Conv(4, 6, (2, 3), groups=2), lambda: torch.nn.Conv3d(4, 6, (2, 3, 1), groups=2, bias=False)),
        (
            lambda: synapse.ConvTranspose(4, 6, (2, 3), groups=2),
            lambda: torch.nn.ConvTranspose3d(4, 6, (2, 3, 1), groups=2, bias=False),
        ),
    ],
)
def test_initial_weights_are_those_of_torch(make, twin):
    torch.manual_seed(4)
    ours = make()
    torch.manual_seed(4)
    assert torch.equal(ours.weight, twin().weight)


def test_the_weight_scale_multiplies_initial_weights():
    torch.manual_seed(4)
    plain = synapse.Dense(7, 5)
    torch.manual_seed(4)
    assert torch.equal(synapse.Dense(7, 5, weight_scale=3).weight, 3 * plain.weight)


MAKERS = pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda **o: synapse.Dense(3, 5, **o), (2, 3, 6)),
        (lambda **o: synapse.Conv(3, 5, 2, **o), (2, 3, 4, 4, 6)),
        (lambda **o: synapse.ConvTranspose(3, 5, 2, **o), (2, 3, 4, 4, 6)),
    ],
    ids=["dense", "conv", "transpose"],
)


@MAKERS
def test_the_weight_norm_of_a_synapse_is_that_of_torch(make, shape):
    torch.manual_seed(0)
    layer = make(weight_norm=True)
    torch.manual_seed(0)
    plain = make()
    torch.testing.assert_close(layer.weight.detach(), plain.weight.detach())
    assert list(dict(layer.named_parameters())) == ["weight_g", "weight_v"]

    layer.weight_g.data *= torch.linspace(0.5, 2, layer.weight_g.numel()).reshape(layer.weight_g.shape)
    g, v = (p.detach().clone().requires_grad_() for p in (layer.weight_g, layer.weight_v))
    weight = g * v / v.flatten(1).norm(dim=1).reshape(g.shape)
    torch.testing.assert_close(layer.weight, weight)
    torch.nn.utils.parametrizations.weight_norm(plain)
    torch.testing.assert_close(
        plain.parametrizations.weight.original0, plain.weight.flatten(1).norm(dim=1).reshape(g.shape)
    )

    x = spikes(shape)
    layer(x).square().sum().backward()
    plain.pre_hook_fx = lambda w: weight
    plain(x).square().sum().backward()
    torch.testing.assert_close(layer.weight_g.grad, g.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.weight_v.grad, v.grad, rtol=1e-4, atol=1e-4)


@MAKERS
def test_a_weight_norm_can_be_switched_on_and_off(make, shape):
    layer = make()
    x = spikes(shape)
    before, weight = layer(x), layer.weight.detach().clone()
    layer.enable_weight_norm()
    layer.enable_weight_norm()
    torch.testing.assert_close(layer(x), before)
    layer.disable_weight_norm()
    layer.disable_weight_norm()
    assert list(dict(layer.named_parameters())) == ["weight"]
    torch.testing.assert_close(layer.weight.detach(), weight)


@MAKERS
def test_the_hook_acts_on_the_weight(make, shape):
    n = neuron.cuba.Neuron(1.0, 0.3, 0.1)
    layer = make(pre_hook_fx=n.quantize_8bit)
    assert layer.pre_hook_fx == n.quantize_8bit
    x = spikes(shape)
    y = layer(x)
    plain = make()
    plain.weight.data = n.quantize_8bit(layer.weight).detach()
    assert torch.equal(y, plain(x))
    assert torch.equal(y * 64, (y * 64).round())
    y.sum().backward()
    assert layer.weight.grad.abs().sum() > 0
    layer.pre_hook_fx = None
    assert torch.equal(layer.hooked_weight, layer.weight)


@MAKERS
def test_a_synapse_tells_the_norm_of_its_gradient(make, shape):
    for weight_norm in (False, True):
        layer = make(weight_norm=weight_norm)
        assert layer.grad_norm == 0
        layer(spikes(shape)).sum().backward()
        grad = (layer.weight_g if weight_norm else layer.weight).grad
        assert layer.grad_norm == pytest.approx(grad.norm().item() / grad.numel())
        assert layer.grad_norm > 0


def test_other_attributes_are_still_missing():
    for weight_norm in (False, True):
        with pytest.raises(AttributeError, match="nothing"):
            _ = synapse.Dense(3, 5, weight_norm=weight_norm).nothing


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: synapse.Dense((1, 2, 3, 4), 5), r"in_neurons must be .*, got \(1, 2, 3, 4\)"),
        (lambda: synapse.Dense(0, 5), "in_neurons must be"),
        (lambda: synapse.Dense(3, 2.5), "out_neurons must be a positive integer, got 2.5"),
        (lambda: synapse.Conv(3, 5, (1, 2, 3)), r"kernel_size must be one or two integers .*, got \(1, 2, 3\)"),
        (lambda: synapse.Conv(3, 5, 2, stride=0), "stride must be"),
        (lambda: synapse.Conv(3, 5, 2, padding=-1), "padding must be"),
        (lambda: synapse.Conv(3, 5, 2, groups=2), "divisible by groups, got 3, 5 and 2"),
        (lambda: synapse.Conv(0, 5, 2), "in_features must be a positive integer, got 0"),
        (lambda: synapse.Pool(2, dilation=(1, 0)), "dilation must be"),
        (
            lambda: synapse.Dense(3, 5)(torch.zeros(2, 4, 6)),
            r"must have the shape .*\(N, 3, T\), got \(2, 4, 6\)",
        ),
        (lambda: synapse.Dense(3, 5)(torch.zeros(2, 4, 2, 2, 6)), "must have the shape"),
        (lambda: synapse.Conv(3, 5, 2)(torch.zeros(2, 4, 4, 4, 6)), r"must have the shape \(N, 3, H, W, T\)"),
        (lambda: synapse.ConvTranspose(3, 5, 2)(torch.zeros(2, 3, 6)), r"got \(2, 3, 6\)"),
        (lambda: synapse.Pool(2)(torch.zeros(2, 3, 6)), r"pooling input must have shape .*, got \(2, 3, 6\)"),
    ],
)
def test_errors_of_a_synapse_name_what_was_given(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.uint8])
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [("Dense", ((4, 4, 3), 2)), ("Conv", (3, 2, 3)), ("ConvTranspose", (3, 2, 2)), ("Pool", (2,)), ("Unpool", (2,))],
)
def test_spikes_are_floats(kind, arguments, dtype):
    layer = getattr(synapse, kind)(*arguments)
    with pytest.raises(TypeError, match=rf"input must have .*, (but )?got {dtype}"):
        layer(torch.ones(2, 3, 4, 4, 5).to(dtype))


def test_input_of_another_dtype_than_the_weights_is_refused():
    x = torch.rand(2, 3, 5)
    with pytest.raises(TypeError, match=r"dtype of the weights, torch\.float32, got torch\.float64"):
        synapse.Dense(3, 2)(x.double())
    layer = synapse.Dense(3, 2)
    wanted = layer(x)
    torch.testing.assert_close(layer.double()(x.double()).float(), wanted)


@pytest.mark.parametrize(
    ("kind", "arguments"), [("Conv", (3, 2, 3)), ("ConvTranspose", (3, 2, 2)), ("Pool", (2,)), ("Unpool", (2,))]
)
def test_frames_without_a_batch_are_refused(kind, arguments):
    layer, x = getattr(synapse, kind)(*arguments), torch.ones(3, 4, 4, 5)
    with pytest.raises(ValueError, match=r"\(N, .*H, W, T\), got \(3, 4, 4, 5\)"):
        layer(x)
    assert layer(x[None]).ndim == 5


def test_numpy_integers_are_integers():
    assert synapse.Conv(np.int64(3), np.int32(5), np.int64(2)).weight.shape == (5, 3, 2, 2, 1)
    assert synapse.Dense(np.int64(3), np.int64(5)).weight.shape == (5, 3, 1, 1, 1)


# -- memory -----------------------------------------------------------------------------------


def channels_innermost(x):
    """Tell whether memory has time slowest and channels fastest, so that frames are a channels_last view."""
    return x.permute(4, 0, 2, 3, 1).is_contiguous()


@pytest.mark.parametrize(
    "make",
    [
        lambda: synapse.Conv(4, 6, 3, 2),
        lambda: synapse.Conv(4, 6, (3, 2), 1, (1, 0), groups=2),
        lambda: synapse.ConvTranspose(4, 6, 3, 2),
        lambda: synapse.Pool(2),
        lambda: synapse.Pool(3, 2, 1, weight_scale=0.5),
        lambda: synapse.Unpool(2),
    ],
)
def test_channels_stay_innermost(make):
    """No synapse rearranges what the one before it left: neither the tensor, nor its gradient."""
    _, x, _ = layouts(spikes((2, 4, 8, 9, 5)))
    assert channels_innermost(x)
    x.requires_grad_()
    seen = synapse.layer.frames(x, torch.float32, "input")
    assert seen.is_contiguous(memory_format=torch.channels_last)
    assert seen.data_ptr() == x.data_ptr()
    y = make()(x)
    assert channels_innermost(y)
    y.backward(torch.ones_like(y))
    assert channels_innermost(x.grad)


@pytest.mark.parametrize("channels", [1, 3, 20])
def test_pools_by_channel_are_pools_of_each(channels):
    x = spikes((2, channels, 5, 7, 3))
    for layer in (synapse.Pool(2), synapse.Pool((2, 3), 2, 1, weight_scale=0.25), synapse.Unpool(2, 3)):
        agree(layer, x, lambda x, w, layer=layer: torch.cat([layer(c) for c in x.split(1, 1)], 1))
