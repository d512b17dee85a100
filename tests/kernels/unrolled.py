"""The surrogate model, unrolled in torch with float64: what `backward` must differentiate.

Rounding passes the gradient unchanged, a spike's derivative is the surrogate, and the reset
changes the value that is carried but not its gradient.
"""

from __future__ import annotations

import torch


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, voltage, threshold, tau, scale, graded):
        ctx.save_for_backward(voltage)
        ctx.constants = threshold, tau, scale, graded
        fired = (voltage > threshold).double()
        return voltage * fired if graded else fired

    @staticmethod
    def backward(ctx, grad):
        (voltage,) = ctx.saved_tensors
        threshold, tau, scale, graded = ctx.constants
        distance = voltage - threshold
        if graded:
            slope = scale * torch.exp(distance.clamp(max=0) / tau)
        else:
            slope = scale / (2 * tau) * torch.exp(-distance.abs() / tau)
        return grad * slope, None, None, None, None


def truncate(value):
    """To multiples of 1/4096, toward zero; the gradient is the identity."""
    return value + (torch.trunc(value * 4096) / 4096 - value).detach()


def leaky_integrator(x, decay, state, threshold=float("inf")):
    """(T, ...) in units of 1, decay in 1/4096: y before reset and the carried state."""
    ys = []
    for value in truncate(x):
        y = truncate(state * (1 - decay / 4096)) + value
        ys.append(y)
        state = y - (y * (y > threshold)).detach()
    return torch.stack(ys), state


def cuba(x, current_decay, voltage_decay, u, v, threshold, tau, scale, graded):
    """Spikes (T, ...)."""
    current, _ = leaky_integrator(x, current_decay, u)
    voltage, _ = leaky_integrator(current, voltage_decay, v, threshold)
    return _Spike.apply(voltage, threshold, tau, scale, graded)
