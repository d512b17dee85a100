"""Every CUBA block: forward, backward, options, state, export."""

import copy
import inspect
import pickle

import h5py
import numpy as np
import pytest
import torch

from lavadl_ref import exchange, slayer
from lavadl_ref.slayer import axon, synapse
from lavadl_ref.slayer.block import cuba
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from lavadl_ref.slayer.utils import event_rate

PARAMS = {"threshold": 0.5, "current_decay": 0.3, "voltage_decay": 0.1, "requires_grad": True}
T = 24

# name: arguments after the neuron's, shape of the input without time
SPIKING = {
    "Dense": ((12, 5), (12,)),
    "Conv": ((2, 4, 3), (2, 6, 7)),
    "ConvT": ((2, 4, 2), (2, 6, 7)),
    "Pool": ((2,), (2, 6, 7)),
    "Unpool": ((2,), (2, 6, 7)),
}
TRAINED = ["Dense", "Conv", "ConvT"]
spiking = pytest.mark.parametrize("name", SPIKING)
trained = pytest.mark.parametrize("name", TRAINED)
every = pytest.mark.parametrize("name", ["Input", "Affine", *SPIKING])


def spikes(shape, batch=3, steps=T, seed=0):
    return (torch.rand(batch, *shape, steps, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


def make(name, params=PARAMS, **options):
    """A block and an input for it."""
    torch.manual_seed(1)
    if name == "Input":
        return cuba.Input(params, 1.5, 0.125, **options), spikes((2, 4))
    if name == "Affine":
        return cuba.Affine(params, 12, 5, **options), spikes((12,))
    arguments, shape = SPIKING[name]
    if name in TRAINED:
        options = {"weight_scale": 3, **options}
    return getattr(cuba, name)(params, *arguments, **options), spikes(shape)


# -- signatures -------------------------------------------------------------------------------

FRONT = ["neuron_params"]
WINDOW = ["kernel_size", "stride", "padding", "dilation"]
WEIGHT = ["weight_scale", "weight_norm", "pre_hook_fx"]
BACK = ["delay", "delay_shift", "count_log"]
ORDER = {
    "Input": [*FRONT, "weight", "bias", "delay_shift", "count_log"],
    "Affine": [*FRONT, "in_neurons", "out_neurons", *WEIGHT, "dynamics", "mask", "count_log", "input_bias"],
    "Dense": [*FRONT, "in_neurons", "out_neurons", *WEIGHT, "delay", "delay_shift", "mask", "count_log", "input_bias"],
    "Conv": [*FRONT, "in_features", "out_features", *WINDOW, "groups", *WEIGHT, *BACK, "input_bias"],
    "ConvT": [*FRONT, "in_features", "out_features", *WINDOW, "groups", *WEIGHT, *BACK, "input_bias"],
    "Pool": [*FRONT, *WINDOW, *WEIGHT, *BACK],
    "Unpool": [*FRONT, *WINDOW, *WEIGHT, *BACK],
    "Flatten": ["count_log"],
    "Average": ["num_outputs", "count_log"],
    "TimeDecimation": ["factor", "count_log"],
}


@pytest.mark.parametrize("name", ORDER)
def test_the_arguments_of_cuba_blocks_have_this_order(name):
    assert list(inspect.signature(getattr(cuba, name)).parameters) == ORDER[name]


def test_positional_arguments_are_those_of_lava_dl():
    hook = torch.round
    block = cuba.Conv(PARAMS, 2, 4, 3, 2, 1, 1, 2, 1.5, True, hook, True, False, True)
    s = block.synapse
    assert (s.in_channels, s.out_channels, s.kernel_size) == (2, 4, (3, 3, 1))
    assert (s.stride, s.padding, s.dilation, s.groups) == ((2, 2, 1), (1, 1, 0), (1, 1, 1), 2)
    assert s.pre_hook_fx is hook
    assert "weight_g" in dict(s.named_parameters())
    assert (block.delay is not None, block.delay_shift, block.count_log) == (True, False, True)
    dense = cuba.Dense(PARAMS, 2, 4, 1.5, False, hook, True, False, torch.ones(4, 2), True)
    assert dense.synapse.pre_hook_fx is hook
    assert dense.synapse.mask.shape == dense.synapse.weight.shape
    assert (dense.delay is not None, dense.delay_shift, dense.count_log) == (True, False, True)
    pool = cuba.Pool(PARAMS, 2, 1, 0, 1, 2.0, False, hook, True, False, True)
    assert pool.synapse.stride == (1, 1, 1)
    assert pool.synapse.weight.unique().tolist() == [2]
    assert (pool.delay is not None, pool.delay_shift, pool.count_log) == (True, False, True)


# -- forward ----------------------------------------------------------------------------------


@spiking
@pytest.mark.parametrize("shift", [True, False])
def test_a_block_runs_synapse_then_neuron_then_shift(name, shift):
    block, x = make(name, delay_shift=shift)
    y = block(x)
    z = block.synapse(x)
    expected = copy.deepcopy(block.neuron)(z)
    assert torch.equal(y, axon.delay(expected, 1) if shift else expected)
    assert block.shape == y.shape[1:-1]
    assert 0 < y.sum() < y.numel()
    assert torch.equal(z * 64, (z * 64).round())


@spiking
def test_shift_comes_by_default(name):
    block, _ = make(name)
    assert block.delay_shift is True
    assert block.delay is None


@spiking
def test_learnt_delay_follows_the_shift(name):
    plain, x = make(name)
    block, _ = make(name, delay=True)
    channels = plain(x).shape[1]
    block(x)
    assert block.delay.delay.shape == (channels,)
    assert block.delay.max_delay == 62
    block.delay.delay.data = torch.arange(channels) + 0.5
    y = block(x)
    for c in range(channels):
        assert torch.equal(y[:, c : c + 1], axon.delay(plain(x)[:, c : c + 1], c))


@every
def test_a_cuba_block_counts_its_spikes(name):
    block, x = make(name)
    counting, _ = make(name, count_log=True)
    y, rate = counting(x)
    assert torch.equal(y, block(x))
    assert rate == event_rate(y)


def test_an_input_block_applies_weight_and_bias():
    block, _ = make("Input")
    x = torch.randint(-40, 80, (2, 3, T)) / 32
    s = axon.delay(copy.deepcopy(block.neuron)(x * 1.5 + 0.125), 1)
    assert torch.equal(block(x), s)
    assert s.sum() > 0
    fine = x + 0.3 / 64  # quantised away
    assert torch.equal(block(fine), s)
    assert torch.equal(cuba.Input(PARAMS)(x), axon.delay(copy.deepcopy(block.neuron)(x), 1))


def test_an_input_block_without_a_neuron_passes_values_on():
    x = torch.randn(2, 3, T)
    assert torch.equal(cuba.Input()(x), axon.delay(x, 1))
    assert torch.equal(cuba.Input(weight=2, bias=1, delay_shift=False)(x), 2 * x + 1)


def test_an_affine_block_returns_the_voltage():
    block, x = make("Affine")
    voltage = block(x)
    z = block.synapse(x)
    assert torch.equal(voltage, copy.deepcopy(block.neuron).dynamics(z)[1])
    assert voltage.abs().max() > 0.5
    bare, _ = make("Affine", dynamics=False)
    assert torch.equal(bare(x), z)


def test_a_flatten_block_keeps_the_order():
    x = spikes((2, 3, 4))
    block = cuba.Flatten()
    assert torch.equal(block(x), x.reshape(3, 24, T))
    y, rate = cuba.Flatten(True)(x)
    assert rate == event_rate(y)


@pytest.mark.parametrize("shape", [(12,), (6, 2, 3)])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_an_average_block_takes_the_mean_of_groups(shape, groups):
    x = spikes(shape)
    y = cuba.Average(groups)(x)
    torch.testing.assert_close(y, x.reshape(3, groups, -1, T).mean(2))
    with pytest.raises(ValueError, match="num_outputs must divide"):
        cuba.Average(5)(x)


@pytest.mark.parametrize(("steps", "factor"), [(24, 4), (22, 4), (1, 8), (5, 1)])
def test_time_decimation_adds_up_spikes(steps, factor):
    x = spikes((3, 2), steps=steps)
    y = cuba.TimeDecimation(factor)(x)
    bins = -(-steps // factor)
    assert y.shape == (3, 3, 2, bins)
    for k in range(bins):
        torch.testing.assert_close(y[..., k], x[..., k * factor : (k + 1) * factor].sum(-1) / factor)


@pytest.mark.parametrize("factor", [0, 3, -2])
def test_the_factor_of_time_decimation_must_be_a_power_of_two(factor):
    with pytest.raises(ValueError, match=f"power of two, got {factor}"):
        cuba.TimeDecimation(factor)


@spiking
def test_caller_keeps_its_parameters(name):
    params = {**PARAMS, "norm": MeanOnlyBatchNorm}
    before = dict(params)
    block, _ = make(name, params)
    assert params == before
    assert (block.neuron.norm is None) == (name in ("Pool", "Unpool"))


@spiking
def test_a_cuba_block_takes_an_empty_batch(name):
    block, x = make(name)
    assert block(x[:0]).shape[0] == 0


# -- backward ---------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("norm", [None, MeanOnlyBatchNorm, WgtScaleBatchNorm])
@pytest.mark.parametrize("own", [False, True])
def test_every_parameter_is_trained(name, norm, own):
    params = {**PARAMS, "norm": norm, "shared_param": not own}
    options = {} if name in ("Input", "Affine") else {"delay": True}
    if name in ("Affine", *TRAINED):
        options["weight_norm"] = True
    block, x = make(name, params, **options)
    block(x)  # lazy parameters take their shape
    y = block(x.requires_grad_())
    (y * torch.randn(y.shape)).sum().backward()
    assert x.grad.isfinite().all()
    assert x.grad.abs().sum() > 0
    for key, p in block.named_parameters():
        if p.requires_grad:
            assert p.grad is not None, key
            assert p.grad.isfinite().all(), key
            if not (key == "bias" and norm):  # a norm takes a common offset out again
                assert (p.grad != 0).any(), key
        else:
            assert name in ("Pool", "Unpool")


@trained
def test_an_optimiser_finds_all_parameters_before_the_first_input(name):
    block, x = make(name, {**PARAMS, "shared_param": False}, delay=True)
    optimiser = torch.optim.SGD(block.parameters(), lr=1e5)
    block(x).sum().backward()
    before = {k: p.detach().clone() for k, p in block.named_parameters()}
    optimiser.step()
    for key, p in block.named_parameters():
        assert not torch.equal(before[key], p), key


def test_a_mask_silences_weights_of_cuba_blocks():
    mask = torch.ones(5, 12)
    mask[::2, ::3] = 0
    for cls in (cuba.Dense, cuba.Affine):
        for weight_norm in (False, True):
            block = cls(PARAMS, 12, 5, 3, weight_norm, mask=mask)
            x = spikes((12,))
            block(x).sum().backward()
            kept = block.synapse.hooked_weight.reshape(5, 12)
            assert (kept[::2, ::3] == 0).all()
            assert (kept[1::2] != 0).any()
            grad = (block.synapse.weight_v if weight_norm else block.synapse.weight).grad.reshape(5, 12)
            if not weight_norm:
                assert (grad[::2, ::3] == 0).all()
            # what is masked does not matter
            unseen = x.clone()
            unseen[:, ::3] = 1 - unseen[:, ::3]
            assert torch.equal(block(x)[:, ::2], block(unseen)[:, ::2])
            assert not torch.equal(block(x)[:, 1::2], block(unseen)[:, 1::2])


@pytest.mark.parametrize("shape", [(12, 5), (5,), (5, 11), (60,)])
def test_a_mask_of_another_shape_is_refused_by_cuba_blocks(shape):
    with pytest.raises(ValueError, match=r"mask must have the shape \(out, in\) \(5, 12\)"):
        cuba.Dense(PARAMS, 12, 5, mask=torch.ones(shape))


def test_a_mask_may_have_the_shape_of_the_weight():
    cuba.Dense(PARAMS, (4, 3), 5, mask=torch.ones(5, 1, 3, 4, 1))(spikes((1, 3, 4)))


@every
def test_a_cuba_block_can_be_copied_and_pickled(name):
    options = {"mask": torch.ones(5, 12)} if name in ("Dense", "Affine") else {}
    block, x = make(name, **options)
    y = block(x)
    assert torch.equal(copy.deepcopy(block)(x), y)
    assert torch.equal(pickle.loads(pickle.dumps(block))(x), y)


# -- state ------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("norm", [None, MeanOnlyBatchNorm])
@pytest.mark.parametrize("cut", [1, 9])
def test_chunks_of_a_cuba_block_are_the_whole_where_state_persists(name, norm, cut):
    params = {**PARAMS, "norm": norm, "persistent_state": True}
    options = {} if name in ("Input", "Affine") else {"delay": True}
    block, x = make(name, params, **options)
    block(x)
    if options:
        block.delay.delay.data = torch.arange(block.delay.delay.numel()) + 0.5
    block.eval().reset()
    whole = block(x)
    assert whole.abs().sum() > 0
    block.reset()
    parts = [block(part) for part in (x[..., :cut], x[..., cut:])]
    assert torch.equal(torch.cat(parts, -1), whole)


@trained
def test_persistent_block_trains(name):
    block, x = make(name, {**PARAMS, "persistent_state": True}, delay=True)
    for part in x.split(8, -1):
        block(part).sum().backward()
    assert block.synapse.weight.grad.abs().sum() > 0


def test_the_state_of_a_cuba_block_is_dropped_for_another_batch():
    block, x = make("Dense", {**PARAMS, "persistent_state": True})
    block(x)
    fresh, _ = make("Dense")
    assert torch.equal(block(x[:2]), fresh(x[:2]))


# -- export -----------------------------------------------------------------------------------


def exported(block, path, previous=()):
    """The block's description, read back from a file."""
    layers = [*previous, block]
    for _ in range(2):  # exporting changes nothing
        with h5py.File(path, "w") as file:
            for i, layer in enumerate(layers):
                layer.export_hdf5(file.create_group(f"layer/{i}"))
        network = exchange.read(path)
    return network.layers[-1]


def source(shape):
    """An input block that has seen frames of `shape`."""
    block = cuba.Input(PARAMS)
    block(spikes(shape))
    return block


@spiking
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("norm", [None, MeanOnlyBatchNorm])
def test_an_exported_cuba_block_runs_the_same(name, own, norm, tmp_path):
    params = {**PARAMS, "norm": norm, "shared_param": not own, "graded_spike": own}
    options = {"weight_norm": True} if name in TRAINED else {}
    block, x = make(name, params, delay=True, **options)
    block(x)
    y = block(x.requires_grad_())
    y.sum().backward()
    state = {k: v.clone() for k, v in block.state_dict().items()}
    layer = exported(block, tmp_path / "a.net", [source(SPIKING[name][1])])
    assert layer.kind == {"ConvT": "convT"}.get(name, name.lower())
    weight = (block.synapse.hooked_weight * 64).detach().numpy()
    np.testing.assert_array_equal(layer.weight.reshape(weight.shape), weight)
    assert layer.weight.dtype == np.int64
    assert int(np.prod(layer.shape)) == int(np.prod(y.shape[1:-1]))
    assert layer.neuron.type == "CUBA"
    assert layer.neuron["threshold"] == 32
    np.testing.assert_array_equal(layer.neuron["current_decay"], block.neuron.cx_current_decay)
    np.testing.assert_array_equal(layer.neuron["voltage_decay"], block.neuron.cx_voltage_decay)
    assert layer.neuron["graded_spike"] == own
    np.testing.assert_array_equal(layer.delay, block.delay.delay.detach().numpy().astype(int))
    assert layer.shifts
    if norm is None or name in ("Pool", "Unpool"):
        assert layer.bias is None
    else:
        np.testing.assert_array_equal(layer.bias, block.neuron.norm.bias.numpy())
    if name != "Dense":
        for key in ("stride", "padding", "dilation"):
            assert getattr(layer, key) == getattr(block.synapse, key)[:2]
        assert layer.groups == block.synapse.groups
    # nothing about the block has changed
    assert list(block.state_dict()) == list(state)
    assert all(torch.equal(value, state[key]) for key, value in block.state_dict().items())
    assert torch.equal(block(x), y)


def test_the_weight_exponent_is_exported(tmp_path):
    block, x = make("Dense", {**PARAMS, "norm": WgtScaleBatchNorm})
    block(x)
    layer = exported(block, tmp_path / "a.net")
    assert layer.neuron["weight_exp"] == block.neuron.norm.weight_exp.item() != 0


def test_delays_out_of_range_after_training_are_exported_in_range(tmp_path):
    block, x = make("Dense", delay=True)
    block(x)
    block.delay.delay.data = torch.tensor([-0.4, 0.0, 61.5, 62.5, 80.0])
    with pytest.warns(slayer.SaturationWarning, match="delay.delay 1 of 5"):
        assert exported(block, tmp_path / "a.net").delay.tolist() == [0, 0, 61, 62, 62]


def test_one_delay_for_all_is_exported(tmp_path):
    block, x = make("Dense", delay=True)
    block.delay.delay.data, block.delay.init = torch.tensor([2.0]), True
    block(x)
    assert exported(block, tmp_path / "a.net").delay.tolist() == [2] * 5


def test_a_mask_is_exported_as_zeros(tmp_path):
    mask = torch.ones(5, 12)
    mask[2] = 0
    block, x = make("Dense", mask=mask)
    block(x)
    assert not exported(block, tmp_path / "a.net").weight[2].any()


def test_an_input_block_is_exported(tmp_path):
    block, _ = make("Input")
    x = spikes((2, 4, 3))
    block(x)
    layer = exported(block, tmp_path / "a.net")
    assert (layer.weight, layer.bias, layer.neuron["threshold"]) == (96, 8, 32)
    normed = cuba.Input({**PARAMS, "norm": MeanOnlyBatchNorm})
    normed(x)
    with pytest.raises(ValueError, match="input block with a norm"):
        exported(normed, tmp_path / "b.net")


def test_an_affine_block_is_exported(tmp_path):
    block, x = make("Affine")
    block(x)
    layer = exported(block, tmp_path / "a.net")
    assert layer.neuron["threshold"] == 2**18 - 1
    np.testing.assert_array_equal(layer.weight.reshape(5, 12, 1, 1, 1), block.synapse.hooked_weight.detach() * 64)
    bare, _ = make("Affine", dynamics=False)
    bare(x)
    assert exported(bare, tmp_path / "a.net").neuron is None


def test_blocks_without_neurons_are_exported(tmp_path):
    x = spikes((4, 2, 3))
    previous = source((4, 2, 3))
    for block, kind, shape in (
        (cuba.Flatten(), "flatten", (24,)),
        (cuba.Average(4), "average", (4,)),
        (cuba.TimeDecimation(4), "time_decimation", (4, 2, 3)),
    ):
        block(x)
        layer = exported(block, tmp_path / "a.net", [previous])
        assert layer.kind == kind
        assert int(np.prod(layer.shape)) == int(np.prod(shape))
    assert layer.factor == 4


@pytest.mark.parametrize("name", ["Dense", "Affine"])
def test_a_block_of_known_size_is_exported_before_any_input(name, tmp_path):
    """No input is needed if the number of neurons is an argument."""
    block, _ = make(name)
    assert exported(block, tmp_path / "a.net").shape == (block.synapse.out_channels,)


@pytest.mark.parametrize("name", [*(name for name in SPIKING if name != "Dense"), "Input"])
def test_export_needs_an_input_first(name, tmp_path):
    block, _ = make(name)
    with pytest.raises(RuntimeError, match="pass one sample through the network before exporting"):
        exported(block, tmp_path / "a.net")


def test_export_needs_quantised_weights(tmp_path):
    block, x = make("Dense", pre_hook_fx=torch.nn.Identity())
    block(x)
    with pytest.raises(ValueError, match="weight is not quantised to 1/64"):
        exported(block, tmp_path / "a.net")


def test_shift_is_exported(tmp_path):
    block, x = make("Dense", delay_shift=False)
    block(x)
    assert not exported(block, tmp_path / "a.net").shifts


def test_blocks_are_built_from_public_synapses():
    assert isinstance(make("Conv")[0].synapse, synapse.Conv)
