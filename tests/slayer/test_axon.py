"""`axon.delay` and `axon.Delay`."""

import itertools

import pytest
import torch

from lavadl_ref.slayer import axon
from lavadl_ref.slayer._bridge import delay as _delay
from tests.support import oracle as naive

SHAPES = pytest.mark.parametrize("shape", [(2, 3, 9), (2, 3, 4, 9), (2, 3, 2, 4, 9)])


def signal(shape, seed=0):
    return torch.randint(0, 9, shape, generator=torch.Generator().manual_seed(seed)).float()


def rows(x):
    """Lists over time, channel by channel."""
    return x.movedim(1, 0).flatten(1, -2).tolist()


def fixed(delays, **options):
    layer = axon.Delay(**options)
    layer.delay.data = torch.tensor(delays)
    layer.init = True
    return layer


@SHAPES
@pytest.mark.parametrize("steps", [-3, -1, 0, 1, 4, 20])
def test_the_delay_equals_the_oracle(shape, steps):
    x = signal(shape).requires_grad_()
    y = axon.delay(x, steps)
    assert rows(y) == [[naive.delay(row, steps) for row in channel] for channel in rows(x)]
    g = signal(shape, 1)
    y.backward(g)
    assert rows(x.grad) == [[naive.delay(row, -steps) for row in channel] for channel in rows(g)]


@pytest.mark.parametrize(
    ("value", "sampling", "steps"), [(1, 1, 1), (1.9, 1, 1), (3, 2, 1), (-1.9, 1, -1), (2, 0.5, 4)]
)
def test_a_delay_is_truncated_to_steps(value, sampling, steps):
    x = signal((1, 1, 9))
    assert torch.equal(axon.delay(x, value, sampling), axon.delay(x, steps))


@pytest.mark.parametrize("shape", [(9,), (2, 9), (2, 3, 9), (2, 3, 4, 9), (2, 3, 2, 4, 9)])
@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.int64, torch.uint8, torch.bool],
)
def test_a_delay_takes_any_shape_and_dtype(shape, dtype):
    x = signal(shape).to(dtype)
    if dtype.is_floating_point:
        x.requires_grad_()
    for steps in (-3, 0, 2, 20):
        y = axon.delay(x, steps)
        assert (y.shape, y.dtype) == (x.shape, dtype)
        expected = [naive.delay(row, steps) for row in x.reshape(-1, 9).tolist()]
        assert y.reshape(-1, 9).tolist() == expected
        if dtype.is_floating_point:
            g = signal(shape, 1).to(dtype)
            (gradient,) = torch.autograd.grad(y, x, g)
            assert gradient.dtype == dtype
            assert gradient.reshape(-1, 9).tolist() == [naive.delay(row, -steps) for row in g.reshape(-1, 9).tolist()]


def test_each_element_may_have_its_delay():
    x = signal((2, 3, 9))
    y = axon.delay(x, torch.tensor([0.0, 2.0, -1.0]))
    for channel, steps in enumerate((0, 2, -1)):
        assert torch.equal(y[:, channel], axon.delay(x[:, channel], steps))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0, 2.0],), TypeError, "input of delay must be a torch.Tensor, got list"),
        ((torch.tensor(1.0),), ValueError, r"input of delay must have at least 1 axes \(..., T\), got shape \(\)"),
        ((torch.ones(9), "one"), TypeError, "delay_val must be a number or an array of numbers, got 'one'"),
        ((torch.ones(2, 3, 9), float("inf")), ValueError, "delay_val must be finite, got inf"),
        ((torch.ones(2, 3, 9), [1, 2]), ValueError, r"delay_val must hold one value, or .*\(2, 3, 9\), got 2 values"),
        ((torch.ones(2, 3, 9), 1, 0), ValueError, "sampling_time of delay must be greater than 0, got 0"),
    ],
)
def test_bad_arguments_of_a_delay_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        axon.delay(*arguments)


def test_an_unusable_input_leaves_delays_undrawn():
    layer = axon.Delay()
    for x, error, message in (
        (torch.ones(9), ValueError, r"delay input must have shape .*, got \(9,\)"),
        (torch.ones(2, 3, 9).double(), TypeError, r"delay input must be float32, got torch\.float64"),
    ):
        with pytest.raises(error, match=message):
            layer(x)
    assert not layer.init


