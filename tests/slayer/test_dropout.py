"""`neuron.Dropout`: whole neurons, for all time."""

import pytest
import torch

from lavadl_ref.slayer import neuron


@pytest.mark.parametrize("shape", [(4, 200, 6), (4, 10, 5, 4, 6)])
def test_whole_neurons_are_silenced_and_the_rest_scaled(shape):
    torch.manual_seed(0)
    y = neuron.Dropout(0.25)(torch.ones(shape))
    first = y[..., :1]
    assert torch.equal(y, first.expand_as(y))
    assert set(first.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    silent = (first == 0).float().mean().item()
    assert 0.2 < silent < 0.3
    # samples are dropped independently
    assert not torch.equal(y[0], y[1])


def test_gradient_passes_the_survivors():
    torch.manual_seed(0)
    x = torch.ones(2, 30, 4, requires_grad=True)
    y = neuron.Dropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_dropout_in_evaluation_is_the_identity():
    x = torch.rand(2, 3, 4)
    drop = neuron.Dropout(0.9).eval()
    assert drop(x) is x
    assert neuron.Dropout(0.0)(x) is x


def test_everything_may_be_dropped_by_dropout():
    assert torch.equal(neuron.Dropout(1.0)(torch.ones(2, 3, 4)), torch.zeros(2, 3, 4))


def test_dropout_may_act_in_place():
    x = torch.ones(2, 50, 4)
    y = neuron.Dropout(0.5, inplace=True)(x)
    assert y is x
    assert (x == 0).any()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_the_probability_of_dropout_is_checked(p):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        neuron.Dropout(p)


@pytest.mark.parametrize("norm", [None, neuron.norm.MeanOnlyBatchNorm])
def test_dropout_in_place_within_a_neuron_has_the_same_gradient(norm):
    gradients = []
    for inplace in (False, True):
        torch.manual_seed(0)
        x = torch.rand(2, 40, 20, requires_grad=True)
        neuron.cuba.Neuron(1.0, 0.3, 0.1, norm=norm, dropout=neuron.Dropout(0.5, inplace))(x).sum().backward()
        gradients.append(x.grad)
    assert torch.equal(*gradients)


def test_dropout_within_a_neuron_leaves_the_state():
    """Dropout acts on the spikes, not on the state."""
    torch.manual_seed(0)
    plain, dropped = (
        neuron.cuba.Neuron(1.0, 0.3, 0.1, dropout=drop, persistent_state=True) for drop in (None, neuron.Dropout(0.5))
    )
    x = torch.rand(2, 40, 20)
    s, d = plain(x), dropped(x)
    kept = d.sum(-1) > 0
    assert 0 < kept.sum() < kept.numel()
    assert torch.equal(d[kept], 2 * s[kept])
    assert torch.equal(plain.voltage_state, dropped.voltage_state)


@pytest.mark.parametrize("norm", [None, neuron.norm.MeanOnlyBatchNorm])
@pytest.mark.parametrize("grad", [False, True])
def test_dropout_within_a_neuron_gives_what_a_call_of_it_gives(norm, grad):
    """Without hooks dropout writes over the spikes of its neuron; a hook sees them as they were."""
    results, seen = [], []
    for hooked in (False, True):
        drop = neuron.Dropout(0.5)
        if hooked:
            drop.register_forward_hook(lambda module, given, result: seen.extend([given[0].clone(), result.clone()]))
        torch.manual_seed(0)
        x = (torch.rand(2, 40, 20) - 0.2).requires_grad_(grad)
        cells = neuron.cuba.Neuron(1.0, 0.3, 0.1, norm=norm, dropout=drop, requires_grad=True)
        y = cells(x)
        results.append([y.detach(), torch.rand(1)])
        if grad:
            y.backward(torch.rand(y.shape))
            results[-1] += [x.grad, *(part.grad for part in cells.parameters())]
    assert all(map(torch.equal, *results))
    spikes, thinned = seen
    assert set(spikes.unique().tolist()) == {0, 1}
    assert set(thinned.unique().tolist()) == {0, 2}
    assert torch.equal(results[0][0], thinned)
