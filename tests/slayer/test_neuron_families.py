"""All spiking neurons of `slayer.neuron`: dynamics, spikes, gradients, norms, state, feedback."""

import numpy as np
import pytest
import torch

from lavadl_ref.slayer import neuron
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from tests.support.families import SPIKING as FAMILIES
from tests.support.oracle import unrolled
from tests.support.slayer_neurons import (
    decays,
    each,
    feedback_oracle,
    make,
    oracle,
    parts,
    require_grad,
    signal,
    spike_of,
)

every = pytest.mark.parametrize("name", FAMILIES)
# as wide as there are channels: a decay per channel must not go along the width
AT_THE_INPUT = [name for name in FAMILIES if name != "cuba"]  #: where the norm is; CUBA's is behind the current
SHAPES = pytest.mark.parametrize("shape", [(2, 3, 20), (2, 3, 4, 3, 20)], ids=["dense", "spatial"])
OWN = pytest.mark.parametrize("own", [False, True], ids=["shared", "channels"])
GRADED = pytest.mark.parametrize("graded", [False, True])
KINDS = pytest.mark.parametrize(
    "options",
    [{}, {"graded_spike": True}, {"norm": MeanOnlyBatchNorm}, {"norm": WgtScaleBatchNorm}, {"own": True}],
    ids=["plain", "graded", "mean", "scale", "channels"],
)


def surrogate(name, n):
    """Width and height of the surrogate gradient, with the factors of the family."""
    return n.threshold * (0.5 if name == "rf" else 100), 10 if name == "rf" else 0.1


# -- dynamics ---------------------------------------------------------------------------------


@every
@SHAPES
@OWN
def test_a_neuron_of_every_family_equals_the_oracle(name, shape, own):
    n = make(name, own)
    x = signal(name, shape)
    expected, spikes = oracle(n, name, x)[0], oracle(n, name, x)[1]
    s = n(x)
    assert (s.dtype, s.shape) == (torch.float32, torch.Size(shape))
    if own:  # drawn at the first input
        expected, spikes = oracle(n, name, x)
        assert all(decay.shape == (3,) and len(decay.unique()) == 3 for decay in decays(n, name))
    assert torch.equal(s.long(), spikes)
    traces = n.dynamics(x)
    for trace, wanted in zip(traces, expected, strict=True):
        assert torch.equal((trace * 4096).long(), wanted)
    assert torch.equal(spike_of(n, name, traces).long(), spikes)
    assert 0.01 < spikes.double().mean() < 0.9


@every
@SHAPES
def test_graded_spikes_carry_the_value(name, shape):
    n = make(name, graded_spike=True)
    x = signal(name, shape)
    traces, spikes = oracle(n, name, x)
    expected = torch.where(spikes == 1, traces[FAMILIES[name].size] / 4096, 0.0)
    assert torch.equal(n(x), expected)
    assert torch.equal(spike_of(n, name, n.dynamics(x)), expected)
    assert len(expected.unique()) > 2


