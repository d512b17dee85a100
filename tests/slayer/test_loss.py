"""Losses against their formulas in NumPy, and their gradients against finite differences."""

import math

import numpy as np
import pytest
import torch

from lavadl_ref.slayer import loss
from lavadl_ref.slayer.classifier import MovingWindow

STEPS = 8
REDUCE = {"sum": np.sum, "mean": np.mean, "none": np.ravel}
LABEL = torch.tensor([2, 0])


def spikes(shape=(2, 3, STEPS), seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 2, shape)).double()


def rates(x, window=None):
    """(N, classes) over all of time, or (N, classes, T) in a window."""
    x = x.numpy().reshape(x.shape[0], -1, x.shape[-1])
    if window is None:
        return x.mean(-1)
    return np.stack([x[..., max(0, t + 1 - window) : t + 1].sum(-1) / window for t in range(STEPS)], axis=-1)


def one_hot(classes, window):
    """LABEL as (N, classes), or (N, classes, T)."""
    hot = np.eye(classes)[LABEL]
    return hot if window is None else np.repeat(hot[..., None], STEPS, axis=-1)


reductions = pytest.mark.parametrize("reduction", list(REDUCE))
windows = pytest.mark.parametrize("window", [None, 4])
shapes = pytest.mark.parametrize("shape", [(2, 3, STEPS), (2, 3, 2, 1, STEPS)])


def check(actual, terms, reduction):
    np.testing.assert_allclose(actual.numpy(), REDUCE[reduction](terms), rtol=1e-6, atol=1e-7)


@reductions
@pytest.mark.parametrize("order", [1, 2, 3])
def test_spike_time_compares_filtered_trains(order, reduction):
    x, desired = spikes(), spikes(seed=1)
    first = np.exp(-np.arange(5) / 2.5)
    kernel = first
    for _ in range(order - 1):
        kernel = np.convolve(kernel, first)[:5]
    filtered = [np.convolve(row, kernel)[:STEPS] for row in (x - desired).numpy().reshape(-1, STEPS)]
    actual = loss.SpikeTime(2.5, 5, order, reduction).double()(x, desired)
    check(actual, np.square(filtered), reduction)


@reductions
@windows
@shapes
def test_spike_rate_is_the_squared_distance_to_the_wanted_rates(shape, window, reduction):
    x = spikes(shape)
    rate = rates(x, window)
    wanted = np.where(one_hot(rate.shape[1], window), 0.8, 0.1)
    actual = loss.SpikeRate(0.8, 0.1, window, reduction).double()(x, LABEL)
    check(actual, (rate - wanted) ** 2, reduction)


@reductions
@windows
@shapes
@pytest.mark.parametrize("mode", ["probability", "softmax"])
def test_spike_max_is_the_log_likelihood_of_the_label(mode, shape, window, reduction):
    x = spikes(shape).clamp_min(0.5)  # nobody is silent
    rate = rates(x, window)
    share = rate / (rate.sum(1, keepdims=True) + 1e-6)
    if mode == "softmax":
        share = np.exp(rate) / np.exp(rate).sum(1, keepdims=True)
    terms = -np.log(np.stack([sample[label] for sample, label in zip(share, LABEL, strict=True)]))
    actual = loss.SpikeMax(window, mode, reduction).double()(x, LABEL)
    check(actual, terms, reduction)


@reductions
@windows
@shapes
def test_spike_moid_is_the_cross_entropy_of_each_class(shape, window, reduction):
    x = spikes(shape)
    rate = rates(x, window)
    likely = 1 / (1 + np.exp(-(rate - 0.3) / 2))
    wanted = one_hot(rate.shape[1], window)
    terms = -(wanted * np.log(likely) + (1 - wanted) * np.log(1 - likely))
    label = torch.from_numpy(one_hot(rate.shape[1], None)).reshape(shape[:-1])
    check(loss.SpikeMoid(window, reduction, alpha=2, theta=0.3).double()(x, label), terms, reduction)


@pytest.mark.parametrize(("wanted", "cost", "slope"), [(0.0, 100.0, 50.0), (1.0, 0.0, 0.0)])
def test_spike_moid_is_finite_where_it_is_certain(wanted, cost, slope):
    # (1 - 0.5) / 0.02 = 25: in float32 sigmoid(25) is 1, and 1 - 1 has no logarithm
    x = torch.ones(1, 1, STEPS, requires_grad=True)
    value = loss.SpikeMoid(alpha=0.02, theta=0.5)(x, torch.tensor([[wanted]]))
    assert value.item() == cost
    value.backward()
    # d/dx of the rate is 1 / steps; the slope is (sigmoid - label) / alpha
    assert x.grad.flatten().tolist() == pytest.approx([slope / STEPS] * STEPS, abs=1e-6)


