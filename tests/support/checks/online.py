"""The gradients that the rules of `lavadl_ref.online` stand for, by back-propagation through whole trains.

Nothing here knows traces: a block's own autograd gives the gradient to its weights over the whole train, its input and
what it feeds back being data; the gradient to its input at the same step comes from a run step by step, whose states
carry no gradient.
"""

from __future__ import annotations

import copy

import torch

from lavadl_ref.slayer.block import recurrent


def ran(block, x):
    """Spikes (N, ..., T) before shift and delay, with a graph to the block's parameters; feedback counts as data."""
    neuron = block.neuron
    if neuron is None or not hasattr(block, "neuron"):
        return block(x)
    if not isinstance(block, recurrent.FeedbackBlock):
        return neuron(block.sums(x))
    z, weight = block.sums(x), block.fed_back
    with torch.no_grad():
        spikes = neuron(z, weight)
    before = torch.nn.functional.pad(spikes, (1, 0))[..., :-1]
    parts, weights = (z, weight) if isinstance(z, tuple) else ((z,), (weight,))
    fed = tuple(part + recurrent._feedback.sent(w, before) for part, w in zip(parts, weights, strict=True))
    return neuron(fed if isinstance(z, tuple) else fed[0])


def same_step(block, x, g):
    """The gradient to `x` from `g` to the spikes, through nothing but the same step."""
    block = copy.deepcopy(block)
    block.neuron.persistent_state = True
    found, last = [], None
    for t in range(x.shape[-1]):
        step = x[..., t : t + 1].detach().requires_grad_()
        z = block.sums(step)
        if isinstance(block, recurrent.FeedbackBlock):
            spikes = block.neuron(z, block.fed_back, last)
            last = spikes[..., 0].detach()
        else:
            spikes = block.neuron(z)
        found.append(torch.autograd.grad(spikes, step, g[..., t : t + 1])[0])
    return torch.cat(found, dim=-1)


def back(block, x, g, wanted):
    """Add the gradients to the parameters from `g` to the spikes; the gradient to the input at the same steps."""
    spikes = ran(block, x)
    if spikes.requires_grad:
        spikes.backward(g)
    return same_step(block, x, g) if wanted else None
