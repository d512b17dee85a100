"""The options of blocks, in every family: by keyword and by position they mean the same."""

import inspect

import pytest
import torch

from lavadl_ref import exchange
from lavadl_ref.slayer import auto, axon, utils
from lavadl_ref.slayer import block as blocks
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm
from tests.support import matrix
from tests.support.matrix import BLOCKS, COMPLEX, FAMILIES, SPIKING, Case
from tests.support.same_networks import same

FORMS = {"Conv": "spatial", "ConvT": "spatial", "Pool": "spatial", "Unpool": "spatial"}
TRAINED = ["Dense", "Conv", "ConvT", "Recurrent", "KWTA", "Affine"]
ALL = [case for case in matrix.cases(states=False) if case.form == FORMS.get(case.block, "dense")]

families = pytest.mark.parametrize("family", FAMILIES)


def with_option(option, *names):
    """All cases whose block takes `option`, of the blocks `names` if any."""
    taking = [
        case
        for case in ALL
        if option in inspect.signature(getattr(case.module, case.block)).parameters
        and (not names or case.block in names)
    ]
    assert taking
    return pytest.mark.parametrize("case", taking, ids=str)


def synapses(block):
    """The synapses of a block, a complex one as its two parts."""
    whole = [block.input_synapse, block.recurrent_synapse] if hasattr(block, "input_synapse") else [block.synapse]
    return [part for synapse in whole for part in ([synapse.real, synapse.imag] if synapse.complex else [synapse])]


# -- arguments ----------------------------------------------------------------------------------

SIZES = ["neuron_params", "in_neurons", "out_neurons"]
WEIGHT = ["weight_scale", "weight_norm", "pre_hook_fx"]
ORDER = {
    "Recurrent": [*SIZES, *WEIGHT, "requires_grad", "delay", "delay_shift", "count_log", "input_bias"],
    "KWTA": [
        *SIZES, "num_winners", "self_excitation", *WEIGHT, "delay_shift", "requires_grad", "count_log", "input_bias",
    ],
    "Output": [*SIZES, "weight_scale", "weight_norm", "count_log"],
}  # fmt: skip


@pytest.mark.parametrize("name", ORDER)
def test_the_arguments_of_sigma_delta_blocks_have_this_order(name):
    assert list(inspect.signature(getattr(blocks.sigma_delta, name)).parameters) == ORDER[name]


@families
def test_arguments_are_those_of_every_family(family):
    for name in BLOCKS:
        if family not in BLOCKS[name].absent and name != "Output":
            module = getattr(blocks, family)
            arguments = list(inspect.signature(getattr(module, name)).parameters.values())
            expected = list(inspect.signature(getattr(blocks.cuba, name)).parameters.values())
            assert [p.name for p in arguments] == [p.name for p in expected]
            for mine, cubas in zip(arguments, expected, strict=True):
                assert mine.default == (family != "sigma_delta" if mine.name == "delay_shift" else cubas.default)


@families
def test_arguments_may_be_given_by_position(family):
    module, params, hook = getattr(blocks, family), FAMILIES[family], torch.round
    made = {
        "Affine": module.Affine(params, 3, 4, 2.0, True, hook, False, None, True),
        "Dense": module.Dense(params, 3, 4, 2.0, True, hook, True, False, None, True),
        "Conv": module.Conv(params, 2, 4, 3, 2, 1, 1, 2, 2.0, True, hook, True, False, True),
        "ConvT": module.ConvT(params, 2, 4, 3, 2, 1, 1, 2, 2.0, True, hook, True, False, True),
        "Pool": module.Pool(params, 2, 1, 0, 1, 2.0, True, hook, True, False, True),
        "Unpool": module.Unpool(params, 2, 1, 0, 1, 2.0, True, hook, True, False, True),
    }
    if family in SPIKING:
        made["Recurrent"] = module.Recurrent(params, 3, 4, 2.0, True, hook, False, True, False, True)
        made["KWTA"] = module.KWTA(params, 3, 4, 2, 0.25, 2.0, True, hook, False, False, True)
        assert (made["KWTA"].num_winners, made["KWTA"].self_excitation.item()) == (2, 0.25)
        for name in ("Recurrent", "KWTA"):
            assert made[name].requires_grad is False
    for name, block in made.items():
        assert block.count_log is True, name
        assert block.delay_shift is False, name
        assert (block.delay is not None) is BLOCKS[name].delays, name
        for synapse in synapses(block):
            assert synapse.pre_hook_fx is hook, name
            assert "weight_g" in dict(synapse.named_parameters()), name
    assert made["Affine"].dynamics is False
    for name in ("Conv", "ConvT"):
        geometry = made[name].synapse.stride, made[name].synapse.padding, made[name].synapse.groups
        assert geometry == ((2, 2, 1), (1, 1, 0), 2)
    entry = module.Input(params, 1.5, 0.25, False, True)
    assert (entry.weight.item(), entry.bias.item(), entry.delay_shift, entry.count_log) == (1.5, 0.25, False, True)
    output = blocks.sigma_delta.Output(FAMILIES["sigma_delta"], 3, 4, 2.0, True, True)
    assert output.count_log is True
    assert "weight_g" in dict(output.synapse.named_parameters())


