"""One training step of two blocks of a family, from the same start every time."""

from __future__ import annotations

import torch

from lavadl_ref.slayer import block as blocks
from tests.support.matrix import FAMILIES

UNITS, T = 150, 9  # lanes for more than one piece a thread, and a multiple of nothing


def network(family):
    """Two blocks of a family with whatever trains: delays, norms by weight, feedback where there is any."""
    torch.manual_seed(3)
    made = getattr(blocks, family)
    neurons = {**FAMILIES[family], "requires_grad": True}
    first = made.Dense(neurons, 40, UNITS, weight_norm=True, delay=True)
    second = (made.Dense if family == "sigma_delta" else made.Recurrent)(neurons, UNITS, 7)
    return torch.nn.Sequential(first, second)


def step(family):
    """Loss and all gradients of a training step, from the same start every time."""
    net = network(family)
    x = (torch.rand(5, 40, T, generator=torch.Generator().manual_seed(1)) < 0.3).float().requires_grad_()
    y = net(x)
    assert y.any()
    loss = (y * torch.randn(y.shape, generator=torch.Generator().manual_seed(2))).sum()
    loss.backward()
    gradients = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    assert {name.split(".")[1] for name in gradients} >= {"synapse", "neuron"}
    return {"loss": loss.detach(), "output": y.detach(), "input": x.grad, **gradients}