def test_the_default_delay_is_one_step():
    x = signal((1, 1, 9))
    assert torch.equal(axon.delay(x), axon.delay(x, 1))


@SHAPES
def test_a_learnt_delay_acts_by_its_integer_part(shape):
    layer = fixed([0.9, 2.0, 3.7])
    x = signal(shape)
    expected = [[naive.delay(row, d) for row in channel] for d, channel in zip((0, 2, 3), rows(x), strict=True)]
    assert rows(layer(x)) == expected
    assert layer.shape == (3,)
    assert layer.steps(3).tolist() == [0, 2, 3]


@SHAPES
@pytest.mark.parametrize("grad_scale", [1, 0.5])
@pytest.mark.parametrize("sampling_time", [1, 2])
def test_the_gradients_of_a_learnt_delay_equal_the_formula(shape, grad_scale, sampling_time):
    """To the input the opposite shift; to the delay the slope of a signal interpolated in time."""
    layer = fixed([0.9, 2.0, 7.7], grad_scale=grad_scale, sampling_time=sampling_time)
    x, g = signal(shape).requires_grad_(), signal(shape, 1)
    y = layer(x)
    y.backward(g)
    steps = layer.steps(3).tolist()
    assert steps == [int(d / sampling_time) for d in (0.9, 2.0, 7.7)]
    assert rows(x.grad) == [[naive.delay(r, -d) for r in channel] for d, channel in zip(steps, rows(g), strict=True)]
    slope = y.detach().clone()
    slope[..., 1:] -= y.detach()[..., :-1]
    expected = -(g * slope).movedim(1, 0).flatten(1).sum(1) * grad_scale / sampling_time
    torch.testing.assert_close(layer.delay.grad, expected)


@SHAPES
def test_delays_are_drawn_by_the_first_input(shape):
    layer = axon.Delay()
    parameter = layer.delay
    assert parameter.numel() == 1
    x = signal(shape)
    assert torch.equal(layer(x), x)
    assert layer.delay is parameter
    assert parameter.shape == (3,)
    assert ((parameter >= 0) & (parameter < 1)).all()
    assert len(parameter.unique()) == 3
    drawn = parameter.detach().clone()
    layer(x)
    assert torch.equal(parameter, drawn)


def test_delays_are_kept_in_range():
    layer = fixed([-2.0, 1.5, 99.0], max_delay=5)
    x = signal((1, 3, 9))
    with pytest.warns(UserWarning, match="a delay of 99 is clamped to 5"):
        y = layer(x)
    layer.delay.data[2] = 98  # said once
    assert torch.equal(layer(x), y)
    assert layer.delay.tolist() == [0, 1.5, 5]
    assert torch.equal(y[:, 0], x[:, 0])
    layer = fixed([-2.0, 1.5, 99.0])
    layer.clamp()
    assert layer.delay.tolist() == [0, 1.5, 99]


def test_one_delay_may_stand_for_all_channels():
    layer = fixed([2.0])
    x = signal((2, 3, 9))
    y = layer(x)
    assert torch.equal(y, axon.delay(x, 2))
    y.sum().backward()
    assert layer.delay.grad.shape == (1,)
    assert layer.steps(3).tolist() == [2, 2, 2]


def test_delays_refuse_another_number_of_channels():
    with pytest.raises(ValueError, match="built for 2 channels, got input with 3"):
        fixed([1.0, 2.0])(signal((2, 3, 9)))


@SHAPES
@pytest.mark.parametrize("cuts", [(4,), (0, 1, 2), (8,), (3, 3)])
def test_delayed_chunks_are_the_whole_where_state_persists(shape, cuts):
    layer = fixed([0.9, 2.0, 6.7])
    layer.persistent_state = True
    x = signal(shape)
    whole = layer(x)
    layer.reset()
    edges = [0, *cuts, 9]
    parts = [layer(x[..., lo:hi]) for lo, hi in itertools.pairwise(edges)]
    assert torch.equal(torch.cat(parts, -1), whole)
    assert torch.equal(whole, fixed([0.9, 2.0, 6.7])(x))


