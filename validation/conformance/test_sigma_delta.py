"""Sigma-delta against lava-dl and against Lava's own process model: equal values, and gradients to rounding.

lava-dl adds in float32, which is exact for multiples of 2**-18 below 64: all cases stay inside.
"""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from lavadl_kernels.neurons import sigma_delta as kernel

from lavadl_ref.netx import lava_support
from lavadl_ref.slayer import axon, dendrite
from lavadl_ref.slayer.neuron import norm, sigma_delta
from tests.support import upstream

pytestmark = [pytest.mark.upstream, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
theirs = upstream.slayer()

SHAPES = pytest.mark.parametrize("shape", [(2, 3, 40), (2, 3, 4, 5, 40)], ids=["dense", "spatial"])
SEEDS = pytest.mark.parametrize("seed", range(4))
NORMS = pytest.mark.parametrize("name", [None, "MeanOnlyBatchNorm", "WgtScaleBatchNorm"])
ONE = 1 << 18


def signal(shape, seed=0):
    """Multiples of 2**-18 of both signs, many of them 0, as messages times weights are."""
    rng = np.random.default_rng(seed)
    values = np.rint(rng.normal(0, 0.7, shape) * ONE) / ONE
    return torch.tensor(values * (rng.random(shape) < 0.6), dtype=torch.float32)


def gradient(shape, seed=9):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def parameters(seed):
    rng = np.random.default_rng(seed)
    return {
        "threshold": float(rng.choice([1 / 64, 0.1, 0.25, 1, rng.random() + 1 / 64])),
        "tau_grad": float(rng.choice([0.1, 1, 3])),
        "scale_grad": float(rng.choice([0.5, 1, 2])),
    }


def close(actual, expected, terms=40):
    """Equal to the rounding of a float32 sum of `terms` numbers."""
    largest = expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6 * largest * terms + 1e-12)


# -- lava-dl ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "name"),
    [
        (axon.Delta, "axon.Delta"),
        (dendrite.Sigma, "dendrite.Sigma"),
        (sigma_delta.Neuron, "neuron.sigma_delta.Neuron"),
        (sigma_delta.neuron_params, "neuron.sigma_delta.neuron_params"),
    ],
)
def test_sigma_delta_has_the_arguments_of_lava_dl(ours, name):
    other = theirs
    for step in name.split("."):
        other = getattr(other, step)
    actual, expected = (
        [(p.name, p.default) for p in inspect.signature(function).parameters.values()] for function in (ours, other)
    )
    assert actual == expected


@SHAPES
@SEEDS
def test_a_sigma_gives_the_same(shape, seed):
    x, g = signal(shape, seed), gradient(shape)
    results = []
    for layer in (dendrite.Sigma(), theirs.dendrite.Sigma()):
        given_ = x.clone().requires_grad_()
        y = layer(given_)
        y.backward(g)
        results.append((y, given_.grad, layer.device_params))
    (y, gx, params), (y2, gx2, params2) = results
    assert torch.equal(y, y2)
    close(gx, gx2)
    assert params == params2


@SHAPES
@SEEDS
@pytest.mark.parametrize("scale", [64, 4096])
def test_a_delta_gives_the_same(shape, seed, scale):
    """A threshold that is no multiple of 1/64 is compared as it is; one below 1/scale is raised to it."""
    rng = np.random.default_rng(seed)
    params = {**parameters(seed), "threshold": float(rng.choice([0, 0.001, 0.1, 0.3, 1])), "scale": scale}
    x, g = signal(shape, seed), gradient(shape)
    results = []
    for root in (axon, theirs.axon):
        layer = root.Delta(**params, requires_grad=True)
        given_ = x.clone().requires_grad_()
        y = layer(given_)
        y.backward(g)
        results.append((y, layer.threshold, given_.grad, layer.threshold.grad))
    (y, threshold, gx, gt), (y2, threshold2, gx2, gt2) = results
    assert torch.equal(y, y2)
    assert torch.equal(threshold, threshold2)
    assert torch.equal(gx, gx2)
    close(gt, gt2, x.numel())


