"""The gradients that the rules of `lavadl_ref.online` stand for, by back-propagation through whole trains.

Nothing here knows traces: a block's own autograd gives the gradient to its weights over the whole train, its input and
what it feeds back being data; the gradient to its input at the same step comes from a run step by step, whose states
carry no gradient.
"""

from __future__ import annotations

import copy

import torch

from lavadl_ref.slayer.block import recurrent


class Watching(torch.optim.SGD):
    """An optimiser that notes the gradients of each update, and changes nothing unless its rate is given."""

    def __init__(self, net, lr=0.0):
        super().__init__(net.parameters(), lr=lr)
        self.net, self.seen = net, []

    def step(self, closure=None):
        self.seen.append({name: p.grad.clone() for name, p in self.net.named_parameters() if p.grad is not None})
        super().step(closure)


def bare(block):
    """The block, sharing its parameters, without shift and delay, its norms as in evaluation."""
    twin = copy.copy(block)
    twin._modules = dict(block._modules)
    if getattr(twin, "delay", None) is not None:
        twin.delay = None
    if hasattr(twin, "delay_shift"):
        twin.delay_shift = False
    return twin.eval()


def fired(block, x):
    """The output of the neurons, (N, ..., T), with a graph to the block's parameters; feedback counts as data."""
    if not isinstance(block, recurrent.FeedbackBlock):
        return bare(block)(x)
    neuron, z, weight = block.neuron, block.sums(x), block.fed_back
    with torch.no_grad():
        spikes = bare(block)(x)
    before = torch.nn.functional.pad(spikes.flatten(1, -2), (1, 0))[..., :-1]
    parts, weights = (z, weight) if isinstance(z, tuple) else ((z,), (weight,))
    fed = tuple(
        part + recurrent._feedback.sent(w, before).reshape(part.shape) for part, w in zip(parts, weights, strict=True)
    )
    return neuron.eval()(fed if isinstance(z, tuple) else fed[0])


def left(block, spikes):
    """The output of the block for that of its neurons, with a graph to both and to delays."""
    if getattr(block, "neuron", None) is None or not hasattr(block, "sent"):
        return spikes
    return block.sent(spikes)


def same_step(block, x, g):
    """The gradient to `x` from `g` to what leaves the neurons, through nothing but the same step."""
    block = bare(copy.deepcopy(block))
    for part in block.modules():
        if hasattr(part, "persistent_state") and not isinstance(part, recurrent.FeedbackBlock):
            part.persistent_state = True
    found = []
    for t in range(x.shape[-1]):
        step = x[..., t : t + 1].detach().requires_grad_()
        found.append(torch.autograd.grad(block(step), step, g[..., t : t + 1])[0])
    return torch.cat(found, dim=-1)


def spatial(blocks, x, loss):
    """Add the gradients of `loss`, a function of the output, by the rule `spatial`, to ``grad`` of the parameters."""
    inputs, spikes, sent = [], [], []
    for block in blocks:
        inputs.append(x)
        spikes.append(fired(block, x))
        leaf = spikes[-1].detach().requires_grad_()
        sent.append((leaf, left(block, leaf)))
        x = sent[-1][1].detach()
    y = x.requires_grad_()
    (g,) = torch.autograd.grad(loss(y), y)
    for number in range(len(blocks) - 1, -1, -1):
        g = back(sent[number], g)
        if spikes[number].requires_grad:
            spikes[number].backward(g, retain_graph=True)
        if number:
            g = same_step(blocks[number], inputs[number], g)


def back(sent, g):
    """The gradient to what leaves the neurons; those to delays are added to ``grad``."""
    leaf, y = sent
    if y is leaf:
        return g
    leaf.grad = None
    y.backward(g)
    return leaf.grad


def gradients(net):
    """By name, those that are there, which are forgotten."""
    found = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad(set_to_none=True)
    return found


def assert_close(found, expected, rtol=2e-5):
    """Assert that gradients differ by no more than the rounding of sums of float32.

    A gradient to one number of a whole layer is a sum of terms of either sign, of the size of the gradients to other
    such numbers of its block.
    """
    for name, values in expected.items():
        beside = [v for other, v in expected.items() if other.split(".")[0] == name.split(".")[0] and v.numel() == 1]
        alone = values.numel() == 1
        alike = [values, *beside] if alone and "decay" not in name else [values]
        scale = max(float(v.abs().max()) for v in alike)
        given = found.get(name, torch.zeros_like(values))
        largest = float((given - values).abs().max())
        assert largest <= rtol * scale * (10 if alone else 1), (name, given, values)
