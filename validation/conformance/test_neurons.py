"""Neurons that adapt or resonate against lava-dl: equal integers, and gradients to the rounding of float32.

lava-dl computes its states in float32, which holds integers below 2**24: all cases stay inside.
Where lava-dl is wrong the tests beside the neurons say what is right; see docs/errata.md.
"""

import numpy as np
import pytest
import torch

from lavadl_ref import slayer as ours
from tests.support import upstream
from tests.support.families import SPIKING
from validation.conformance._compare import close, gradient, signature

pytestmark = [pytest.mark.upstream, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
theirs = upstream.slayer()
BOTH = (ours, theirs)

NAMES = [name for name in SPIKING if name != "cuba"]
every = pytest.mark.parametrize("name", NAMES)
SHAPES = pytest.mark.parametrize("shape", [(2, 3, 40), (2, 3, 4, 5, 40)], ids=["dense", "spatial"])
SEEDS = pytest.mark.parametrize("seed", range(4))
GRADED = pytest.mark.parametrize("graded", [False, True])


def is_complex(name):
    return SPIKING[name].complex


def is_adaptive(name):
    return SPIKING[name].adaptive


def signal(name, shape, seed=0, size=1.5):
    """Weighted sums: multiples of 1/64 of both signs, a pair for neurons of complex input."""
    rng = np.random.default_rng(seed)
    drawn = [np.rint(rng.normal(0.2, size, shape) * 64) / 64 for _ in range(1 + is_complex(name))]
    tensors = tuple(torch.tensor(part, dtype=torch.float32) for part in drawn)
    return tensors if is_complex(name) else tensors[0]


def parts(x):
    return x if isinstance(x, tuple) else (x,)


def require_grad(x):
    return tuple(part.clone().requires_grad_() for part in x) if isinstance(x, tuple) else x.clone().requires_grad_()


def parameters(name, seed, **options):
    """Random arguments of a neuron, edges among them."""
    rng = np.random.default_rng(seed)
    decay = [0.0005, 0.1, 0.5, 0.999, rng.random()]
    params = {
        "threshold": float(rng.choice([0.1, 0.5, 1.0, 1.25])),
        "tau_grad": float(rng.choice([0.03, 0.1, 1])),
        "scale_grad": float(rng.choice([0.5, 1, 3])),
    }
    if is_complex(name):
        params.update(period=float(rng.choice([4, 7.3, 30, 400])), decay=float(rng.choice([0.01, 0.1, 0.5])))
    else:
        params.update(current_decay=float(rng.choice([0.05, *decay[1:]])), voltage_decay=float(rng.choice(decay)))
    if is_adaptive(name):
        params["threshold_step"] = float(rng.choice([0, 0.1, 0.5]))
        params.update(threshold_decay=float(rng.choice([*decay, 1])), refractory_decay=float(rng.choice([*decay, 1])))
    return {**params, **options}


def pair(name, seed=0, **options):
    """The same neuron of both packages; `norm` by name."""
    norm = options.pop("norm", None)
    neurons = []
    for root in BOTH:
        norms = {} if norm is None else {"norm": getattr(root.neuron.norm, norm)}
        neurons.append(getattr(root.neuron, name).Neuron(**parameters(name, seed, **options, **norms)))
    return neurons


def fire(name, n, x):
    """Spikes; by its parts where the forward of lava-dl's neuron raises."""
    if SPIKING[name].runs_in_lava_dl:
        return n(x)
    return n.spike(*n.dynamics(x))


# -- arguments --------------------------------------------------------------------------------


@every
def test_neurons_have_the_arguments_of_lava_dl(name):
    for part in ("Neuron", "neuron_params"):
        actual, expected = (getattr(getattr(root.neuron, name), part) for root in BOTH)
        assert signature(actual) == signature(expected)
    for method in ("dynamics", "spike", "forward", "clamp", "quantize_8bit"):
        actual, expected = (getattr(getattr(root.neuron, name).Neuron, method, None) for root in BOTH)
        if expected is not None:
            ours, theirs = ([p[:2] for p in signature(part)] for part in (actual, expected))
            assert ours[: len(theirs)] == theirs
            assert all(default is None for _, default in ours[len(theirs) :])


@every
def test_neurons_have_the_attributes_of_lava_dl(name):
    """All public names of lava-dl's neuron."""
    actual, expected = pair(name)
    module = set(dir(torch.nn.Module()))
    assert {key for key in dir(expected) if key[0] != "_"} - set(dir(actual)) - module == set()
    for key in ("threshold", "v_th_mant", "weight_exponent", "w_scale", "s_scale", "p_scale", "scale", "complex"):
        assert getattr(actual, key) == getattr(expected, key)
    for key in ("period", "decay", "lam", "frequency") if is_complex(name) else ():
        assert getattr(actual, key) == pytest.approx(getattr(expected, key), rel=1e-5)


@every
@SEEDS
@GRADED
def test_neurons_have_the_device_parameters_of_lava_dl(name, seed, graded):
    """Keys, values and their types: what a file holds."""
    actual, expected = (n.device_params for n in pair(name, seed, graded_spike=graded))
    assert actual == expected
    for key, value in expected.items():
        assert type(actual[key]) is type(value)


@pytest.mark.parametrize("name", ["rf", "rf_iz", "alif"])
@SEEDS
def test_device_parameters_of_lava_dl_give_the_neuron_back(name, seed):
    """lava-dl's alif takes the threshold for its step; some of its adaptive resonators are tuples."""
    params = pair(name, seed, **({"threshold_step": 0.75} if name == "alif" else {}))[1].device_params
    actual, expected = (getattr(root.neuron, name).neuron_params(params) for root in BOTH)
    for key in expected.keys() - {"threshold_step"}:
        assert actual[key] == pytest.approx(expected[key], rel=1e-5, abs=1e-6)
    if name == "alif":
        assert expected["threshold_step"] == expected["threshold"] != actual["threshold_step"]
    assert getattr(ours.neuron, name).Neuron(**actual).device_params == params


@every
@pytest.mark.parametrize("rotation", [(4, 0), (8, 0), (1e5, 0), (50, 0.9995), (16, 1e-5)])
def test_rotations_at_the_edges_are_the_same(name, rotation):
    if not is_complex(name):
        return
    actual, expected = (n.device_params for n in pair(name, period=rotation[0], decay=rotation[1]))
    assert actual == expected


@every
@pytest.mark.parametrize("norm", [None, "MeanOnlyBatchNorm", "WgtScaleBatchNorm"])
@pytest.mark.parametrize("shared", [True, False])
def test_neurons_have_the_state_dicts_of_lava_dl(name, norm, shared):
    """The same keys and shapes, before an input and after; ours takes theirs."""
    actual, expected = pair(name, norm=norm, shared_param=shared)
    x = signal(name, (2, 3, 40))
    for _ in range(2):
        shapes = [[(key, value.shape) for key, value in n.state_dict().items()] for n in (actual, expected)]
        assert shapes[0] == shapes[1]
        for n in (actual, expected):
            n.dynamics(x)
    fresh = pair(name, norm=norm, shared_param=shared)[0]
    fresh.load_state_dict(expected.state_dict(), strict=True)
    fresh.eval(), expected.eval()
    assert torch.equal(fire(name, fresh, x), fire(name, expected, x))


# -- neurons ----------------------------------------------------------------------------------


@every
@SHAPES
@SEEDS
@GRADED
def test_a_neuron_of_every_family_gives_the_same(name, shape, seed, graded):
    """States, spikes and input gradients; but for the graded phase, whose surrogate is another."""
    results = []
    for n in pair(name, seed, graded_spike=graded):
        x = require_grad(signal(name, shape, seed))
        traces = n.dynamics(x)
        s = fire(name, n, x)
        s.backward(gradient(shape))
        results.append(([*traces, s], [part.grad for part in parts(x)]))
    (values, grads), (expected, wanted) = results
    assert max(part.abs().max() for part in expected) < 2**12
    assert expected[-1].any()
    for a, e in zip(values, expected, strict=True):
        assert torch.equal(a.detach(), e.detach())
    for a, e in zip(grads, wanted, strict=True):
        if not (graded and name in ("rf", "adrf")):
            close(a, e)


@every
@SHAPES
@SEEDS
@pytest.mark.parametrize("norm", ["MeanOnlyBatchNorm", "WgtScaleBatchNorm"])
def test_a_norm_of_every_family_gives_the_same(name, shape, seed, norm):
    """In training to the rounding of a mean, in evaluation with equal integers."""
    actual, expected = pair(name, seed, norm=norm)
    for step in range(3):
        for n in (actual, expected):
            n.dynamics(signal(name, shape, 10 * seed + step))
    for key in expected.state_dict():
        if "running" in key:
            torch.testing.assert_close(actual.get_buffer(key), expected.get_buffer(key), rtol=1e-5, atol=1e-6)
    actual.load_state_dict(expected.state_dict())
    results = []
    for n in (actual.eval(), expected.eval()):
        x = require_grad(signal(name, shape, seed))
        traces = n.dynamics(x)
        s = fire(name, n, x)
        s.backward(gradient(shape))
        results.append(([*traces, s], [part.grad for part in parts(x)]))
    for a, e in zip(results[0][0], results[1][0], strict=True):
        assert torch.equal(a.detach(), e.detach())
    for a, e in zip(results[0][1], results[1][1], strict=True):
        close(a, e)


@every
@SEEDS
def test_parameters_of_channels_give_the_same(name, seed):
    """One decay per channel, where lava-dl supports it: without space."""
    options = {"shared_param": False}
    if is_complex(name):
        options.update(period=(4.0, 30.0), decay=(0.01, 0.4))
    else:
        options.update(current_decay=(0.05, 0.9), voltage_decay=(0.01, 0.5))
    if is_adaptive(name):
        options.update(threshold_decay=(0.05, 0.9), refractory_decay=(0.1, 1.0))
    actual, expected = pair(name, seed, **options)
    x = signal(name, (2, 3, 40), seed)
    expected.dynamics(x)
    actual.load_state_dict(expected.state_dict())
    results = []
    for n in (actual, expected):
        given = require_grad(x)
        traces = n.dynamics(given)
        s = fire(name, n, given)
        s.backward(gradient(s.shape))
        results.append(([*traces, s], [part.grad for part in parts(given)], n.device_params))
    for a, e in zip(results[0][0], results[1][0], strict=True):
        assert torch.equal(a.detach(), e.detach())
    for a, e in zip(results[0][1], results[1][1], strict=True):
        close(a, e)
    assert results[0][2].keys() == results[1][2].keys()
    for key, value in results[1][2].items():
        assert type(results[0][2][key]) is type(value)
        np.testing.assert_array_equal(results[0][2][key], value)


@pytest.mark.parametrize("name", ["rf", "adrf"])
@SHAPES
@SEEDS
def test_gradients_of_the_rotation_are_lava_dls_divided(name, shape, seed):
    """lava-dl's are 4096 times the gradient of the loss."""
    grads = []
    for n in pair(name, seed, requires_grad=True):
        n(signal(name, shape, seed)).backward(gradient(shape))
        grads.append((n.sin_decay.grad, n.cos_decay.grad))
    for actual, expected in zip(*grads, strict=True):
        torch.testing.assert_close(4096 * actual, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
        assert expected.any()


@pytest.mark.parametrize("name", [name for name in NAMES if is_complex(name)])
def test_frequencies_of_channels_are_the_same(name):
    actual, expected = pair(name, period=(4.0, 60.0), decay=0.0, shared_param=False)
    for n in (actual, expected):
        n.dynamics(signal(name, (1, 9, 5)))
    np.testing.assert_allclose(actual.period, expected.period, rtol=1e-5)


@every
@SHAPES
@SEEDS
def test_the_persistent_state_of_every_family_is_the_same(name, shape, seed):
    actual, expected = pair(name, seed, persistent_state=True)
    x = signal(name, shape, seed)
    for lo, hi in ((0, 7), (7, 8), (8, 40)):
        chunk = tuple(part[..., lo:hi] for part in parts(x))
        chunk = chunk if is_complex(name) else chunk[0]
        assert torch.equal(fire(name, actual, chunk), fire(name, expected, chunk))


# -- spikes of complex neurons ----------------------------------------------------------------


@GRADED
@pytest.mark.parametrize("levels", ["one", "each"])
def test_the_complex_spike_gives_the_same(graded, levels):
    """Graded: the gradient to the imaginary part of lava-dl multiplies by a step that exceeds 1, see below."""
    shape = (2, 3, 40)
    threshold = 0.75 if levels == "one" else torch.rand(shape, generator=torch.Generator().manual_seed(0)) + 0.5
    last = torch.tensor([[-1.0, 1, 0], [0, -0.1, -2]])
    results = []
    for root in BOTH:
        real, imag = require_grad(signal("rf", shape))
        given = threshold if levels == "each" or root is ours else torch.tensor(threshold)
        s = root.spike.complex.Spike.apply(real, imag, given, 0.7, 2.0, graded, last, 1)
        s.backward(gradient(shape))
        results.append((s.detach(), real.grad, imag.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][0].any()
    close(results[0][1], results[1][1])
    if not graded:
        close(results[0][2], results[1][2])


def test_the_step_of_a_graded_complex_spike_differs():
    """lava-dl's grows from 1/2 - tau at the threshold; ours is the distribution function of the real part's slope."""
    tau, real = 0.7, torch.linspace(-3, 4, 50).reshape(1, 1, -1)
    heights = []
    for root in BOTH:
        imag = torch.full_like(real, 0.5, requires_grad=True)
        last = torch.full((1, 1), -1.0)
        root.spike.complex.Spike.apply(real, imag, torch.tensor(1.0), tau, 1.0, True, last, 1).sum().backward()
        heights.append(-imag.grad * tau * 2 * tau * np.exp(0.5 / tau))
    distance = real - 1
    half = torch.exp(-distance.abs() / tau) / 2
    torch.testing.assert_close(heights[0], torch.where(distance > 0, 1 - half, half), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(heights[1], heights[0], atol=0.1)