@SHAPES
@SEEDS
@NORMS
@pytest.mark.parametrize("activation", [torch.relu, sigma_delta.identity])
def test_a_sigma_delta_neuron_gives_the_same(shape, seed, name, activation):
    """Messages, and gradients to the input and the threshold, in training and in evaluation."""
    params = {**parameters(seed), "activation": activation, "requires_grad": True}
    bias = torch.tensor([0.5, -0.25, 0.125]).reshape(-1, *[1] * (len(shape) - 3))
    options = [{} if name is None else {"norm": getattr(m, name)} for m in (norm, theirs.neuron.norm)]
    pair = [
        sigma_delta.Neuron(**params, **options[0]),
        theirs.neuron.sigma_delta.Neuron(**params, **options[1]),
    ]
    for n in pair:
        n.set_bias(bias)
    for training in (True, False):
        results = []
        for n in pair:
            n.train(training)
            n.zero_grad()
            x = signal(shape, seed).requires_grad_()
            y = n(x)
            y.backward(gradient(shape))
            results.append((y, x.grad, n.threshold.grad))
        (y, gx, gt), (y2, gx2, gt2) = results
        assert y2.any()
        # the mean of a batch is rounded to 1/32: a float32 sum in another order gives the same
        assert torch.equal(y, y2)
        close(gx, gx2, 400)
        close(gt, gt2, 4000)
    assert pair[0].device_params == {
        **pair[1].device_params, "activation": activation.__name__
    }  # fmt: skip


@SHAPES
@pytest.mark.parametrize("cut", [1, 17, 39])
def test_persistent_chunks_of_sigma_delta_are_the_same(shape, cut):
    """lava-dl's chunks, where float32 is exact, are its whole; so are ours."""
    x = signal(shape)
    pair = [
        root.Neuron(0.3, torch.relu, persistent_state=True) for root in (sigma_delta, theirs.neuron.sigma_delta)
    ]  # fmt: skip
    first, second = ([n(part) for n in pair] for part in (x[..., :cut], x[..., cut:]))
    assert torch.equal(*first)
    assert torch.equal(*second)
    assert torch.equal(torch.cat([first[0], second[0]], -1), sigma_delta.Neuron(0.3, torch.relu)(x))


def test_a_sigma_delta_neuron_loads_a_checkpoint_of_lava_dl():
    """A checkpoint of lava-dl loads, threshold and bias."""
    x = signal((2, 3, 40))
    trained = theirs.neuron.sigma_delta.Neuron(0.3, torch.relu)
    trained.set_bias(torch.tensor([0.5, -0.25, 0.125]))
    trained.delta.threshold.data.fill_(0.75)
    fresh = sigma_delta.Neuron(0.1, torch.relu)
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh(x), trained(x))


# -- where lava-dl differs --------------------------------------------------------------------


def test_an_accumulated_error_runs_here_alone():
    """lava-dl's ``cum_error`` raises an error; ours runs."""
    x = signal((2, 3, 40))
    with pytest.raises(RuntimeError, match="bool"):
        theirs.neuron.sigma_delta.Neuron(0.3, torch.relu, cum_error=True)(x)
    assert sigma_delta.Neuron(0.3, torch.relu, cum_error=True)(x).any()


@SHAPES
def test_thresholds_of_channels_give_the_same(shape):
    """lava-dl sends the same, but can not go back through thresholds of channels; ours can."""
    x = signal(shape).requires_grad_()
    layer = theirs.axon.Delta([0.1, 0.5, 0.9], shared_param=False, requires_grad=True)
    y = layer(x)
    with pytest.raises(RuntimeError):
        y.sum().backward()
    layer = axon.Delta(np.array([0.1, 0.5, 0.9]), shared_param=False, requires_grad=True)
    assert torch.equal(layer(x), y)
    layer(x).sum().backward()
    assert layer.threshold.grad.shape == (3,)


