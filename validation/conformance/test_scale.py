"""Neurons of other scales than 64 against lava-dl: equal integers."""

import pytest
import torch

from lavadl_ref import slayer as ours
from tests.support import upstream
from tests.support.families import SPIKING
from tests.support.slayer_neurons import arguments, each, signal

pytestmark = [pytest.mark.upstream, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
theirs = upstream.slayer()

SCALES = (16, 64, 256, 4096)
# lava-dl computes states in float32: they stay below 2**24
SIZE = {16: 1, 64: 1, 256: 0.5, 4096: 1 / 16}


@pytest.mark.parametrize("name", SPIKING)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("graded", [False, True])
def test_spikes_and_states_of_any_scale_are_the_same(name, scale, graded):
    x = each(signal(name), lambda part: part * SIZE[scale])
    levels = {"threshold": 0.5 * SIZE[scale]}
    if SPIKING[name].adaptive:
        levels["threshold_step"] = 0.25 * SIZE[scale]
    pair = [
        getattr(root.neuron, name).Neuron(**arguments(name, scale=scale, graded_spike=graded, **levels))
        for root in (ours, theirs)
    ]
    traces = [n.dynamics(x) for n in pair]
    for actual, expected in zip(*traces, strict=True):
        assert torch.equal(actual, expected)
    first = {"cuba": 1, "alif": 1}.get(name, 0)
    actual, expected = (n.spike(*values[first:]) for n, values in zip(pair, traces, strict=True))
    assert torch.equal(actual, expected)
    assert torch.equal(pair[0](x), expected)
    assert expected.any()
    weight = torch.randn(50, generator=torch.Generator().manual_seed(1)) * 3 / scale * 64
    for descale in (False, True):
        assert torch.equal(*(n.quantize_8bit(weight, descale) for n in pair))
    assert pair[0].device_params == pair[1].device_params


@pytest.mark.parametrize("scale", SCALES)
def test_messages_of_any_scale_are_the_same(scale):
    """Of multiples of 1/64, whose sums float32 holds: lava-dl rounds others on the way."""
    x = (torch.randn(2, 3, 20, generator=torch.Generator().manual_seed(0)) * 64).round() / 64
    actual, expected = (
        root.neuron.sigma_delta.Neuron(threshold=0.5, activation=torch.relu, scale=scale)(x) for root in (ours, theirs)
    )
    assert torch.equal(actual, expected)
    assert expected.any()
