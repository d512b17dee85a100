"""Recurrent and KWTA blocks: forward as the loop over steps, gradients as autograd of the unrolled model."""

import copy

import pytest
import torch
from lavadl_kernels.engine import recurrent

from lavadl_ref import exchange, slayer
from lavadl_ref.exchange import Network
from lavadl_ref.slayer import block as blocks
from lavadl_ref.slayer._bridge import tiles as _tiles
from lavadl_ref.slayer._bridge.trial import Verdict
from lavadl_ref.slayer.auto import SequentialNetwork
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm
from tests.support.matrix import COMPLEX, FAMILIES, SPIKING, Case
from tests.support.oracle import unrolled
from tests.support.same_networks import same

families = pytest.mark.parametrize("family", SPIKING)
own = pytest.mark.parametrize("per_channel", [False, True], ids=["shared", "own"])


def parts(value):
    return value if isinstance(value, tuple) else (value,)


def paired(values):
    return values[0] if len(values) == 1 else tuple(values)


def halves(synapse):
    """A synapse, or the two parts of a complex one."""
    return [synapse.real, synapse.imag] if synapse.complex else [synapse]


def stepped(neuron, z, weight):
    """Spikes (N, O, T) of s[t] = f(z[t] + R s[t-1]), one step at a time."""
    neuron = copy.deepcopy(neuron).eval()
    neuron.persistent_state = True
    neuron.reset()
    spike = torch.zeros_like(parts(z)[0][..., 0])
    spikes = []
    for t in range(parts(z)[0].shape[-1]):
        fed = [(x[..., t] + spike @ r.T).unsqueeze(-1) for x, r in zip(parts(z), parts(weight), strict=True)]
        spike = neuron(paired(fed))[..., 0]
        spikes.append(spike)
    return torch.stack(spikes, -1)


# -- Recurrent ----------------------------------------------------------------------------------


@families
@own
@pytest.mark.parametrize("norm", [None, MeanOnlyBatchNorm], ids=["plain", "norm"])
@pytest.mark.parametrize("graded", [False, True], ids=["binary", "graded"])
@torch.no_grad()
def test_recurrent_is_the_loop_over_steps(family, per_channel, norm, graded):
    case = Case(family, "Recurrent", "dense", per_channel=per_channel)
    block = case.build(norm=norm, delay_shift=False)
    block.neuron.graded_spike = graded
    if graded:  # what is fed back stays small, and the sums exact
        for synapse in halves(block.recurrent_synapse):
            synapse.weight.data *= 2**-4
    for seed in range(3):
        block(case.input(seed))
    block.eval()
    z = block.input_synapse(case.input())
    weights = [r.flatten(1) for r in parts(block.recurrent_synapse.hooked_weight)]
    y = block(case.input())
    assert 0 < y.count_nonzero() < y.numel()
    assert torch.equal(y, stepped(block.neuron, z, paired(weights)))
    assert not torch.equal(y, block.neuron(z))


def unrolled_step(family, neuron, decays):
    """The family's step in float64, with `decays` as its parameters."""
    step = [neuron.threshold_step] if "threshold_step" in FAMILIES[family] else []
    return getattr(unrolled, f"{family}_step")(*decays, neuron.threshold, *step, *neuron._surrogate)


@families
@own
def test_the_gradients_of_a_recurrent_block_are_those_of_the_loop(family, per_channel):
    case = Case(family, "Recurrent", "dense", per_channel=per_channel)
    block = case.build(delay_shift=False)
    synapses = halves(block.input_synapse) + halves(block.recurrent_synapse)
    for synapse in synapses:
        synapse.weight.data = synapse.hooked_weight.detach()
    neuron = block.neuron
    x = case.input(steps=10).requires_grad_()
    y = block(x)
    torch.manual_seed(3)
    cotangent = torch.randn(y.shape)
    (y * cotangent).sum().backward()

    given = x.detach().double().requires_grad_()
    weights = [synapse.weight.detach().flatten(1).double().requires_grad_() for synapse in synapses]
    inward, feedback = weights[: len(weights) // 2], weights[len(weights) // 2 :]
    decays = [neuron.applied_decay(name).detach().double().requires_grad_() for name in neuron.kernel.decays]
    z = tuple(torch.einsum("oi,nit->tno", weight, given) for weight in inward)
    rest = torch.zeros(2, 5, dtype=torch.float64)
    states = tuple(rest + neuron.threshold if name == "threshold" else rest.clone() for name in neuron.kernel.states)
    spikes, _, _ = unrolled.recurrent(unrolled_step(family, neuron, decays), z, feedback, states, rest)
    assert torch.equal(spikes.permute(1, 2, 0).float(), y)
    assert y.any()
    (spikes.permute(1, 2, 0) * cotangent.double()).sum().backward()

    pairs = [(x.grad, given.grad)]
    pairs += [(synapse.weight.grad.flatten(1), w.grad) for synapse, w in zip(synapses, weights, strict=True)]
    pairs += [(getattr(neuron, n).grad, d.grad) for n, d in zip(neuron.kernel.decays, decays, strict=True)]
    for actual, expected in pairs:
        largest = expected.abs().max().item()
        assert largest > 0
        torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-5 * largest)