def test_labels_may_change_over_time_with_a_window():
    x = spikes()
    label = LABEL[:, None].repeat(1, STEPS)
    for subject in (loss.SpikeRate(0.8, 0.1, 4), loss.SpikeMax(4), loss.SpikeMax(4, "softmax")):
        assert subject(x, label) == subject(x, LABEL)
        label_later = label.clone()
        label_later[:, -1] = 1
        assert subject(x, label_later) != subject(x, LABEL)
    hot = torch.eye(3)[LABEL]
    assert loss.SpikeMoid(4)(x, hot[..., None].repeat(1, 1, STEPS)) == loss.SpikeMoid(4)(x, hot)


def test_labels_may_have_any_integer_dtype():
    assert loss.SpikeMax()(spikes(), LABEL.to(torch.int32)) == loss.SpikeMax()(spikes(), LABEL)


def test_a_silent_label_has_a_finite_loss_that_calls_for_spikes():
    x = torch.zeros(1, 3, STEPS, dtype=torch.float64)
    x[0, 1, ::2] = 1  # rate 1/2, and the label is silent
    x.requires_grad_()
    subject = loss.SpikeMax()
    value = subject(x, torch.tensor([0]))
    least = 0.5 / STEPS
    assert value.item() == pytest.approx(math.log(0.5 + 1e-6) - math.log(least) + 1)
    value.backward()
    # One spike is a rate of 1/8; the slope of the line is -1/least, that of log R is 1/R.
    assert x.grad[0, 0].tolist() == pytest.approx([(-1 / least + 1 / (0.5 + 1e-6)) / STEPS] * STEPS)
    assert (x.grad[0, 1:] > 0).all()
    one_spike = torch.zeros(1, 3, STEPS, dtype=torch.float64)
    one_spike[0, 0, 0] = one_spike[0, 1, 0] = 1
    assert subject(one_spike, torch.tensor([0])) < value


def test_complete_silence_costs_more_than_the_label_alone_and_less_than_another_class():
    silent, right, wrong = torch.zeros(3, 1, 3, STEPS)
    right[0, 0, 0] = 1
    wrong[0, 1, 0] = 1
    subject, label = loss.SpikeMax(), torch.tensor([0])
    assert subject(right, label) < subject(silent, label) < subject(wrong, label)
    silent.requires_grad_()
    subject(silent, label).backward()
    assert torch.isfinite(silent.grad).all()
    assert (silent.grad[0, 0] < 0).all()