@every
@SHAPES
@KINDS
def test_forward_is_dynamics_and_spike(name, shape, options):
    """In spikes and in the gradients to the input and every decay."""
    results = []
    g = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    for fused in (True, False):
        torch.manual_seed(0)
        n = make(name, **options, requires_grad=True, tau_grad=0.05)
        x = require_grad(signal(name, shape))
        s = n(x) if fused else spike_of(n, name, n.dynamics(x))
        (s * g).sum().backward()
        results.append([s.detach(), *(part.grad for part in parts(x)), *(decay.grad for decay in decays(n, name))])
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][0].any()
    for actual, expected in zip(results[0][1:], results[1][1:], strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@every
@SHAPES
@GRADED
@OWN
def test_gradients_of_every_family_are_those_of_the_unrolled_model(name, shape, graded, own):
    """Input and decays, summed over all that share one; the stated factors of tau and scale included."""
    torch.manual_seed(2)
    n = make(name, own, tau_grad=0.05, scale_grad=2.0, graded_spike=graded, requires_grad=True)
    g = torch.randn(shape)
    x = require_grad(signal(name, shape))
    (n(x) * g).sum().backward()

    family = FAMILIES[name]
    x64 = [part.detach().double().requires_grad_() for part in parts(x)]
    rates = [torch.round(decay.detach().double()).requires_grad_() for decay in decays(n, name)]
    spread = [rate.reshape(1, -1, *[1] * (len(shape) - 3)) for rate in rates]
    constants = [n.threshold] + ([n.threshold_step] if family.adaptive else [])
    width, height = surrogate(name, n)
    step = getattr(unrolled, f"{name}_step")(*spread, *constants, 0.05 * width, 2.0 * height, graded)
    rest = torch.zeros(shape[:-1], dtype=torch.float64)
    states = [rest + (n.threshold if state == "th" else 0) for state in family.states]
    s, _, _ = unrolled.unroll(step, [part.movedim(-1, 0) for part in x64], states)
    (s.movedim(0, -1) * g.double()).sum().backward()
    for actual, expected in zip(parts(x), x64, strict=True):
        largest = expected.grad.abs().max().item()
        torch.testing.assert_close(actual.grad.double(), expected.grad, rtol=1e-4, atol=1e-5 * largest)
        assert largest > 0
    for actual, expected in zip(decays(n, name), rates, strict=True):
        assert expected.grad.abs().min() > 0
        torch.testing.assert_close(actual.grad.double(), expected.grad, rtol=1e-3, atol=1e-6)


@every
@OWN
def test_the_gradient_of_decays_is_asked_for_in_every_family(name, own):
    for requires_grad in (False, True):
        n = make(name, own, requires_grad=requires_grad)
        x = require_grad(signal(name))
        n(x).sum().backward()
        for decay in decays(n, name):
            assert (decay.grad is not None) == requires_grad
            if requires_grad:
                assert decay.grad.isfinite().all()
                assert (decay.grad != 0).all()
        assert all(part.grad.any() for part in parts(x))


@every
def test_layout_in_memory_does_not_matter(name):
    """Time slowest, or channels innermost, or a view of something longer: the same spikes."""
    x = signal(name, (2, 3, 4, 3, 20))
    expected = make(name)(x)
    for order in ((4, 0, 1, 2, 3), (4, 0, 2, 3, 1), (1, 4, 0, 3, 2)):
        back = [order.index(i) for i in range(5)]
        moved = each(x, lambda part, o=order, b=back: part.permute(o).contiguous().permute(b))
        assert torch.equal(make(name)(moved), expected)
    if isinstance(x, tuple):
        mixed = x[0].permute(4, 0, 1, 2, 3).contiguous().permute(1, 2, 3, 4, 0), x[1]
        assert torch.equal(make(name)(mixed), expected)


# -- norms and dropout ------------------------------------------------------------------------


def statistics(n, means, variance):
    """Give a neuron's norms what they would have learnt: a mean per channel for each, and a variance."""
    for norm, mean in zip(n._norms(), means, strict=True):
        norm._allocate(len(mean))
        norm.running_mean = mean
        if isinstance(norm, WgtScaleBatchNorm):
            norm.running_var = torch.tensor([variance])


@pytest.mark.parametrize("name", AT_THE_INPUT)
@SHAPES
@pytest.mark.parametrize("norm", [MeanOnlyBatchNorm, WgtScaleBatchNorm])
def test_each_part_of_the_input_has_its_norm(name, shape, norm):
    """Each part has its own; means are rounded to the grid of weights."""
    means = [torch.tensor([0.1, -0.2, 0.3]), torch.tensor([-0.3, 0.25, 0.0])][: FAMILIES[name].parts]
    n = make(name, norm=norm).eval()
    statistics(n, means, 3.0)
    x = signal(name, shape)
    scale = 2 if norm is WgtScaleBatchNorm else 1  # the next power of two from the root of 3
    shift = [torch.round(mean * 32).reshape(1, -1, *[1] * (len(shape) - 2)) / 32 for mean in means]
    normed = [(part - s) / scale for part, s in zip(parts(x), shift, strict=True)]
    plain = make(name)
    expected, spikes = oracle(plain, name, tuple(normed) if FAMILIES[name].complex else normed[0])
    for trace, wanted in zip(n.dynamics(x), expected, strict=True):
        assert torch.equal((trace * 4096).long(), wanted)
    assert torch.equal(n(x).long(), spikes)
    assert not torch.equal(spikes, plain(x).long())


@every
def test_norms_learn_from_their_own_part(name):
    n = make(name, norm=MeanOnlyBatchNorm)
    x = signal(name)
    n(x)
    if FAMILIES[name].complex:
        assert n.norm is None
        assert n.real_norm is not n.imag_norm
    else:
        assert n.real_norm is n.imag_norm is None
    if name not in AT_THE_INPUT:
        return
    for norm, part in zip(n._norms(), parts(x), strict=True):
        torch.testing.assert_close(norm.running_mean, 0.1 * part.mean((0, 2)))


@every
def test_dropout_silences_neurons_of_every_family(name):
    n = make(name, dropout=neuron.Dropout(0.5))
    x = signal(name, (8, 3, 40))
    plain = make(name)(x)
    torch.manual_seed(1)
    s = n(x)
    kept = s.any(-1)
    assert torch.equal(s, 2 * plain * kept[..., None])
    assert 0 < (plain.any(-1) & ~kept).sum() < kept.numel()
    torch.manual_seed(1)
    assert torch.equal(spike_of(n, name, n.dynamics(x)), s)
    assert torch.equal(n.eval()(x), plain)


# -- state ------------------------------------------------------------------------------------


@every
@SHAPES
@KINDS
@pytest.mark.parametrize("cut", [0, 1, 7, 19])
def test_chunks_of_every_family_are_the_whole_where_state_persists(name, shape, options, cut):
    torch.manual_seed(0)
    n = make(name, **options, persistent_state=True)
    x = signal(name, shape)
    for seed in range(3):
        n(signal(name, shape, seed))  # statistics for the norm
    n.eval().reset()
    whole = n(x)
    states = [getattr(n, state) for state in n._states]
    assert len(states) == len(FAMILIES[name].states)
    n.reset()
    assert all(torch.equal(getattr(n, state), n._resting(state)) for state in n._states)
    chunks = [n(each(x, lambda part: part[..., :cut])), n(each(x, lambda part: part[..., cut:]))]
    assert torch.equal(torch.cat(chunks, -1), whole)
    for state, expected in zip(n._states, states, strict=True):
        assert torch.equal(getattr(n, state), expected)
    assert whole.any()


@every
def test_separate_dynamics_of_every_family_persist_too(name):
    n = make(name, persistent_state=True)
    x = signal(name)
    whole = n.dynamics(x)
    s = make(name)(x)
    n.reset()
    for lo, hi in ((0, 9), (9, 10), (10, 20)):
        chunk = n.dynamics(each(x, lambda part, lo=lo, hi=hi: part[..., lo:hi]))
        for part, expected in zip(chunk, whole, strict=True):
            assert torch.equal(part, expected[..., lo:hi])
        assert torch.equal(spike_of(n, name, chunk), s[..., lo:hi])


@every
def test_the_state_of_every_family_is_forgotten_without_persistence(name):
    n = make(name)
    assert torch.equal(n(signal(name)), n(signal(name)))
    assert all(torch.equal(getattr(n, state), n._resting(state)) for state in n._states)


@every
def test_a_reset_and_another_batch_start_at_rest(name):
    n = make(name, persistent_state=True)
    first = n(signal(name))
    assert not torch.equal(n(signal(name)), first)
    n.reset()
    assert torch.equal(n(signal(name)), first)
    other = signal(name, (4, 3, 20))
    assert torch.equal(n(other), make(name)(other))


@every
def test_the_state_of_every_family_carries_no_gradient(name):
    n = make(name, persistent_state=True)
    first, second = require_grad(signal(name, seed=1)), require_grad(signal(name, seed=2))
    n(first)
    n(second).sum().backward()
    assert all(part.grad is None for part in parts(first))
    assert all(part.grad.any() for part in parts(second))


# -- feedback ---------------------------------------------------------------------------------


def loops(name, units=3, seed=0):
    """Even multiples of 1/64, one matrix or two."""
    rng = np.random.default_rng(seed)
    drawn = tuple(
        torch.tensor(rng.integers(-30, 31, (units, units)) / 32, dtype=torch.float32)
        for _ in range(FAMILIES[name].parts)
    )
    return drawn if FAMILIES[name].complex else drawn[0]


@every
@pytest.mark.parametrize("shape", [(2, 3, 20), (2, 3, 1, 1, 20)], ids=["dense", "spatial"])
@OWN
@pytest.mark.parametrize("begun", [False, True])
def test_feedback_in_every_family_equals_the_oracle(name, shape, own, begun):
    n = make(name, own)
    z, weight = signal(name, shape), loops(name)
    last = torch.tensor([[1.0, 0, 1], [0, 1, 1]]).reshape(shape[:-1]) if begun else None
    s = n.recurrent(z, weight, last)
    expected = feedback_oracle(n, name, z, weight, torch.zeros(2, 3) if last is None else last.flatten(1))
    assert torch.equal(s.long(), expected.reshape(shape))
    assert not torch.equal(s, n(z))
    assert torch.equal(n.recurrent(z, each(weight, lambda w: w[..., None, None, None]), last), s)


@every
@GRADED
@pytest.mark.parametrize("cut", [1, 7])
def test_feedback_in_chunks_is_the_whole(name, graded, cut):
    n = make(name, persistent_state=True, graded_spike=graded)
    z, weight = signal(name), each(loops(name), lambda w: w / 4)
    whole = n.recurrent(z, weight)
    n.reset()
    first = n.recurrent(each(z, lambda part: part[..., :cut]), weight)
    second = n.recurrent(each(z, lambda part: part[..., cut:]), weight, first[..., -1])
    assert torch.equal(torch.cat([first, second], -1), whole)


@every
def test_feedback_of_zero_weights_is_none(name):
    n = make(name)
    z = signal(name)
    assert torch.equal(n.recurrent(z, each(loops(name), torch.zeros_like)), n(z))


@every
@GRADED
def test_gradients_of_feedback_are_those_of_the_unrolled_model(name, graded):
    """Input, weights and decays; the earlier spikes get theirs through the first step."""
    n = make(name, tau_grad=0.05, graded_spike=graded, requires_grad=True)
    shape = (2, 3, 12)
    z, weight = require_grad(signal(name, shape)), require_grad(loops(name))
    last = torch.tensor([[1.0, 0, 1], [0, 1, 1]], requires_grad=True)
    g = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    s = n.recurrent(z, weight, last)
    (s * g).sum().backward()

    family = FAMILIES[name]
    doubles = [
        [t.detach().double().requires_grad_() for t in ts] for ts in (parts(z), parts(weight), [last], decays(n, name))
    ]
    z64, weight64, (last64,), rates = doubles
    constants = [n.threshold] + ([n.threshold_step] if family.adaptive else [])
    width, height = surrogate(name, n)
    rounded = [rate + (rate.round() - rate).detach() for rate in rates]
    step = getattr(unrolled, f"{name}_step")(*rounded, *constants, 0.05 * width, height, graded)
    rest = torch.zeros(2, 3, dtype=torch.float64)
    states = [rest + (n.threshold if state == "th" else 0) for state in family.states]
    expected, _, _ = unrolled.recurrent(step, [part.movedim(-1, 0) for part in z64], weight64, states, last64)
    (expected.movedim(0, -1) * g.double()).sum().backward()
    assert torch.equal(s.detach().double(), expected.detach().movedim(0, -1))
    for actual, wanted in zip(
        [*parts(z), *parts(weight), last, *decays(n, name)], [*z64, *weight64, last64, *rates], strict=True
    ):
        assert wanted.grad.abs().max() > 0
        largest = wanted.grad.abs().max().item()
        torch.testing.assert_close(actual.grad.double(), wanted.grad, rtol=1e-3, atol=1e-4 * largest)


@every
def test_a_norm_with_feedback_adds_minus_its_running_mean(name):
    """It adds minus the running mean, in training too, and gathers the mean of what arrives."""
    n = make(name, norm=MeanOnlyBatchNorm)
    means = [torch.tensor([0.25, -0.5, 0.0])] * FAMILIES[name].parts
    statistics(n, means, 1.0)
    z, weight = signal(name), loops(name)
    s = n.recurrent(z, weight)
    assert all(not torch.equal(norm.running_mean, means[0]) for norm in n._norms())
    n.eval()
    statistics(n, means, 1.0)
    assert torch.equal(n.recurrent(z, weight), s)
    assert all(torch.equal(norm.running_mean, means[0]) for norm in n._norms())
    if name in AT_THE_INPUT:
        shifted = each(z, lambda part: part - means[0][None, :, None])
        assert torch.equal(make(name).recurrent(shifted, weight), s)


@every
@pytest.mark.parametrize("shape", [(2, 3, 20), (2, 4, 2, 1, 20)])
def test_feedback_of_another_size_is_refused(name, shape):
    with pytest.raises(ValueError, match=r"feedback among \d neurons must have weights"):
        make(name).recurrent(signal(name, shape), loops(name, 4))


@every
def test_feedback_cannot_have_a_scaling_norm(name):
    with pytest.raises(ValueError, match="cannot have WgtScaleBatchNorm"):
        make(name, norm=WgtScaleBatchNorm).recurrent(signal(name), loops(name))
