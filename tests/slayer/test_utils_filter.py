"""Filters against numpy.convolve, each other, and finite differences."""

import importlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavadl_ref.slayer.utils.filter import FIR, FIRBank, conv, corr

blocks = importlib.import_module("lavadl_ref.slayer.utils.filter.conv")


@pytest.fixture
def short_blocks(monkeypatch):
    """Blocks of a few steps, so that short signals span several."""
    monkeypatch.setattr(blocks, "_WHOLE", 3)
    monkeypatch.setattr(blocks, "_BLOCK", 4)


def naive_conv(x, filter):
    rows = [np.convolve(row, filter)[: x.shape[-1]] for row in x.reshape(-1, x.shape[-1])]
    return np.array(rows).reshape(x.shape)


shapes = st.tuples(st.integers(1, 3), st.integers(1, 40))


# Small integers: every sum is exact, so equality does not depend on its order.
@given(shapes, st.integers(1, 45), st.sampled_from([1, 0.5, 2]), st.integers(0, 2**31))
def test_conv_is_causal_convolution_and_corr_its_mirror(shape, taps, step, seed):
    random = np.random.default_rng(seed)
    x = random.integers(-9, 9, shape).astype(float)
    filter = random.integers(-9, 9, taps).astype(float)
    signal, kernel = torch.from_numpy(x), torch.from_numpy(filter)
    with pytest.MonkeyPatch.context() as patch:
        for whole, block in ((256, 128), (3, 4)):
            patch.setattr(blocks, "_WHOLE", whole)
            patch.setattr(blocks, "_BLOCK", block)
            assert np.array_equal(conv(signal, kernel, step).numpy(), step * naive_conv(x, filter))
            mirrored = step * naive_conv(x[..., ::-1], filter)[..., ::-1]
            assert np.array_equal(corr(signal, kernel, step).numpy(), mirrored)
            # <conv(x), y> = <x, corr(y)>
            y = torch.from_numpy(random.integers(-9, 9, shape).astype(float))
            assert (conv(signal, kernel, step) * y).sum() == (signal * corr(y, kernel, step)).sum()


@pytest.mark.parametrize("steps", [255, 256, 257, 300, 1000])
def test_conv_is_right_across_real_block_borders(steps):
    random = np.random.default_rng(0)
    x = random.integers(0, 2, (2, steps)).astype(np.float32)
    for taps in (1, 2, 100, 129, 400):
        filter = random.integers(-9, 9, taps).astype(np.float32)
        actual = conv(torch.from_numpy(x), torch.from_numpy(filter))
        assert np.array_equal(actual.numpy(), naive_conv(x, filter))


@pytest.mark.parametrize("shape", [(6,), (2, 6), (2, 3, 6), (1, 2, 2, 3, 6), (0, 6), (2, 0)])
def test_conv_takes_any_shape_with_time_last(shape):
    x = torch.randint(0, 2, shape).double()
    actual = conv(x, torch.tensor([1.0, 2.0, 3.0]))
    assert actual.shape == x.shape
    if x.numel():
        assert np.array_equal(actual.numpy(), naive_conv(x.numpy(), [1, 2, 3]))


@pytest.mark.parametrize("function", [conv, corr])
@pytest.mark.parametrize("shape", [(150, 11), (3, 50, 11), (2, 4, 5, 4, 11)])
@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("taps", [1, 6, 30])
def test_filtered_float32_signals_equal_those_of_float64(function, shape, time_major, taps):
    """Small integers, so that also the gradients and theirs are exact."""
    random = np.random.default_rng(taps)
    filter, g = random.integers(-9, 9, taps), torch.from_numpy(random.integers(-9, 9, shape))
    given = torch.from_numpy(random.integers(-9, 9, shape))
    if time_major:
        given = given.movedim(-1, 0).contiguous().movedim(0, -1)
    results = []
    for dtype in (torch.float32, torch.float64):
        x, weight = given.to(dtype).requires_grad_(), g.to(dtype).requires_grad_()
        y = function(x, torch.from_numpy(filter).to(dtype))
        (first,) = torch.autograd.grad(y, x, weight, create_graph=True)
        (second,) = torch.autograd.grad(first, weight, weight)
        results.append([y, first, second])
    for narrow, wide in zip(*results, strict=True):
        assert narrow.dtype == torch.float32
        assert torch.equal(narrow.double(), wide)


