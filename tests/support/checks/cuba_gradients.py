"""CUBA's gradients by torch autograd through the unrolled surrogate model in float64."""

from __future__ import annotations

import torch

from tests.support.oracle import unrolled


def differentiate(case, tau, scale, grad_spike):
    """Spikes and gradients to x and both decays, float64."""
    doubles = {"dtype": torch.float64, "requires_grad": True}
    x = torch.tensor(case.x, **doubles)
    decays = [torch.tensor(d, **doubles) for d in (case.current_decay, case.voltage_decay)]
    states = [torch.tensor(s / 4096) for s in (case.u, case.v)]
    spike = unrolled.cuba(x, *decays, *states, case.threshold / 4096, tau, scale, case.graded)
    spike.backward(torch.tensor(grad_spike, dtype=torch.float64))
    return spike.detach().numpy(), [tensor.grad.numpy() for tensor in (x, *decays)]
