"""Gradients of single steps that know the steps before, against back-propagation through the whole train."""

import pytest
import torch

from lavadl_ref import slayer
from lavadl_ref.decolle.loss import DECOLLELoss
from lavadl_ref.decolle.utils import DECOLLEAssistant
from tests.support.families import ADAPTIVE, SPIKING
from tests.support.local_networks import Local, Summing, dense, parameters

TARGET = torch.tensor([0, 1, 2, 0])


def spikes(*shape, density=0.3, seed=1):
    return (torch.rand(4, *shape, generator=torch.Generator().manual_seed(seed)) < density).float()


class Voltages(torch.nn.Module):
    """A loss that voltages have a part in, and that is the sum of those of its steps."""

    reduction = "sum"

    def __init__(self):
        super().__init__()
        self.readout = DECOLLELoss(torch.nn.SmoothL1Loss, reduction="sum")

    def forward(self, readouts, voltages, target):
        return self.readout(readouts, voltages, target) + sum((v**2).sum() for v in voltages)


def accumulated(make, x, mode, burn_in=0):
    """The sums of the gradients of a training call in which nothing changes, and its last readout."""
    torch.manual_seed(0)
    net = make()
    net.burn_in = burn_in
    optimizer = Summing(net)
    result = DECOLLEAssistant(net, Voltages(), optimizer, training_mode=mode).train(x, TARGET)
    assert optimizer.steps == (x.shape[-1] - burn_in if mode == "online" else 1)
    return optimizer.sums, result


def through_time(make, x, burn_in):
    """The gradients of one run over all of the input, whose loss begins behind the burn-in."""
    torch.manual_seed(0)
    net = make()
    _, readouts, voltages, _ = net(x)
    Voltages()([r[..., burn_in:] for r in readouts], [v[..., burn_in:] for v in voltages], TARGET).backward()
    return {name: p.grad.double() for name, p in net.named_parameters() if p.grad is not None}


def compare(found, expected, tolerance=2e-6):
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert gradient.norm() > 0, name
        assert (found[name] - gradient).norm() < tolerance * gradient.norm(), name


@pytest.mark.parametrize("scale", [64, 128])
@pytest.mark.parametrize("family", SPIKING)
def test_gradients_of_steps_add_up_to_back_propagation(family, scale):
    """The trace is lost where the states that persist are constants: then only the first step agrees."""

    def make():
        return Local([dense(family, 6, 8, scale=scale)], [8])

    x = spikes(6, 40)
    online, out = accumulated(make, x, "online")
    whole, expected = accumulated(make, x, "batch")
    assert torch.equal(out, expected)
    compare(online, whole)


@pytest.mark.parametrize("family", [name for name in SPIKING if name not in ADAPTIVE])
def test_gradients_of_decays_add_up_too(family):
    def make():
        return Local([dense(family, 6, 8, scale=128, requires_grad=True)], [8])

    online, _ = accumulated(make, spikes(6, 40), "online")
    whole, _ = accumulated(make, spikes(6, 40), "batch")
    assert any("decay" in name for name in whole)
    compare(online, whole)


@pytest.mark.parametrize("family", ["cuba", "rf_iz"])
def test_a_trace_knows_the_burn_in(family):
    def make():
        return Local([dense(family, 6, 8, requires_grad=True)], [8])

    x = spikes(6, 40)
    online, out = accumulated(make, x, "online", burn_in=7)
    assert out.shape[-1] == 33
    compare(online, through_time(make, x, 7))
    # of a batch the states behind the burn-in are constants
    batch, _ = accumulated(make, x, "batch", burn_in=7)
    name = next(iter(online))
    assert not torch.allclose(batch[name], online[name])


def test_each_layer_of_several_has_its_trace():
    def make():
        return Local([dense("cuba", 6, 8), dense("alif", 8, 7)], [8, 7])

    online, _ = accumulated(make, spikes(6, 40), "online")
    whole, _ = accumulated(make, spikes(6, 40), "batch")
    compare(online, whole)


