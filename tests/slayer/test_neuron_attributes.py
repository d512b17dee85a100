"""Attributes of neurons that scripts read and assign: states, ranges, levels; each acts, or refuses."""

import pytest
import torch

from lavadl_ref.slayer import axon, neuron
from tests.support.families import SPIKING as FAMILIES
from tests.support.slayer_neurons import decays, make, signal

every = pytest.mark.parametrize("name", list(FAMILIES))


@every
def test_states_read_as_tensors_and_act(name):
    n, x = make(name, persistent_state=True), signal(name)
    for state in n._states:
        value = getattr(n, state)
        assert torch.equal(value, torch.full((1,), n.threshold if state == "threshold_state" else 0.0))
    first = n.dynamics(x)[0]
    n.reset()
    getattr(n, n._states[0])[:] = 0.5
    moved = n.dynamics(x)[0]
    assert not torch.equal(moved, first)
    n.reset()
    setattr(n, n._states[0], torch.full((2, 3), 0.5))
    assert torch.equal(n.dynamics(x)[0], moved)
    n.reset()
    getattr(n, n._states[0]).zero_()
    assert torch.equal(n.dynamics(x)[0], first)
    plain = make(name)
    getattr(plain, n._states[0])[:] = 0.5
    assert torch.equal(plain.dynamics(x)[0], first)


@every
def test_what_was_written_is_not_drawn_over(name):
    n = make(name, own=True)
    n.allocate(3)
    written = []
    for decay in decays(n, name):
        assert decay.shape == (3,)
        decay.data.copy_(torch.tensor([1000.0, 1001.0, 1002.0]))
        written.append(decay.detach().clone())
    n(signal(name))
    for decay, values in zip(decays(n, name), written, strict=True):
        assert torch.equal(decay, values)
    delay = axon.Delay()
    delay.delay.data = torch.tensor([1.0, 2.0, 3.0])
    delay(torch.rand(2, 3, 9))
    assert delay.delay.tolist() == [1, 2, 3]


def test_decays_drawn_above_one_are_clamped():
    n = make("cuba", current_decay=1.0, shared_param=False)
    torch.manual_seed(0)
    n(torch.rand(1, 200, 3))
    assert (n.current_decay == 4096).any()
    assert n.current_decay.max() == 4096


def test_ranges_can_be_changed_until_they_are_drawn():
    n = make("cuba", own=True)
    n.current_decay_min, n.current_decay_max = 0.5, 0.5
    n(signal("cuba"))
    assert n.current_decay.tolist() == [2048.0] * 3
    with pytest.raises(AttributeError, match="was drawn"):
        n.current_decay_min = 0.1


# -- attributes -------------------------------------------------------------------------------


@every
@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("p_scale", 64), ("w_scale", 128), ("s_scale", 8192), ("shared_param", False),
        ("complex", "no"), ("ref_delay", 2), ("scale", 128), ("threshold", 2.0), ("v_th_mant", 3),
    ],
)  # fmt: skip
def test_what_cannot_act_is_refused(name, attribute, value):
    n = make(name)
    before = getattr(n, attribute)
    with pytest.raises((ValueError, AttributeError), match=attribute):
        setattr(n, attribute, value)
    assert getattr(n, attribute) == before
    for same in ("p_scale", "w_scale", "s_scale", "shared_param", "complex", "ref_delay"):
        setattr(n, same, getattr(n, same))


def test_the_threshold_eps_can_be_assigned():
    n = make("cuba", scale=16)
    assert n.threshold_eps == 0.01 / 1024
    n.threshold_eps = 0.5 / 1024
    with pytest.raises(ValueError, match="threshold_eps must be positive and less than"):
        n.threshold_eps = 0.1


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.adaptive])
def test_a_threshold_step_that_is_assigned_acts(name):
    n = make(name)
    n.threshold_step = 0.77
    assert n.threshold_step == 49 / 64
    assert torch.equal(n(signal(name)), make(name, threshold_step=0.77)(signal(name)))


@every
def test_factors_of_the_surrogate_are_the_modules(name, monkeypatch):
    n = make(name)
    monkeypatch.setattr(getattr(neuron, name), "TAU_RHO_MULT", 7)
    monkeypatch.setattr(getattr(neuron, name), "SCALE_RHO_MULT", 3)
    assert n._surrogate[:2] == (7 * n.tau_rho, 3 * n.scale_rho)
