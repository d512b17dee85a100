"""``slayer.utils.recurrent`` against lava-dl: spikes of a fresh batch, and the arguments."""

import inspect

import pytest
import torch

from lavadl_ref import slayer as ours
from tests.support import upstream

pytestmark = pytest.mark.upstream
theirs = upstream.slayer()

NAMES = ["custom_recurrent", "custom_recurrent_ground_truth_1", "custom_recurrent_ground_truth_2"]
UNITS = 6
ADAPTIVE = {"threshold_step": 0.25, "threshold_decay": 0.2, "refractory_decay": 0.3}
REAL = {
    "cuba": {"current_decay": 0.3, "voltage_decay": 0.1},
    "alif": {"current_decay": 0.3, "voltage_decay": 0.1, **ADAPTIVE},
}


def parts(root, family, **options):
    cells = getattr(root.neuron, family).Neuron(threshold=0.5, **REAL[family], **options)
    synapse = root.synapse.Dense(UNITS, UNITS, pre_hook_fx=cells.quantize_8bit)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        synapse.weight.copy_(torch.randn(synapse.weight.shape, generator=rng))
    return torch.randint(-64, 128, (3, UNITS, 40), generator=rng) / 64, cells, synapse


@pytest.mark.parametrize("name", NAMES)
def test_the_loops_have_the_arguments_of_lava_dl(name):
    signatures = [inspect.signature(getattr(root.utils.recurrent, name)).parameters for root in (ours, theirs)]
    assert list(signatures[0]) == list(signatures[1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", REAL)
def test_the_spikes_of_a_fresh_batch_are_the_same(family, name):
    # lava-dl's neurons have a memory here only if they are persistent
    expected = getattr(theirs.utils.recurrent, name)(*parts(theirs, family, persistent_state=True))
    assert 0 < expected.sum() < expected.numel()
    for persistent in (False, True):
        actual = getattr(ours.utils.recurrent, name)(*parts(ours, family, persistent_state=persistent))
        assert torch.equal(actual, expected)


def test_lava_dl_forgets_the_membrane_of_neurons_that_are_not_persistent():
    lasting, forgetful = (
        theirs.utils.recurrent.custom_recurrent(*parts(theirs, "cuba", persistent_state=persistent))
        for persistent in (True, False)
    )
    assert not torch.equal(lasting, forgetful)


@pytest.mark.parametrize("family", REAL)
def test_a_matrix_in_place_of_a_synapse_gives_the_same(family):
    spikes, gradients = [], []
    for root in (theirs, ours):
        z, cells, synapse = parts(root, family, persistent_state=True)
        matrix = synapse.weight.detach().reshape(UNITS, UNITS).requires_grad_()
        spikes.append(root.utils.recurrent.CustomRecurrent.apply(z.requires_grad_(), cells, matrix))
        spikes[-1][..., -1].sum().backward()
        gradients.append((matrix.grad, z.grad[..., -1]))
    assert 0 < spikes[0].sum() < spikes[0].numel()
    assert torch.equal(*spikes)
    # of the last step's input, which no state lies behind: its way back is the same
    torch.testing.assert_close(gradients[0][1], gradients[1][1], rtol=1e-5, atol=1e-7)
    assert gradients[1][0].any()