@pytest.mark.parametrize("case", ALL, ids=str)
def test_the_callers_parameters_are_not_modified(case):
    params = {**case.params, "norm": MeanOnlyBatchNorm}
    before = dict(params)
    block = getattr(case.module, case.block)(params, *BLOCKS[case.block].inputs[case.form][0])
    block(case.input())
    assert params == before


# -- what they do -------------------------------------------------------------------------------


@with_option("count_log")
def test_every_block_counts_its_spikes(case):
    y = case.build()(case.input())
    counted, rate = case.build(count_log=True)(case.input())
    assert torch.equal(counted, y)
    assert rate == utils.event_rate(y)


@with_option("delay_shift")
def test_the_delay_shift_of_a_block_can_be_switched_off(case):
    x = case.input()
    unshifted = case.build(delay_shift=False)(x)
    assert unshifted.any()
    shifted = case.build(delay_shift=True)(x)
    assert torch.equal(shifted, axon.delay(unshifted, 1))
    assert torch.equal(case.build()(x), unshifted if case.family == "sigma_delta" else shifted)


@with_option("delay")
def test_a_block_may_have_learnt_delays(case):
    x = case.input()
    y = case.build()(x)
    block = case.build(delay=True)
    block(x)
    assert block.delay.delay.shape == (y.shape[1],)
    block.delay.delay.data = torch.arange(y.shape[1]) + 0.5
    delayed = block(x)
    for channel in range(y.shape[1]):
        assert torch.equal(delayed[:, [channel]], axon.delay(y[:, [channel]], channel))


@with_option("weight_norm", *TRAINED, "Output")
def test_every_synaptic_block_takes_a_weight_norm(case):
    block = case.build(weight_norm=True)
    y = block(case.input())
    (y * torch.randn(y.shape)).sum().backward()
    for synapse in synapses(block):
        assert {name for name, p in synapse.named_parameters() if p.grad.any()} == {"weight_g", "weight_v"}
        synapse.disable_weight_norm()
    assert torch.equal(block(case.input()), y)


@with_option("pre_hook_fx", *TRAINED)
def test_a_pre_hook_acts_on_the_weights(case):
    block = case.build(pre_hook_fx=torch.nn.Identity())
    quantised = case.build()
    block(case.input())
    for synapse, other in zip(synapses(block), synapses(quantised), strict=True):
        assert torch.equal(synapse.weight, other.weight)
        assert torch.equal(synapse.hooked_weight, synapse.weight)
        assert torch.equal(other.hooked_weight, quantised.neuron.quantize_8bit(other.weight))
        assert not torch.equal(other.hooked_weight, other.weight)
    with pytest.raises(ValueError, match="weight is not quantised to 1/64"):
        block.describe()


@pytest.mark.parametrize("weight_norm", [False, True])
@with_option("mask")
def test_a_mask_silences_weights_in_every_family(case, weight_norm):
    mask = torch.ones(5, 12)
    mask[::2, ::3] = 0
    block = case.build(mask=mask, weight_norm=weight_norm)
    x = case.input()
    y = block(x)
    y.square().sum().backward()
    for synapse in synapses(block):
        kept = synapse.hooked_weight.reshape(5, 12)
        assert not kept[::2, ::3].any()
        assert kept[1::2].count_nonzero() > 20
        if not weight_norm:
            assert not synapse.weight.grad.reshape(5, 12)[::2, ::3].any()
    unseen = x.clone()
    unseen[:, ::3] = 1 - unseen[:, ::3]
    assert torch.equal(block(unseen)[:, ::2], y[:, ::2])
    assert not torch.equal(block(unseen)[:, 1::2], y[:, 1::2])
    described = block.describe()
    masked = [described.weight, *([described.weight_imag] if case.family in COMPLEX else [])]
    assert not any(weight[::2, ::3].any() for weight in masked)


@families
def test_a_mask_of_another_shape_is_refused_in_every_family(family):
    with pytest.raises(
        ValueError, match=r"mask must have the shape \(out, in\) \(5, 12\) of the weight, got \(12, 5\)"
    ):
        getattr(blocks, family).Dense(FAMILIES[family], 12, 5, mask=torch.ones(12, 5))