def test_traces_of_convolutions_add_up():
    def make():
        blocks = slayer.block.cuba.Conv(parameters("cuba"), 2, 3, 3, weight_scale=2, weight_norm=True)
        return Local([blocks], [3 * 4 * 4])

    x = spikes(2, 6, 6, 20)
    online, _ = accumulated(make, x, "online")
    whole, _ = accumulated(make, x, "batch")
    compare(online, whole)


def test_a_second_call_begins_at_rest():
    torch.manual_seed(0)
    net = Local([dense("cuba", 6, 8, requires_grad=True)], [8])
    optimizer = Summing(net)
    assistant = DECOLLEAssistant(net, Voltages(), optimizer)
    results = []
    for x in (spikes(6, 20), spikes(6, 20)[:3], spikes(6, 20)):
        optimizer.sums = {}
        results.append((assistant.train(x, TARGET[: len(x)]), optimizer.sums))
    assert torch.equal(results[0][0], results[2][0])
    assert results[0][0].any()
    for name, gradient in results[0][1].items():
        assert torch.equal(gradient, results[2][1][name])


def test_no_hook_is_left_behind():
    net = Local([dense("cuba", 6, 8)], [8])
    assistant = DECOLLEAssistant(net, Voltages(), Summing(net))
    assistant.train(spikes(6, 5), TARGET)
    with pytest.raises(ValueError, match="target"):
        assistant.train(spikes(6, 5), TARGET[:2])
    assert not net.blocks[0].synapse._forward_hooks


def test_a_block_that_is_not_trained_may_be_any():
    net = Local([dense("cuba", 6, 8, shared_param=False), dense("alif", 8, 7)], [8, 7])
    net.blocks[0].requires_grad_(False)
    optimizer = Summing(net)
    DECOLLEAssistant(net, Voltages(), optimizer).train(spikes(6, 5), TARGET)
    assert list(optimizer.sums) == ["blocks.1.synapse.weight"]


def _biased(block):
    block.synapse.bias = torch.nn.Parameter(torch.zeros(8))
    return block


def _sigma_delta():
    return slayer.block.sigma_delta.Dense({"threshold": 0.1, "activation": torch.relu}, 6, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dense("cuba", 6, 8, persistent_state=False), "must have neurons with persistent_state=True for"),
        (
            lambda: dense("cuba", 6, 8, shared_param=False),
            r"share \(shared_param=True\) for training_mode 'online', got",
        ),
        (lambda: dense("cuba", 6, 8, norm=slayer.neuron.norm.MeanOnlyBatchNorm), "no norm .* got MeanOnlyBatchNorm"),
        (lambda: dense("rf", 6, 8, norm=slayer.neuron.norm.MeanOnlyBatchNorm), "must have no norm"),
        (
            lambda: dense("alif", 6, 8, requires_grad=True),
            "must train no decays of adaptive neurons .* threshold_decay",
        ),
        (lambda: _biased(dense("cuba", 6, 8)), "must have no trained bias for training_mode 'online', got bias"),
        (_sigma_delta, "block 0 of net must have spiking neurons for training_mode 'online', got Neuron"),
        (lambda: torch.nn.Linear(6, 8), "must have spiking neurons for training_mode 'online', got NoneType"),
        (
            lambda: slayer.block.cuba.Input(parameters("cuba", requires_grad=True)),
            "must have a synapse for training_mode 'online', got NoneType",
        ),
        (
            lambda: slayer.block.cuba.Recurrent(parameters("cuba"), 6, 8),
            "must have no feedback for training_mode 'online', got Recurrent",
        ),
        (lambda: slayer.block.cuba.KWTA(parameters("cuba"), 6, 8, 2), "must have no feedback .* got KWTA"),
    ],
)
def test_a_block_whose_trace_is_not_carried_is_refused(make, message):
    net = Local([make()], [8])
    with pytest.raises(ValueError, match=message):
        DECOLLEAssistant(net, Voltages(), Summing(net)).train(spikes(6, 5), TARGET)
