"""Any memory layout gives the results of a contiguous tensor, and time-major ones are not copied."""

import pytest
import torch
from lavadl_kernels.neurons import cuba as kernel

from lavadl_ref import slayer
from lavadl_ref.slayer._bridge import autograd as _autograd
from lavadl_ref.slayer._bridge import delay as _delay
from lavadl_ref.slayer._bridge import spike as _spike
from lavadl_ref.slayer._bridge.autograd import layout_of

SHAPES = [(2, 3, 5), (1, 3, 5), (2, 1, 5), (1, 1, 5), (2, 3, 1), (2, 3, 4, 2, 5), (1, 3, 1, 2, 5), (2, 1, 4, 2, 5)]


def integers(shape, seed=0):
    return torch.randint(-20, 90, shape, generator=torch.Generator().manual_seed(seed)) / 64


def contiguous(x):
    return x.contiguous()


def channels_last(x):
    """Memory (T, N, *spatial, C)."""
    order = (x.ndim - 1, 0, *range(2, x.ndim - 1), 1)
    memory = x.permute(order).contiguous()
    return memory.permute([order.index(i) for i in range(x.ndim)])


def channels_first(x):
    """Memory (T, N, C, *spatial)."""
    return x.movedim(-1, 0).contiguous().movedim(0, -1)


def strided(x):
    """Every second element of something larger, along every axis."""
    big = torch.full([2 * s + 1 for s in x.shape], 7.0)
    view = big[tuple(slice(1, None, 2) for _ in x.shape)]
    view.copy_(x)
    return view


def offset(x):
    big = torch.full([s + 2 for s in x.shape], 7.0)
    view = big[tuple(slice(1, -1) for _ in x.shape)]
    view.copy_(x)
    return view


LAYOUTS = [contiguous, channels_last, channels_first, strided, offset]


def neurons(x, decays, states=(0, 0)):
    """Spikes and last states of CUBA neurons."""
    setting = _autograd.Setting(kernel.FAMILY, (4096,), 1.0, 1.0, False, False)
    return _autograd.neurons(setting, states, (x,), (*decays, torch.zeros(1)))


def cuba(x, g):
    """Outputs and gradients of the fused neuron with per-channel parameters and given states."""
    channels = x.shape[1]
    x = x.detach().requires_grad_()
    decays = [torch.linspace(a, b, channels).round().requires_grad_() for a, b in ((300, 2000), (4000, 10))]
    states = [torch.arange(x[..., 0].numel()).reshape(x.shape[:-1]) * k - 30 for k in (7, -3)]
    spikes, u, v = neurons(x, decays, states)
    (spikes * g).sum().backward()
    return [spikes.detach(), u, v, x.grad, *(d.grad for d in decays)]


def leaky(x, g):
    x = x.detach().requires_grad_()
    decay = torch.linspace(5, 2000, x.shape[1]).round().requires_grad_()
    y, state, _ = _spike.LeakyIntegrator.apply(x, decay, None, 4096)
    (y * g).sum().backward()
    return [y.detach(), state, x.grad, decay.grad]


def delay(x, g):
    x = x.detach().requires_grad_()
    steps = torch.arange(x.shape[1]).float().requires_grad_()
    y = _delay.Delay.apply(x, steps, 1.0)
    (y * g).sum().backward()
    return [y.detach(), x.grad, steps.grad]


def spike(x, g):
    x = x.detach().requires_grad_()
    y = _spike.Spike.apply(x, torch.full_like(x, 0.5), 1.0, 1.0, True, 1)
    (y * g).sum().backward()
    return [y.detach(), x.grad]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("arrange", LAYOUTS)
@pytest.mark.parametrize("function", [cuba, leaky, delay, spike])
def test_any_layout_gives_the_same(function, arrange, shape):
    x, g = integers(shape), integers(shape, seed=1)
    for actual, expected in zip(function(arrange(x), arrange(g)), function(x, g), strict=True):
        assert actual.shape == expected.shape
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4 if actual.shape != x.shape else 0)


@pytest.mark.parametrize("function", [cuba, leaky, delay])
def test_expanded_memory_gives_the_same(function):
    """Broadcast memory: strides of zero, overlapping elements."""
    row = integers((2, 1, 6))
    expanded = row.expand(2, 4, 6)
    g = torch.ones(()).expand(2, 4, 6)
    for actual, expected in zip(function(expanded, g), function(expanded.clone(), g.clone()), strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 1, 5), (2, 3, 4, 2, 5)])
@pytest.mark.parametrize("arrange", [channels_last, channels_first])
def test_time_major_memory_is_not_copied(arrange, shape):
    x = arrange(integers(shape))
    layout = layout_of(x)
    lanes = layout.lanes(x)
    assert lanes.ctypes.data == x.data_ptr()
    back = layout.logical(lanes)
    assert back.data_ptr() == x.data_ptr()
    assert torch.equal(back, x)


def test_results_are_time_major():
    """The next neuron takes without a copy the tensor that one returns."""
    x = integers((2, 3, 4, 2, 5)).contiguous()
    spikes, *_ = neurons(x, (torch.ones(1), torch.ones(1)))
    assert layout_of(spikes).lanes(spikes).ctypes.data == spikes.data_ptr()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("arrange", LAYOUTS)
