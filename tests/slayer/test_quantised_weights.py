"""Weights that kernels make: as torch makes them, from the parameters as they are at the call."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch.nn.utils import prune

from lavadl_ref import slayer
from lavadl_ref.slayer._bridge import weights
from lavadl_ref.slayer.synapse.dense import Dense
from lavadl_ref.slayer.utils.quantize import grid_of, quantize_hook_fx, quantize_within

NEURON = {"threshold": 1.0, "current_decay": 0.5, "voltage_decay": 0.1}
GRID = (1 / 32, -4.0, 127 / 32)


def synapse(inputs=20, outputs=9, weight_norm=True, scale=1.0):
    torch.manual_seed(0)
    block = slayer.block.cuba.Dense(NEURON, inputs, outputs, weight_norm=weight_norm, weight_scale=scale)
    return block.synapse


def by_torch(layer):
    """The weight by torch's functions."""
    parameters = layer._parameters
    plain = parameters.get("weight")
    w = torch._weight_norm(parameters["weight_v"], parameters["weight_g"], 0) if plain is None else plain
    return quantize_within(w, *GRID)


@pytest.mark.parametrize("agree", [True, False])
@pytest.mark.parametrize("scale", [0.1, 1.0, 40.0])
@pytest.mark.parametrize("inputs", [1, 7, 8, 33, 300])
def test_a_normed_weight_has_torch_own_bits(inputs, scale, agree, monkeypatch):
    monkeypatch.setattr(weights, "_norms_agree", lambda: agree)
    layer = synapse(inputs, 11, True, scale)
    layer.weight_g.data *= torch.rand(11, 1, 1, 1, 1)
    assert layer.sources() is not None
    assert torch.equal(layer.hooked_weight, by_torch(layer))
    with torch.no_grad():
        assert torch.equal(layer.hooked_weight, by_torch(layer))
        assert torch.equal(layer.matrix(), by_torch(layer).flatten(1))


def test_norms_of_torch_agree_or_are_taken_from_torch():
    layer = synapse(1000, 64)
    rows, known = weights._rows(layer.weight_v, layer.weight_g)
    weights.make(layer.weight_v, layer.weight_g, GRID)
    assert known != weights._norms_agree()
    if known:
        expected = torch._weight_norm_interface(layer.weight_v, layer.weight_g, 0)[1]
        assert rows.norm.tolist() == expected.flatten().tolist()


@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_gradients_of_a_normed_weight_are_as_near_as_torch_own(scale):
    layer = synapse(50, 12, True, scale)
    weight = layer.hooked_weight
    grad = torch.randn_like(weight)
    found = torch.autograd.grad(weight, [layer.weight_v, layer.weight_g], grad)
    exact = [p.detach().double().requires_grad_() for p in (layer.weight_v, layer.weight_g)]
    axes = (1, 2, 3, 4)
    normed = exact[0] * (exact[1] / torch.linalg.vector_norm(exact[0], dim=axes, keepdim=True))
    inside = (by_torch(layer) == (torch._weight_norm(layer.weight_v, layer.weight_g, 0) * 32).round() / 32).double()
    assert bool(inside.all()) == (scale == 1)
    expected = torch.autograd.grad(normed, exact, grad.double() * inside)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() <= 5e-7 * other.norm()