@pytest.mark.parametrize(
    ("subject", "label"),
    [
        (loss.SpikeRate(0.8, 0.1), LABEL),
        (loss.SpikeRate(0.8, 0.1, 3), LABEL),
        (loss.SpikeMax(), LABEL),
        (loss.SpikeMax(3), LABEL),
        (loss.SpikeMax(3, "softmax"), LABEL),
        (loss.SpikeMoid(alpha=0.5, theta=0.2), torch.eye(3)[LABEL]),
        (loss.SpikeMoid(3), torch.eye(3)[LABEL]),
        (loss.SpikeTime(2, 4, 2), torch.rand(2, 3, STEPS)),
    ],
)
@reductions
def test_the_gradient_of_every_loss_is_right(subject, label, reduction):
    torch.manual_seed(0)
    subject = subject.double()
    subject.reduction = reduction
    x = (0.3 + torch.rand(2, 3, STEPS, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: subject(x, label), x)


def test_sparsity_enforcer_adds_the_layers_up():
    enforcer = loss.SparsityEnforcer(max_rate=0.25, lam=2.0)
    assert enforcer.loss == 0.0
    quiet, loud = torch.full((2, 3), 0.25), torch.full((2, 2, 4), -0.75, requires_grad=True)
    enforcer.append(quiet)
    enforcer.append(loud)
    assert enforcer.loss.item() == 2 * 0.5**2
    enforcer.loss.backward()
    # d/dx of 2 (mean|x| - 1/4)^2 is 4 * 0.5 * sign(x) / 16
    assert loud.grad.flatten().tolist() == [-0.125] * 16
    enforcer.clear()
    assert enforcer.loss == 0.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: loss.SpikeTime(reduction="max"), ValueError, "'sum', 'mean', 'none', got 'max'"),
        (lambda: loss.SpikeTime(filter_order=0), ValueError, "filter_order of SpikeTime must be at least 1"),
        (lambda: loss.SpikeTime(length=0), ValueError, "length of FIR must be at least 1"),
        (
            lambda: loss.SpikeTime()(torch.ones(2, 3), torch.ones(2, 4)),
            ValueError,
            r"same shape, got \(2, 3\) and \(2, 4\)",
        ),
        (
            lambda: loss.SpikeRate(1.5, 0),
            ValueError,
            r"true_rate of SpikeRate must lie in \[0, 1\], got 1.5",
        ),
        (lambda: loss.SpikeRate(1, -0.5), ValueError, r"false_rate of SpikeRate must lie in \[0, 1\]"),
        (lambda: loss.SpikeRate(1, 0, 0), ValueError, "moving_window must be at least 1"),
        (
            lambda: loss.SpikeRate(1, 0)(spikes(), torch.tensor([3, 0])),
            ValueError,
            r"label of SpikeRate must lie in 0\.\.2, got indices in 0\.\.3",
        ),
        (lambda: loss.SpikeRate(1, 0)(spikes(), torch.tensor([0, -1])), ValueError, r"got indices in -1\.\.0"),
        (
            lambda: loss.SpikeRate(1, 0)(spikes(), torch.tensor([0])),
            ValueError,
            r"shape \(2,\), got \(1,\)",
        ),
        (
            lambda: loss.SpikeMax(3)(spikes(), torch.zeros(2, 3, dtype=torch.int64)),
            ValueError,
            r"shape \(2,\) or \(2, 8\), got \(2, 3\)",
        ),
        (
            lambda: loss.SpikeMax()(spikes(), torch.zeros(2)),
            TypeError,
            "label of SpikeMax must hold class indices",
        ),
        (lambda: loss.SpikeMax(mode="max"), ValueError, "mode of SpikeMax must be one of"),
        (
            lambda: loss.SpikeMax()(torch.ones(STEPS), LABEL),
            ValueError,
            r"input of SpikeMax must have at least 2 axes \(N, ..., T\), got shape",
        ),
        (lambda: loss.SpikeMoid(alpha=0), ValueError, "alpha of SpikeMoid must be greater than 0, got 0"),
        (
            lambda: loss.SpikeMoid()(spikes(), LABEL),
            ValueError,
            r"shape \(2, 3\) \(classes one-hot\), got \(2,\)",
        ),
        (lambda: loss.SpikeMoid()(spikes(), torch.full((2, 3), 2.0)), ValueError, r"must lie in \[0, 1\]"),
        (
            lambda: loss.SparsityEnforcer(max_rate=-1),
            ValueError,
            "max_rate of SparsityEnforcer must be at least 0",
        ),
    ],
)
def test_bad_arguments_of_losses_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
@pytest.mark.parametrize("window", [None, 3])
def test_rates_may_be_tensors_of_one_element(shape, window):
    """Tensors of one element are the numbers they hold; what they are computed from gets their gradient."""
    x = spikes()
    true, false = (torch.full(shape, value, requires_grad=True) for value in (0.75, 0.25))
    actual = loss.SpikeRate(true, false, window)(x, LABEL)
    assert actual == loss.SpikeRate(0.75, 0.25, window)(x, LABEL)
    actual.backward()
    rate = MovingWindow(3).rate(x.double()) if window else x.double().mean(-1, keepdim=True)
    hot = torch.nn.functional.one_hot(LABEL, 3)[..., None]
    assert true.grad.item() == pytest.approx((2 * (0.75 - rate) * hot).sum().item(), rel=1e-5)
    assert false.grad.item() == pytest.approx((2 * (0.25 - rate) * (1 - hot)).sum().item(), rel=1e-5)


