"""Complex synapses against lava-dl: equal weights from one seed, equal sums where they are exact."""

import inspect

import pytest
import torch

from lavadl_ref.slayer.synapse import complex as ours
from lavadl_ref.slayer.utils import quantize_hook_fx
from tests.support import complex_synapses, upstream

pytestmark = [
    pytest.mark.upstream,
    # what lava-dl itself uses: a deprecated weight norm
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
theirs = upstream.slayer().synapse.complex

# lava-dl's pool takes frames that its windows divide
CASES = pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [(name, *more, (2, 4, 6, 8, 3) if name == "Pool" else shape) for name, *more, shape in complex_synapses.CASES],
)


def pair(name, arguments, **options):
    """Ours and lava-dl's, from one seed."""
    layers = []
    for root in (ours, theirs):
        torch.manual_seed(4)
        layers.append(getattr(root, name)(*arguments, **options))
    return layers


def spikes(shape):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.4).float()


@CASES
@pytest.mark.parametrize("weight_norm", [False, True])
def test_complex_sums_and_gradients_are_the_same(name, arguments, shape, weight_norm):
    results = []
    for layer in pair(name, arguments, weight_scale=2, weight_norm=weight_norm):
        layer.pre_hook_fx = quantize_hook_fx  # sums of even 64ths: exact in any order
        x = spikes(shape).requires_grad_()
        y = layer(x)
        torch.manual_seed(5)
        torch.autograd.backward(y, [torch.randn(part.shape) for part in y])
        grads = [p.grad for p in layer.parameters() if p.requires_grad]
        results.append((y, x.grad, grads, layer.grad_norm, list(layer.state_dict()), layer.shape))
    (y, gx, gw, norm, keys, form), (y2, gx2, gw2, norm2, keys2, form2) = results
    for a, e in zip(y, y2, strict=True):
        assert torch.equal(a, e)
    torch.testing.assert_close(gx, gx2, rtol=1e-4, atol=1e-5)
    if name in ("Pool", "Unpool"):  # their weights are not trained; lava-dl's are once they are normalised
        gw2 = []
    for a, e in zip(gw, gw2, strict=True):
        torch.testing.assert_close(a, e, rtol=1e-4, atol=1e-4)
    assert keys == keys2
    assert form == form2
    if gw:
        assert norm == pytest.approx(norm2, rel=1e-4)
        assert norm > 0


@CASES
def test_complex_weights_and_state_dict_are_the_same(name, arguments, shape):
    actual, expected = pair(name, arguments)
    for key, value in expected.state_dict().items():
        assert torch.equal(actual.state_dict()[key], value)
    torch.manual_seed(99)
    fresh = getattr(ours, name)(*arguments)
    fresh.load_state_dict(expected.state_dict())
    for part in ("real", "imag"):
        assert torch.equal(getattr(fresh, part).weight, getattr(expected, part).weight)
    assert expected.complex is actual.complex is True


@pytest.mark.parametrize("name", ["Dense", "Conv", "Pool", "ConvTranspose", "Unpool"])
def test_complex_synapses_have_the_arguments_of_lava_dl(name):
    actual, expected = (inspect.signature(getattr(root, name)).parameters.values() for root in (ours, theirs))
    assert [(p.name, p.default) for p in actual] == [(p.name, p.default) for p in expected]


def test_the_hook_of_a_complex_synapse_can_be_read():
    """lava-dl's getter asks for a name that does not exist."""
    actual, expected = pair("Dense", (3, 4), pre_hook_fx=quantize_hook_fx)
    assert actual.pre_hook_fx is quantize_hook_fx
    with pytest.raises(AttributeError):
        _ = expected.pre_hook_fx
    assert actual.in_channels == 3


def test_a_complex_convolution_says_what_it_is():
    """lava-dl's complex convolution has none of the attributes that its export reads."""
    actual, expected = pair("Conv", (4, 6, 3, 2))
    assert (actual.in_channels, actual.out_channels, actual.kernel_size[:2]) == (4, 6, (3, 3))
    assert not hasattr(expected, "in_channels")
    assert not hasattr(expected, "kernel_size")