@pytest.mark.parametrize("function", [conv, corr])
@pytest.mark.parametrize("taps", [1, 3, 12])
def test_signal_and_filter_get_their_gradients(function, taps, short_blocks):
    x = torch.rand(2, 10, dtype=torch.float64, requires_grad=True)
    filter = torch.rand(taps, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, f: function(x, f, 0.5), (x, filter))


def test_spikes_of_any_dtype_are_filtered_alike():
    x = torch.rand(2, 9) > 0.5
    filter = torch.tensor([1.0, 0.5])
    expected = conv(x.float(), filter)
    assert torch.equal(conv(x, filter), expected)
    assert torch.equal(conv(x.int(), filter), expected)
    assert conv(x.double(), filter).dtype == torch.float64


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1.0], torch.ones(1)), TypeError, "input of conv must be a torch.Tensor, got list"),
        ((torch.ones(3), torch.ones(2, 2)), ValueError, r"one row of taps \(L,\), got shape \(2, 2\)"),
        ((torch.ones(3), torch.ones(0)), ValueError, r"got shape \(0,\)"),
        ((torch.ones(()), torch.ones(1)), ValueError, r"at least 1 axes \(..., T\), got shape \(\)"),
        ((torch.ones(3), torch.ones(1), -1), ValueError, "sampling_time of conv must be greater than 0"),
    ],
)
def test_bad_arguments_of_conv_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        conv(*arguments)


def test_fir_is_exponential_by_default_and_scaled_by_the_sampling_time():
    fir = FIR(time_constant=2, length=3, sampling_time=0.5)
    impulse = torch.tensor([0.0, 1, 0, 0, 0])
    taps = torch.exp(torch.tensor([0, -0.5, -1]))
    assert torch.equal(fir.filter, taps)
    assert torch.equal(fir(impulse), torch.tensor([0, *(0.5 * taps), 0]))
    assert list(fir.state_dict()) == ["filter"]


@pytest.mark.parametrize("response", [[1.0, 2.0], np.array([1.0, 2.0]), torch.tensor([1.0, 2.0])])
def test_fir_takes_a_response(response):
    fir = FIR(fir_response=response)
    assert fir(torch.tensor([1.0, 0, 0])).tolist() == [1, 2, 0]
    assert fir.filter.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length of FIR must be at least 1, got 0"),
        ({"time_constant": 0}, "time_constant of FIR must be greater than 0"),
        ({"sampling_time": 0}, "sampling_time of FIR must be greater than 0"),
        ({"fir_response": torch.ones(2, 2)}, r"one row of taps \(L,\), got shape \(2, 2\)"),
        ({"fir_response": [float("nan")]}, "finite real numbers"),
    ],
)
def test_bad_arguments_of_fir_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FIR(**arguments)


@pytest.mark.parametrize("step", [1, 2, 0.5])
@pytest.mark.parametrize("shape", [(2, 3, 9), (1, 2, 3, 2, 9)])
def test_bank_applies_every_filter_to_every_channel(step, shape):
    bank = FIRBank(num_filter=2, filter_length=4, sampling_time=step).double()
    assert bank.filter_length == 4 / step
    assert bank.weight.shape == (2, 1, 1, 1, 4 / step)
    assert bank.impulse_response.shape == (bank.num_filter, bank.filter_length)
    x = torch.rand(shape, dtype=torch.float64)
    expected = torch.cat([conv(x, torch.tensor(row), step) for row in bank.impulse_response], dim=1)
    torch.testing.assert_close(bank(x), expected, rtol=1e-12, atol=1e-12)


def test_the_weights_of_a_bank_are_learnt():
    bank = FIRBank(2, 3).double()
    x = torch.rand(1, 2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, w: torch.func.functional_call(bank, {"weight": w}, (x,)), (x, bank.weight)
    )


def test_the_scale_of_a_bank_multiplies_initial_weights():
    torch.manual_seed(1)
    plain = FIRBank(2, 3)
    torch.manual_seed(1)
    assert torch.equal(FIRBank(2, 3, scale=2).weight, 2 * plain.weight)


def test_bad_arguments_of_a_bank_are_refused():
    with pytest.raises(ValueError, match="at least one step of sampling_time=2, got 1"):
        FIRBank(2, 1, sampling_time=2)
    with pytest.raises(TypeError, match=r"num_filter of FIRBank must be an integer, got 1\.5"):
        FIRBank(1.5, 3)
    with pytest.raises(ValueError, match=r"at least 3 axes \(N, C, ..., T\), got shape \(2, 9\)"):
        FIRBank(2, 3)(torch.ones(2, 9))
