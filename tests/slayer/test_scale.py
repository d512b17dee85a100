"""Neurons with another scale than 64: the same integers, counted in other units."""

import h5py
import pytest
import torch

from lavadl_ref import exchange
from lavadl_ref.deployed import reference
from lavadl_ref.slayer import auto, block, neuron
from tests.support.families import SPIKING as FAMILIES
from tests.support.oracle import unrolled
from tests.support.slayer_neurons import decays, each, make, parts, require_grad, signal, spike_of

#: what survives a scale of 1
LEVELS = {
    name: {"threshold": 1.0, **({"threshold_step": 1.0} if family.adaptive else {})}
    for name, family in FAMILIES.items()
}
every = pytest.mark.parametrize("name", list(FAMILIES))
SCALES = pytest.mark.parametrize("scale", [1, 16, 256, 4096])
GRADED = pytest.mark.parametrize("graded", [False, True])


def surrogate(name):
    """The factors of width and height that the family's module has."""
    return getattr(neuron, name).TAU_RHO_MULT, getattr(neuron, name).SCALE_RHO_MULT


def expected(n, name, x, graded, g, feedback=None):
    """Spikes and gradients to inputs and decays of the unrolled model in float64."""
    family = FAMILIES[name]
    x64 = [part.detach().double().requires_grad_() for part in parts(x)]
    rates = [torch.round(decay.detach().double()).requires_grad_() for decay in decays(n, name)]
    constants = [n.threshold] + ([n.threshold_step] if family.adaptive else [])
    width, height = surrogate(name)
    step = getattr(unrolled, f"{name}_step")(*rates, *constants, n.tau_rho * width, n.scale_rho * height, graded)
    rest = torch.zeros(x64[0].shape[:-1], dtype=torch.float64)
    states = [rest + (n.threshold if state == "th" else 0) for state in family.states]
    inputs = [part.movedim(-1, 0) for part in x64]
    if feedback is None:
        s = unrolled.unroll(step, inputs, states)[0]
    else:
        s = unrolled.recurrent(step, inputs, [w.double() for w in parts(feedback)], states, rest)[0]
    s = s.movedim(0, -1)
    (s * g.double()).sum().backward()
    return s.detach(), [part.grad for part in x64], [rate.grad for rate in rates]


@pytest.fixture
def counted(monkeypatch):
    """The unrolled model counts states in integers of 1 / (64 scale)."""

    def count(scale):
        monkeypatch.setattr(unrolled, "UNIT", 64 * scale)

    return count


def close(actual, wanted):
    largest = wanted.abs().max().item()
    torch.testing.assert_close(actual.double(), wanted, rtol=1e-4, atol=1e-4 * largest + 1e-12)


@every
@SCALES
@GRADED
def test_a_neuron_of_any_scale_equals_the_unrolled_model(name, scale, graded, counted):
    counted(scale)
    n = make(name, **LEVELS[name], scale=scale, graded_spike=graded, requires_grad=True, tau_grad=0.05)
    x = require_grad(each(signal(name), lambda part: part * 2 + 1e-3))
    g = torch.randn(2, 3, 20, generator=torch.Generator().manual_seed(3))
    s = n(x)
    (s * g).sum().backward()
    spikes, to_x, to_decays = expected(n, name, x, graded, g)
    assert s.any()
    assert torch.equal(s.detach().double(), spikes)
    for actual, wanted in zip(parts(x), to_x, strict=True):
        close(actual.grad, wanted)
    for actual, wanted in zip(decays(n, name), to_decays, strict=True):
        close(actual.grad, wanted)
    assert torch.equal(spike_of(n, name, n.dynamics(x)), s)


@every
@SCALES
@GRADED
def test_feedback_of_any_scale_equals_the_unrolled_model(name, scale, graded, counted):
    counted(scale)
    n = make(name, **LEVELS[name], scale=scale, graded_spike=graded, requires_grad=True, tau_grad=0.05)
    x = require_grad(each(signal(name), lambda part: part * 2))
    weight = each(signal(name, (3, 3, 1)), lambda part: (part / (16 if graded else 4)).squeeze(-1).requires_grad_())
    if n._apart:
        with pytest.raises(ValueError, match="feed back with scale 64 only"):
            n.recurrent(x, weight)
        return
    g = torch.randn(2, 3, 20, generator=torch.Generator().manual_seed(3))
    s = n.recurrent(x, weight)
    (s * g).sum().backward()
    copies = each(weight, lambda part: part.detach().clone().double().requires_grad_())
    spikes, to_x, to_decays = expected(n, name, x, graded, g, copies)
    # sums of graded spikes are rounded to float32
    torch.testing.assert_close(s.detach().double(), spikes, rtol=1e-6 if graded else 0, atol=0)
    for actual, wanted in zip((*parts(x), *parts(weight)), (*to_x, *(w.grad for w in parts(copies))), strict=True):
        close(actual.grad, wanted)
    for actual, wanted in zip(decays(n, name), to_decays, strict=True):
        close(actual.grad, wanted)


