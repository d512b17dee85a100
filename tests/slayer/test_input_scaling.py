"""An input block's gain and offset: the values of the formula, and an input that stays as it was."""

import pytest
import torch

from lavadl_ref import slayer
from tests.support.matrix import FAMILIES


def scaled(block, x):
    """The formula, each operation in a tensor of its own."""
    hook = block.pre_hook_fx
    z = hook(x)
    z = z if block.weight is None else z * hook(block.weight)
    return z if block.bias is None else z + hook(block.bias)


@pytest.mark.parametrize("shape", [(4, 5, 9), (32, 60, 16), (2, 3, 6, 7, 5)])
@pytest.mark.parametrize("weight", [None, 1.0, 1.53])
@pytest.mark.parametrize("bias", [None, 0.0, -0.3])
@pytest.mark.parametrize("recorded", [True, False])
def test_the_scaled_input_equals_its_formula_recorded_or_not(shape, weight, bias, recorded):
    torch.manual_seed(0)
    block = slayer.block.cuba.Input(dict(FAMILIES["cuba"]), weight=weight, bias=bias)
    x = torch.randn(shape) * 3
    given = x.clone()
    with torch.set_grad_enabled(recorded):
        found = block._scaled(x)
        assert torch.equal(found, scaled(block, x))
    assert found.requires_grad == (recorded and not (weight is None and bias is None))
    assert torch.equal(x, given)
    # the same bits, signs of zeros included
    with torch.no_grad():
        assert torch.equal(found.detach().signbit(), scaled(block, x).signbit())


def test_an_input_whose_gradient_is_recorded_is_not_overwritten_by_a_fixed_gain():
    block = slayer.block.cuba.Input(dict(FAMILIES["cuba"]), weight=1.5, bias=0.25)
    for parameter in block.parameters():
        parameter.requires_grad_(False)
    x = torch.rand(2, 3, 4, requires_grad=True)
    block._scaled(x).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 1.5))


class _Kept(slayer.neuron.cuba.Neuron):
    """Neurons whose quantiser returns its argument."""

    def quantize_8bit(self, weight, descale=False):
        return weight


def test_an_input_that_the_quantiser_returns_is_not_overwritten():
    params = FAMILIES["cuba"]
    block = slayer.block.cuba.Input(dict(params), weight=1.5, bias=0.25)
    block.neuron = _Kept(**params)
    block.pre_hook_fx = block.neuron.quantize_8bit
    x = torch.rand(2, 3, 4)
    given = x.clone()
    with torch.no_grad():
        found = block._scaled(x)
    assert torch.equal(x, given)
    assert torch.equal(found, given * 1.5 + 0.25)


def test_a_gain_of_another_type_promotes_the_input_as_torch_does():
    block = slayer.block.cuba.Input(dict(FAMILIES["cuba"]), weight=1.5)
    block.weight = torch.nn.Parameter(block.weight.detach().double())
    with torch.no_grad():
        assert block._scaled(torch.rand(2, 3, 4)).dtype is torch.float64
