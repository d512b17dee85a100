"""Values assigned to an object after it is made: they act at the next call, or an error that helps refuses them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from lavadl_ref import slayer
from lavadl_ref._assigned import Derived, Guarded, Refused
from lavadl_ref.slayer import classifier, loss, utils

SPIKES = (torch.rand(4, 3, 20, generator=torch.Generator().manual_seed(0)) < 0.4).float()
LABELS = torch.tensor([0, 2, 1, 1])


# -- the descriptors ------------------------------------------------------------------------------


class Held(Guarded, torch.nn.Module):
    part = Refused("use another")
    size = Derived(lambda self: 3, "it follows from nothing")


@pytest.mark.parametrize("value", [1, None, torch.zeros(2), torch.nn.Parameter(torch.zeros(2)), torch.nn.Linear(1, 1)])
def test_a_module_refuses_whatever_is_assigned(value):
    held = Held()
    with pytest.raises(AttributeError, match="part of Held cannot be assigned: use another"):
        held.part = value
    with pytest.raises(AttributeError, match="size of Held cannot be assigned: it follows from nothing"):
        held.size = value
    assert not list(held.parameters())
    assert not list(held.children())
    assert held.size == 3
    assert not hasattr(held, "part")
    held.other = value
    assert held.other is value


# -- losses and classifiers -----------------------------------------------------------------------

LATER = {
    "SpikeTime": (lambda: loss.SpikeTime(), {"reduction": "mean"}),
    "SpikeRate": (
        lambda: loss.SpikeRate(0.5, 0.1),
        {"true_rate": 0.9, "false_rate": 0.2, "reduction": "mean"},
    ),
    "SpikeMax": (lambda: loss.SpikeMax(), {"mode": "softmax", "reduction": "mean"}),
    "SpikeMoid": (lambda: loss.SpikeMoid(), {"alpha": 0.3, "theta": 0.5, "reduction": "mean"}),
}


def target(name):
    if name == "SpikeTime":
        return SPIKES.flip(-1)
    return torch.eye(3)[LABELS] if name == "SpikeMoid" else LABELS


@pytest.mark.parametrize("name", LATER)
def test_what_a_loss_is_told_later_acts(name):
    make, changes = LATER[name]
    for attribute, value in changes.items():
        changed = make()
        setattr(changed, attribute, value)
        kept = {"true_rate": 0.5, "false_rate": 0.1} if name == "SpikeRate" else {}
        expected = getattr(loss, name)(**{**kept, attribute: value})(SPIKES, target(name))
        assert torch.equal(changed(SPIKES, target(name)), expected)
        assert not torch.equal(expected, make()(SPIKES, target(name)))
    for attribute in {"reduction", "mode"} & set(changes):
        changed = make()
        setattr(changed, attribute, "middling")
        with pytest.raises(ValueError, match=f"{attribute}.*must be one of .*, got 'middling'"):
            changed(SPIKES, target(name))


@pytest.mark.parametrize("name", ["SpikeRate", "SpikeMax", "SpikeMoid"])
def test_a_window_that_is_assigned_is_used(name):
    make, *_ = LATER[name]
    changed = make()
    changed.window = classifier.MovingWindow(5)
    arguments = {"true_rate": 0.5, "false_rate": 0.1} if name == "SpikeRate" else {}
    labels = torch.eye(3)[LABELS] if name == "SpikeMoid" else LABELS
    expected = getattr(loss, name)(moving_window=5, **arguments)(SPIKES, labels)
    assert torch.equal(changed(SPIKES, labels), expected)


def test_a_filter_that_is_assigned_is_used():
    changed = loss.SpikeTime()
    changed.filter = torch.nn.Identity()
    assert torch.equal(changed(SPIKES, 0 * SPIKES), (SPIKES**2).sum())
    changed = loss.SpikeTime()
    changed.filter.filter = torch.tensor([0.0, 2.0])
    changed.filter.sampling_time = 3
    assert torch.equal(changed(SPIKES, 0 * SPIKES), 36 * (SPIKES[..., :-1] ** 2).sum())


def test_limits_of_sparsity_that_are_assigned_act():
    enforcer = loss.SparsityEnforcer()
    enforcer.max_rate, enforcer.lam = 0.0, 5.0
    enforcer.append(SPIKES)
    assert torch.equal(enforcer.loss, 5 * SPIKES.mean() ** 2)
    enforcer.loss_list = []
    assert enforcer.loss == 0


def test_what_a_window_is_told_later_acts():
    window = classifier.MovingWindow(5)
    window.time_window, window.mode, window.eps = 7, "softmax", 0.5
    assert torch.equal(window.confidence(SPIKES), classifier.MovingWindow(7, "softmax").confidence(SPIKES))
    expected = classifier.MovingWindow(7, eps=0.5).confidence(SPIKES)
    assert torch.equal(window.confidence(SPIKES, "probability"), expected)
    window.mode = "middling"
    with pytest.raises(ValueError, match="mode must be one of"):
        window.confidence(SPIKES)


def test_windows_and_banks_have_no_parts_to_replace():
    window, bank = classifier.MovingWindow(5), utils.filter.FIRBank(2, 5)
    with pytest.raises(AttributeError, match=r"filter of MovingWindow .*time_window.*FIR"):
        window.filter = utils.filter.FIR(torch.ones(5))
    with pytest.raises(AttributeError, match=r"pad of FIRBank .*pad the input itself"):
        bank.pad = torch.nn.ConstantPad3d(1, 0)
    fir = utils.filter.FIR(time_constant=2)
    fir.filter, fir.sampling_time = torch.tensor([1.0, 1.0]), 2
    assert torch.equal(fir(torch.ones(3)), torch.tensor([2.0, 4.0, 4.0]))
    bank.sampling_time, bank.weight = 2, torch.nn.Parameter(torch.ones(1, 1, 1, 1, 1))
    assert torch.equal(bank(torch.ones(1, 1, 3)), 2 * torch.ones(1, 1, 3))


def test_the_surrogate_gradient_cannot_be_replaced():
    for spike in (slayer.spike.Spike, slayer.spike.complex.Spike):
        assert spike.derivative is None
        with pytest.raises(AttributeError, match=r"derivative of Spike .*torch.autograd.Function"):
            spike.derivative = torch.relu


# -- training loop --------------------------------------------------------------------------------


class Counting(torch.nn.Module):
    """A linear layer that returns what an assistant asks for."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
        self.also = ()

    def forward(self, x):
        y = self.layer(x)
        return (y, *self.also) if self.also else y


