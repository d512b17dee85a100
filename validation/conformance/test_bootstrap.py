"""Rate curves, scheduler and blocks of bootstrap against lava-dl's, bit for bit where its curve is one."""

import importlib
import itertools

import numpy as np
import pytest
import torch

from lavadl_ref import bootstrap
from lavadl_ref.bootstrap import Mode
from lavadl_ref.bootstrap.ann_sampler import AnnSampler
from tests.support import upstream

pytestmark = [pytest.mark.upstream, pytest.mark.filterwarnings("ignore")]
upstream.slayer()
theirs = importlib.import_module("lava.lib.dl.bootstrap")

NEURON = {"threshold": 1.25, "current_decay": 1, "voltage_decay": 0.03, "tau_grad": 1, "scale_grad": 1}
STEPS = 16


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def population(rng, steps, spread, gain, offset, top):
    """Spikes of neurons with noisy rates, and their drives."""
    z = rng.normal(size=(int(rng.integers(1000, 3000)), 1)) * spread
    rate = np.clip(z * gain + offset, 0, top)
    spikes = np.arange(steps) < np.rint(rate * steps + rng.normal(0, 0.1, z.shape))
    return torch.tensor(spikes, dtype=torch.float32), torch.tensor(z, dtype=torch.float32)


@pytest.mark.parametrize("seed", range(40))
def test_curves_have_value_and_gradient_of_lava_dl(seed):
    rng = np.random.default_rng(seed)
    steps = int(rng.choice([16, 32, 100]))
    ours, their = AnnSampler(), theirs.ann_sampler.AnnSampler()
    ramp = rng.uniform(0.5, 3), rng.uniform(0.2, 1), rng.uniform(-0.1, 0.3), rng.uniform(0.4, 1)
    for _ in range(3):
        a, z = population(rng, steps, *ramp)
        for each in (ours, their):
            each.append(a, z)
            each.fit()
        assert (np.diff(their.centers[:, 0]) > 0).all()
        np.testing.assert_allclose(ours.centers, their.centers, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(ours.slopes, their.slopes, rtol=1e-9)
        x = torch.randn(2000) * 3
        values, gradients = [], []
        for each in (ours, their):
            leaf = x.clone().requires_grad_()
            values.append(each(leaf))
            values[-1].backward(x.flip(0))
            gradients.append(leaf.grad)
        assert torch.equal(*values)
        assert torch.equal(*gradients)


def test_samples_without_a_spike_give_the_same_curve():
    their, ours = theirs.ann_sampler.AnnSampler(), AnnSampler()
    for each in (their, ours):
        each.append(torch.zeros(9, 4), torch.rand(9, 1))
        each.fit()
    assert np.isnan(their.max)
    assert ours.max == pytest.approx(0.8)


@pytest.mark.parametrize("options", [{}, {"num_sample_iter": 3, "sample_period": 4, "crossover_epochs": [1, 2, 5]}])
def test_every_mode_of_a_training_is_the_same(options):
    ours, their = bootstrap.routine.Scheduler(**options), theirs.routine.Scheduler(**options)
    for epoch, iteration, train in itertools.product(range(12), range(13), [True, False]):
        modes = [each.mode(epoch, iteration, train) for each in (ours, their)]
        assert modes[0].base_mode.name == modes[1].base_mode.name
        assert ours.crossover == their.crossover
        names = [[mode.name for mode in itertools.islice(each, 6)] for each in modes]
        assert names[0] == names[1]


def networks():
    """The network of the documentation, twice, with the same weights."""
    made = []
    for package in (bootstrap, theirs):
        block = package.block.cuba
        made.append(
            torch.nn.ModuleList(
                [
                    block.Input(NEURON, weight=1, bias=0),
                    block.Dense(NEURON, 30, 40, weight_norm=True, weight_scale=2),
                    block.Dense(NEURON, 40, 40, weight_norm=True, weight_scale=2),
                    block.Affine(NEURON, 40, 10, weight_norm=True, weight_scale=2),
                ]
            )
        )
    x = torch.rand(20, 30, STEPS)
    for block in made[1]:  # makes what it makes at the first pass
        x = block(x, mode=theirs.Mode.SNN)
    made[0].load_state_dict(made[1].state_dict())
    return made


def run(network, modes, x):
    y = x
    for block in network:
        y = block(y, mode=modes)
    y.square().sum().backward()
    gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    network.zero_grad()
    return y.detach(), gradients


def test_networks_give_the_same_in_every_mode():
    """Ours loads a checkpoint of lava-dl's; lava-dl has no `delay_shift` of its own default, see the errata."""
    ours, their = networks()
    for block in their:
        block.delay_shift = False
    picture = torch.rand(60, 30, 1)
    for name, x in (
        ("SNN", picture.expand(-1, -1, STEPS)),
        ("SAMPLE", picture.expand(-1, -1, STEPS)),
        ("ANN", picture),
    ):
        if name == "ANN":
            for a, b in zip(ours[:3], their[:3], strict=True):
                np.testing.assert_allclose(a.f.a, b.f.a, atol=1e-7)
                np.testing.assert_allclose(a.f.z, b.f.z, atol=1e-5)
                a.f.fit(), b.f.fit()
                np.testing.assert_allclose(a.f.centers, b.f.centers, atol=1e-5)
        x = x.contiguous()
        (y, gradients), (z, expected) = run(ours, Mode[name], x), run(their, theirs.Mode[name], x)
        torch.testing.assert_close(y, z, atol=1e-4, rtol=1e-4)
        assert len(gradients) == len(expected)
        for a, b in zip(gradients, expected, strict=True):
            torch.testing.assert_close(a.flatten(), b.flatten(), atol=1e-3 * b.abs().max().item() + 1e-6, rtol=1e-3)


def test_lava_dl_has_a_default_shift():
    assert theirs.block.cuba.Dense(NEURON, 3, 3).delay_shift is True
    assert bootstrap.block.cuba.Dense(NEURON, 3, 3).delay_shift is False
