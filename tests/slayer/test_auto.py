"""Every file that blocks export comes back as blocks with equal output, and agrees with the reference."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from lavadl_ref import exchange, slayer
from lavadl_ref.deployed import reference
from lavadl_ref.exchange import ConvTranspose, Dense, Network, Neuron, Pool
from lavadl_ref.slayer.auto import SequentialNetwork, get_classes, get_neuron_params
from lavadl_ref.slayer.block import cuba, synaptic
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from tests.support import families, generate
from tests.support.matrix import FAMILIES
from tests.support.same_networks import same

NEURON = {"threshold": 0.6, "current_decay": 0.4, "voltage_decay": 0.15}
PER_CHANNEL = {**NEURON, "current_decay": (0.1, 0.9), "voltage_decay": (0.05, 0.5), "shared_param": False}
WITH_BIAS = {**NEURON, "norm": MeanOnlyBatchNorm}
SPATIAL, FLAT = (2, 6, 7), (12,)

# name: a function from neuron and options to a block, and the shape of its input without time
TRAINED = {
    "Dense": (lambda n, **o: cuba.Dense(n, 12, 5, weight_scale=3, **o), FLAT),
    "Conv": (lambda n, **o: cuba.Conv(n, 2, 4, (3, 2), (2, 1), 1, (1, 2), 2, weight_scale=3, **o), SPATIAL),
    "ConvT": (lambda n, **o: cuba.ConvT(n, 2, 4, (3, 2), (2, 1), 1, 1, 2, weight_scale=3, **o), SPATIAL),
}
WINDOWS = {
    "Pool": (lambda n, **o: cuba.Pool(n, 2, **o), SPATIAL),
    "Unpool": (lambda n, **o: cuba.Unpool(n, (2, 3), **o), SPATIAL),
}
SPIKING = {**TRAINED, **WINDOWS}


def spikes(shape, steps=30, batch=2, seed=0):
    return (torch.rand(batch, *shape, steps, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


def passed(blocks, x):
    with torch.no_grad():
        for block in blocks:
            x = block(x)
    return x


def again(blocks, x, folder, **options):
    """Output of the blocks, in evaluation, and the network rebuilt from the file they export."""
    torch.manual_seed(0)
    passed(blocks, x)  # once in training, so that norms and delays have values
    for block in blocks:
        block.eval()
        if getattr(block, "delay", None) is not None:
            block.delay.delay.data *= 9
    y = passed(blocks, x)
    described = Network(tuple(block.describe() for block in blocks))
    exchange.write(folder / "x.net", described)
    rebuilt = SequentialNetwork(folder / "x.net", **options).eval()
    return y, rebuilt, described


def assert_round_trip(blocks, x, folder):
    y, rebuilt, described = again(blocks, x, folder)
    with torch.no_grad():
        assert torch.equal(rebuilt(x), y)
    assert y.any()
    assert same(Network(tuple(block.describe() for block in rebuilt.blocks)), described)
    return y, rebuilt


@pytest.mark.parametrize("name", SPIKING)
@pytest.mark.parametrize("options", [{}, {"delay": True}, {"delay_shift": False}], ids=["plain", "delay", "no shift"])
@pytest.mark.parametrize("params", [NEURON, PER_CHANNEL], ids=["shared", "per channel"])
def test_spiking_blocks_come_back_from_a_file(name, params, options, tmp_path):
    build, shape = SPIKING[name]
    torch.manual_seed(1)
    _, rebuilt = assert_round_trip([build(params, **options)], spikes(shape), tmp_path)
    (block,) = rebuilt.blocks
    assert isinstance(block, getattr(cuba, name))
    assert block.delay_shift == options.get("delay_shift", True)
    if "delay" in options:
        assert block.delay.delay.max() >= 3


@pytest.mark.parametrize("name", TRAINED)
def test_biases_come_back_from_a_file(name, tmp_path):
    build, shape = TRAINED[name]
    torch.manual_seed(2)
    _, rebuilt = assert_round_trip([build(WITH_BIAS, delay=True)], spikes(shape), tmp_path)
    assert rebuilt.blocks[0].neuron.norm.running_mean.any()


def test_an_input_block_comes_back_from_a_file(tmp_path):
    x = torch.randn(2, *SPATIAL, 30, generator=torch.Generator().manual_seed(0))
    assert_round_trip([cuba.Input(NEURON, 1.5, 0.125)], x, tmp_path)
    assert_round_trip([cuba.Input(PER_CHANNEL, 0.5, 0.25, delay_shift=False)], x, tmp_path)


@pytest.mark.parametrize("params", [NEURON, PER_CHANNEL, WITH_BIAS], ids=["shared", "per channel", "bias"])
def test_an_affine_block_with_dynamics_comes_back_from_a_file(params, tmp_path):
    _, rebuilt = assert_round_trip([cuba.Affine(params, 12, 5)], spikes(FLAT), tmp_path)
    assert isinstance(rebuilt.blocks[0], cuba.Affine)


def test_an_affine_block_without_dynamics_comes_back_from_a_file(tmp_path):
    _, rebuilt = assert_round_trip([cuba.Affine(NEURON, 12, 5, dynamics=False)], spikes(FLAT), tmp_path)
    assert not rebuilt.blocks[0].dynamics


def test_blocks_without_neurons_come_back_from_a_file(tmp_path):
    dense = cuba.Dense(NEURON, 84, 6, weight_scale=3)
    blocks = [cuba.Flatten(), dense, cuba.Average(2), cuba.TimeDecimation(4)]
    y, _ = assert_round_trip(blocks, spikes(SPATIAL), tmp_path)
    assert y.shape == (2, 2, 8)


def test_a_whole_network_comes_back_from_a_file(tmp_path):
    torch.manual_seed(3)
    blocks = [
        cuba.Input(NEURON, 1.5, 0.125),
        cuba.Conv(WITH_BIAS, 2, 4, 3, padding=1, weight_scale=3, delay=True),
        cuba.Pool({**NEURON, "threshold": 1.0}, 2, delay=True),
        cuba.Unpool(NEURON, 2, delay_shift=False),
        cuba.ConvT(WITH_BIAS, 4, 2, 2, weight_scale=3),
        cuba.Flatten(),
        cuba.Dense({**PER_CHANNEL, "norm": MeanOnlyBatchNorm}, 126, 8, weight_scale=3, delay=True),
        cuba.Affine(WITH_BIAS, 8, 3, weight_scale=3),
    ]
    assert_round_trip(blocks, torch.randn(2, *SPATIAL, 30, generator=torch.Generator().manual_seed(0)), tmp_path)


def test_graded_spikes_come_back(tmp_path):
    _, rebuilt = assert_round_trip([cuba.Dense({**NEURON, "graded_spike": True}, 12, 5)], spikes(FLAT), tmp_path)
    assert rebuilt.blocks[0].neuron.graded_spike


# -- files from elsewhere -----------------------------------------------------------------------


def assert_spikes_of(network, run, outputs):
    """Block outputs (1, \\*shape, T) are the reference's spikes, delayed, on slayer's time base."""
    for i, (layer, ran, y) in enumerate(zip(network.layers, run.layers, outputs, strict=True)):
        if layer.neuron is None or layer.neuron["threshold"] == generate.NEVER:
            continue
        delays = np.zeros(layer.channels, int) if layer.delay is None else layer.delay
        y = y[0].reshape(*layer.shape, -1).numpy()
        for channel, delay in enumerate(delays):
            expected = np.zeros_like(y[channel])
            lag = delay + layer.shifts
            trains = ran.spikes[channel][..., network.start_steps[i] :][..., : y.shape[-1] - lag]
            expected[..., lag : lag + trains.shape[-1]] = trains
            known = lag + trains.shape[-1]
            np.testing.assert_array_equal(y[channel][..., :known], expected[..., :known], f"layer {i}")


def outputs_of(rebuilt, x):
    """Outputs of all blocks; an input block is given what it makes of its input."""
    outputs = []
    with torch.no_grad():
        for block in rebuilt.blocks:
            x = block._fire(x / 64) if isinstance(block, synaptic.AbstractInput) else block(x)
            outputs.append(x)
    return outputs


@pytest.mark.parametrize("seed", range(1000, 1060))
def test_random_networks_agree_with_the_reference(seed):
    case = generate.case(seed)
    run = reference.Network(case.network).run(case.inputs)
    assert run.exceeded == ()
    x = torch.from_numpy(case.inputs[None].astype(np.float32))
    assert_spikes_of(case.network, run, outputs_of(SequentialNetwork(case.network).eval(), x))


def test_tinynet_is_rebuilt_from_its_file(data):
    """A legacy file with biases."""
    path = data / "tinynet" / "tiny.net"
    network = exchange.read(path)
    rebuilt = SequentialNetwork(path).eval()
    x = np.random.default_rng(0).integers(0, 2, (3, 16, 16, 40))
    run = reference.Network(path).run(x * network.layers[0].weight + network.layers[0].bias)
    outputs, y = [], torch.from_numpy(x[None].astype(np.float32))
    with torch.no_grad():
        for block in rebuilt.blocks:
            y = block(y)
            outputs.append(y)
    assert_spikes_of(network, run, outputs)
    assert all(ran.spikes.any() for ran in run.layers)


def test_pilotnet_is_rebuilt_from_its_file(data):
    path = data / "pilotnet_lif" / "network.net"
    network = exchange.read(path)
    x = np.random.default_rng(0).integers(0, 60, (3, 66, 200, 1)).repeat(14, axis=-1)
    run = reference.Network(network).run(x)
    assert_spikes_of(network, run, outputs_of(SequentialNetwork(network).eval(), torch.from_numpy(x[None]).float()))
    assert [bool(ran.spikes.any()) for ran in run.layers] == [True] * 10 + [False]


def test_odd_weights_and_biases_are_used_as_they_are():
    neuron = Neuron("CUBA", {"current_decay": 900, "voltage_decay": 300, "threshold": 41})
    rng = np.random.default_rng(0)
    layer = Dense(shape=(5,), weight=rng.integers(-9, 20, (5, 12)), bias=np.array([1, -3, 7, 0, 5]), neuron=neuron)
    x = spikes(FLAT, batch=1)
    run = reference.Network(Network((layer,))).run(x[0].numpy().astype(int))
    with torch.no_grad():
        y = SequentialNetwork(Network((layer,))).eval()(x)
    np.testing.assert_array_equal(y[0, :, 1:], run.output[:, 1:])
    assert run.output.any()


# -- options ------------------------------------------------------------------------------------


def two(tmp_path, **options):
    torch.manual_seed(4)
    blocks = [cuba.Dense(WITH_BIAS, 12, 8, weight_scale=3, delay=True), cuba.Dense(NEURON, 8, 5, weight_scale=3)]
    x = spikes(FLAT)
    y, rebuilt, _ = again(blocks, x, tmp_path, **options)
    return x, y, rebuilt


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_rebuilt_network_reduces_its_output(tmp_path, reduction):
    x, y, rebuilt = two(tmp_path, reduction=reduction)
    assert torch.equal(rebuilt(x), getattr(torch, reduction)(y, -1))


def test_a_rebuilt_network_counts_its_spikes(tmp_path):
    x, y, rebuilt = two(tmp_path, count_log=True)
    actual, counts = rebuilt(x)
    assert torch.equal(actual, y)
    assert counts.shape == (1, 2)
    assert counts[0, 1] == pytest.approx(y[..., 1:].mean().item() * 29 / 30, rel=0.05)


def test_weight_norm_keeps_the_function(tmp_path):
    x, y, rebuilt = two(tmp_path, weight_norm=True)
    assert torch.equal(rebuilt(x), y)
    assert {name.rpartition(".")[2] for name, _ in rebuilt.named_parameters()} >= {"weight_g", "weight_v"}


def test_persistent_state_runs_in_chunks(tmp_path):
    x, y, rebuilt = two(tmp_path, persistent_state=True)
    assert torch.equal(torch.cat([rebuilt(part) for part in x.split(7, dim=-1)], dim=-1), y)


def test_a_rebuilt_network_can_be_trained_on(tmp_path):
    x, _, rebuilt = two(tmp_path, weight_norm=True)
    rebuilt.train()
    optimizer = torch.optim.SGD(rebuilt.parameters(), 0.5)
    before = rebuilt.blocks[0].synapse.weight.detach().clone()
    rebuilt(x).sum().backward()
    assert all(p.grad is not None for name, p in rebuilt.named_parameters() if "weight" in name)
    optimizer.step()
    assert not torch.equal(rebuilt.blocks[0].synapse.weight, before)


# -- refusals -----------------------------------------------------------------------------------


def test_a_rebuilt_network_refuses_an_unknown_reduction(tmp_path):
    with pytest.raises(ValueError, match="reduction must be None, 'sum' or 'mean', got 'max'"):
        SequentialNetwork(Network(()), reduction="max")


def test_a_bad_file_is_refused_by_auto(tmp_path):
    (tmp_path / "x.net").write_bytes(b"no network")
    with pytest.raises(exchange.ExchangeError, match=r"x\.net"):
        SequentialNetwork(tmp_path / "x.net")


def test_a_layer_without_a_block_is_refused_by_auto():
    neuron = Neuron("CUBA", {"current_decay": 900, "voltage_decay": 300, "threshold": 41})
    first = Dense(shape=(2,), weight=np.full((2, 2), 2), neuron=neuron)
    for last, message in [
        (ConvTranspose(shape=(1, 2, 2), weight=np.full((1, 1, 1, 1), 2)), r"layer 1 \(convT\) has no neurons"),
        (Pool(shape=(1, 2, 2), weight=np.full((1, 1, 1, 1), 2)), r"layer 1 \(pool\) has no neurons"),
    ]:
        with pytest.raises(NotImplementedError, match=message):
            SequentialNetwork(Network((first, last)))


@pytest.mark.parametrize("scale", [0.05, 8])
def test_scaled_weights_come_back_as_a_norm(scale):
    """A power of two between synapse and neuron comes back as the norm that gives it."""
    torch.manual_seed(0)
    block = cuba.Dense({**NEURON, "norm": WgtScaleBatchNorm}, 12, 5, weight_scale=scale)
    x = spikes(FLAT)
    block(x)
    description = block.eval().describe()
    assert description.neuron["weight_exp"] != 0
    rebuilt = SequentialNetwork(Network((description,))).eval()
    assert torch.equal(rebuilt(x), block(x))
    assert same(rebuilt.blocks[0].describe(), description)


@pytest.mark.parametrize("name", families.NAMES)
def test_the_functions_of_auto_build_parts_of_a_file(name, tmp_path):
    """The functions that Lava-DL's own rebuilding offers."""
    dense = getattr(slayer.block, name).Dense(FAMILIES[name], 4, 3)
    with h5py.File(tmp_path / "a.net", "w") as file:
        dense.export_hdf5(file.create_group("layer/0"))
        group = file["layer/0/neuron"]
        neurons, blocks = get_classes(group["type"][()].decode())
        again = neurons.Neuron(**get_neuron_params(group, neurons))
    assert blocks is getattr(slayer.block, name)
    assert again.device_params == dense.neuron.device_params
    assert get_classes() == (slayer.neuron.cuba, slayer.block.cuba)


