"""Shift and replicate against NumPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavadl_ref.slayer.utils.time import replicate, shift

shifts = st.floats(-12, 12)


def naive_shift(x, steps):
    """out[t] = x[t - n] for rows x, one n for each."""
    out = np.zeros_like(x)
    for row, n in enumerate(steps):
        for t in range(x.shape[1]):
            if 0 <= t - n < x.shape[1]:
                out[row, t] = x[row, t - n]
    return out


@given(st.data())
def test_shift_moves_every_element_by_its_own_steps(data):
    spatial = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    steps = data.draw(st.integers(1, 9))
    sampling_time = data.draw(st.sampled_from([1, 2, 0.5]))
    count = math.prod(spatial)
    values = data.draw(st.lists(shifts, min_size=count, max_size=count))
    x = np.arange(1.0, 2 * count * steps + 1).reshape(2, count, steps)
    n = [int(v / sampling_time) for v in values]
    expected = np.stack([naive_shift(sample, n) for sample in x])
    actual = shift(
        torch.from_numpy(x).reshape(2, *spatial, steps),
        torch.tensor(values, dtype=torch.float64),
        sampling_time,
    )
    assert np.array_equal(actual.reshape(x.shape).numpy(), expected)


@given(shifts, st.sampled_from([(6,), (2, 6), (2, 3, 6), (1, 2, 2, 2, 6)]), st.sampled_from([1, 2, 0.5]))
def test_shift_moves_all_by_one_number(value, shape, sampling_time):
    x = torch.arange(1, math.prod(shape) + 1).reshape(shape)
    rows = x.reshape(-1, shape[-1]).numpy()
    expected = naive_shift(rows, [int(value / sampling_time)] * len(rows))
    for given_value in (value, np.float64(value), torch.tensor([value], dtype=torch.float64)):
        actual = shift(x, given_value, sampling_time)
        assert actual.dtype == x.dtype
        assert np.array_equal(actual.reshape(rows.shape).numpy(), expected)


def test_shift_reads_arrays_sequences_and_grids_alike():
    x = torch.rand(2, 2, 2, 5)
    values = [[0, 1], [-1, 2]]
    expected = shift(x, torch.tensor(values).flatten())
    assert torch.equal(shift(x, values), expected)
    assert torch.equal(shift(x, np.array(values)), expected)


@pytest.mark.parametrize("value", [2, -3, 9, [0.0, 1.5, -2.0]])
def test_the_gradient_of_a_shift_is_right(value):
    x = torch.rand(2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: shift(x, value), x)
    assert torch.autograd.gradgradcheck(lambda x: shift(x, value), x)


def test_shift_keeps_the_memory_layout_of_a_common_shift():
    x = torch.rand(5, 2, 3).permute(1, 2, 0)
    moved = shift(x, 1)
    assert moved.stride() == x.stride()
    assert torch.equal(moved, shift(x.contiguous(), 1))
    assert torch.equal(shift(x, [1, 0, -1]), shift(x.contiguous(), [1, 0, -1]))


@pytest.mark.parametrize("shape", [(2, 3, 0), (0, 3, 4)])
def test_a_shift_of_nothing_is_nothing(shape):
    for value in (1, [1, 0, -1]):
        assert shift(torch.zeros(shape), value).shape == shape


def test_shift_keeps_non_finite_values_out_of_the_gap():
    x = torch.full((1, 2, 3), float("nan"))
    assert shift(x, [1, 2]).isnan().tolist() == [[[False, True, True], [False, False, True]]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.ones(3), 1), TypeError, "must be a torch.Tensor, got ndarray"),
        ((torch.ones(2, 3, 4), [1, 2]), ValueError, r"batch and time of input \(2, 3, 4\), got 2 values"),
        ((torch.ones(3, 4), [1, 2, 3]), ValueError, "got 3 values"),
        ((torch.ones(2, 3, 4), float("nan")), ValueError, "shift_val must be finite, got nan"),
        ((torch.ones(2, 3, 4), "a"), TypeError, "got 'a'"),
        ((torch.ones(2, 3, 4), 1, 0), ValueError, "sampling_time of shift must be greater than 0, got 0"),
    ],
)
def test_bad_arguments_of_shift_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        shift(*arguments)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4, 5)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float64, torch.bool])
def test_replicate_repeats_in_a_new_last_axis(shape, dtype):
    x = (torch.rand(shape) * 4).to(dtype)
    actual = replicate(x, 3)
    assert actual.dtype == dtype
    assert torch.equal(actual, torch.stack([x] * 3, dim=-1))


def test_the_gradient_of_replicate_is_right():
    x = torch.rand(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: replicate(x, 4), x)
    with pytest.raises(ValueError, match="num_steps of replicate must be at least 1, got 0"):
        replicate(x, 0)
    with pytest.raises(TypeError, match=r"num_steps of replicate must be an integer, got 2\.0"):
        replicate(x, 2.0)


@pytest.mark.parametrize("time_major", [False, True])
def test_float32_is_shifted_like_float64(time_major):
    x = torch.rand(2, 3, 2, 2, 7)
    if time_major:
        x = x.movedim(-1, 0).contiguous().movedim(0, -1)
    steps = np.arange(12) - 6
    narrow, wide = x.clone().requires_grad_(), x.double().requires_grad_()
    for given_value in (narrow, wide):
        shift(given_value, steps).square().sum().backward()
    assert torch.equal(shift(narrow, steps).double(), shift(wide, steps))
    torch.testing.assert_close(narrow.grad.double(), wide.grad)