@every
@SCALES
def test_states_are_in_units_of_one(name, scale):
    """Chunks are the whole, and traces are the states."""
    n = make(name, **LEVELS[name], scale=scale, persistent_state=True)
    x = each(signal(name), lambda part: part * 2)
    whole = n(x)
    states = [getattr(n, state).clone() for state in n._states]
    n.reset()
    chunks = [n(each(x, lambda part, cut=cut: part[..., cut])) for cut in (slice(0, 7), slice(7, 20))]
    assert torch.equal(torch.cat(chunks, -1), whole)
    for name_of, state in zip(n._states, states, strict=True):
        assert torch.equal(getattr(n, name_of), state)
        assert torch.equal(state * 64 * scale, (state * 64 * scale).round())


@pytest.mark.parametrize("scale", [0, -64, 48, 0.5, 2**25, float("nan"), float("inf")])
@pytest.mark.parametrize("make_neuron", [lambda s: make("cuba", scale=s), lambda s: sigma_delta(scale=s)])
def test_scales_other_than_powers_of_two_are_refused(scale, make_neuron):
    with pytest.raises(ValueError, match=r"scale must be a power of two from 1 to 16777216, .* got"):
        make_neuron(scale)


# -- sigma-delta ------------------------------------------------------------------------------


def sigma_delta(**options):
    return neuron.sigma_delta.Neuron(**{"threshold": 1.5, "activation": torch.relu, **options})


@SCALES
def test_messages_are_multiples_of_a_state(scale):
    x = torch.randn(2, 3, 20, generator=torch.Generator().manual_seed(0)) * 3
    y = sigma_delta(scale=scale)(x)
    assert y.any()
    assert torch.equal((y * 64 * scale).round(), y * 64 * scale)
    assert not torch.equal(y, sigma_delta()(x)) or scale == 64


# -- files ------------------------------------------------------------------------------------

PARAMS = {
    "cuba": {"threshold": 0.5, "current_decay": 0.3, "voltage_decay": 0.1},
    "alif": {
        "threshold": 0.5, "threshold_step": 0.1, "current_decay": 0.3, "voltage_decay": 0.1, "threshold_decay": 0.2,
        "refractory_decay": 0.3,
    },
    "rf_iz": {"threshold": 0.5, "period": 7, "decay": 0.1},
}  # fmt: skip
KINDS = {
    "Dense": lambda family, params: family.Dense(params, 6, 4, weight_scale=0.3),
    "Recurrent": lambda family, params: family.Recurrent(params, 6, 4, weight_scale=0.3),
    "KWTA": lambda family, params: family.KWTA(params, 6, 4, 2, weight_scale=0.3),
}


def scaled_block(kind, family, scale):
    """Weights of the device's range at each scale: the same integers."""
    torch.manual_seed(0)
    params = {**PARAMS[family], "scale": scale}
    for name in ("threshold", "threshold_step"):
        if name in params:
            params[name] = params[name] * 64 / scale
    made = KINDS[kind](getattr(block, family), params)
    for name, weight in made.named_parameters():
        if name.endswith("weight"):
            weight.data *= 5 * 64 / scale
    return made


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("family", list(PARAMS))
@pytest.mark.parametrize("scale", [16, 4096])
def test_a_file_runs_as_the_block_did(kind, family, scale):
    made = scaled_block(kind, family, scale)
    x = (torch.rand(1, 6, 40, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    with torch.no_grad():
        y = made(x)[0]
    layer = made.describe()
    found = reference.Network(exchange.Network((layer,))).run(x[0].numpy().astype(int)).output
    again = auto.SequentialNetwork(exchange.Network((layer,))).eval()
    assert y[..., 1:].any()
    assert torch.equal(torch.from_numpy(found[..., 1:]).float(), y[..., 1:])
    assert torch.equal(again(x)[0], y)


def test_integers_that_no_file_holds_are_refused(tmp_path):
    made = block.cuba.Dense({**PARAMS["cuba"], "scale": 1 << 24}, 6, 4, pre_hook_fx=torch.round)
    made.synapse.weight.data.fill_(256)
    with h5py.File(tmp_path / "x.net", "w") as file, pytest.raises(ValueError, match=r"weight.*4294967296"):
        made.export_hdf5(file.create_group("layer/0"))


def test_what_has_a_fixed_unit_is_not_exported_with_another_scale():
    x = torch.rand(1, 6, 5)
    graded = {**PARAMS["cuba"], "graded_spike": True, "scale": 256}
    sigma = {"threshold": 0.5, "activation": torch.relu, "scale": 256}
    for made, message in (
        (block.cuba.Dense(graded, 6, 4), "have a fixed unit in a file"),
        (block.cuba.Affine({**PARAMS["cuba"], "scale": 256}, 6, 4), "have a fixed unit in a file"),
        (block.sigma_delta.Dense(sigma, 6, 4), "have a fixed unit in a file"),
        (block.cuba.Input({**PARAMS["cuba"], "scale": 256}), "needs scale 64, got 256"),
    ):
        made(x)
        with pytest.raises(ValueError, match=message):
            made.describe()


@every
@SCALES
def test_a_neuron_of_any_scale_comes_back_from_its_device_parameters(name, scale):
    n = make(name, **LEVELS[name], scale=scale)
    module = getattr(neuron, name)
    again = module.Neuron(**module.neuron_params(n.device_params, scale=scale), scale=scale)
    assert again.device_params == n.device_params
    assert again.threshold == n.threshold