def test_a_trained_threshold_is_compared_truncated():
    """lava-dl compares with the real threshold and exports the truncated one: another network."""
    x = signal((2, 3, 40))
    trained = theirs.neuron.sigma_delta.Neuron(0.5, torch.relu)
    trained.delta.threshold.data.fill_(0.0151)
    exported = trained.device_params["vThMant"]
    deployed = sigma_delta.Neuron(exported / 64, torch.relu)
    assert exported == 0
    assert not torch.equal(trained(x), deployed(x))
    ours = sigma_delta.Neuron(0.5, torch.relu)
    ours.delta.threshold.data.fill_(0.0151)
    assert ours.device_params["vThMant"] == exported
    assert torch.equal(ours(x), deployed(x))


def test_the_activation_of_a_file_is_kept():
    """lava-dl forgets the activation."""
    params = sigma_delta.Neuron(0.3, torch.tanh).device_params
    assert theirs.neuron.sigma_delta.neuron_params(params) == {"threshold": 19 / 64}
    again = sigma_delta.neuron_params(params)
    assert (again["threshold"], again["activation"].__name__) == (19 / 64, "tanh")


# -- Lava -------------------------------------------------------------------------------------


class _Lava:
    """Lava's fixed-point model of a sigma-delta neuron, called without a runtime."""

    def __init__(self, states, mantissa, bias, relu, cum_error):
        lava_support.enable()
        from lava.proc.sdn.models import PySigmaDeltaModelFixed
        from lava.proc.sdn.process import ActivationMode, SigmaDelta

        process = SigmaDelta(
            shape=(1,), vth=mantissa, bias=bias, act_mode=ActivationMode(int(relu)), cum_error=cum_error,
            spike_exp=6, state_exp=6,
        )  # fmt: skip
        self.model = PySigmaDeltaModelFixed(dict(process.proc_params._parameters))
        for var in process.vars:
            kind = bool if var.name == "cum_error" else np.int32
            setattr(self.model, var.name, np.full(var.shape, var.init, kind))
        for name, value in zip(("sigma", "act", "residue", "error"), states, strict=True):
            setattr(self.model, name, np.array([value], np.int32))
        self.sent = []
        self.model.s_out = SimpleNamespace(send=lambda value: self.sent.append(int(value[0])))

    def step(self, a):
        """The states after one step, and its message."""
        self.model.a_in = SimpleNamespace(recv=lambda: np.array([a], np.int32))
        self.model.run_spk()
        states = [int(getattr(self.model, name)[0]) for name in ("sigma", "act", "residue", "error")]
        return (*states, self.sent[-1])


EDGE = st.sampled_from([-(2**31), -(2**31) + 1, -1, 0, 1, 4095, 4096, 2**30, 2**31 - 1])
STATE = st.one_of(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**15), 2**15), EDGE)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
@given(
    st.tuples(*[STATE] * 4),
    st.lists(STATE, min_size=1, max_size=8),
    st.integers(-(2**15), 2**15),
    st.one_of(st.integers(0, 9), st.integers(0, 2**19 - 1)),
    st.booleans(),
    st.booleans(),
)
@example((0, 0, 0, 0), [-(2**31)], 0, 1, False, False)
@example((0, 0, 0, 0), [4096, 4096, -4096, -4097], 0, 1, True, True)
@example((0, 0, 0, 0), [2048, 2047, 1, 1], 0, 1, False, True)
def test_the_sigma_delta_step_is_that_of_lava(states, inputs, bias, mantissa, relu, cum_error):
    """Every state and message, in and beyond 32 bits."""
    states = (*states[:3], states[3] if cum_error else 0)
    lava = _Lava(states, mantissa, bias, relu, cum_error)
    for a in inputs:
        *states, message, _ = kernel.step(*states, a, bias * 4096, mantissa * 4096, relu, cum_error, 0, True)
        assert (*states, message) == lava.step(a)
