"""Delta's surrogate model in float64, for torch autograd."""

from __future__ import annotations

import torch


class _Send(torch.autograd.Function):
    """The emission of a Delta for a change; `compared` is that change, or the sum of changes."""

    @staticmethod
    def forward(ctx, change, compared, threshold, scale, tau_grad, scale_grad):
        ctx.save_for_backward(change, compared, threshold.clamp(min=1 / scale))
        ctx.surrogate = tau_grad, scale_grad
        return torch.where(compared.abs() >= threshold, change, 0)

    @staticmethod
    def backward(ctx, grad):
        change, compared, threshold = ctx.saved_tensors
        tau_grad, scale_grad = ctx.surrogate
        distance = compared.abs() - threshold
        slope = scale_grad / threshold * torch.exp(-distance.abs() / tau_grad)
        return grad, None, -grad * torch.where(distance > 0, change * slope, change.sign()), None, None, None


def unrolled_delta(x, threshold, before, residue, error, scale, cum_error, tau_grad, scale_grad):
    """(T, M) float64."""
    sent = []
    for value in x:
        change = value - before + residue
        error = error + change.detach()
        y = _Send.apply(change, error if cum_error else change, threshold, scale, tau_grad, scale_grad)
        before, residue = value, (change - y).detach()
        error = torch.where(y != 0, 0, error).detach()
        sent.append(y + (torch.floor(y * scale) / scale - y).detach())
    return torch.stack(sent)