@families
@pytest.mark.parametrize("name", ["Recurrent", "KWTA"])
def test_feedback_may_be_left_untrained_by_requires_grad(family, name):
    case = Case(family, name, "dense")
    block = case.build(requires_grad=False)
    (block(case.input()) * torch.randn(2, 5, 24)).sum().backward()
    frozen = {key for key, p in block.named_parameters() if not p.requires_grad}
    assert frozen == {
        key for key, _ in block.named_parameters() if key.startswith(("recurrent_synapse", "self_excitation"))
    }
    assert len(frozen) == (2 if name == "Recurrent" and family in COMPLEX else 1)
    for key, p in block.named_parameters():
        assert (p.grad is None) if key in frozen else p.grad.any(), key


@families
@pytest.mark.parametrize("name", ["Recurrent", "KWTA"])
def test_persistent_feedback_trains_in_chunks(family, name):
    case = Case(family, name, "dense", persistent=True)
    block = case.build(norm=MeanOnlyBatchNorm)
    for part in case.input().split(8, -1):
        block(part).square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in block.parameters())


# -- KWTA ---------------------------------------------------------------------------------------


def kwta(family, neurons=6, winners=2, excitation=0.5, threshold=4.0, **options):
    torch.manual_seed(5)
    params = {**FAMILIES[family], "threshold": threshold}
    return getattr(blocks, family).KWTA(params, 12, neurons, winners, excitation, 20, **options)


@families
@torch.no_grad()
def test_kwta_is_the_loop_with_its_feedback(family):
    block = kwta(family, delay_shift=False)
    matrix = 1.5 * torch.eye(6) - 1
    assert torch.equal(block.feedback, matrix)
    assert block.offset.item() == 2 / 64  # 4 (6 - 4) / 6 / 64, rounded
    silent = torch.zeros(6, 6)
    at = block.neuron.fires_on
    x = Case(family, "KWTA", "dense").input()
    if family not in COMPLEX:
        z, weights = [block.synapse(x) + block.offset], [matrix]
    else:
        z = [part + (block.offset if i == at else 0) for i, part in enumerate(block.synapse(x))]
        weights = [matrix if i == at else silent for i in (0, 1)]
    y = block(x)
    assert y.any()
    assert torch.equal(y, stepped(block.neuron, paired(z), paired(weights)))


@families
@torch.no_grad()
def test_winners_keep_the_others_down(family):
    block = kwta(family, threshold=0.5)
    x = Case(family, "KWTA", "dense").input()
    together = block(x)
    apart = block.neuron(block.synapse(x))
    assert 0 < together.sum() < apart.sum()


@families
def test_fewer_winners_have_a_larger_constant(family):
    values = [kwta(family, winners=k, threshold=40.0).offset.item() * 64 for k in range(1, 7)]
    assert values == [26, 14, 0, -14, -26, -40]


@families
def test_self_excitation_stays_in_range(family):
    block = kwta(family)
    for value, kept in ((3.0, 1.0), (-0.5, 0.0)):
        block.self_excitation.data.fill_(value)
        block(Case(family, "KWTA", "dense").input())
        assert block.self_excitation.item() == kept
        assert torch.equal(block.feedback, (1 + kept) * torch.eye(6) - 1)


