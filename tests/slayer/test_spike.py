"""`spike.Spike`: value and surrogate gradient."""

import pytest
import torch

from lavadl_ref.slayer.spike import Spike, complex
from tests.support import oracle as naive

VOLTAGE = torch.tensor([[[-2.0, 0.99, 1.0, 1.01, 3.0], [0.0, 1.0, -1.0, 1.5, 0.5]]])


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("per_element", [False, True])
def test_the_spike_function_and_its_gradient_equal_the_formula(graded, per_element):
    threshold = torch.linspace(0.5, 1.5, 10).reshape(VOLTAGE.shape) if per_element else 1.0
    voltage = VOLTAGE.clone().requires_grad_()
    s = Spike.apply(voltage, threshold, 0.7, 2.0, graded, 0, 2 if graded else 1)
    levels = torch.as_tensor(threshold).expand_as(voltage).flatten().tolist()
    for value, actual, level in zip(VOLTAGE.flatten().tolist(), s.flatten().tolist(), levels, strict=True):
        # at the threshold there is a spike
        assert actual == ((value / 2 if graded else 1) if value >= level else 0)
    s.sum().backward()
    expected = [
        naive.surrogate(value - level, 0.7, 2.0, graded)
        for value, level in zip(VOLTAGE.flatten().tolist(), levels, strict=True)
    ]
    torch.testing.assert_close(voltage.grad.flatten(), torch.tensor(expected), rtol=1e-5, atol=1e-9)


def test_the_threshold_of_a_spike_gets_no_gradient():
    threshold = torch.ones_like(VOLTAGE, requires_grad=True)
    voltage = VOLTAGE.clone().requires_grad_()
    Spike.apply(voltage, threshold, 1.0, 1.0, False, 0).sum().backward()
    assert threshold.grad is None
    assert (voltage.grad > 0).all()


@pytest.mark.parametrize("shape", [(10,), (2, 5), (1, 2, 5), (1, 2, 1, 5), (1, 2, 1, 1, 5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("graded", [False, True])
def test_a_spike_takes_every_shape_and_floating_dtype(shape, dtype, graded):
    voltage = VOLTAGE.reshape(shape).to(dtype).requires_grad_()
    s = Spike.apply(voltage, 1.0, 0.7, 2.0, graded, 0)
    assert (s.shape, s.dtype) == (voltage.shape, dtype)
    values = voltage.detach().double().flatten().tolist()
    assert s.flatten().tolist() == [(value if graded else 1) if value >= 1 else 0 for value in values]
    s.sum().backward()
    assert voltage.grad.dtype == dtype
    expected = torch.tensor([naive.surrogate(value - 1, 0.7, 2.0, graded) for value in values])
    close = {torch.float16: 2e-3, torch.bfloat16: 1e-2}.get(dtype, 1e-5)
    torch.testing.assert_close(voltage.grad.flatten().float(), expected, rtol=close, atol=1e-6)


@pytest.mark.parametrize("shape", [(10,), (2, 5), (1, 2, 5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@pytest.mark.parametrize("graded", [False, True])
def test_a_phase_takes_every_shape_and_floating_dtype(shape, dtype, graded):
    """As in float32 and with three axes."""
    results = []
    for size, kind in ((shape, dtype), ((1,) * (3 - len(shape)) + shape, torch.float32)):
        real = VOLTAGE.reshape(size).to(dtype).to(kind).requires_grad_()
        imag = VOLTAGE.reshape(size).flip(-1).to(dtype).to(kind).requires_grad_()
        s = complex.Spike.apply(real, imag, 0.5, 0.7, 2.0, graded, -1.0)
        s.sum().backward()
        results.append([value.detach().reshape(shape).to(dtype) for value in (s, real.grad, imag.grad)])
        assert (s.dtype, s.shape, real.grad.dtype) == (kind, real.shape, kind)
    assert results[0][0].any()
    for actual, wanted in zip(*results, strict=True):
        assert torch.equal(actual, wanted)


def test_a_threshold_is_compared_in_the_dtype_of_the_voltage():
    voltage = torch.tensor([0.1, 0.1 - 1e-12], dtype=torch.float64)
    assert Spike.apply(voltage, 0.1, 1.0, 1.0, False, 0).tolist() == [1, 0]


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_integers_spike_but_are_not_graded(dtype):
    x = torch.tensor([0, 1]).to(dtype)
    assert torch.equal(Spike.apply(x, 0.5, 1.0, 1.0, False, 0), x)
    assert torch.equal(complex.Spike.apply(x, x.flip(0), 0.5, 1.0, 1.0, False, -1), torch.zeros_like(x))
    with pytest.raises(TypeError, match=rf"voltage of graded spikes must have a floating dtype, got {dtype}"):
        Spike.apply(x, 0.5, 1.0, 1.0, True, 0)
    with pytest.raises(TypeError, match=rf"real part of graded spikes must have a floating dtype, got {dtype}"):
        complex.Spike.apply(x, x, 0.5, 1.0, 1.0, True, 0)
