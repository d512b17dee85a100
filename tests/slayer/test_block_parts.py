"""Parts of blocks that users hook, prune, replace or give more to: each of it acts, or is refused."""

import copy
import doctest
import inspect
import math
import pickle
import re

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations, prune

from lavadl_ref import exchange, slayer
from lavadl_ref.deployed import reference
from lavadl_ref.slayer import synapse
from lavadl_ref.slayer.auto import SequentialNetwork
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm
from tests.support import matrix
from tests.support.matrix import BLOCKS, FAMILIES

neurons = pytest.mark.parametrize("case", matrix.cases(states=False), ids=str)
SYNAPTIC = [case for case in matrix.cases(states=False) if case.block != "Input"]
synaptic = pytest.mark.parametrize("case", SYNAPTIC, ids=str)
families = pytest.mark.parametrize("family", FAMILIES)
# weights are made large here, so that what is tested fires
SATURATED = pytest.mark.filterwarnings("ignore::lavadl_ref.slayer.SaturationWarning")

#: (family or None, block, submodules) that are not called, which docs/blocks.md says.
NOT_CALLED = [
    (None, "Affine", r"neuron"),
    ("sigma_delta", "Affine", r"neuron\.delta"),
    ("sigma_delta", "Input", r"neuron|neuron\.sigma"),
    (None, "Output", r"neuron.*"),
    (None, "Recurrent", r"neuron\.(norm|real_norm|imag_norm)"),
    (None, "KWTA", r"neuron\.(norm|real_norm|imag_norm)"),
]


def built(case, **options):
    if BLOCKS[case.block].delays:
        options["delay"] = True
    norm = None if case.block in ("Input", "Output", "Pool", "Unpool") else MeanOnlyBatchNorm
    return case.build(norm=norm, **options)


def parts(block):
    """The real synapses of a block by their names."""
    return {name: part for name, part in block.named_modules() if isinstance(part, synapse.GenericLayer)}


def expected_not_to_be_called(case, name):
    return any(
        family in (None, case.family) and block == case.block and re.fullmatch(pattern, name)
        for family, block, pattern in NOT_CALLED
    )


# -- hooks ------------------------------------------------------------------------------------------


@neurons
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_a_hook_of_every_submodule_runs(case, training):
    plain, hooked = built(case).train(training), built(case).train(training)
    seen = set()
    for name, part in hooked.named_modules():
        part.register_forward_hook(lambda *_, name=name: seen.add(name))
    assert torch.equal(hooked(case.input()), plain(case.input()))
    silent = {name for name, _ in hooked.named_modules()} - seen
    assert silent == {name for name, _ in hooked.named_modules() if expected_not_to_be_called(case, name)}


@pytest.mark.parametrize("family", matrix.SPIKING)
def test_a_hook_of_the_feedback_sees_what_is_fed_back(family):
    case = matrix.Case(family, "Recurrent", "dense")
    block, seen = case.build(), []
    for part in parts(block.recurrent_synapse).values() if family in matrix.COMPLEX else [block.recurrent_synapse]:
        part.register_forward_hook(lambda module, given, returned: seen.append((module, given[0], returned)))
    block.delay_shift = False
    spikes = block(case.input())
    before = torch.nn.functional.pad(spikes, (1, 0))[..., :-1]
    assert spikes.any()
    for module, given, returned in seen:
        assert torch.equal(given, before)
        assert torch.equal(returned, module.forward(before))
    assert seen


def test_a_hook_cannot_change_what_is_fed_back():
    block = matrix.Case("cuba", "Recurrent", "dense").build()
    block.recurrent_synapse.register_forward_hook(lambda module, given, returned: returned + 1)
    with pytest.raises(RuntimeError, match="must not change"):
        block(matrix.Case("cuba", "Recurrent", "dense").input())


# -- pruning and weight norm ------------------------------------------------------------------------


