"""The constant that blocks add to their weighted sums: trained, rounded, in the file, and back again."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from lavadl_ref import exchange, slayer
from lavadl_ref.exchange import same
from lavadl_ref.slayer.auto import SequentialNetwork
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from tests.support import generate, matrix

FORMS = {
    "Dense": "dense",
    "Conv": "spatial",
    "ConvT": "spatial",
    "Affine": "dense",
    "Recurrent": "dense",
    "KWTA": "dense",
}
CUBA = matrix.FAMILIES["cuba"]


def synapses(block):
    synapse = getattr(block, "input_synapse", None) or block.synapse
    return [synapse.real, synapse.imag] if synapse.complex else [synapse]


def biased(case, **options):
    """A block with constants between those that a file can hold."""
    block = case.build(input_bias=True, **options)
    with torch.no_grad():
        for index, part in enumerate(synapses(block)):
            part.bias.copy_(torch.linspace(-0.301, 0.203 + index / 7, part.out_channels))
    return block


@pytest.fixture(params=[(f, b) for f in matrix.SPIKING for b in FORMS], ids="-".join)
def case(request):
    family, name = request.param
    return matrix.Case(family, name, FORMS[name])


def test_an_input_bias_is_part_of_the_sums_and_its_gradient_theirs(case):
    block, plain = biased(case), case.build()
    x = case.input()
    for part, twin in zip(synapses(block), synapses(plain), strict=True):
        assert torch.equal(part.weight, twin.weight), "it draws no numbers"
    sums, bare = (z if isinstance(z, tuple) else (z,) for z in (block.sums(x), plain.sums(x)))
    for part, z, z0 in zip(synapses(block), sums, bare, strict=True):
        rounded = (part.bias.detach() * 64).round() / 64
        assert torch.equal(part.hooked_bias, rounded)
        assert not torch.equal(part.bias, rounded)
        torch.testing.assert_close(z, z0 + rounded.reshape(-1, *[1] * (z.ndim - 2)), rtol=0, atol=1e-6)
        slope = torch.randn(z.shape)
        (given,) = torch.autograd.grad(z, part.bias, slope)
        torch.testing.assert_close(given, slope.sum([0, *range(2, z.ndim)]), rtol=1e-4, atol=1e-4)


def test_an_input_bias_in_the_file_gives_the_integers_of_the_oracle(case):
    assert_exact(case, None)


@pytest.mark.parametrize("norm", [MeanOnlyBatchNorm, WgtScaleBatchNorm])
@pytest.mark.parametrize("name", ["Dense", "ConvT"])
def test_an_input_bias_stands_beside_the_bias_of_a_norm(name, norm):
    layer = assert_exact(matrix.Case("cuba", name, FORMS[name]), norm)
    assert layer.bias.any()


def assert_exact(case, norm):
    """The layer that a block with an input bias exports, after every path has given the same."""
    block = biased(case, norm=norm)
    x = case.input(steps=14)
    with torch.no_grad():
        block(x)
        y = block.eval()(x)
    layer = block.describe()
    held = layer.input_bias if case.family == "cuba" else layer.bias
    assert (layer.input_bias is None) == (case.family != "cuba")
    if norm is None:
        assert held.tolist() == (synapses(block)[0].bias.detach() * 64).round().tolist()
    network = exchange.Network((layer,))
    records, _ = generate.oracle(generate.Case(network, x[0].numpy().astype(np.int64)), profile="slayer")
    if case.block == "Affine":
        read = "voltage" if "voltage" in records[0] else "imag"
        assert np.array_equal(records[0][read][..., 1:] / 4096, y[0].numpy()[..., :-1])
    else:
        assert np.array_equal(records[0]["spikes"], y[0].numpy())
    rebuilt = SequentialNetwork(network).eval()
    assert torch.equal(rebuilt(x), y)
    assert same(exchange.Network((rebuilt.blocks[0].describe(),)), network)
    return layer


def test_a_rebuilt_input_bias_is_trained_as_the_first_was():
    case = matrix.Case("cuba", "Dense", "dense")
    block, x = biased(case), case.input()
    block(x)
    rebuilt = SequentialNetwork(exchange.Network((block.describe(),)))
    (again,) = synapses(rebuilt.blocks[0])
    rebuilt(x).sum().backward()
    assert again.bias.grad.any()
    with torch.no_grad():
        again.bias -= 0.0101 * again.bias.grad.sign() + 0.0031
    assert not torch.equal(again.bias, again.hooked_bias)
    moved = rebuilt.blocks[0].describe().input_bias.tolist()
    assert moved == (again.hooked_bias.detach() * 64).tolist() != block.describe().input_bias.tolist()


def test_an_input_bias_of_sums_without_neurons_is_the_bias_of_the_file():
    for family in ("cuba", "rf"):
        block = biased(matrix.Case(family, "Affine", "dense"), dynamics=False)
        x = (torch.rand(2, 12, 20) < 0.4).float()
        y = block(x)
        layer = block.describe()
        assert (layer.neuron, layer.input_bias) == (None, None)
        assert layer.bias.tolist() == (synapses(block)[-1].bias.detach() * 64).round().tolist()
        rebuilt = SequentialNetwork(exchange.Network((layer,)))
        assert torch.equal(rebuilt(x), y)
        assert same(rebuilt.blocks[0].describe(), layer)


def test_an_input_bias_has_the_steps_of_its_neurons_scale():
    block = slayer.block.cuba.Dense({**CUBA, "scale": 4096}, 12, 5, weight_scale=1 / 64, input_bias=True)
    with torch.no_grad():
        block.synapse.bias.copy_(torch.tensor([0.1, -0.1, 1 / 4096, 3e-5, 0]))
    block(torch.zeros(1, 12, 4))
    assert block.describe().input_bias.tolist() == [410, -410, 1, 0, 0]


def test_an_input_bias_that_was_asked_for_stays_one_without_a_current():
    params = {**CUBA, "current_decay": 1.0}
    asked, assigned = slayer.block.cuba.Dense(params, 4, 3, input_bias=True), slayer.block.cuba.Dense(params, 4, 3)
    for block in (asked, assigned):
        block.synapse.bias = torch.nn.Parameter(torch.tensor([0.25, -0.5, 0.75]))
        block(torch.zeros(1, 4, 5))
    layer = asked.describe()
    assert (layer.bias, layer.input_bias.tolist()) == (None, [16, -32, 48])
    assert assigned.describe().input_bias is None
    rebuilt = SequentialNetwork(exchange.Network((layer,)))
    assert same(rebuilt.blocks[0].describe(), layer)


def test_an_input_bias_is_kept_by_copies_and_state_dicts():
    case = matrix.Case("cuba", "Conv", "spatial")
    block, x = biased(case), case.input()
    y = block(x)
    assert torch.equal(copy.deepcopy(block)(x), y)
    assert torch.equal(pickle.loads(pickle.dumps(block))(x), y)
    other = case.build(seed=5, input_bias=True)
    other.load_state_dict(block.state_dict())
    assert torch.equal(other(x), y)
    assert "synapse.bias" in block.state_dict()
    assert "synapse.bias" not in case.build().state_dict()


@pytest.mark.parametrize("name", FORMS)
def test_an_input_bias_of_neurons_that_send_changes_is_refused(name):
    case = matrix.Case("sigma_delta", name, FORMS[name])
    with pytest.raises(ValueError, match=r"(input_bias must be False with|needs neurons that spike)"):
        case.build(input_bias=True)
    with pytest.raises((TypeError, ValueError), match=r"(input_bias must be|needs neurons that spike)"):
        case.build(input_bias="yes")
