"""Proved ranges: no input leaves them, and those of sums and currents are reached."""

import numpy as np
import pytest
from lavadl_kernels import FAMILIES
from lavadl_kernels.neurons import _reach, sigma_delta

from lavadl_ref import exchange
from lavadl_ref._reach import OutOfReach
from lavadl_ref.deployed import bounds
from lavadl_ref.deployed.bounds import Domain
from lavadl_ref.exchange import Conv, Dense, Network, Neuron, Recurrent
from tests.support import generate
from tests.support.generate._layers import neurons_of
from tests.support.proving import adversarial, every_input, outside, reached, reaches

ROOMS = (
    # exhausted: how many inputs, steps, and the values that they take
    (2, 5, (0, 1)),
    (1, 11, (0, 1)),
    (2, 5, (-3, 7)),
)


def one_layer(rng, family, inputs, values):
    """A network of three neurons of a family, and the messages that it takes."""
    record = FAMILIES[family]
    scale = 1 << 12 if record.sends_messages else 1
    neuron = neurons_of(rng, family, 3)["neuron"]
    if not record.sends_messages and rng.random() < 0.5:
        neuron = Neuron(neuron.type, {**neuron.parameters, "graded_spike": True})
    weights = {"weight": rng.integers(-60, 61, (3, inputs))}
    if record.complex:
        weights["weight_imag"] = rng.integers(-60, 61, (3, inputs))
    if exchange.FAMILIES[family].takes_input_bias:
        weights["input_bias"] = rng.integers(-40, 41, 3)
    layer = Dense(shape=(3,), neuron=neuron, bias=rng.integers(-40, 41, 3), **weights)
    return Network((layer,)), tuple(value * scale for value in values)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("inputs", "steps", "values"), ROOMS)
def test_no_input_of_a_small_network_leaves_its_ranges(family, inputs, steps, values):
    rng = np.random.default_rng(inputs * steps)
    for _ in range(8):
        network, (low, high) = one_layer(rng, family, inputs, values)
        stream = every_input(inputs, steps, low, high)
        found = reached(network, stream, reset_interval=steps, reset_offset=1)
        domain = Domain("graded", low, high)
        for limit in (steps, None):
            assert outside(reaches(network, (inputs,), domain, None, steps if limit else None), found) == []
        exact = reaches(network, (inputs,), domain, None, steps)[0].quantities
        for name in ("weighted sum", "current"):
            if name in exact:
                assert (exact[name].smallest, exact[name].largest) == found[0, name], name


@pytest.mark.parametrize("seed", range(60))
def test_no_input_of_a_random_network_leaves_its_ranges(seed):
    drawn = generate.case(seed, families=generate.ALL_FAMILIES, wild=seed % 2 == 1, steps=24)
    rng = np.random.default_rng(seed)
    low, high = int(drawn.inputs.min()), int(drawn.inputs.max())
    shape, steps = drawn.inputs.shape[:-1], drawn.inputs.shape[-1]
    domain = Domain("graded", min(low, 0), max(high, 0))
    interval = drawn.options.get("reset_interval")
    proved = [reaches(drawn.network, shape, domain, limit, interval) for limit in (steps, None)]
    for x in (drawn.inputs, *(adversarial(rng, shape, steps, domain.low, domain.high) for _ in range(3))):
        try:
            found = reached(drawn.network, x, **drawn.options)
        except OutOfReach:  # feedback that runs away without widths
            continue
        for ranges in proved:
            assert outside(ranges, found) == [], drawn.label


def test_bounds_are_those_of_any_number_of_steps():
    neuron = Neuron("CUBA", {"current_decay": 512, "voltage_decay": 128, "threshold": 200})
    network = Network((Dense(shape=(1,), neuron=neuron, weight=np.array([[40, -30]])),))
    stream = np.repeat([[0, 0], [1, 0]], 2000, axis=1)
    stream = np.concatenate([stream, stream[::-1]], axis=1)
    proved, found = reaches(network, (2,), Domain()), reached(network, stream)
    assert outside(proved, found) == []
    current, voltage = (proved[0].quantities[name] for name in ("current", "voltage"))
    assert (current.smallest, current.largest) == found[0, "current"]
    assert voltage.smallest == found[0, "voltage"][0]


def cross(padding):
    weight = np.array([[[[0, 1, 0], [1, -2, 1], [0, 1, 0]]]])
    neuron = Neuron("CUBA", {"current_decay": 4096, "voltage_decay": 4096, "threshold": 99})
    size = 3 + 2 * padding - 2
    return Network((Conv(shape=(1, size, size), neuron=neuron, weight=weight, padding=(padding, padding)),))


def test_a_border_cuts_the_bound_of_a_convolution():
    sums = reaches(cross(1), (1, 3, 3), Domain())[0].quantities["weighted sum"].range
    assert sums.high.reshape(3, 3).tolist() == [[2, 3, 2], [3, 4, 3], [2, 3, 2]]
    assert set(sums.low.tolist()) == {-2}