@families
def test_the_self_excitation_has_the_gradient_of_the_diagonal(family):
    """A Recurrent block with the same weights; the self-excitation enters the diagonal of R alone."""
    block = kwta(family, threshold=0.5)
    assert block.offset == 0
    twin = getattr(blocks, family).Recurrent({**FAMILIES[family], "threshold": 0.5}, 12, 6)
    given, fed = halves(block.synapse), halves(twin.recurrent_synapse)
    for source, target, feedback in zip(given, halves(twin.input_synapse), fed, strict=True):
        target.weight.data = source.weight.detach().clone()
        feedback.weight.data.zero_()
    heard = fed[block.neuron.fires_on if family in COMPLEX else 0]
    heard.weight.data = block.feedback.detach().reshape(heard.shape)
    x = Case(family, "KWTA", "dense").input()
    y, again = block(x), twin(x)
    assert y.any()
    assert torch.equal(y, again)
    cotangent = torch.randn(y.shape)
    (y * cotangent).sum().backward()
    (again * cotangent).sum().backward()
    expected = heard.weight.grad.flatten(1).diagonal().sum().reshape(1)
    assert expected != 0
    torch.testing.assert_close(block.self_excitation.grad, expected)
    for source, target in zip(given, halves(twin.input_synapse), strict=True):
        torch.testing.assert_close(source.weight.grad, target.weight.grad)


@pytest.mark.filterwarnings("ignore::lavadl_ref.slayer.SaturationWarning")
@families
@own
@pytest.mark.parametrize("threshold", [0.5, 4.0])
@pytest.mark.parametrize("norm", [None, MeanOnlyBatchNorm], ids=["plain", "norm"])
def test_kwta_comes_back_with_its_constant(family, per_channel, threshold, norm, tmp_path):
    case = Case(family, "KWTA", "dense", per_channel=per_channel)
    torch.manual_seed(5)
    block = case.module.KWTA({**case.params, "threshold": threshold, "norm": norm}, 12, 6, 2, 0.5, 20)
    for seed in range(2):
        block(case.input(seed))
    block.eval()
    y = block(case.input())
    assert y.any()
    assert (block.offset != 0) == (threshold == 4)
    described = Network((block.describe(),))
    layer = described.layers[0]
    if threshold == 4 and norm is None:
        held = layer.input_bias if family == "cuba" else layer.bias_imag if block.neuron.fires_on else layer.bias
        assert held.tolist() == [2] * 6
    exchange.write(tmp_path / "x.net", described)
    rebuilt = SequentialNetwork(tmp_path / "x.net").eval()
    assert torch.equal(rebuilt(case.input()), y)
    assert same(Network((rebuilt.blocks[0].describe(),)), described)


@families
@pytest.mark.parametrize("winners", [0, 7, -1])
def test_winners_out_of_range_are_refused(family, winners):
    with pytest.raises(ValueError, match=f"num_winners must be 1 to 6, the number of neurons, got {winners}"):
        kwta(family, winners=winners)


@families
@pytest.mark.parametrize("excitation", [-0.1, 1.5])
def test_self_excitation_out_of_range_is_refused(family, excitation):
    with pytest.raises(ValueError, match=f"self_excitation must be 0 to 1, got {excitation}"):
        kwta(family, excitation=excitation)


def test_a_pinned_backend_decides_how_gradients_return_through_feedback(monkeypatch):
    monkeypatch.setattr(_tiles, "verdict", lambda: Verdict(True, 2.0, ""))  # emulated where there are none
    tiled = []
    backward = recurrent.backward
    monkeypatch.setattr(recurrent, "backward", lambda *given: tiled.append(given[-1]) or backward(*given))
    found = {}
    for way in ("gemm", "amx", "auto"):
        torch.manual_seed(0)
        block = slayer.block.cuba.Recurrent({"threshold": 0.3, "current_decay": 0.5, "voltage_decay": 0.3}, 6, 40)
        x = (torch.rand(17, 6, 5) < 0.5).float()
        with slayer.synapse.path(way):
            block(x)[..., -1].sum().backward()
        found[way] = block.recurrent_synapse.weight.grad
    assert tiled == [False, True, False]  # of its own accord only for more work
    assert found["gemm"].any()
    torch.testing.assert_close(found["amx"], found["gemm"], rtol=1e-5, atol=1e-6)


def test_a_gradient_without_bounds_makes_that_of_feedback_not_a_number():
    block = slayer.block.cuba.Recurrent({"threshold": 0.3, "current_decay": 0.5, "voltage_decay": 0.3}, 3, 4)
    (block(torch.ones(2, 3, 5)) * float("inf")).nansum().backward()
    assert not block.recurrent_synapse.weight.grad.isfinite().all()
