"""`slayer.record`: what is recorded of a live network is what the reference holds of its file."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from lavadl_ref import exchange, slayer
from lavadl_ref.deployed import deployment, reference
from lavadl_ref.slayer import block as blocks
from lavadl_ref.slayer import neuron as neurons
from lavadl_ref.slayer.block import describe
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from tests.support import matrix
from tests.support.matrix import BLOCKS

FORMS = {"Input": "spatial", "Conv": "spatial", "ConvT": "spatial", "Pool": "spatial", "Unpool": "spatial"}
#: Every family with every block that has neurons.
CASES = [
    case
    for case in matrix.cases(states=False)
    if case.form == FORMS.get(case.block, "dense") and case.block != "Affine"
]
WHAT = slayer._record.names_of_states()


def alone(case, norm=None, **options):
    """The block of a case after its first input, with delays where it can have them, and an input."""
    block = case.build(norm=norm, **({"delay": True} if BLOCKS[case.block].delays else {}), **options)
    x = case.input()
    with torch.no_grad():
        block(x)
    if getattr(block, "delay", None) is not None:
        block.delay.delay.data = torch.arange(block.delay.delay.numel()) % 3 + 0.5
    return block.eval(), x


def deployed(layers, x):
    """The reference run of layers on the input (N, \\*shape, T) of slayer, everything recorded."""
    network = reference.Network(exchange.Network(tuple(layers)), profile="slayer")
    given = (x * 2 ** deployment.input_bits(network.layers)).to(torch.int64).numpy()
    return network, network.run(given, record=reference.RECORDABLE)


def assert_equal(recorded, ran, start):
    """Compare every integer of a recorded block with that of the reference's layer."""
    names = {"spikes": ran.spikes, **ran.states}
    assert set(recorded.integers) == set(names)
    for name, expected in names.items():
        found = recorded.integers[name]
        assert found.dtype == np.int64
        steps = found.shape[-1] - start
        found = found.reshape(*expected.shape[:-1], -1)
        np.testing.assert_array_equal(found[..., :steps], expected[..., start:], err_msg=name)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_recorded_integers_are_those_of_the_reference(case):
    block, x = alone(case)
    with slayer.record(block, *WHAT) as seen, torch.no_grad():
        block(x)
    layer = block.describe()
    # an input layer of a file takes the current that the block makes of its input
    given = block._scaled(x) if case.block == "Input" else x
    network, run = deployed([layer], given)
    assert_equal(seen[""], run.layers[0], network.starts[0])
    if case.block != "Output":
        assert seen[""].integers["spikes"].any()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("norm", [MeanOnlyBatchNorm, WgtScaleBatchNorm])
@pytest.mark.parametrize("family", matrix.FAMILIES)
def test_states_behind_a_norm_make_the_spikes_that_were_sent(family, norm, training):
    case = matrix.Case(family, "Dense", "dense")
    block, x = alone(case, norm=norm)
    block.train(training)
    twin = copy.deepcopy(block)
    with slayer.record(block, *WHAT) as seen:
        y = block(x)
    assert torch.equal(y, twin(x))
    assert torch.equal(
        block.neuron.state_dict().get("norm.running_mean", y), twin.neuron.state_dict().get("norm.running_mean", y)
    )
    if not training:
        layer = block.describe()
        network, run = deployed([layer], x)
        assert_equal(seen[""], run.layers[0], network.starts[0])


def small(family="cuba", **options):
    """A network of blocks inside other modules: convolution, pool, dense with delays, feedback."""
    torch.manual_seed(3)
    module, params = getattr(blocks, family), {**matrix.FAMILIES[family], **options}
    net = torch.nn.ModuleDict(
        {
            "seen": torch.nn.Sequential(
                module.Conv(params, 2, 4, 3, weight_scale=3, delay=True), module.Pool(params, 2, delay=True)
            ),
            "told": torch.nn.Sequential(
                module.Flatten(),
                module.Dense(params, 16, 6, weight_scale=4, delay=True),
                module.Recurrent(params, 6, 5, weight_scale=4),
            ),
        }
    )
    net.forward = lambda x: net["told"](net["seen"](x))
    x = (torch.rand(2, 2, 6, 6, 20) < 0.4).float()
    with torch.no_grad():
        net(x)
    for block in (*net["seen"], net["told"][1]):
        block.delay.delay.data = torch.arange(block.delay.delay.numel()) % 3 + 0.5
    return net, x


def blocks_of(net):
    return [*net["seen"], *net["told"]]