def test_a_sum_without_decay_has_no_end_but_with_steps():
    neuron = Neuron("CUBA", {"current_decay": 4096, "voltage_decay": 0, "threshold": 2**18 - 1})
    network = Network((Dense(shape=(1,), neuron=neuron, weight=np.array([[1, -1]])),))
    endless = reaches(network, (2,), Domain())[0].quantities["voltage"]
    assert endless.smallest == -_reach.UNBOUNDED
    ended = reaches(network, (2,), Domain(), steps=100)[0].quantities["voltage"]
    assert (ended.smallest, ended.largest) == (-6400, 6400)


def drifting():
    """Sigma-delta neurons whose messages lose something each, and an input on which it adds up."""
    neuron = Neuron("SDNN", {"activation": "relu", "threshold": 0})
    first = Dense(shape=(2,), neuron=neuron, weight=np.array([[49, 5], [11, 21]]))
    network = Network((first, Dense(shape=(1,), neuron=neuron, weight=np.array([[60, 60]]))))
    return network, np.tile([[4096, -4096], [1000, -1000]], 300)


def test_messages_of_sigma_delta_neurons_drift_by_what_is_cut_off():
    network, x = drifting()
    proved = reaches(network, (2,), Domain("graded", -4096, 4096), steps=x.shape[-1])
    found = reached(network, x)
    assert outside(proved, found) == []
    assert found[1, "sigma"][0] < -100 * 60  # what is lost adds up
    endless = reaches(network, (2,), Domain("graded", -4096, 4096))
    assert endless[1].quantities["sigma"].smallest == -_reach.UNBOUNDED


def test_feedback_is_part_of_the_domain():
    neuron = Neuron("CUBA", {"current_decay": 4096, "voltage_decay": 4096, "threshold": 30})
    layer = Recurrent(shape=(2,), neuron=neuron, weight=np.array([[50], [10]]), weight_rec=np.array([[0, -7], [20, 0]]))
    sums = reaches(Network((layer,)), (1,), Domain())[0].quantities["weighted sum"].range
    assert sums.high.tolist() == [50, 30]
    assert sums.low.tolist() == [0, 0]  # the second neuron never fires: 30 is not above 30


def without_sign_split(monkeypatch):
    usual = bounds._signed_sums

    def swapped(layer, frames):
        up, down = usual(layer, frames)
        return up, [part[::-1] for part in down]

    monkeypatch.setattr(bounds, "_signed_sums", swapped)


def without_the_last_unit(monkeypatch):
    usual = _reach.top
    monkeypatch.setattr(_reach, "top", lambda *arguments: np.maximum(usual(*arguments) - 1, 0))


def without_what_is_cut_off(monkeypatch):
    usual = sigma_delta.encoded
    monkeypatch.setattr(sigma_delta, "encoded", lambda *arguments: usual(*arguments[:4], 1 << 20, arguments[5]))


def without_feedback(monkeypatch):
    usual = bounds._Layer.reach
    monkeypatch.setattr(bounds._Layer, "reach", lambda self, fed: usual(self, None))


def without_resets(monkeypatch):
    monkeypatch.setattr(bounds.Setting, "horizon", property(lambda self: 1))


def random_networks():
    for seed in range(40):
        drawn = generate.case(seed, families=generate.ALL_FAMILIES, steps=24)
        low, high = int(drawn.inputs.min()), int(drawn.inputs.max())
        domain = Domain("graded", min(low, 0), max(high, 0))
        x = adversarial(np.random.default_rng(seed), drawn.inputs.shape[:-1], 96, domain.low, domain.high)
        yield drawn.network, domain, np.concatenate([x, drawn.inputs], axis=-1), drawn.options


def exhausted_network():
    network, _ = one_layer(np.random.default_rng(0), "CUBA", 2, (0, 1))
    yield network, Domain(), every_input(2, 5), {"reset_interval": 5, "reset_offset": 1}


def drifting_network():
    network, x = drifting()
    yield network, Domain("graded", -4096, 4096), x, {}


@pytest.mark.parametrize(
    ("forget", "networks"),
    [
        (without_sign_split, random_networks),
        (without_the_last_unit, exhausted_network),
        (without_what_is_cut_off, drifting_network),
        (without_feedback, random_networks),
        (without_resets, random_networks),
    ],
)
def test_a_bound_that_forgets_something_is_noticed(monkeypatch, forget, networks):
    forget(monkeypatch)
    for network, domain, x, options in networks():
        proved = reaches(network, x.shape[:-1], domain, x.shape[-1], options.get("reset_interval"))
        if outside(proved, reached(network, x, **options)):
            return
    pytest.fail("no number left its range")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "spikes"}, "kind of a domain must be one of"),
        ({"kind": "graded", "low": 3, "high": 2}, "low must be at most high, got 3 and 2"),
        ({"low": -1}, "low and high must be left out with a binary domain, got -1 and 1"),
        ({"kind": "graded", "high": 2**31}, "high must be in"),
    ],
)
def test_a_bad_domain_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Domain(**given)


def test_a_domain_that_does_not_fit_the_network_is_refused():
    with pytest.raises(ValueError, match="domain of a bias must have an input layer with neurons first"):
        reaches(cross(0), (1, 3, 3), Domain("bias", 0, 5))
