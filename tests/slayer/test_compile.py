"""Networks within `torch.compile`: our parts are called as they are, with one graph break each."""

from __future__ import annotations

import copy

import pytest
import torch
from torch._dynamo.utils import counters

from lavadl_ref.slayer import block, neuron, synapse
from tests.support import matrix

# torch._dynamo looks at the gradient of what enters a part, leaf or not
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")


@pytest.fixture(autouse=True)
def afresh():
    """Nothing is compiled before or after a test."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def breaks():
    return sum(counters["graph_break"].values())


def assert_same(made, *inputs, most):
    """Compiled, a module gives the same output and gradients, and has at most so many graph breaks."""
    compiled = copy.deepcopy(made)
    results = []
    for module, call in ((made, made), (compiled, torch.compile(compiled, backend="eager"))):
        torch.manual_seed(3)  # what is drawn at the first input
        out = call(*inputs)
        out.sum().backward()
        results.append(out)
        results.append([p.grad for p in module.parameters()])
    assert torch.equal(results[0], results[2])
    for one, other in zip(results[1], results[3], strict=True):
        assert one is other or torch.equal(one, other)
    assert 0 < breaks() <= most


@pytest.mark.parametrize("family", matrix.FAMILIES)
def test_a_compiled_block_is_the_block_with_one_graph_break(family):
    torch.manual_seed(0)
    dense = getattr(block, family).Dense({**matrix.FAMILIES[family], "requires_grad": True}, 6, 8, weight_scale=3)
    assert_same(dense, (torch.rand(4, 6, 10) < 0.4).float(), most=1)


def test_a_compiled_network_has_no_more_graph_breaks_than_blocks():
    torch.manual_seed(0)
    dense, parameters = block.cuba.Dense, {**matrix.FAMILIES["cuba"], "requires_grad": True}
    blocks = [dense(parameters, 6, 6, weight_scale=3, delay=number % 2 == 0) for number in range(12)]
    net = torch.nn.Sequential(*blocks, torch.nn.Flatten(), torch.nn.Linear(60, 2))
    assert_same(net, (torch.rand(4, 6, 10) < 0.4).float(), most=12)


def test_synapses_and_neurons_alone_are_left_as_they_are():
    torch.manual_seed(0)
    alone = torch.nn.Sequential(synapse.Dense(6, 8), neuron.cuba.Neuron(**matrix.FAMILIES["cuba"]))
    # one more for the frame of the container
    assert_same(alone, (torch.rand(4, 6, 10) < 0.4).float(), most=3)


def test_autocast_within_a_compiled_network_changes_nothing():
    torch.manual_seed(0)
    made = block.cuba.Dense(matrix.FAMILIES["cuba"], 6, 8, weight_scale=3)
    x = (torch.rand(4, 6, 10) < 0.4).float()
    expected = made(x)
    with torch.autocast("cpu", torch.bfloat16):
        given = torch.compile(made, backend="eager")(x.bfloat16())
    assert torch.equal(given, expected)