@pytest.mark.parametrize("family", matrix.SPIKING)
def test_recorded_integers_of_a_nested_network_are_those_of_its_file(family, tmp_path):
    net, x = small(family)
    exchange.write(tmp_path / "x.net", describe.network(blocks_of(net)))
    with slayer.record(net, *WHAT) as seen:  # with gradients, as in training without norms
        net(x)
    network = reference.Network(tmp_path / "x.net")
    run = network.run(x.to(torch.int64).numpy(), record=reference.RECORDABLE)
    assert run.exceeded == ()
    names = ["seen.0", "seen.1", None, "told.1", "told.2"]
    assert set(seen) == set(names) - {None}
    for name, ran, start in zip(names, run.layers, network.starts, strict=True):
        if name is not None:
            assert_equal(seen[name], ran, start)
            assert seen[name].integers["spikes"].any()


@pytest.mark.parametrize("family", matrix.FAMILIES)
def test_a_persistent_state_is_recorded_where_it_goes_on(family):
    case = matrix.Case(family, "Dense", "dense", persistent=True)
    block, x = alone(case)
    block.reset()
    with slayer.record(block, *WHAT) as whole, torch.no_grad():
        block(x)
    block.reset()
    with slayer.record(block, *WHAT, keep=None) as pieces, torch.no_grad():
        for part in (x[..., :5], x[..., 5:6], x[..., 6:]):
            block(part)
    assert len(pieces.calls("")) == 3
    for name, values in whole[""].integers.items():
        together = np.concatenate([call.integers[name] for call in pieces.calls("")], -1)
        np.testing.assert_array_equal(together, values)


@pytest.mark.parametrize("family", matrix.SPIKING)
def test_graded_spikes_are_recorded_with_their_values(family):
    for name in ("Dense", "Recurrent"):
        case = matrix.Case(family, name, "dense")
        params = {**case.params, "graded_spike": True}
        torch.manual_seed(1)
        arguments, _ = BLOCKS[name].inputs["dense"]
        block = getattr(case.module, name)(params, *arguments)
        if name == "Recurrent":  # weights as large as theirs would make values grow without end
            for weight in block.recurrent_synapse.parameters():
                weight.data *= 0.1
        x = case.input()
        with slayer.record(block, *WHAT) as seen, torch.no_grad():
            block(x)
        network, run = deployed([block.describe()], x)
        assert_equal(seen[""], run.layers[0], network.starts[0])
        assert seen[""].spikes.max() > 0


def test_recording_changes_nothing_and_leaves_no_hook():
    net, x = small(dropout=neurons.Dropout(0.5), norm=MeanOnlyBatchNorm)
    twin = copy.deepcopy(net)
    twin.forward = lambda x: twin["told"](twin["seen"](x))
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()]
    torch.manual_seed(5)
    with slayer.record(net, *WHAT) as seen:
        y = net(x)
    drawn = torch.rand(1)
    y.sum().backward()
    torch.manual_seed(5)
    z = twin(x)
    assert torch.equal(drawn, torch.rand(1))
    z.sum().backward()
    assert torch.equal(y, z)
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()] == hooks
    for (name, p), (_, q) in zip(net.named_parameters(), twin.named_parameters(), strict=True):
        assert (p.grad is None and q.grad is None) or torch.equal(p.grad, q.grad), name
    for p, q in zip(net.buffers(), twin.buffers(), strict=True):
        assert torch.equal(p, q)
    assert seen["seen.0"].integers["spikes"].sum() > 0
    before = seen["told.1"]
    net(x)
    assert seen["told.1"] is before


def test_spikes_are_recorded_before_dropout():
    net, x = small(dropout=neurons.Dropout(0.5))
    with slayer.record(net) as trained:
        net(x)
    with slayer.record(net.eval()) as evaluated:
        net(x)
    assert set(trained["seen.0"].integers) == {"spikes"}
    np.testing.assert_array_equal(trained["seen.0"].spikes, evaluated["seen.0"].spikes)


def test_what_cannot_be_recorded_is_refused():
    net, x = small()
    with pytest.raises(ValueError, match=r"what to record must be of spikes, .*voltage.*; got 'volts'"):
        slayer.record(net, "volts")
    with pytest.raises(ValueError, match="keep must be at least 1, or None for all calls, got 0"):
        slayer.record(net, keep=0)
    with pytest.raises(TypeError, match="net must be a torch module, got list"):
        slayer.record([net])
    with pytest.raises(ValueError, match="net must hold a block with neurons, got Linear without one"):
        slayer.record(torch.nn.Linear(2, 2))
    with slayer.record(net) as seen:
        with pytest.raises(KeyError, match=r"block must be one that was recorded, got 'seen\.0'; there is nothing yet"):
            seen["seen.0"]
        net(x)
    assert seen["seen.0"].spikes.shape == (2, 4, 4, 4, 20)
    with pytest.raises(AttributeError, match="no attribute 'voltage'"):
        _ = seen["seen.0"].voltage
    with pytest.raises(KeyError, match="'voltage' was not recorded of this block; it has spikes"):
        seen["seen.0"]["voltage"]
