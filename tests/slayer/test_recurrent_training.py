"""Tasks that need the memory that only feedback gives, and no memory where there must be none."""

import math

import pytest
import torch

from lavadl_ref import slayer

STEPS, ANSWER, UNITS = 14, 10, 48
SURROGATE = {"threshold": 0.25, "tau_grad": 0.02}
#: Neurons that forget within a step or two, much sooner than the answer is asked for.
FORGETFUL = {
    "cuba": {"current_decay": 1, "voltage_decay": 0.7, "scale_grad": 8, **SURROGATE},
    "rf_iz": {"period": 4, "decay": 0.7, "scale_grad": 12, **SURROGATE},
}
READOUT = {"threshold": 1, "current_decay": 1, "voltage_decay": 1}

first = torch.tensor([0, 0, 1, 1])
second = torch.tensor([0, 1, 0, 1])
#: What is asked for: the cue given eight steps before the answer, or whether the two cues differ.
QUESTIONS = {"recall": first, "temporal xor": first ^ second}


def cues():
    """(4, 3, STEPS): a cue on channel 0 or 1, four steps later another, and two steps later the call to answer."""
    x = torch.zeros(4, 3, STEPS)
    for sample in range(4):
        x[sample, first[sample], 0:2] = 1
        x[sample, second[sample], 5:7] = 1
        x[sample, 2, 9:] = 1
    return x


def network(family, feedback=True):
    torch.manual_seed(1)
    block = getattr(slayer.block, family).Recurrent(FORGETFUL[family], 3, UNITS, weight_scale=2, requires_grad=feedback)
    if not feedback:
        for weight in block.recurrent_synapse.parameters():
            weight.data.zero_()
    return torch.nn.Sequential(block, slayer.block.cuba.Affine(READOUT, UNITS, 2, dynamics=False))


def train(net, question):
    """The cross entropy in each of 100 epochs."""
    x, label = cues(), QUESTIONS[question]
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(100):
        loss = torch.nn.functional.cross_entropy(4 * net(x)[..., ANSWER:].mean(-1), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("family", "question"), [("cuba", "recall"), ("cuba", "temporal xor"), ("rf_iz", "recall")])
def test_feedback_learns_to_remember(family, question):
    net = network(family)
    losses = train(net, question)
    assert losses[0] > 0.5
    assert sum(losses[-10:]) / 10 < 0.15
    assert torch.equal(net(cues())[..., ANSWER:].mean(-1).argmax(1), QUESTIONS[question])


@pytest.mark.parametrize("family", FORGETFUL)
def test_a_network_without_feedback_learns_nothing(family):
    assert min(train(network(family, feedback=False), "recall")) > 0.95 * math.log(2)


@pytest.mark.parametrize("family", FORGETFUL)
def test_gradients_reach_back_to_the_cue(family):
    net, x = network(family), cues().requires_grad_()
    net(x)[..., -1].sum().backward()
    assert (x.grad[..., :2].abs().sum(dim=(1, 2)) > 0).all()
    # and what is asked at one step owes nothing to what comes later
    net, x = network(family), cues().requires_grad_()
    net(x)[..., 5].sum().backward()
    assert (x.grad[..., 6:] == 0).all()


def outputs_and_gradients(net, x):
    net.zero_grad()
    y = net(x)
    (y**2).sum().backward()
    return [y.detach(), *(p.grad.clone() for p in net.parameters() if p.grad is not None)]


@pytest.mark.parametrize("family", FORGETFUL)
def test_nothing_leaks_from_batch_to_batch(family):
    net, x = network(family), cues()
    expected = outputs_and_gradients(net, x)
    for other in (x.flip(0), torch.ones(4, 3, 30), x[:1]):
        net(other)
        actual = outputs_and_gradients(net, x)
        assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


@pytest.mark.parametrize("family", FORGETFUL)
def test_nothing_leaks_from_sample_to_sample(family):
    net, x = network(family), cues()
    together = net(x)
    assert torch.equal(together, torch.cat([net(sample[None]) for sample in x]))
    assert not torch.equal(together[0], together[3])


@pytest.mark.parametrize("family", FORGETFUL)
def test_what_persists_is_forgotten_on_request(family):
    torch.manual_seed(1)
    params = {**FORGETFUL[family], "persistent_state": True}
    block, x = getattr(slayer.block, family).Recurrent(params, 3, UNITS, weight_scale=2), cues()
    fresh = block(x)
    assert not torch.equal(block(x), fresh)
    block.reset()
    assert torch.equal(block(x), fresh)
