"""A learner's spikes are the blocks' own, and its gradients those of its rule, for every family and kind of block."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lavadl_ref import online
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from tests.support import matrix
from tests.support.checks.online import Watching, assert_close, back, fired, gradients, left, same_step, spatial

T = matrix.T
LENGTHS = (1, 2, 7, T)
NORMED = ("Dense", "Conv", "Recurrent")
#: Decays of each channel in blocks of three kinds of synapse: the others share what they could show.
OWN = ("Dense", "Conv", "Recurrent")
CASES = [c for c in matrix.cases() if not c.persistent and (c.block in OWN or not c.per_channel)]
PLAIN = [c for c in matrix.cases(neurons=False) if c.block != "TimeDecimation"]

cases = pytest.mark.parametrize("case", CASES, ids=str)


def cross_entropy(y, target):
    return torch.nn.functional.cross_entropy(y.flatten(1), target)


def over_time(y, target):
    """The mean over steps of the loss at each step."""
    return torch.stack([cross_entropy(y[..., t], target) for t in range(y.shape[-1])]).mean()


def network(case, norm=None, delays=True):
    """A layer that feeds the block of `case`, and that block, all delays and parameters drawn, and an input."""
    options = {"delay": True} if delays and matrix.BLOCKS[case.block].delays else {}
    block = case.build(norm=norm, **options)
    x = case.input()
    shape = x.shape[1:-1]
    neuron = {**case.params, "requires_grad": False, "shared_param": True}
    if case.per_channel:
        neuron.update(matrix.FAMILIES[case.family])
    torch.manual_seed(2)
    front = (
        case.module.Dense(neuron, shape[0], shape[0], 4, True, delay=delays)
        if len(shape) == 1
        else case.module.Conv(neuron, shape[0], shape[0], 3, padding=1, weight_scale=3, delay=delays)
    )
    net = torch.nn.ModuleList([front, block])
    with torch.no_grad():
        block(front(x))
    for one in net:
        one.reset()
        if getattr(one, "delay", None) is not None:
            one.delay.delay.data = torch.arange(one.delay.delay.numel()) % 3 + 0.5
        for part in one.modules():
            if isinstance(part, MeanOnlyBatchNorm):
                part.running_mean = torch.linspace(-0.3, 0.4, part.running_mean.numel())
                if isinstance(part, WgtScaleBatchNorm):
                    part.running_var = torch.tensor([0.1])
    return net, x


def learned(net, x, target, rule, length, **options):
    """The outputs, the gradients of one update at the end, and the learner."""
    optimizer = Watching(net)
    torch.manual_seed(5)
    learner = online.Learner(net, cross_entropy, optimizer, rule, classes=3, window=length, **options)
    learner(x)  # draws readouts, which are made small: where the loss is steep, terms of a decay's gradient cancel
    for readout in learner.matrices.values():
        readout.div_(10)
    output = learner.learn(x, target)
    return output, (optimizer.seen[0] if optimizer.seen else {}), learner


def local(net, x, target, learner):
    """The gradients of the rule `local`, by back-propagation through each block's whole train."""
    for number, block in enumerate(net):
        spikes = fired(block, x)
        if spikes.requires_grad:
            y = spikes
            if str(number) in learner.matrices:
                y = torch.einsum("om,nmt->not", learner.matrices[str(number)], spikes.flatten(1, -2))
            over_time(y, target).backward()
        with torch.no_grad():
            x = left(block, spikes.detach()).detach()
    return gradients(net)


def without_delays(found):
    return {name: value for name, value in found.items() if not name.endswith("delay.delay")}


@cases
def test_the_spikes_are_those_of_the_blocks(case):
    net, x = network(case)
    target = torch.arange(len(x)) % 3
    with torch.no_grad():
        expected = net[1](net[0](x))
    for length in LENGTHS:
        _, _, learner = learned(net, x, target, "spatial", length)
        assert torch.equal(learner.output, expected)
    assert torch.equal(learner(x), expected)


@cases
def test_local_learning_is_back_propagation_within_each_block(case):
    net, x = network(case)
    target = torch.arange(len(x)) % 3
    found = [learned(net, x, target, "local", length) for length in LENGTHS]
    expected = local(net, x, target, found[0][2])
    for _, gradient, _ in found:
        assert_close(gradient, expected)


@cases
def test_spatial_learning_cuts_what_passes_the_memory_of_a_higher_layer(case):
    net, x = network(case)
    target = torch.arange(len(x)) % 3
    found = [learned(net, x, target, "spatial", length)[1] for length in LENGTHS]
    spatial(net, x, lambda y: over_time(y, target))
    expected = gradients(net)
    for gradient in found:
        assert_close(gradient, expected)