def trained(block, x, steps=3):
    """`block` after some steps of training."""
    optimizer = torch.optim.SGD(block.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        y = block(x)
        (y * torch.linspace(-1, 1, y.numel()).reshape(y.shape)).sum().backward()
        optimizer.step()


@SATURATED
@synaptic
def test_pruned_blocks_train_and_export(case):
    block = built(case)
    for part in parts(block).values():
        prune.l1_unstructured(part, "weight", amount=0.5)
    trained(block, case.input())
    # without another call: what is exported is what training left
    described = block.eval().describe()
    kept = [(part.weight_mask != 0).sum().item() for part in parts(block).values()]
    exported = [described.weight, getattr(described, "weight_imag", None)]
    if hasattr(described, "weight_rec") and case.block != "KWTA":
        exported += [described.weight_rec, described.weight_rec_imag]
    if not (case.block == "Affine" and not block.dynamics):
        for values, count in zip([v for v in exported if v is not None], kept, strict=True):
            assert np.count_nonzero(values) <= count
    for part in parts(block).values():
        prune.remove(part, "weight")
    again = block.describe()
    assert np.array_equal(again.weight, described.weight)


@SATURATED
@synaptic
def test_the_weight_norm_of_torch_acts_on_blocks(case):
    if case.block in ("Pool", "Unpool"):
        pytest.skip("a window has one weight, which is not trained")
    block, x = built(case), case.input()
    for part in parts(block).values():
        with pytest.warns(FutureWarning):
            torch.nn.utils.weight_norm(part)
        assert part.weight_norm_enabled
    trained(block, x)
    described = block.eval().describe()
    for part in parts(block).values():
        part.disable_weight_norm()
        assert not part.weight_norm_enabled
        assert isinstance(part.weight, torch.nn.Parameter)
    assert np.array_equal(block.describe().weight, described.weight)


def test_a_weight_norm_is_removed_as_torchs():
    block = slayer.block.cuba.Dense(FAMILIES["cuba"], 12, 5, weight_norm=True)
    weight = block.synapse.weight.detach().clone()
    torch.nn.utils.remove_weight_norm(block.synapse)
    assert [name for name, _ in block.synapse.named_parameters()] == ["weight"]
    assert torch.equal(block.synapse.weight, weight)
    block.synapse.weight_norm_enabled = True
    assert {name for name, _ in block.synapse.named_parameters()} == {"weight_g", "weight_v"}
    block.synapse.weight_norm_enabled = False
    with pytest.raises(ValueError, match="not found"):
        torch.nn.utils.remove_weight_norm(block.synapse)


def test_parametrised_weights_train_and_are_applied():
    block = slayer.block.cuba.Dense(FAMILIES["cuba"], 12, 5)
    parametrizations.weight_norm(block.synapse)
    trained(block, matrix.Case("cuba", "Dense", "dense").input())
    assert np.array_equal(block.describe().weight, (block.synapse.hooked_weight * 64).detach().reshape(5, 12))
    with pytest.raises(RuntimeError, match="remove pruning or parametrisation"):
        block.synapse.enable_weight_norm()
    with pytest.raises(RuntimeError, match="remove pruning or parametrisation"):
        block.synapse.reset_parameters()


@pytest.mark.parametrize("weight_norm", [False, True])
@pytest.mark.parametrize("make", [lambda w: synapse.Dense(12, 5, 3, w), lambda w: synapse.Pool(2, weight_norm=w)])
def test_weights_are_drawn_again_in_place(make, weight_norm):
    part = make(weight_norm)
    known = list(part.parameters())
    torch.manual_seed(3)
    part.reset_parameters()
    assert all(a is b for a, b in zip(part.parameters(), known, strict=True))
    expected = torch.ones_like(part.weight)
    if isinstance(part, synapse.Dense):
        torch.manual_seed(3)
        torch.nn.init.kaiming_uniform_(expected, a=math.sqrt(5))
    assert torch.allclose(part.weight, expected, rtol=1e-6)


def test_blocks_can_be_copied_and_pickled():
    block = slayer.block.cuba.Dense(FAMILIES["cuba"], 12, 5, weight_norm=True, mask=torch.eye(5, 12))
    x = matrix.Case("cuba", "Dense", "dense").input()
    y = block(x)
    assert torch.equal(copy.deepcopy(block)(x), y)
    assert torch.equal(pickle.loads(pickle.dumps(block))(x), y)


# -- synapses as torch knows them -------------------------------------------------------------------


@synaptic
def test_synapses_are_found_as_convolutions(case):
    block, found = built(case), []

    def collect(module):
        if isinstance(module, (torch.nn.Conv3d, torch.nn.ConvTranspose3d)):
            found.append(module)
            assert module.weight.shape[2:4] == module.kernel_size[:2]
            assert len(module.stride) == len(module.padding) == len(module.dilation) == 3
            assert module.transposed is isinstance(module, torch.nn.ConvTranspose3d)
            assert module.bias is None
            torch.nn.init.constant_(module.weight, 0.25)

    block.apply(collect)
    assert found == list(parts(block).values())
    block(case.input())
    assert np.unique(block.describe().weight).tolist() == [16]


@pytest.mark.parametrize(
    "name", ["in_channels", "out_channels", "kernel_size", "transposed", "padding_mode", "complex"]
)
@pytest.mark.parametrize("make", [lambda: synapse.Dense(3, 2), lambda: synapse.Conv(2, 3, 3), lambda: synapse.Pool(2)])
def test_what_follows_from_the_constructor_cannot_be_assigned(make, name):
    part = make()
    setattr(part, name, getattr(part, name))
    with pytest.raises(AttributeError, match=f"{name} of .* cannot become 'other': make another one"):
        setattr(part, name, "other")


@pytest.mark.parametrize("name", ["stride", "padding", "dilation"])
def test_windows_can_be_assigned(name):
    value = (2, 1, 0 if name == "padding" else 1)
    for kind, arguments in (("Conv", (2, 3, 2)), ("ConvTranspose", (2, 3, 2)), ("Pool", (2,)), ("Unpool", (2,))):
        for module in (synapse, synapse.complex):
            torch.manual_seed(0)
            assigned = getattr(module, kind)(*arguments)
            torch.manual_seed(0)
            made = getattr(module, kind)(*arguments, **{name: value[:2]})
            setattr(assigned, name, value)
            x = torch.randn(2, 2, 7, 6, 3)
            y, expected = assigned(x), made(x)
            assert all(torch.equal(*pair) for pair in zip(y, expected, strict=True))


def test_complex_synapses_have_weights_and_biases_in_their_parts():
    for name in ("weight", "bias"):
        with pytest.raises(AttributeError, match=f"{name} of Dense cannot be assigned: it has two, of its parts real"):
            setattr(synapse.complex.Dense(3, 2), name, torch.nn.Parameter(torch.zeros(2)))


# -- dense weights on frames ------------------------------------------------------------------------


@families
def test_dense_blocks_on_frames_are_convolutions(family):
    torch.manual_seed(0)
    block = getattr(slayer.block, family).Dense(FAMILIES[family], 2, 3, weight_scale=4)
    torch.manual_seed(0)
    conv = getattr(slayer.block, family).Conv(FAMILIES[family], 2, 3, 1, weight_scale=4)
    x = (torch.rand(2, 2, 4, 5, 12) < 0.4).float()
    y = block(x)
    assert torch.equal(y, conv(x))
    assert len(y.unique()) > 1
    layer = block.describe()
    assert layer.kind == "conv"
    assert torch.equal(SequentialNetwork(exchange.Network((layer,))).eval()(x), y)


def test_sums_on_frames_are_not_exported():
    block = slayer.block.cuba.Affine(FAMILIES["cuba"], 2, 3)
    block(torch.zeros(1, 2, 4, 5, 6))
    with pytest.raises(ValueError, match=r"shape \(3, 4, 5\)"):
        block.describe()


# -- biases of synapses -----------------------------------------------------------------------------


def biased(case, **options):
    """A block whose synapses have biases, and its plain twin."""
    block, plain = (case.build(**options) for _ in range(2))
    for index, part in enumerate(parts(block).values()):
        values = ((torch.arange(part.out_channels) + index) % 3 - 1) / 4
        part.bias = torch.nn.Parameter(values)
    return block, plain


@synaptic
def test_a_bias_of_a_synapse_is_added(case):
    block, plain = biased(case)
    x = case.input()
    for name, part in parts(block).items():
        twin = dict(plain.named_modules())[name]
        spatial = case.block in ("Conv", "ConvT", "Pool", "Unpool")
        given = torch.rand(2, twin.in_channels, 9, 9, 4) if spatial else torch.rand(2, twin.shape[1:].numel(), 4)
        bias = part.bias.reshape(-1, *[1] * (twin(given).ndim - 2))
        assert torch.allclose(part(given), twin(given) + bias, rtol=1e-6, atol=1e-6)
    y = block(x)
    assert not torch.equal(y, plain(x))
    (y * torch.randn(y.shape)).sum().backward()
    if case.block == "Affine" and case.family in matrix.COMPLEX:
        return
    assert all(part.bias.grad is not None and part.bias.grad.any() for part in parts(block).values())


@synaptic
def test_a_bias_of_a_synapse_is_exported_or_refused(case):
    block, _ = biased(case)
    x = case.input()
    with torch.no_grad():
        y = block.eval()(x)
    if case.family == "sigma_delta" or case.block in ("Pool", "Unpool"):
        with pytest.raises(ValueError, match=r"bias"):
            block.describe()
        return
    network = exchange.Network((block.describe(),))
    assert (network.layers[0].input_bias is not None) == (case.family == "cuba")
    rebuilt = SequentialNetwork(network).eval()
    if case.block in ("Dense", "Recurrent", "KWTA", "Affine"):
        x, y = x.flatten(1, -2), y.flatten(1, -2)
    assert torch.equal(rebuilt(x), y)
    if case.block != "Affine":
        run = reference.Network(network).run(x.numpy().astype(np.int64))
        lag = 0 if not network.layers[0].shifts else 1
        assert np.array_equal(run.layers[0].spikes[..., 1 : 1 + 8], y.numpy()[..., lag : lag + 8])


def test_a_bias_of_one_part_of_a_complex_synapse_is_exported():
    block = slayer.block.rf_iz.Dense(FAMILIES["rf_iz"], 4, 3)
    block(torch.zeros(1, 4, 5))
    block.synapse.imag.bias = torch.nn.Parameter(torch.tensor([0.25, 0, -0.5]))
    layer = block.describe()
    assert (layer.bias.tolist(), layer.bias_imag.tolist()) == ([0, 0, 0], [16, 0, -32])
    exchange.check(exchange.Network((layer,)))


def test_a_synapses_bias_without_current_memory_equals_the_files():
    params = {"threshold": 1, "current_decay": 1.0, "voltage_decay": 0.2}
    block = slayer.block.cuba.Dense(params, 4, 3, weight_scale=3)
    block.synapse.bias = torch.nn.Parameter(torch.tensor([0.25, -0.5, 0.75]))
    x = (torch.rand(2, 4, 30) < 0.3).float()
    y = block(x)
    layer = block.describe()
    assert layer.bias.tolist() == [16, -32, 48]
    assert torch.equal(SequentialNetwork(exchange.Network((layer,))).eval()(x), y)


def test_biases_that_a_file_cannot_hold_or_of_wrong_shape_are_refused():
    block = slayer.block.alif.Dense(FAMILIES["alif"], 4, 3)
    block(torch.zeros(1, 4, 5))
    block.synapse.bias = torch.nn.Parameter(torch.tensor([0.1, 0, 0]))
    with pytest.raises(ValueError, match="bias of the synapse is not quantised"):
        block.describe()
    block.synapse.bias = torch.nn.Parameter(torch.zeros(4))
    with pytest.raises(ValueError, match=r"bias of a synapse must have shape \(3,\), got \(4,\)"):
        block(torch.zeros(1, 4, 5))


@pytest.mark.parametrize("family", matrix.SPIKING)
@pytest.mark.parametrize("name", ["Recurrent", "KWTA"])
def test_a_bias_of_a_block_with_feedback_is_added(family, name):
    case = matrix.Case(family, name, "dense")
    block, plain = case.build(), case.build()
    block.bias = torch.nn.Parameter(torch.tensor([0.5, -0.25, 0.0, 0.25, 0.125]))
    x = case.input()
    y = block(x)
    assert not torch.equal(y, plain(x))
    assert torch.equal(SequentialNetwork(exchange.Network((block.describe(),))).eval()(x), y)
    block.bias = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(ValueError, match=r"bias must have 1 or 5 elements, got \(2,\)"):
        block(x)


# -- parts that are replaced or switched ------------------------------------------------------------


class Steps(torch.nn.Module):
    """A neuron of a user's own."""

    def forward(self, x):
        return (x > 0.25).float()


@pytest.mark.parametrize("name", ["Dense", "Conv", "Pool", "Recurrent"])
def test_a_neuron_of_the_users_own_runs_in_a_block(name):
    case = matrix.Case("cuba", name, next(iter(BLOCKS[name].inputs)))
    block = case.build()
    block.neuron = Steps()
    y = block(case.input())
    assert y[..., 0].eq(0).all()
    if name == "Dense":
        assert torch.equal(y[..., 1:], Steps()(block.synapse(case.input()))[..., :-1])
    if name == "Recurrent":
        last, z = torch.zeros(2, 5), block.input_synapse(case.input())
        for t in range(matrix.T - 1):
            last = Steps()(z[..., t] + last @ block.recurrent_synapse.hooked_weight.flatten(1).t())
            assert torch.equal(y[..., t + 1], last)
    assert len(y.unique()) == 2
    block.reset()
    with pytest.raises(TypeError, match=r"neuron must be one of slayer\.neuron, got Steps"):
        block.describe()


def test_other_parts_of_the_users_own_are_not_exported():
    block = slayer.block.cuba.Dense(FAMILIES["cuba"], 4, 3)
    block.delay = torch.nn.Identity()
    block(torch.zeros(1, 4, 5))
    with pytest.raises(TypeError, match=r"delay must be slayer\.axon\.Delay, got Identity"):
        block.describe()
    block = slayer.block.cuba.Dense(FAMILIES["cuba"], 4, 3)
    block.synapse = torch.nn.Conv3d(4, 3, 1)
    block(torch.zeros(1, 4, 1, 1, 5))
    with pytest.raises(TypeError, match=r"synapse must be one of slayer\.synapse, got Conv3d"):
        block.describe()


@synaptic
def test_a_quantiser_of_none_may_be_given_by_keyword(case):
    if case.block in ("Output", "Recurrent"):
        pytest.skip("its weights are quantised unless another quantiser is given")
    for part in parts(case.build(pre_hook_fx=None)).values():
        assert part.pre_hook_fx is None
    arguments, _ = BLOCKS[case.block].inputs[case.form]
    names = list(inspect.signature(type(case.build())).parameters)
    default = [p.default for p in inspect.signature(type(case.build())).parameters.values()]
    upto = names.index("pre_hook_fx") + 1
    values = [case.params, *arguments, *default[1 + len(arguments) : upto]]
    for part in parts(getattr(case.module, case.block)(*values)).values():
        assert part.pre_hook_fx is not None


@families
def test_the_quantiser_of_an_input_block_can_be_replaced(family):
    block = getattr(slayer.block, family).Input({**FAMILIES[family]}, weight=1, bias=0.3)
    assert block.pre_hook_fx == block.neuron.quantize_8bit
    block.pre_hook_fx = lambda x, descale=False: slayer.utils.quantize(x, 1 / 64) * (64 if descale else 1)
    given = torch.tensor([3.0, 50.0, 120.004]).reshape(1, 3, 1)
    assert torch.equal(block._scaled(given).flatten(), torch.tensor([3.0, 50.0, 120.0]) + 19 / 64)
    block(given)
    assert (block.describe().weight, block.describe().bias) == (64, 19)


def test_the_quantiser_of_an_input_block_acts_on_messages():
    block = slayer.block.sigma_delta.Input({"threshold": 0.1, "activation": torch.relu})
    given = torch.tensor([3.0, 50.0, 120.0]).reshape(1, 3, 1)
    assert torch.equal(block(given).flatten(), torch.full((3,), 254 / 64).minimum(given.flatten()))
    block.pre_hook_fx = lambda x: slayer.utils.quantize(x, 1 / 64)
    assert torch.equal(block(given), given)


def test_the_assigned_switches_of_a_block_act():
    case = matrix.Case("cuba", "Recurrent", "dense")
    block = case.build()
    block.requires_grad = False
    assert not any(p.requires_grad for p in block.recurrent_synapse.parameters())
    block.persistent_state = True
    assert block.neuron.persistent_state
    block(case.input())
    assert block.spike_state is not None
    with pytest.raises(AttributeError, match="num_neurons of Recurrent is 5 and cannot become 6"):
        block.num_neurons = 6
    winners = matrix.Case("cuba", "KWTA", "dense").build()
    winners.self_excitation.data.fill_(3)
    winners.clamp()
    assert winners.self_excitation.item() == 1
    winners.requires_grad = False
    assert not winners.self_excitation.requires_grad
    dense = matrix.Case("cuba", "Dense", "dense").build()
    dense.mask = torch.zeros(5, 12)
    assert not dense(case.input()).any()


# -- blocks of the user's own -----------------------------------------------------------------------


def own(family, name):
    """A block as users derive it from the Abstract classes."""
    module = getattr(slayer.block, family)
    abstract = next(v for k, v in vars(module).items() if k.startswith("Abstract"))
    synapses = synapse.complex if family in matrix.COMPLEX else synapse

    class Own(abstract, getattr(slayer.block.base, f"Abstract{name}")):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            if name == "Input":
                self.pre_hook_fx = self.neuron.quantize_8bit
                return
            kind = {"Affine": "Dense", "ConvT": "ConvTranspose"}.get(name, name)
            if name == "Recurrent":
                self.input_synapse = synapses.Dense(**self.synapse_params)
                self.recurrent_synapse = synapses.Dense(**self.recurrent_params)
                self.input_synapse.pre_hook_fx = self.neuron.quantize_8bit
                self.recurrent_synapse.pre_hook_fx = self.neuron.quantize_8bit
                del self.recurrent_params
            else:
                self.synapse = getattr(synapses, "Dense" if name == "KWTA" else kind)(**self.synapse_params)
                if "pre_hook_fx" not in kwargs:
                    self.synapse.pre_hook_fx = self.neuron.quantize_8bit
            del self.synapse_params

    return Own


@SATURATED
@pytest.mark.parametrize("case", [c for c in matrix.cases(states=False) if c.block != "Output"], ids=str)
def test_own_blocks_are_as_those_here(case):
    options = {"delay": True} if BLOCKS[case.block].delays else {}
    if case.block in ("Dense", "Affine") and case.form == "dense":
        options["mask"] = (torch.arange(5 * 12).reshape(5, 12) % 3 != 0).float()
    block = case.build(**options)
    torch.manual_seed(1)
    mine = own(case.family, case.block)(case.params, *BLOCKS[case.block].inputs[case.form][0], **options)
    x = case.input()
    for net in (block, mine):
        torch.manual_seed(2)
        trained(net, x)
        net.eval()
    assert torch.equal(mine(x), block(x))
    one, other = (exchange.Network((net.describe(),)) for net in (mine, block))
    assert all(np.array_equal(getattr(one.layers[0], f), getattr(other.layers[0], f)) for f in ("weight",))
    rebuilt = SequentialNetwork(one).eval()
    flat = case.block in ("Dense", "Recurrent", "KWTA", "Affine")
    y = block(x)
    assert torch.equal(rebuilt(x.flatten(1, -2) if flat else x), y.flatten(1, -2) if flat else y)


def test_an_own_block_with_an_own_neuron_trains():
    class AbstractSteps(torch.nn.Module):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.neuron = torch.nn.Sequential(torch.nn.Sigmoid())
            del self.neuron_params

    class Dense(AbstractSteps, slayer.block.base.AbstractDense):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.synapse = synapse.Dense(**self.synapse_params)
            del self.synapse_params

    block = Dense({}, 12, 5)
    assert block.delay_shift
    before = block.synapse.weight.detach().clone()
    trained(block, torch.rand(2, 12, 6))
    assert not torch.equal(block.synapse.weight, before)


def test_the_neuron_of_an_affine_block_has_its_shape():
    made = slayer.block.cuba.Affine(FAMILIES["cuba"], 4, 3)
    assert made.neuron.shape is None
    made(torch.zeros(1, 4, 5))
    assert made.neuron.shape == (3,)
    with pytest.raises(ValueError, match="negative threshold -1"):
        made.neuron(torch.zeros(1, 3, 5))


def test_abstract_blocks_cannot_be_made():
    abstract = [getattr(slayer.block.base, name) for name in slayer.block.base.__all__ if name.startswith("Abstract")]
    assert len(abstract) == 13
    assert not hasattr(slayer.block.base, "AbstractResidual")
    assert all(cls.forward is not torch.nn.Module.forward for cls in abstract)


def test_the_examples_of_block_base_hold():
    assert doctest.testmod(slayer.block.base).failed == 0