# -- what is assigned later -----------------------------------------------------------------------


def exported(folder):
    """A file of two dense layers and feedback."""
    torch.manual_seed(0)
    blocks = [cuba.Dense(NEURON, 12, 5, weight_scale=3, delay=True), cuba.Recurrent(NEURON, 5, 4, weight_scale=3)]
    exchange.write(folder / "x.net", Network(tuple(block.describe() for block in blocks)))
    return folder / "x.net"


OPTIONS = {"persistent_state": True, "count_log": True, "weight_norm": True, "reduction": "mean"}


@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_assigned_acts_on_all_blocks(tmp_path, name):
    file, x = exported(tmp_path), spikes(FLAT)
    net = SequentialNetwork(network_config=file)
    assert getattr(net, name) in (False, None)
    setattr(net, name, OPTIONS[name])
    made = SequentialNetwork(file, **{name: OPTIONS[name]})
    assert getattr(net, name) == getattr(made, name) == OPTIONS[name]
    assert {key for key, _ in net.named_parameters()} == {key for key, _ in made.named_parameters()}
    with torch.no_grad():
        first = [each(x) for each in (net, made, SequentialNetwork(file))]
        second = [each(x) for each in (net, made, SequentialNetwork(file))]
    for ours, expected, plain in (first, second):
        if name == "count_log":
            assert torch.equal(ours[0], expected[0])
            assert torch.equal(ours[1], expected[1])
            assert ours[1].shape == (1, 2)
        else:
            assert torch.equal(ours, expected)
            assert plain.any()
    if name == "persistent_state":
        assert not torch.equal(second[0], second[2])
    if name == "weight_norm":
        assert all(part.input_synapse.weight_norm_enabled for part in net.blocks[1:])
        net.weight_norm = False
        assert {key for key, _ in net.named_parameters()} == {
            key for key, _ in SequentialNetwork(file).named_parameters()
        }


def test_an_unknown_reduction_is_refused_later_too(tmp_path):
    net = SequentialNetwork(exported(tmp_path))
    with pytest.raises(ValueError, match="reduction must be None, 'sum' or 'mean', got 'middling'"):
        net.reduction = "middling"


def test_the_file_is_closed(tmp_path):
    net = SequentialNetwork(exported(tmp_path))
    with pytest.raises(AttributeError, match=r"handle of SequentialNetwork .*exchange.read"):
        net.handle = None
    assert not hasattr(net, "handle")
    assert not hasattr(net, "read_block")
    h5py.File(tmp_path / "x.net", "a").close()