@cases
def test_random_learning_sends_the_error_back_through_fixed_matrices(case):
    net, x = network(case, delays=False)
    target = torch.arange(len(x)) % 3
    _, found, learner = learned(net, x, target, "random", 7)
    fed = fired(net[0], x)
    sent = left(net[0], fed.detach().requires_grad_())
    spikes = fired(net[1], sent.detach())
    y = left(net[1], spikes.detach()).detach().requires_grad_()
    (error,) = torch.autograd.grad(over_time(y, target), y)
    top = spikes.detach().requires_grad_()
    if spikes.requires_grad:
        spikes.backward(back((top, left(net[1], top)), error))
    lag = int(net[1].delay_shift)
    g = torch.einsum("mo,not->nmt", learner.matrices["0"], error.flatten(1, -2)).unflatten(1, fed.shape[1:-1])
    g = torch.nn.functional.pad(g[..., lag:], (0, lag))
    below = fed.detach().requires_grad_()
    fed.backward(back((below, left(net[0], below)), g))
    assert_close(found, gradients(net))


def cost(sent):
    """Of a kind of which each neuron has its own slope."""
    flat = sent.flatten(1)
    return (flat * flat * torch.linspace(0.1, 1.0, flat.shape[1])).sum(1).mean()


@pytest.mark.parametrize("rule", ["local", "spatial", "random"])
@pytest.mark.parametrize("case", [c for c in CASES if c.family in ("cuba", "rf_iz") and not c.per_channel], ids=str)
def test_a_penalty_adds_its_gradient_to_that_of_the_loss(case, rule):
    net, x = network(case, delays=rule != "random")
    target = torch.arange(len(x)) % 3
    plain = learned(net, x, target, rule, 7)[1]
    found = [learned(net, x, target, rule, length, penalty=cost) for length in LENGTHS]
    layers, lag, passed = found[0][2]._layers, 0, None
    for number in reversed(range(len(net))):
        lag += layers[number]._delays()[0] if rule != "local" else 0
        with torch.no_grad():
            given = left(net[0], fired(net[0], x)) if number else x
        spikes = fired(net[number], given)
        leaf = spikes.detach().requires_grad_()
        g = torch.zeros_like(leaf)
        if layers[number].learns and not layers[number].reads_out:
            # the signal ends before what is sent in its last steps arrives at the output
            steps = range(leaf.shape[-1] - lag)
            (g,) = torch.autograd.grad(sum(cost(leaf[..., t]) for t in steps) / leaf.shape[-1], leaf)
        if passed is not None:
            g = g + back((leaf, left(net[number], leaf)), passed)
        if spikes.requires_grad:
            spikes.backward(g)
        if number and rule == "spatial":  # the penalty is part of the loss of its step
            passed = same_step(net[number], given, g)
    expected = gradients(net)
    for name, values in plain.items():
        expected[name] = values + expected.get(name, 0)
    for _, gradient, _ in found:
        assert_close(gradient, expected)


@pytest.mark.parametrize("norm", [MeanOnlyBatchNorm, WgtScaleBatchNorm])
@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.block in NORMED and not c.per_channel and c.form != "dense" * (c.block == "Conv")],
    ids=str,
)
def test_a_norm_subtracts_and_divides_by_its_running_statistics(case, norm):
    if case.block == "Recurrent" and norm is WgtScaleBatchNorm:
        with pytest.raises(ValueError, match="WgtScaleBatchNorm"):
            network(case, norm)
        return
    net, x = network(case, norm)
    for name, parameter in net.named_parameters():
        if "current_decay" in name or "voltage_decay" in name:
            parameter.requires_grad_(norm is MeanOnlyBatchNorm)
    target = torch.arange(len(x)) % 3
    _, found, _ = learned(copy.deepcopy(net), x, target, "spatial", 7)
    spatial(net.eval(), x, lambda y: over_time(y, target))
    assert_close(found, gradients(net))


@settings(max_examples=20)
@given(data=st.data())
def test_pieces_and_threads_change_no_bit(data):
    case = data.draw(st.sampled_from([c for c in CASES if c.block in ("Dense", "Conv", "Recurrent", "KWTA")]))
    rule = data.draw(st.sampled_from(["spatial", "local", "random"]))
    every, window = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    penalty = data.draw(st.sampled_from([None, cost]))
    cuts = sorted(data.draw(st.lists(st.integers(1, T - 1), unique=True, max_size=4)))
    net, x = network(case)
    target = torch.arange(len(x)) % 3

    def trained(pieces, threads, again):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            twin = copy.deepcopy(net)
            optimizer = torch.optim.Adam([p for p in twin.parameters() if p.requires_grad], lr=0.01)
            torch.manual_seed(5)
            learner = online.Learner(twin, cross_entropy, optimizer, rule, every, 3, window, penalty)
            for piece in x.split(pieces, dim=-1):
                learner.stream(piece, target)
                learner = copy.deepcopy(learner) if again else learner
            learner.update()
            return learner.net.state_dict()
        finally:
            torch.set_num_threads(before)

    lengths = [b - a for a, b in zip([0, *cuts], [*cuts, T], strict=True)]
    whole, pieces, one = trained([T], 2, False), trained(lengths, 2, True), trained([T], 1, False)
    for name, values in whole.items():
        assert torch.equal(values, pieces[name]), name
        assert torch.equal(values, one[name]), name
