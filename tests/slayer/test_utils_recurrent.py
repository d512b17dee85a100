"""Feedback in compiled code against loops over time that autograd follows."""

import pytest
import torch

from lavadl_ref.slayer import neuron, synapse
from lavadl_ref.slayer.utils import recurrent
from tests.support.families import SPIKING

UNITS, STEPS = 5, 12
ADAPTIVE = {"threshold_step": 0.25, "threshold_decay": 0.2, "refractory_decay": 0.3}
MEMBRANES = {
    name: (
        getattr(neuron, name).Neuron,
        family.pick({"current_decay": 0.3, "voltage_decay": 0.1}, {"period": 5, "decay": 0.1}, ADAPTIVE),
    )
    for name, family in SPIKING.items()
}
TRUTHS = (recurrent.custom_recurrent_ground_truth_1, recurrent.custom_recurrent_ground_truth_2)

families = pytest.mark.parametrize("family", MEMBRANES)
truths = pytest.mark.parametrize("truth", TRUTHS)


def parts(family, seed=0, **options):
    """Neurons, a quantised synapse among them, and their input."""
    torch.manual_seed(seed)
    kind, params = MEMBRANES[family]
    cells = kind(threshold=0.5, **{"requires_grad": True, **params, **options})
    synapses = synapse.complex if cells.complex else synapse
    feedback = synapses.Dense(UNITS, UNITS, weight_scale=2, pre_hook_fx=cells.quantize_8bit)
    z = [torch.randint(-64, 128, (2, UNITS, STEPS)) / 64 for _ in range(1 + cells.complex)]
    for part in z:
        part.requires_grad_()
    return cells, feedback, tuple(z) if cells.complex else z[0]


def inputs(z):
    return list(z) if isinstance(z, tuple) else [z]


@truths
@families
def test_spikes_and_gradients_are_those_of_the_loop(family, truth):
    cells, feedback, z = parts(family)
    wanted = [*inputs(z), *feedback.parameters(), *cells.parameters()]
    given = torch.rand(2, UNITS, STEPS)
    runs = []
    for function in (recurrent.custom_recurrent, truth):
        spikes = function(z, cells, feedback)
        runs.append((spikes, torch.autograd.grad((spikes * given).sum(), wanted)))
    (actual, gradients), (expected, expected_gradients) = runs
    assert 0 < actual.sum() < actual.numel()
    assert torch.equal(actual, expected)
    for a, b in zip(gradients, expected_gradients, strict=True):
        assert a.abs().sum() > 0
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * float(b.abs().max()))


def test_the_feedback_changes_the_output():
    cells, feedback, z = parts("cuba")
    assert not torch.equal(recurrent.custom_recurrent(z, cells, feedback), cells(z))


@pytest.mark.parametrize("function", [recurrent.custom_recurrent, *TRUTHS])
@pytest.mark.parametrize("family", ["cuba", *MEMBRANES][:: len(MEMBRANES)])
def test_a_neuron_in_a_loop_forgets_unless_it_is_persistent(family, function):
    cells, feedback, z = parts(family)
    assert torch.equal(function(z, cells, feedback), function(z, cells, feedback))
    assert not cells.persistent_state
    lasting, feedback, z = parts(family, persistent_state=True)
    first = function(z, lasting, feedback)
    states = {name: getattr(lasting, name).clone() for name in lasting._states}
    other, _, _ = parts(family, persistent_state=True)
    recurrent.custom_recurrent(z, other, feedback)
    assert torch.equal(first, function(z, cells, feedback))
    assert all(torch.equal(getattr(other, name), state) for name, state in states.items())
    assert not torch.equal(function(z, lasting, feedback), first)


def test_units_may_have_axes_of_length_one():
    cells, feedback, z = parts("cuba")
    expected = recurrent.custom_recurrent(z, cells, feedback)
    for function in (recurrent.custom_recurrent, *TRUTHS):
        cells, feedback, z = parts("cuba")
        actual = function(z[:, :, None, None], cells, feedback)
        assert torch.equal(actual, expected[:, :, None, None])


@truths
def test_ground_truths_refuse_what_looks_at_a_whole_run(truth):
    cells, feedback, z = parts("cuba", norm=neuron.norm.MeanOnlyBatchNorm)
    with pytest.raises(ValueError, match="neither norm nor dropout, or be in evaluation mode"):
        truth(z, cells, feedback)
    cells.norm.running_mean = torch.full((UNITS,), 0.25)
    cells.eval()
    assert torch.equal(truth(z, cells, feedback), recurrent.custom_recurrent(z, cells, feedback))


def test_dropout_acts_on_what_is_returned():
    cells, feedback, z = parts("cuba", dropout=neuron.Dropout(0.5))
    dropped = recurrent.custom_recurrent(z, cells, feedback)
    spikes = recurrent.custom_recurrent(z, cells.eval(), feedback)
    kept = dropped != 0
    assert 0 < kept.sum() < (spikes != 0).sum()
    assert torch.equal(dropped[kept], 2 * spikes[kept])


def test_weights_of_another_size_are_refused_in_a_loop():
    cells, _, z = parts("cuba")
    with pytest.raises(ValueError, match=r"weights \(5, 5\) and input \(N, 5, T\), got \(4, 5\)"):
        recurrent.custom_recurrent(z, cells, synapse.Dense(UNITS, 4))


@families
def test_a_matrix_may_stand_for_a_synapse(family):
    torch.manual_seed(0)
    cls, params = MEMBRANES[family]
    cells = cls(threshold=0.5, **params)
    R = torch.randn(3, 3)
    parts = (R.requires_grad_(), (0.3 * R.detach()).requires_grad_()) if cells.complex else R.requires_grad_()
    z = torch.randn(2, 3, 12)
    given = (z, 0.5 * z) if cells.complex else z
    spikes = recurrent.CustomRecurrent.apply(given, cells, parts)
    assert spikes.any()
    assert torch.equal(spikes, cells.recurrent(given, parts))
    (spikes * torch.randn(spikes.shape)).sum().backward()
    assert R.grad.any()


def test_a_matrix_that_does_not_fit_is_refused():
    cells = neuron.cuba.Neuron(threshold=0.5, current_decay=0.2, voltage_decay=0.1)
    with pytest.raises(ValueError, match="must have weights"):
        recurrent.CustomRecurrent.apply(torch.randn(2, 3, 12), cells, torch.zeros(2, 3))