@families
def test_an_affine_block_without_dynamics_returns_sums(family, tmp_path):
    block = Case(family, "Affine", "dense").build(dynamics=False)
    x = Case(family, "Affine", "dense").input()
    y, z = block(x), block.synapse(x)
    assert torch.equal(y, z[1] if family in COMPLEX else z)
    described = exchange.Network((block.describe(),))
    assert described.layers[0].neuron is None
    exchange.write(tmp_path / "x.net", described)
    rebuilt = auto.SequentialNetwork(tmp_path / "x.net")
    assert torch.equal(rebuilt(x), y)
    assert same(exchange.Network((rebuilt.blocks[0].describe(),)), described)
    y.sum().backward()
    trained = {name for name, p in block.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained == {"synapse.imag.weight" if family in COMPLEX else "synapse.weight"}


@families
def test_an_input_block_without_neurons_is_the_same_in_every_family(family):
    x = torch.randn(2, 3, 24)
    module = getattr(blocks, family)
    assert torch.equal(module.Input(weight=2, bias=1, delay_shift=False)(x), 2 * x + 1)


@families
def test_norm_of_an_input_is_not_exported(family):
    case = Case(family, "Input", "dense")
    block = case.build(norm=MeanOnlyBatchNorm)
    block(case.input()).sum().backward()
    with pytest.raises(ValueError, match="input block with a norm cannot be exported"):
        block.describe()


@families
def test_a_frame_enters_a_dense_block_as_it_is(family, tmp_path):
    module, params = getattr(blocks, family), FAMILIES[family]
    torch.manual_seed(0)
    net = [
        module.Conv(params, 2, 4, 3, weight_scale=3),
        module.Dense(params, (5, 4, 4), 6, weight_scale=3),
        module.Affine(params, 6, 3, weight_scale=3),
    ]
    x = y = Case(family, "Conv", "spatial").input()
    for block in net:
        y = block(y)
    assert y.any()
    exchange.write(tmp_path / "x.net", exchange.Network(tuple(block.describe() for block in net)))
    assert torch.equal(auto.SequentialNetwork(tmp_path / "x.net")(x), y)


# -- state dicts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [c for c in matrix.cases() if c.per_channel and not c.persistent and c.form == FORMS.get(c.block, "dense")],
    ids=str,
)
def test_a_fresh_block_loads_a_state_dict(case, tmp_path):
    """All that was trained, delays and means included, before the first forward pass."""
    options = {"delay": True} if BLOCKS[case.block].delays else {}
    if case.block in ("Dense", "Affine"):
        options["mask"] = torch.ones(5, 12)
    block = case.build(norm=MeanOnlyBatchNorm, **options)
    for seed in range(2):
        block(case.input(seed))
    if options.get("delay"):
        block.delay.delay.data = torch.arange(block.delay.delay.numel()) + 0.5
    if case.block == "KWTA":
        block.self_excitation.data.fill_(0.75)
    torch.save(block.state_dict(), tmp_path / "x.pt")
    fresh = case.build(seed=2, norm=MeanOnlyBatchNorm, **options)
    fresh.load_state_dict(torch.load(tmp_path / "x.pt", weights_only=True), strict=True)
    y = block.eval()(case.input(3))
    assert len(y.unique()) > 1
    assert torch.equal(fresh.eval()(case.input(3)), y)
    assert all(torch.equal(value, block.state_dict()[name]) for name, value in fresh.state_dict().items())


def test_what_lava_dl_saves_without_need_is_left_out():
    """The last spikes of a block that feeds back, and a norm that an output does not use; the dict stays as it is."""
    for case, key in (
        (Case("cuba", "Recurrent", "dense"), "spike_state"),
        (Case("rf", "KWTA", "dense"), "spike_state"),
        (Case("sigma_delta", "Output", "dense"), "neuron.norm.running_mean"),
    ):
        block = case.build()
        state = {**block.state_dict(), key: torch.ones(5)}
        fresh = case.build(seed=2)
        fresh.load_state_dict(state, strict=True)
        assert key in state
        assert torch.equal(fresh(case.input()), block(case.input()))


# -- state with norms ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Dense", "Recurrent", "KWTA"])
@pytest.mark.parametrize("family", SPIKING)
@torch.no_grad()
def test_chunks_with_a_norm_are_the_whole_where_state_persists(family, name):
    case = Case(family, name, "dense", per_channel=True, persistent=True)
    block = case.build(norm=MeanOnlyBatchNorm)
    for seed in range(2):
        block(case.input(seed))
    block.eval().reset()
    whole = block(case.input())
    assert whole.any()
    block.reset()
    assert torch.equal(torch.cat([block(part) for part in case.input().split(5, -1)], -1), whole)