def test_the_sigmoid_of_spike_moid_can_be_trained():
    x, hot = spikes(), torch.nn.functional.one_hot(LABEL, 3).float()
    alpha, theta = (torch.tensor([value], requires_grad=True) for value in (0.5, 0.25))
    actual = loss.SpikeMoid(alpha=alpha, theta=theta)(x, hot)
    assert actual == loss.SpikeMoid(alpha=0.5, theta=0.25)(x, hot)
    actual.backward()
    wide = [value.detach().double().requires_grad_() for value in (alpha, theta)]
    p = torch.sigmoid((x.double().mean(-1) - wide[1]) / wide[0])
    torch.nn.functional.binary_cross_entropy(p, hot.double(), reduction="sum").backward()
    for a, e in zip((alpha, theta), wide, strict=True):
        torch.testing.assert_close(a.grad.double(), e.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rate", [torch.tensor([0.5, 0.5]), torch.tensor([1.5]), torch.tensor(True), "0.5"])
def test_rates_of_spike_rate_must_be_one_number(rate):
    with pytest.raises((TypeError, ValueError), match="true_rate of SpikeRate must"):
        loss.SpikeRate(rate, 0.0)


def test_spikes_without_a_channel_axis_are_one_class_to_losses():
    x, label = spikes()[:, 0], torch.zeros(2, dtype=torch.int64)
    for made, given in (
        (loss.SpikeRate(0.5, 0.1), label),
        (loss.SpikeRate(0.5, 0.1, 3), label),
        (loss.SpikeMax(mode="softmax"), label),
        (loss.SpikeMoid(), label.float()),
    ):
        wanted = made(x[:, None], given[:, None] if given.is_floating_point() else given)
        assert torch.equal(made(x, given), wanted)


def time_major(x):
    return x.movedim(-1, 0).contiguous().movedim(0, -1)


@reductions
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("shape", [(STEPS,), (3, STEPS), (2, 3, STEPS), (2, 3, 2, 1, 150)])
@pytest.mark.parametrize("arrange", [torch.Tensor.contiguous, time_major])
def test_spike_time_in_float32_equals_float64(arrange, shape, order, reduction):
    results = []
    for dtype in (torch.float32, torch.float64):
        x, desired = (spikes(shape, seed).to(dtype).requires_grad_() for seed in (0, 1))
        value = loss.SpikeTime(5, 40, order, reduction).to(dtype)(arrange(x), arrange(desired))
        (value * torch.linspace(1, 2, value.numel(), dtype=dtype).reshape(value.shape)).sum().backward()
        assert torch.equal(desired.grad, -x.grad)
        results.append((value.detach(), x.grad))
    for narrow, wide in zip(*results, strict=True):
        assert narrow.dtype == torch.float32
        assert narrow.shape == wide.shape
        torch.testing.assert_close(narrow.double(), wide, rtol=1e-5, atol=1e-6 * wide.abs().max().item())


def test_spike_time_follows_a_filter_that_was_changed():
    x, desired = spikes().float(), spikes(seed=1).float()
    subject = loss.SpikeTime(2.5, 5)
    subject.filter.filter.mul_(2)
    torch.testing.assert_close(subject(x, desired), 4 * loss.SpikeTime(2.5, 5)(x, desired))


@pytest.mark.parametrize("window", [None, 4])
def test_axes_of_length_one_of_labels_do_not_count(window):
    x, hot = spikes((2, 3, 2, 2, STEPS)), torch.eye(12)[LABEL]
    for subject in (loss.SpikeRate(0.8, 0.1, window), loss.SpikeMax(window)):
        for label in (LABEL[:, None], LABEL[None]):
            assert subject(x, label) == subject(x, LABEL)
    subject = loss.SpikeMoid(window)
    for label in (hot, hot[..., None], hot[:, None]):
        assert subject(x, label) == subject(x, hot.view(2, 3, 2, 2))
    if window:
        later = hot[..., None].repeat(1, 1, STEPS)
        assert subject(x, later) == subject(x, later.view(x.shape)) == subject(x, hot)


def test_windows_and_lengths_may_be_tensors():
    x = spikes()
    for window in (torch.tensor(4), torch.tensor([4]), np.array([4]), np.int64(4)):
        assert loss.SpikeMax(window)(x, LABEL) == loss.SpikeMax(4)(x, LABEL)
    with pytest.raises(TypeError, match=r"moving_window must be an integer, got 4\.0"):
        loss.SpikeMax(torch.tensor(4.0))
    desired = spikes(seed=1)
    given = loss.SpikeTime(torch.tensor(2.0), torch.tensor(5))(x, desired)
    assert given == loss.SpikeTime(2, 5)(x, desired)
