"""`spike.Spike`: value and surrogate gradient."""

import pytest
import torch

from lavadl_ref.slayer.spike import Spike
from tests import naive

VOLTAGE = torch.tensor([[[-2.0, 0.99, 1.0, 1.01, 3.0], [0.0, 1.0, -1.0, 1.5, 0.5]]])


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("per_element", [False, True])
def test_spike(graded, per_element):
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


def test_no_gradient_flows_to_the_threshold():
    threshold = torch.ones_like(VOLTAGE, requires_grad=True)
    voltage = VOLTAGE.clone().requires_grad_()
    Spike.apply(voltage, threshold, 1.0, 1.0, False, 0).sum().backward()
    assert threshold.grad is None
    assert (voltage.grad > 0).all()
