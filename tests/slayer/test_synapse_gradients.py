"""The gradients to an applied weight and to an input, which learning step by step asks for, are the forward pass's."""

import pytest
import torch

from lavadl_ref.slayer import synapse

SYNAPSES = {
    "dense": (lambda: synapse.Dense(12, 5), (3, 12, 9)),
    "dense on a frame": (lambda: synapse.Dense((4, 3, 2), 5), (3, 2, 3, 4, 9)),
    "dense on a larger frame": (lambda: synapse.Dense((3, 2, 2), 5), (3, 2, 4, 5, 9)),
    "conv": (lambda: synapse.Conv(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), groups=2), (2, 4, 7, 8, 5)),
    "conv of one channel": (lambda: synapse.Conv(1, 3, 3, padding=1), (2, 1, 6, 5, 4)),
    "conv transposed": (lambda: synapse.ConvTranspose(4, 6, (3, 2), (2, 1), 1, groups=2), (2, 4, 5, 4, 5)),
    "pool": (lambda: synapse.Pool(2, (2, 3), 1), (2, 3, 5, 7, 4)),
    "unpool": (lambda: synapse.Unpool((2, 3)), (2, 3, 4, 3, 4)),
    "many inputs": (lambda: synapse.Dense(600, 64), (8, 600, 40)),
    "a large convolution": (lambda: synapse.Conv(8, 32, 3, padding=1), (4, 8, 16, 16, 12)),
}


@pytest.mark.parametrize("density", [0.03, 1.0])
@pytest.mark.parametrize("name", SYNAPSES)
def test_gradients_are_those_of_the_sums(name, density):
    make, shape = SYNAPSES[name]
    torch.manual_seed(0)
    layer = make()
    layer.weight.requires_grad_(True)
    x = torch.randn(shape) * (torch.rand(shape) < density)
    z = layer(x)
    g = torch.randn(z.shape)
    x.requires_grad_()
    layer(x).backward(g)
    torch.testing.assert_close(layer.input_gradient(g, x.shape), x.grad, rtol=1e-4, atol=1e-5)
    assert layer.weight.requires_grad
    x = x.detach()
    found = layer.weight_gradient(x, g)
    assert found.shape == layer.weight.shape
    torch.testing.assert_close(found, layer.weight.grad, rtol=1e-4, atol=1e-4 * float(layer.weight.grad.abs().max()))


@pytest.mark.parametrize("name", ["many inputs", "a large convolution", "conv"])
def test_the_weight_s_gradient_has_the_same_bits_on_any_number_of_threads(name):
    make, shape = SYNAPSES[name]
    torch.manual_seed(0)
    layer, x = make(), torch.randn(shape)
    g = torch.randn(layer(x).shape)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(layer.weight_gradient(x, g))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