def test_a_normed_weight_can_be_differentiated_twice():
    def second(make):
        layer = synapse(12, 4)
        parameters = [layer.weight_v, layer.weight_g]
        first = torch.autograd.grad((make(layer) ** 2).sum(), parameters, create_graph=True)
        return torch.autograd.grad(sum((g**2).sum() for g in first), parameters)

    for one, other in zip(second(lambda layer: layer.hooked_weight), second(by_torch), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_direction_that_changes_before_backward_is_refused():
    layer = synapse()
    total = layer.hooked_weight.sum()
    with torch.no_grad():
        layer.weight_v.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


def _mask(layer):
    layer.mask = torch.ones(layer.shape)


def _prune(layer):
    layer.disable_weight_norm()
    prune.l1_unstructured(layer, "weight", 0.5)


def _hook(layer):
    layer.pre_hook_fx = lambda weight: weight


def _parametrise(layer):
    layer.disable_weight_norm()
    torch.nn.utils.parametrize.register_parametrization(layer, "weight", torch.nn.Tanh())


def _norm_of_torch(layer):
    layer.disable_weight_norm()
    with pytest.warns(FutureWarning):
        torch.nn.utils.weight_norm(layer, "weight")


@pytest.mark.parametrize("change", [_mask, _prune, _hook, _parametrise, _norm_of_torch, torch.nn.Module.double])
def test_what_else_takes_part_in_a_weight_leaves_it_to_torch(change):
    layer = synapse()
    assert layer.sources() is not None
    change(layer)
    assert layer.sources() is None
    assert layer.hooked_weight.shape == layer.shape


def test_the_grid_is_known_of_the_package_own_quantisers_only():
    neuron = slayer.neuron.cuba.Neuron(**NEURON)
    assert grid_of(neuron.quantize_8bit) == grid_of(quantize_hook_fx) == GRID
    assert grid_of(None) is grid_of(torch.nn.Identity()) is grid_of(lambda w: w) is None

    class Finer(slayer.neuron.cuba.Neuron):
        def quantize_8bit(self, weight, descale=False):
            return weight

    assert grid_of(Finer(**NEURON).quantize_8bit) is None


def changes():
    """Every way to change a weight, those that its version does not tell of among them."""

    def in_place(layer):
        with torch.no_grad():
            next(layer.parameters()).mul_(-1)

    def data(layer):
        next(layer.parameters()).data.mul_(-1)

    def numpy(layer):
        next(layer.parameters()).detach().numpy()[:] *= -1

    def assigned(layer):
        parameter = next(layer.parameters())
        parameter.data = -parameter.data

    def loaded(layer):
        layer.load_state_dict({name: value.flip(0) for name, value in layer.state_dict().items()})

    def redrawn(layer):
        layer.reset_parameters()

    def optimised(layer):
        for parameter in layer.parameters():
            parameter.grad = torch.ones_like(parameter)
        torch.optim.Adam(layer.parameters(), 0.5, fused=True).step()

    def switched(layer):
        layer.weight_norm_enabled = not layer.weight_norm_enabled
        next(layer.parameters()).data.mul_(-1)

    def masked(layer):
        layer.mask = torch.zeros(layer.shape)

    def unquantised(layer):
        layer.pre_hook_fx = None

    def pruned(layer):
        layer.disable_weight_norm()
        prune.random_unstructured(layer, "weight", 0.9)

    return [*(in_place, data, numpy, assigned, loaded, redrawn, optimised, switched, masked, unquantised, pruned)]


@pytest.mark.parametrize("weight_norm", [True, False])
@pytest.mark.parametrize("change", changes(), ids=lambda f: f.__name__)
def test_kept_weights_follow_every_change_of_a_parameter(change, weight_norm):
    layer = synapse(30, 9, weight_norm, 3.0)
    with torch.no_grad():
        before = layer.matrix()
        assert layer.matrix() is before
    change(layer)
    with torch.no_grad():
        after = layer.matrix()
        assert not torch.equal(after, before)
        assert torch.equal(after, layer.hooked_weight.flatten(1))


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("change", changes(), ids=lambda f: f.__name__)
def test_kept_weights_of_a_convolution_follow_every_change(change, size):
    torch.manual_seed(0)
    layer = slayer.synapse.Conv(8, 9, size, weight_scale=3.0, weight_norm=True, pre_hook_fx=quantize_hook_fx)
    with torch.no_grad():
        before = layer.channels_last()
        assert layer.channels_last() is before
        assert before.is_contiguous(memory_format=torch.channels_last)
        copied, held = before.clone(), weakref.ref(before)
    change(layer)
    with torch.no_grad():
        after = layer.channels_last()
        assert not torch.equal(after, copied)
        assert torch.equal(after, layer.hooked_weight.squeeze(-1))
    del before
    gc.collect()
    assert held() is None


def test_kept_weights_stay_as_they_are_when_a_parameter_changes():
    layer = synapse()
    with torch.no_grad():
        before = layer.matrix()
        copied = before.clone()
        layer.weight_v.mul_(-1)
        layer.matrix()
        assert torch.equal(before, copied)


def test_kept_weights_are_not_shared_with_a_copy():
    layer = synapse()
    with torch.no_grad():
        kept = layer.matrix()
        for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert copied.matrix() is not kept
            copied.weight_v.mul_(-1)
            assert torch.equal(copied.matrix(), copied.hooked_weight.flatten(1))
            assert layer.matrix() is kept


def test_weights_that_are_trained_are_not_kept():
    layer = synapse()
    with torch.no_grad():
        kept = layer.matrix()
    assert layer.matrix().requires_grad
    with torch.no_grad():
        assert layer.matrix() is not kept


def test_inference_mode_keeps_no_weights_for_a_gradient_that_comes_later():
    layer = synapse()
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    with torch.inference_mode():
        layer(torch.rand(3, 20, 4))
    x = torch.rand(3, 20, 4, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None


def test_changes_of_a_hooked_weight_do_not_reach_the_kept_one():
    layer = synapse()
    with torch.no_grad():
        kept = layer.matrix().clone()
        layer.hooked_weight.numpy()[:] = 0
        assert torch.equal(layer.matrix(), kept)


def test_every_synapse_has_the_weights_that_torch_makes():
    torch.manual_seed(0)
    block = slayer.block.cuba
    layers = [
        block.Conv(NEURON, 3, 4, 3, weight_norm=True).synapse,
        slayer.synapse.ConvTranspose(3, 4, 3, weight_norm=True, pre_hook_fx=quantize_hook_fx),
        slayer.synapse.Pool(2, weight_norm=True, pre_hook_fx=quantize_hook_fx),
        Dense((4, 3, 2), 5, weight_norm=True, pre_hook_fx=quantize_hook_fx),
    ]
    for layer in layers:
        assert layer.sources() is not None
        assert torch.equal(layer.hooked_weight, by_torch(layer))
