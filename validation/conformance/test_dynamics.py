"""`neuron.dynamics` against lava-dl's: the same functions, arguments and integers; gradients to the inputs."""

import importlib
import inspect

import pytest
import torch

from tests.support import upstream

pytestmark = [pytest.mark.upstream, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
upstream.slayer()

NAMES = ("leaky_integrator", "resonator", "adaptive_threshold", "adaptive_phase_th", "adaptive_resonator")
MODULES = {
    name: [importlib.import_module(f"{root}.slayer.neuron.dynamics.{name}") for root in ("lavadl_ref", "lava.lib.dl")]
    for name in NAMES
}
SHAPES = pytest.mark.parametrize("shape", [(2, 3, 30), (2, 3, 4, 5, 30)], ids=["dense", "spatial"])
SEEDS = pytest.mark.parametrize("seed", range(4))


@pytest.mark.parametrize("name", NAMES)
def test_the_dynamics_have_the_functions_of_lava_dl(name):
    ours, theirs = (
        {
            key: [(p.name, p.default) for p in inspect.signature(function).parameters.values()]
            for key, function in vars(module).items()
            if inspect.isfunction(function) and (key == "dynamics" or key.startswith("persistent"))
        }
        for module in MODULES[name]
    )
    assert ours == theirs


def arguments(name, shape, seed, own=False):
    """By the names that both have; the leaky integrator and the resonator with and without a threshold."""
    generator = torch.Generator().manual_seed(seed)
    channels = shape[1] if own else 1
    given = {}
    for key in inspect.signature(MODULES[name][0].dynamics).parameters:
        if key.endswith("input"):
            given[key] = 2 * torch.randn(shape, generator=generator)
        elif key in ("sin_decay", "cos_decay"):
            given[key] = torch.randint(1, 2890, (channels,), generator=generator).float()
        elif key.endswith("decay"):
            given[key] = torch.randint(0, 4097, (channels,), generator=generator).float()
        elif key.endswith("state"):
            size = shape[:-1] if seed % 2 else (1,)
            given[key] = torch.randint(-4096, 4096, size, generator=generator) / 4096
    given["w_scale"] = 4096
    if "th0" in inspect.signature(MODULES[name][0].dynamics).parameters:
        given.update(th_scale=[0, 0.25, 0.1, 1.0][seed], th0=[1.0, 0.50001, 0.3, 0][seed])
    elif seed:
        given["threshold"] = [None, 1.0, 0.7501, -1][seed]
    return given


@pytest.mark.parametrize("name", NAMES)
@SHAPES
@SEEDS
def test_the_dynamics_give_the_same(name, shape, seed):
    results = []
    for module in MODULES[name]:
        given = arguments(name, shape, seed)
        inputs = [value.requires_grad_() for key, value in given.items() if key.endswith("input")]
        values = module.dynamics(**given)
        values = values if isinstance(values, tuple) else (values,)
        if name not in ("adaptive_threshold", "adaptive_phase_th"):  # of which the inputs have no gradient
            generator = torch.Generator().manual_seed(9)
            sum((v * torch.randn(shape, generator=generator)).sum() for v in values[:2]).backward()
        results.append((values, [x.grad for x in inputs]))
    (actual, grads), (expected, wanted) = results
    for a, e in zip(actual, expected, strict=True):
        assert e.abs().max() < 2**12
        assert torch.equal(a.detach(), e.detach())
    for a, e in zip(grads, wanted, strict=True):
        if e is not None:
            torch.testing.assert_close(a, e, rtol=1e-4, atol=1e-5 * e.abs().max().item())


@pytest.mark.parametrize("name", NAMES)
@SEEDS
def test_the_dynamics_with_decays_of_channels_give_the_same(name, seed):
    """Inputs without space alone, as lava-dl supports no others."""
    results = [module.dynamics(**arguments(name, (2, 3, 30), seed, own=True)) for module in MODULES[name]]
    for a, e in zip(*(r if isinstance(r, tuple) else (r,) for r in results), strict=True):
        assert torch.equal(a, e)


@pytest.mark.parametrize("name", NAMES)
def test_the_state_after_a_spike_is_the_same(name):
    state, th = torch.tensor([0.5, -0.2, 1.5]), torch.tensor([1.0, 1.25, 0.5])
    spike = torch.tensor([0.0, 1.0, 2.5])
    known = {"state": state, "real_state": state, "imag_state": state, "ref_state": state, "th_state": th}
    known.update(spike=spike, threshold=0.75, scale=4096, th_step=0.25)
    ours, theirs = MODULES[name]
    for key, function in vars(theirs).items():
        if key.startswith("persistent"):
            given = {parameter: known[parameter] for parameter in inspect.signature(function).parameters}
            assert torch.equal(getattr(ours, key)(**given), function(**given))
