"""``slayer.loss`` and ``slayer.classifier`` against lava-dl where both should agree."""

import inspect

import pytest
import torch

from lavadl_ref.slayer import classifier, loss
from tests.support import upstream

pytestmark = pytest.mark.upstream
theirs = upstream.slayer()

STEPS = 12
LABEL = torch.tensor([2, 0])
STEP_LABEL = LABEL[:, None].repeat(1, STEPS)
HOT = torch.eye(3)[LABEL]


def spikes(shape=(2, 3, STEPS), seed=0):
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.5).float()


def agree(name, arguments, x, target):
    """Values equal to rounding, and so are the gradients."""
    x.requires_grad_()
    values = [getattr(root, name)(*arguments)(x, target) for root in (loss, theirs.loss)]
    torch.testing.assert_close(values[0], values[1], rtol=1e-5, atol=1e-6)
    actual, expected = (torch.autograd.grad(value.sum(), x)[0] for value in values)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


reductions = pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
shapes = pytest.mark.parametrize("shape", [(2, 3, STEPS), (2, 3, 2, 2, STEPS)])


@pytest.mark.parametrize("name", ["SpikeTime", "SpikeRate", "SpikeMax", "SpikeMoid", "SparsityEnforcer"])
def test_losses_have_the_same_arguments(name):
    signatures = [inspect.signature(getattr(root, name)).parameters for root in (loss, theirs.loss)]
    actual, expected = ([(p.name, p.default) for p in each.values()] for each in signatures)
    assert actual == expected


@pytest.mark.parametrize("name", ["Rate.rate", "Rate.confidence", "Rate.predict", "MovingWindow"])
def test_classifiers_have_the_same_arguments(name):
    signatures = []
    for root in (classifier, theirs.classifier):
        for part in name.split("."):
            root = getattr(root, part)
        signatures.append([(p.name, p.default) for p in inspect.signature(root).parameters.values()])
    assert signatures[0] == signatures[1]


@reductions
@pytest.mark.parametrize("order", [1, 2, 3])
def test_spike_time_equals_lava_dls(order, reduction):
    agree("SpikeTime", (2, 7, order, reduction), spikes(), spikes(seed=1))


@reductions
@shapes
def test_spike_rate_equals_lava_dls(shape, reduction):
    agree("SpikeRate", (0.8, 0.1, None, reduction), spikes(shape), LABEL)


@reductions
@shapes
def test_spike_rate_in_a_window_equals_lava_dls(shape, reduction):
    agree("SpikeRate", (0.8, 0.1, 4, reduction), spikes(shape), STEP_LABEL)


@reductions
@shapes
@pytest.mark.parametrize("mode", ["probability", "softmax"])
@pytest.mark.parametrize("window", [None, 4])
def test_spike_max_of_a_label_with_spikes_equals_lava_dls(window, mode, shape, reduction):
    x = spikes(shape)
    x[..., ::3] = 1  # a spike in every window, the first included
    agree("SpikeMax", (window, mode, reduction), x, LABEL)


@reductions
def test_spike_moid_equals_lava_dls(reduction):
    agree("SpikeMoid", (None, reduction, 2, 0.1), spikes(), HOT)
    agree("SpikeMoid", (4, reduction, 2, 0.1), spikes(), HOT[..., None].repeat(1, 1, STEPS))


@reductions
@pytest.mark.parametrize("wanted", ["no class", "every class", "one-hot"])
@pytest.mark.parametrize("window", [None, 4])
def test_spike_moid_of_a_saturated_sigmoid_equals_lava_dls(window, wanted, reduction):
    label = {"no class": torch.zeros(2, 3), "every class": torch.ones(2, 3), "one-hot": HOT}[wanted]
    # the rates reach 0 and 1 in the window: logits of +-50, far beyond what float32 tells from certainty
    x, arguments = spikes(), (window, reduction, 0.01, 0.5)
    values = [root.SpikeMoid(*arguments)(x, label) for root in (loss, theirs.loss)]
    torch.testing.assert_close(values[0], values[1], rtol=1e-5, atol=1e-5)


def test_spike_moid_learns_from_a_certain_miss_where_lava_dl_does_not():
    slopes = []
    for root in (loss, theirs.loss):
        x = torch.ones(1, 1, STEPS, requires_grad=True)
        root.SpikeMoid(alpha=0.01, theta=0.5)(x, torch.zeros(1, 1)).backward()
        slopes.append(x.grad.sum().item())
    assert slopes == [pytest.approx(100), 0]


def test_the_sparsity_enforcer_equals_lava_dls():
    values = []
    for root in (loss, theirs.loss):
        enforcer = root.SparsityEnforcer(0.1, 2.0)
        enforcer.append(spikes())
        enforcer.append(-2 * spikes(seed=1))
        values.append(enforcer.loss)
    torch.testing.assert_close(*values)


@shapes
@pytest.mark.parametrize("mode", ["probability", "softmax", "logsoftmax"])
def test_the_rate_classifier_equals_lava_dls(shape, mode):
    x = spikes(shape)
    torch.testing.assert_close(classifier.Rate.rate(x), theirs.classifier.Rate.rate(x))
    torch.testing.assert_close(classifier.Rate.confidence(x, mode), theirs.classifier.Rate.confidence(x, mode))
    assert torch.equal(classifier.Rate.predict(x), theirs.classifier.Rate.predict(x))


@pytest.mark.parametrize("mode", ["probability", "softmax", "logsoftmax"])
def test_the_moving_window_equals_lava_dls(mode):
    x = spikes()
    actual, expected = (root.MovingWindow(4, mode) for root in (classifier, theirs.classifier))
    torch.testing.assert_close(actual.rate(x), expected.rate(x))
    torch.testing.assert_close(actual.confidence(x), expected.confidence(x))
    assert torch.equal(actual.predict(x), expected.predict(x))