def test_what_is_under_way_belongs_to_a_batch():
    layer = fixed([1.0, 1.0, 1.0])
    layer.persistent_state = True
    layer(signal((2, 3, 9)) + 1)
    assert (layer(signal((4, 3, 9)) + 1)[..., 0] == 0).all()


def test_what_is_under_way_carries_no_gradient():
    layer = fixed([2.0, 1.0, 0.0])
    layer.persistent_state = True
    first, second = signal((1, 3, 9)).requires_grad_(), signal((1, 3, 9)).requires_grad_()
    layer(first)
    layer(second).sum().backward()
    assert first.grad is None
    assert second.grad.sum() == 9 * 3 - 3


def channels_innermost(x):
    """The same tensor in the memory that blocks leave it in."""
    order = (x.ndim - 1, 0, *range(2, x.ndim - 1), 1)
    return x.permute(order).contiguous().permute([order.index(i) for i in range(x.ndim)])


@SHAPES
@pytest.mark.parametrize("delays", [[0.9, 2.0, 3.7], [2.5], [1.0, 1.2, 1.9], [0.0, 8.0, 61.0]])
@pytest.mark.parametrize("arrange", [torch.Tensor.contiguous, channels_innermost])
def test_shift_and_delay_are_applied_in_one_pass(shape, delays, arrange):
    """Outputs and all gradients have the bits of the two steps after each other."""
    results = []
    for fused in (True, False):
        layer, x = fixed(delays, max_delay=62, grad_scale=0.5), arrange(signal(shape)).requires_grad_()
        y = layer(x, 1) if fused else layer(axon.delay(x, 1))
        y.backward(arrange(signal(shape, 1)))
        results.append((y, x.grad, layer.delay.grad))
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("steps", [-20, -9, -2, 0, 3, 9, 20])
def test_the_gradient_of_a_delay_is_autograds_in_float64(steps):
    """Per-channel delays around `steps`, also negative or beyond the signal, against autograd over slices."""
    x, g = signal((2, 3, 4, 2, 9)).requires_grad_(), signal((2, 3, 4, 2, 9), 1)
    value = torch.tensor([steps - 1.0, steps, steps + 1.0], requires_grad=True)
    y = _delay.Delay.apply(x, value, 1.0)
    y.backward(g)
    wide = x.detach().double().requires_grad_()
    padded = torch.nn.functional.pad(wide, (40, 40))
    shifted = torch.stack([padded[:, c, ..., 40 - d : 49 - d] for c, d in enumerate(value.long().tolist())], 1)
    assert torch.equal(y.double(), shifted)
    shifted.backward(g.double())
    assert torch.equal(x.grad.double(), wide.grad)
    slope = torch.diff(shifted.detach(), dim=-1, prepend=torch.zeros(2, 3, 4, 2, 1))
    assert torch.equal(value.grad.double(), -(g * slope).movedim(1, 0).flatten(1).sum(1))


def test_fixed_delays_need_no_slope():
    x = signal((2, 3, 9)).requires_grad_()
    layer = fixed([0.0, 2.0, 3.0])
    layer.delay.requires_grad_(False)
    layer(x, 1).backward(signal((2, 3, 9), 1))
    other = signal((2, 3, 9)).requires_grad_()
    fixed([1.0, 3.0, 4.0])(other).backward(signal((2, 3, 9), 1))
    assert torch.equal(x.grad, other.grad)
    assert layer.delay.grad is None


@pytest.mark.parametrize("cuts", [(4,), (0, 1, 2), (3, 3)])
def test_shift_and_delay_persist_together(cuts):
    layer = fixed([0.9, 2.0, 6.7])
    layer.persistent_state = True
    x = signal((2, 3, 9))
    parts = [layer(x[..., lo:hi], 1) for lo, hi in itertools.pairwise([0, *cuts, 9])]
    assert torch.equal(torch.cat(parts, -1), fixed([0.9, 2.0, 6.7])(axon.delay(x, 1)))