def test_parameters_follow_the_channels(arrange, shape):
    layout = layout_of(arrange(integers(shape)))
    channels = torch.arange(shape[1])
    lanes = layout.per_lane(channels.numpy())
    assert lanes.flags.writeable
    spread = channels.reshape(1, -1, *[1] * (len(shape) - 3)).expand(shape[:-1])
    assert torch.equal(layout.logical_state(lanes), spread)
    assert (layout.state(spread) == lanes).all()
    assert (layout.per_lane(channels[:1].numpy()) == 0).all()
    sums = layout.per_channel(lanes.astype(float), shape[1])
    assert torch.equal(sums, (channels * (lanes.size // shape[1])).float())
    assert torch.equal(layout.per_channel(lanes.astype(float), 1), sums.sum().reshape(1))


@pytest.mark.parametrize("shape", [(0, 3, 5), (2, 3, 0), (2, 0, 5), (0, 3, 2, 2, 5)])
def test_empty_tensors_give_empty_ones(shape):
    x = torch.zeros(shape, requires_grad=True)
    spikes, u, _ = neurons(x, (torch.ones(1), torch.ones(1)))
    spikes.sum().backward()
    assert spikes.shape == x.grad.shape == shape
    assert u.shape == shape[:-1]


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[[1.0]]], TypeError, "neuron input must be a torch.Tensor, got list"),
        (torch.zeros(1, 2, 3, dtype=torch.float64), TypeError, "neuron input must be float32, got torch.float64"),
        (torch.zeros(1, 2, 3, dtype=torch.int64), TypeError, "neuron input must be float32, got torch.int64"),
        (torch.zeros(2, 3), ValueError, r"neuron input must have shape .*, got \(2, 3\)"),
        (torch.zeros(1, 2, 3, device="meta"), TypeError, "neuron input is on meta; .* CPU"),
    ],
)
def test_errors_of_the_layout_name_what_was_given(x, error, message):
    with pytest.raises(error, match=message):
        layout_of(x)


@pytest.mark.parametrize("function", ["input", "output"])
def test_a_change_in_place_before_backward_is_an_error(function):
    """As in torch: never a silently wrong gradient."""
    source = channels_last(integers((2, 3, 5))).requires_grad_()
    x = source * 1
    if function == "input":
        y, *_ = neurons(x, (torch.ones(1), torch.ones(1)))
        x.mul_(0)
    else:
        y = _delay.Delay.apply(x, torch.ones(1, requires_grad=True), 1.0)
        y.mul_(0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("family", ["cuba", "rf_iz"])
@pytest.mark.parametrize("given", [contiguous, channels_last])
def test_neurons_take_time_innermost_without_a_copy(family, given, monkeypatch):
    """Spikes and gradients are, to the last bit, those of time-major memory; the gradient lies as the input does."""
    found, copied = [], []
    transposed = _autograd.transposed
    monkeypatch.setattr(_autograd, "transposed", lambda lanes: copied.append(lanes) or transposed(lanes))
    for arrange in (contiguous, channels_last):
        params = {"voltage_decay": 0.03, "current_decay": 0.25} if family == "cuba" else {"period": 7, "decay": 0.1}
        cells = getattr(slayer.neuron, family).Neuron(0.5, **params, requires_grad=True)
        parts = [arrange(integers((3, 70, 43), seed)).requires_grad_() for seed in range(2 if cells.complex else 1)]
        spikes = cells(parts if cells.complex else parts[0])
        spikes.backward(given(integers(spikes.shape, 5)))
        assert all(part.grad.stride() == part.stride() for part in parts)
        found.append([spikes.detach(), *(part.grad for part in parts), *(part.grad for part in cells.parameters())])
    assert 0 < found[0][0].mean() < 1
    assert all(map(torch.equal, *found))
    assert copied == []


def test_an_input_with_time_innermost_may_not_change_before_backward():
    x = integers((3, 70, 43)).requires_grad_() * 1
    y = slayer.neuron.cuba.Neuron(0.5, 0.25, 0.03)(x)
    x.mul_(0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3, 4, 2, 5)])
def test_the_gradient_of_a_delay_lies_in_memory_as_its_input_does(shape):
    x, gradient = integers(shape).requires_grad_(), integers(shape, 1)
    value = torch.tensor([0.0, 2.0, 1.0])

    def back(given):
        return torch.autograd.grad(_delay.Delay.apply(given, value, 1.0), given, gradient)[0]

    native = channels_last(x.detach()).requires_grad_()
    actual, expected = back(x), back(native)
    assert actual.is_contiguous()
    assert expected.stride() == native.stride()
    assert torch.equal(actual, expected)


def test_the_gradient_of_neurons_lies_in_memory_as_their_input_does():
    x, gradient = integers((2, 3, 5)).requires_grad_(), integers((2, 3, 5), 1)
    neuron = slayer.neuron.cuba.Neuron(threshold=1.0, current_decay=0.25, voltage_decay=0.03)
    native = channels_last(x.detach()).requires_grad_()
    actual, expected = (torch.autograd.grad(neuron(given), given, gradient)[0] for given in (x, native))
    assert actual.is_contiguous()
    assert torch.equal(actual, expected)