def trained(**changes):
    """Weights after a step of an assistant that was told `changes` after it was made."""
    torch.manual_seed(0)
    net = Counting()
    net.also = changes.pop("also", ())
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    assistant = utils.Assistant(net, cross_entropy, optimizer, utils.LearningStats())
    if "optimizer" in changes:
        changes["optimizer"] = torch.optim.SGD(net.parameters(), 10.0)
    for name, value in changes.items():
        setattr(assistant, name, value)
    x = torch.rand(4, 3, generator=torch.Generator().manual_seed(1))
    result = assistant.train(x, torch.tensor([0, 1, 1, 0]))
    return assistant, net.layer.weight.detach(), result


@pytest.mark.parametrize(
    "changes",
    [
        {"error": lambda output, label: 2 * cross_entropy(output, label)},
        {"optimizer": None},
        {"net": Counting()},
        {"lam": 2.0, "also": (torch.ones((), requires_grad=True),)},
        {"count_log": True, "also": (torch.ones(1),)},
    ],
)
def test_what_an_assistant_is_told_later_acts(changes):
    _, before, _ = trained()
    assistant, after, result = trained(**changes)
    if "count_log" in changes:
        assert torch.equal(result[1], torch.ones(1))
    elif "lam" not in changes:
        assert not torch.equal(before, after)
    assistant.stats = stats = utils.LearningStats()
    assistant.classifier = lambda output: output.argmax(1)
    assistant.test(torch.rand(4, 3), torch.tensor([0, 1, 1, 0]))
    assert stats.testing.num_samples == 4
    assert stats.testing.accuracy is not None


def test_the_device_of_an_assistant_can_be_assigned():
    assistant, *_ = trained()
    assert assistant.device == torch.device("cpu")
    assistant.device = "meta"
    assert assistant.device == torch.device("meta")
    with pytest.raises((RuntimeError, NotImplementedError)):  # the input is there, the network is not
        assistant.test(torch.rand(4, 3), torch.tensor([0, 1, 1, 0]))
    assistant.device = None
    assert assistant.test(torch.rand(4, 3), torch.tensor([0, 1, 1, 0])).shape == (4, 2)


def test_statistics_that_are_assigned_are_reported():
    stat = utils.LearningStat()
    stat.loss_str, stat.accuracy_str, stat.loss_unit, stat.accuracy_unit = "error", "share", "mV", "%"
    stat.loss_sum, stat.num_samples, stat.correct_samples = 6.0, 3, 2
    stat.min_loss, stat.max_accuracy = 1.0, 0.9
    assert "error =     2.00000 (min =     1.00000) mV" in str(stat)
    assert "share = 0.66667 (max = 0.90000) %" in str(stat)
    stat.update()
    assert not stat.best_loss
    assert not stat.best_accuracy
    stat.loss_log, stat.accuracy_log = [None], [None]
    assert not stat.valid_loss_log
    assert not stat.valid_accuracy_log
    stats = utils.LearningStats()
    stats.training = stats.testing = stats.validation = stat
    stat.num_samples, stat.loss_sum = 1, 7.0
    assert str(stats).count("error =     7.00000") == 3


# -- events -----------------------------------------------------------------------------------------


def test_what_an_event_is_follows_from_its_columns():
    event = slayer.io.Event(np.array([1, 2]), np.array([0, 1]), np.array([0, 1]), np.array([3.0, 4.0]), [0.5, 0.5])
    with pytest.raises(AttributeError, match="dim of Event cannot be assigned: it follows from y"):
        event.dim = 1
    with pytest.raises(AttributeError, match="graded of Event cannot be assigned: it follows from p"):
        event.graded = False
    event.p, event.y = None, None
    assert event.dim == 1
    assert not event.graded
    event.x, event.c, event.t = np.array([4, 0]), np.array([1, 0]), np.array([0.0, 1.0])
    expected = np.zeros((2, 1, 5, 2))
    expected[1, 0, 4, 0] = expected[0, 0, 0, 1] = 1
    assert np.array_equal(event.to_tensor().reshape(expected.shape), expected)
