"""Quantisation and integer helpers against NumPy and plain integers."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavadl_ref.slayer import utils
from lavadl_ref.slayer.utils.int_utils import Q2Zero, right_shift_to_zero
from lavadl_ref.slayer.utils.quantize import quantize_within

MODE = utils.QUANTIZE_MODE
module = sys.modules[quantize_within.__module__]
values = st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20)


def test_modes_are_numbered_as_files_and_scripts_expect():
    assert (MODE.ROUND, MODE.FLOOR) == (0, 1)
    assert callable(utils.quantize)


@given(values, st.sampled_from([1, 0.5, 2 / 64, 0.1, 3]))
def test_quantize_is_round_half_even_or_floor(x, step):
    x = np.array(x)
    actual = torch.from_numpy(x)
    assert np.array_equal(utils.quantize(actual, step).numpy(), np.rint(x / step) * step)
    assert np.array_equal(utils.quantize(actual, step, MODE.FLOOR).numpy(), np.floor(x / step) * step)


def test_quantize_passes_the_gradient_unchanged():
    x = torch.tensor([-1.5, 0.2, 2.5], requires_grad=True)
    gradient = torch.tensor([1.0, -2.0, 3.0])
    for mode in MODE:
        (actual,) = torch.autograd.grad(utils.quantize(x, 0.5, mode), x, gradient)
        assert torch.equal(actual, gradient)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3.5,), TypeError, "must be a torch.Tensor, got float"),
        ((torch.ones(1, dtype=torch.complex64),), TypeError, "must be real, got dtype torch.complex64"),
        ((torch.ones(1), 0), ValueError, "greater than 0, got 0"),
        ((torch.ones(1), float("nan")), ValueError, "finite, got nan"),
        ((torch.ones(1), "1"), TypeError, "must be a number, got '1'"),
        ((torch.ones(1), 1, 7), ValueError, "got 7"),
    ],
)
def test_bad_arguments_of_quantize_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        utils.quantize(*arguments)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8, torch.bool])
def test_integers_and_booleans_become_floats(dtype):
    x = torch.tensor([0, 1, 3]).to(dtype)
    assert utils.quantize(x, 2).dtype == torch.float32
    assert utils.quantize(x, 2).tolist() == [2 * round(int(value) / 2) for value in x]
    assert utils.quantize_hook_fx(x).tolist() == x.float().tolist()
    assert utils.quantize_hook_fx(x).dtype == torch.float32


@pytest.mark.parametrize("step", [torch.tensor(0.5), torch.tensor([0.5])])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_step_in_a_tensor_is_a_number(step, dtype):
    x = torch.tensor([0.3, 0.8]).to(dtype)
    assert utils.quantize(x, step).dtype == dtype
    assert utils.quantize(x, step).tolist() == [0.5, 1]


@given(values)
def test_the_hook_gives_even_64ths_of_eight_bit_mantissas(x):
    actual = utils.quantize_hook_fx(torch.tensor(x, dtype=torch.float64)) * 64
    expected = 2 * np.clip(np.rint(np.array(x) * 32), -128, 127)
    assert np.array_equal(actual.numpy(), expected)


@pytest.mark.parametrize("values", [[], [0.3, -0.8], [3.0, -2.0, 1.6, 0.1], [2.1], [-9.0], [float("nan"), 0.5]])
def test_bounds_are_a_clamp(values):
    x = torch.tensor(values, requires_grad=True)
    gradient = torch.arange(1.0, len(values) + 1)
    actual, expected = quantize_within(x, 0.5, -1, 1.5), utils.quantize(x, 0.5).clamp(-1, 1.5)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)
    (a,), (b,) = (torch.autograd.grad(y, x, gradient) for y in (actual, expected))
    assert torch.equal(a, b)


@pytest.mark.parametrize("reach", [3.9, 4.5, float("nan")])
def test_many_values_take_one_pass(reach, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(200, 100, generator=generator) - 0.5) * 7.8
    x[::7] = torch.round(x[::7] * 64) / 64  # ties
    x[3, 5], x[4, 6] = reach, -0.01
    x.requires_grad_()
    results = []
    for fewest in (module.FEWEST, x.numel() + 1):
        monkeypatch.setattr(module, "FEWEST", fewest)
        y = quantize_within(x, 1 / 32, -4.0, 127 / 32)
        results.append((y.detach(), *torch.autograd.grad(y, x, torch.ones_like(x))))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a.view(torch.int32), b.view(torch.int32))


def test_the_hook_has_range_gradient_and_descale():
    x = torch.tensor([-5.0, -4.0, 0.02, 3.96875, 5.0], requires_grad=True)
    real = utils.quantize_hook_fx(x)
    assert real.tolist() == [-4.0, -4.0, 0.03125, 3.96875, 3.96875]
    assert torch.autograd.grad(real.sum(), x)[0].tolist() == [0, 1, 1, 1, 0]
    assert utils.quantize_hook_fx(x, descale=True).tolist() == [-256, -256, 2, 254, 254]
    assert utils.quantize_hook_fx(x, scale=32, num_bits=4, descale=True).tolist() == [-16, -16, 0, 14, 14]
    with pytest.raises(ValueError, match="num_bits of quantize_hook_fx must be at least 1, got 0"):
        utils.quantize_hook_fx(x, num_bits=0)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.integers(0, 63))
def test_right_shift_drops_the_fraction_of_any_int64(x, bits):
    expected = [-(-v >> bits) if v < 0 else v >> bits for v in x]
    assert right_shift_to_zero(torch.tensor(x), bits).tolist() == expected


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1), st.integers(0, 31))
def test_right_shift_drops_the_fraction_of_any_int32(x, bits):
    actual = right_shift_to_zero(torch.tensor(x, dtype=torch.int32), bits)
    assert actual.dtype == torch.int32
    assert actual.tolist() == [-(-v >> bits) if v < 0 else v >> bits for v in x]


def test_bad_arguments_of_right_shift_are_refused():
    with pytest.raises(TypeError, match=r"int32 or torch\.int64, got torch\.float32"):
        right_shift_to_zero(torch.ones(1), 1)
    with pytest.raises(ValueError, match=r"below 32 for torch\.int32, got 32"):
        right_shift_to_zero(torch.ones(1, dtype=torch.int32), 32)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        right_shift_to_zero(torch.ones(1, dtype=torch.int64), -1)


def test_q2zero_truncates_and_passes_the_gradient():
    x = torch.tensor([-1.7, -0.3, 0.7, 1.2], requires_grad=True)
    y = Q2Zero.apply(x)
    assert y.tolist() == [-1, 0, 0, 1]
    assert torch.autograd.grad(y.sum(), x)[0].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_integers_have_no_fraction_to_drop(dtype):
    x = torch.tensor([0, 1]).to(dtype)
    y = Q2Zero.apply(x)
    assert torch.equal(y, x)
    assert y.data_ptr() != x.data_ptr()
