"""A layer of rates in one function gives what its parts give one after the other, and leaves the rest to them."""

import copy
import itertools
from contextlib import contextmanager, nullcontext

import pytest
import torch

from lavadl_ref import bootstrap, slayer
from lavadl_ref.bootstrap import Mode
from lavadl_ref.bootstrap.block import _fused
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm
from tests.support.families import COMPLEX, RATED
from tests.support.matrix import FAMILIES

CURVED = [name for name in RATED if name != "sigma_delta"]
BLOCKS = ["Input", "Dense", "Affine"]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@contextmanager
def parts():
    """Leave everything to the parts meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_fused, "_alone", lambda *parts: False)
        yield


def sampled(family, name, width=12, outputs=9, **options):
    """A block with a fitted curve."""
    neuron = {**FAMILIES[family], **options.pop("neuron", {})}
    arguments = {"Input": (), "Dense": (width, outputs), "Affine": (width, outputs)}[name]
    given = {"weight": 1.5, "bias": 0.1} if name == "Input" else {"weight_scale": 2, "weight_norm": True}
    block = getattr(getattr(bootstrap.block, family), name)(neuron, *arguments, **{**given, **options})
    with torch.no_grad():
        block((torch.rand(8, width, 20) < 0.4).float(), mode=Mode.SAMPLE)
        block.fit()
        block(torch.rand(8, width, 1), mode=Mode.ANN)
    return block


def taken(monkeypatch):
    """The results that the functions give from now on, None where they leave it to the parts."""
    results = []
    for name in ("rates", "sums", "input_rates"):
        function = getattr(_fused, name)

        def noted(*arguments, function=function):
            results.append(function(*arguments))
            return results[-1]

        monkeypatch.setattr(_fused, name, noted)
    return results


def _strides(x):
    """Of the axes that have more than one place."""
    return [step for step, extent in zip(x.stride(), x.shape, strict=True) if extent > 1]


def run(block, x, seed=3):
    """Rates, and the gradients to all that has one."""
    block = copy.deepcopy(block)
    x = x.detach().clone().requires_grad_(x.requires_grad)
    torch.manual_seed(seed)
    out = block(x, mode=Mode.ANN)
    rates, rate = out if isinstance(out, tuple) else (out, None)
    torch.manual_seed(7)
    rates.backward(torch.randn(rates.shape))
    gradients = {name: p.grad for name, p in block.named_parameters() if p.requires_grad and p.grad is not None}
    return rates.detach(), rate, {**gradients, "x": x.grad}, block


def compared(block, x, monkeypatch):
    results = taken(monkeypatch)
    rates, rate, gradients, after = run(block, x)
    assert len(results) == 1
    at_once = results[0] is not None
    with parts():
        expected = run(block, x)
    assert torch.equal(rates, expected[0])
    assert _strides(rates) == _strides(expected[0])
    assert rate == expected[1]
    assert after.shape == expected[3].shape
    if getattr(getattr(after, "synapse", None), "taken", None) is not None:
        assert after.synapse.taken == expected[3].synapse.taken
    assert gradients.keys() == expected[2].keys()
    for name, other in expected[2].items():
        one = gradients[name]
        assert (one is None) == (other is None), name
        if one is not None:
            assert one.shape == other.shape
            assert (one - other).norm() <= 2e-6 * other.norm() + 1e-12, name
    return at_once


@pytest.mark.parametrize("family", CURVED)
@pytest.mark.parametrize("name", ["Dense", "Affine"])
@pytest.mark.parametrize("weight_norm", [True, False])
@pytest.mark.parametrize("scale", [1, 60])
def test_a_layer_at_once_equals_its_parts(family, name, weight_norm, scale, monkeypatch):
    block = sampled(family, name, weight_norm=weight_norm, weight_scale=scale)
    at_once = compared(block, torch.rand(8, 12, 1, requires_grad=True), monkeypatch)
    assert at_once == (name == "Dense" or (weight_norm and family not in COMPLEX))


@pytest.mark.parametrize("family", CURVED)
def test_an_input_block_at_once_equals_its_parts(family, monkeypatch):
    assert compared(sampled(family, "Input"), torch.rand(8, 12, 1), monkeypatch)


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("steps", [1, 5])
def test_rates_that_follow_spikes_are_averaged_first(name, steps, monkeypatch):
    block = sampled("cuba", name)
    assert compared(block, torch.rand(8, 12, steps), monkeypatch) == (steps == 1 or name == "Dense")


@pytest.mark.parametrize("name", BLOCKS)
def test_dropout_and_counts_at_once_equal_those_of_the_parts(name, monkeypatch):
    options = {} if name == "Affine" else {"neuron": {"dropout": slayer.neuron.Dropout(p=0.4)}}
    block = sampled("cuba", name, count_log=True, **options)
    assert compared(block, torch.rand(8, 12, 1), monkeypatch)
    block.eval()
    assert compared(block, torch.rand(8, 12, 1), monkeypatch)


@pytest.mark.parametrize("weight", [None, 1.0, 9.0])
@pytest.mark.parametrize("bias", [None, -0.2, -9.0])
def test_an_input_block_at_once_equals_its_parts_with_any_gain_and_offset(weight, bias, monkeypatch):
    if weight is None and bias is None:
        bias = 0.5
    block = sampled("cuba", "Input", weight=weight, bias=bias)
    assert compared(block, torch.randn(8, 12, 1) * 3, monkeypatch)


def test_frames_through_an_input_block_at_once_equal_its_parts(monkeypatch):
    block = bootstrap.block.cuba.Input(dict(FAMILIES["cuba"]), weight=1.5, bias=0.1)
    with torch.no_grad():
        block(torch.rand(8, 2, 6, 7, 20), mode=Mode.SAMPLE)
        block.fit()
    assert compared(block, torch.rand(8, 2, 6, 7, 1), monkeypatch)


@pytest.mark.parametrize("mode", ["no_grad", "frozen"])
@pytest.mark.parametrize("name", BLOCKS)
def test_rates_without_gradients_equal_those_with_them(name, mode):
    block = sampled("cuba", name)
    x = torch.rand(8, 12, 1)
    expected = block(x, mode=Mode.ANN)
    if mode == "frozen":
        for parameter in block.parameters():
            parameter.requires_grad_(False)
    with torch.set_grad_enabled(mode == "frozen"):
        found = block(x, mode=Mode.ANN)
        again = block(x, mode=Mode.ANN)
        with parts():
            assert torch.equal(found, block(x, mode=Mode.ANN))
    assert not found.requires_grad
    assert torch.equal(found, expected)
    assert torch.equal(again, expected)


def _hooked(block):
    block.neuron.register_forward_hook(lambda *_: None)


def _part_hooked(block):
    block.f.register_forward_hook(lambda *_: None)


def _synapse_hooked(block):
    block.synapse.register_forward_hook(lambda *_: None)


def _quantiser(block):
    if hasattr(block, "synapse"):
        block.synapse.pre_hook_fx = lambda weight: weight
    block.pre_hook_fx = lambda weight: weight


def _curve(block):
    block.f = bootstrap.ann_sampler.Exact(torch.relu)


def _norm(block):
    block.neuron.norm = MeanOnlyBatchNorm()


def _persistent(block):
    block.neuron.persistent_state = True


def _masked(block):
    block.synapse.mask = (torch.rand(9, 12) < 0.5).float()


def _biased(block):
    block.synapse.bias = torch.nn.Parameter(torch.rand(9))


def _other_synapse(block):
    class Mine(slayer.synapse.Dense):
        def forward(self, input):
            return -super().forward(input)

    block.synapse = Mine(12, 9)


def _dropout(block):
    block.neuron.drop = torch.nn.Dropout(0.3)


ALL = [_hooked, _part_hooked, _quantiser, _curve, _norm, _persistent, _dropout]
OF_SYNAPSES = [_synapse_hooked, _masked, _biased, _other_synapse]
CHANGES = [*itertools.product(["Input", "Dense"], ALL), *itertools.product(["Dense"], OF_SYNAPSES)]


@pytest.mark.parametrize(("name", "change"), CHANGES, ids=lambda value: getattr(value, "__name__", value))
def test_what_a_layer_at_once_does_not_cover_is_left_to_its_parts(name, change, monkeypatch):
    block = sampled("cuba", name)
    change(block)
    assert not compared(block, torch.rand(8, 12, 1), monkeypatch)


@pytest.mark.parametrize("change", OF_SYNAPSES, ids=lambda value: value.__name__)
def test_what_sums_at_once_do_not_cover_is_left_to_the_synapse(change, monkeypatch):
    block = sampled("cuba", "Affine")
    change(block)
    assert not compared(block, torch.rand(8, 12, 1), monkeypatch)


def test_a_pinned_path_is_followed_by_layers_at_once(monkeypatch):
    block = sampled("cuba", "Dense")
    x = torch.rand(8, 12, 1)
    for path, at_once in (("gemm", True), ("events", False)):
        with slayer.synapse.path(path), monkeypatch.context() as patch:
            assert compared(block, x, patch) == at_once


def test_sparse_rates_of_large_batches_are_left_to_the_synapse(monkeypatch):
    block = sampled("cuba", "Dense", 600, 120)
    for density, at_once in ((0.9, True), (0.05, False)):
        x = torch.rand(100, 600, 1) * (torch.rand(100, 600, 1) < density)
        with monkeypatch.context() as patch:
            assert compared(block, x, patch) == at_once


def test_autocast_and_global_hooks_leave_a_layer_to_its_parts(monkeypatch):
    block = sampled("cuba", "Dense")
    x = torch.rand(8, 12, 1)
    results = taken(monkeypatch)
    expected = block(x, mode=Mode.ANN)
    with torch.autocast("cpu"):
        assert torch.equal(block.forward(x, mode=Mode.ANN), expected)
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert torch.equal(block(x, mode=Mode.ANN), expected)
    finally:
        handle.remove()
    assert [result is None for result in results] == [False, True, True]


def test_sums_at_once_can_be_differentiated_twice():
    def second(block, x):
        block, x = copy.deepcopy(block), x.clone().requires_grad_()
        parameters = [x, block.synapse.weight_v, block.synapse.weight_g]
        first = torch.autograd.grad((block(x, mode=Mode.ANN) ** 2).sum(), parameters, create_graph=True)
        return torch.autograd.grad(sum((g**2).sum() for g in first), parameters)

    block, x = sampled("cuba", "Affine"), torch.rand(8, 12, 1)
    found = second(block, x)
    with parts():
        expected = second(block, x)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


def test_a_weight_without_a_length_may_change_before_backward():
    gradients = []
    for apart in (False, True):
        torch.manual_seed(0)
        block = sampled("cuba", "Dense", weight_norm=False, weight_scale=60)
        with parts() if apart else nullcontext():
            total = block(torch.rand(8, 12, 1), mode=Mode.ANN).sum()
        with torch.no_grad():
            block.synapse.weight.zero_()
        total.backward()
        gradients.append(block.synapse.weight.grad)
    assert torch.allclose(*gradients)
    assert (gradients[0] == 0).any()
    assert (gradients[0] != 0).any()
