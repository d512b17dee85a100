"""Complex synapses: two real ones on the same input."""

import inspect
import math

import pytest
import torch

from lavadl_ref.slayer import synapse
from lavadl_ref.slayer.utils import quantize_hook_fx
from tests.support import complex_synapses

CASES = pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    complex_synapses.CASES,
    ids=["dense", "dense-3d", "conv", "conv-groups", "pool", "convT", "unpool"],
)
TRAINED = ("Dense", "Conv", "ConvTranspose")


def both(name, arguments, **options):
    """A complex synapse and the two real ones of the same weights."""
    torch.manual_seed(3)
    layer = getattr(synapse.complex, name)(*arguments, **options)
    torch.manual_seed(3)
    return layer, [getattr(synapse, name)(*arguments, **options) for _ in range(2)]


def layouts(x):
    yield x.contiguous()
    yield x.movedim(-1, 0).contiguous().movedim(0, -1)


@CASES
@pytest.mark.parametrize("hook", [None, quantize_hook_fx])
@pytest.mark.parametrize("weight_norm", [False, True])
def test_a_complex_synapse_equals_two_real_ones(name, arguments, shape, hook, weight_norm):
    layer, parts = both(name, arguments, weight_scale=3, weight_norm=weight_norm, pre_hook_fx=hook)
    for given in layouts(torch.randn(shape)):
        x, x2 = given.detach().requires_grad_(), given.detach().requires_grad_()
        y, expected = layer(x), [part(x2) for part in parts]
        assert isinstance(y, tuple)
        grads = [torch.randn(e.shape) for e in expected]
        for a, e in zip(y, expected, strict=True):
            assert torch.equal(a, e)
        layer.zero_grad()
        torch.autograd.backward(y, grads)
        torch.autograd.backward(expected, grads)
        torch.testing.assert_close(x.grad, x2.grad)
    if name in TRAINED:
        assert not torch.equal(y[0], y[1])


@CASES
def test_a_complex_synapse_has_the_weights_of_two(name, arguments, shape):
    layer, parts = both(name, arguments)
    assert torch.equal(layer.real.weight, parts[0].weight)
    assert torch.equal(layer.imag.weight, parts[1].weight)
    assert list(layer.state_dict()) == ["real.weight", "imag.weight"]
    assert layer.shape == parts[0].shape
    assert layer.complex
    assert not parts[0].complex
    for attribute in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
        assert getattr(layer, attribute, None) == getattr(parts[0], attribute, None)


@CASES
def test_arguments_are_those_of_the_real_one(name, arguments, shape):
    classes = [getattr(root, name) for root in (synapse.complex, synapse)]
    assert inspect.signature(classes[0]) == inspect.signature(classes[1])
    assert classes[0].__doc__


@CASES
def test_weight_norm_comes_and_goes(name, arguments, shape):
    layer, _ = both(name, arguments)
    x = torch.randn(shape)
    expected = layer(x)
    layer.enable_weight_norm()
    assert list(layer.state_dict()) == ["real.weight_g", "real.weight_v", "imag.weight_g", "imag.weight_v"]
    for a, e in zip(layer(x), expected, strict=True):
        torch.testing.assert_close(a, e)
    layer.disable_weight_norm()
    assert list(layer.state_dict()) == ["real.weight", "imag.weight"]
    for a, e in zip(layer(x), expected, strict=True):
        torch.testing.assert_close(a, e)


def test_the_hook_of_a_complex_synapse_is_read_and_set():
    layer = synapse.complex.Dense(3, 4)
    assert layer.pre_hook_fx is None
    layer.pre_hook_fx = quantize_hook_fx
    assert layer.pre_hook_fx is layer.real.pre_hook_fx is layer.imag.pre_hook_fx is quantize_hook_fx
    for part, hooked in zip((layer.real, layer.imag), layer.hooked_weight, strict=True):
        assert torch.equal(hooked, quantize_hook_fx(part.weight))
        assert not torch.equal(hooked, part.weight)


def test_a_complex_synapse_tells_the_norm_of_its_gradient():
    layer = synapse.complex.Dense(3, 4)
    assert layer.grad_norm == 0
    real, imag = layer(torch.ones(1, 3, 5))
    (real.sum() + 2 * imag.sum()).backward()
    assert layer.grad_norm == pytest.approx(5 * math.sqrt(12 * (1 + 4)) / 12)


def test_errors_are_those_of_the_real_one():
    with pytest.raises(ValueError, match="out_neurons must be a positive integer, got 0"):
        synapse.complex.Dense(3, 0)
    with pytest.raises(ValueError, match="input of a dense synapse must have the shape"):
        synapse.complex.Dense(3, 4)(torch.zeros(1, 2, 5))


def test_a_complex_synapse_tells_its_weight_norm():
    layer = synapse.complex.Dense(3, 2, weight_norm=True)
    assert layer.weight_norm_enabled
    assert layer.real.weight_norm_enabled
    layer.disable_weight_norm()
    assert not layer.weight_norm_enabled
    assert not layer.imag.weight_norm_enabled
