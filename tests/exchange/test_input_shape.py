"""The shape of a network's input: as it follows from the first layer, or as stated."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings

from lavadl_ref import exchange
from lavadl_ref.deployed import reference
from lavadl_ref.exchange import Average, Dense, ExchangeError, Flatten, Input, Network, Neuron
from lavadl_ref.exchange.geometry import check_link
from lavadl_ref.testing.strategies import networks
from lavadl_ref.verify.inputs import random_input

CUBA = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
WINDOWS = ("conv", "convT", "pool", "unpool")


def window(cls, shape, weight, **values):
    return cls(shape=shape, weight=np.ones(weight, np.int64), neuron=CUBA, **values)


def fits(layer, shape):
    try:
        check_link(layer, Input(shape=shape))
    except ExchangeError:
        return False
    return True


@settings(max_examples=150)
@given(network=networks(kinds=WINDOWS, max_layers=1))
def test_a_window_tells_its_input_where_only_one_fits(network):
    """All inputs are tried that a window within the strategy's limits could have: channels 1 to 6, extents 1 to 15."""
    (layer,) = network.layers
    tried = itertools.product(range(1, 7), range(1, 16), range(1, 16))
    taken = [shape for shape in tried if fits(layer, shape)]
    assert network.input_shape in taken
    told = Network(network.layers).input_shape
    moves = layer.kind in ("conv", "pool") and max(layer.stride) > 1
    assert told == (None if moves else taken[0])
    assert moves or len(taken) == 1


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (Input(shape=(2, 5, 4), neuron=CUBA), (2, 5, 4)),
        (Input(shape=(7,), neuron=CUBA), (7,)),
        (Dense(shape=(3,), weight=np.ones((3, 20), np.int64)), (20,)),
        (Flatten(shape=(12,)), (12,)),
        (Average(shape=(3,)), None),
        (exchange.TimeDecimation(shape=(2, 3, 4), factor=2), (2, 3, 4)),
        (window(exchange.Conv, (4, 3, 6), (4, 1, 3, 1), groups=2, padding=(1, 0)), (2, 3, 6)),
        (window(exchange.Conv, (4, 3, 6), (4, 1, 3, 1), stride=(2, 1)), None),
        (window(exchange.Conv, (4, 1, 1), (4, 1, 1, 1), padding=(2, 2)), None),
        (window(exchange.ConvTranspose, (4, 7, 5), (3, 2, 3, 1), groups=2, stride=(2, 2)), (3, 3, 3)),
        (window(exchange.ConvTranspose, (4, 6, 5), (3, 2, 3, 1), groups=2, stride=(2, 2)), None),
        (window(exchange.Unpool, (2, 4, 6), (1, 1, 2, 2), stride=(2, 2)), (2, 2, 3)),
        (window(exchange.Pool, (2, 4, 6), (1, 1, 2, 2)), (2, 5, 7)),
    ],
)
def test_a_network_built_by_hand_tells_its_input_shape(layer, expected):
    assert Network((layer,)).input_shape == expected


def test_what_is_read_from_a_file_tells_what_follows_from_it(tmp_path):
    dense = Network((Dense(shape=(3,), weight=np.ones((3, 20), np.int64), neuron=CUBA),))
    conv = Network((window(exchange.Conv, (4, 2, 2), (4, 1, 3, 3), stride=(2, 2)),), stated_input_shape=(1, 6, 5))
    for network, shape in ((dense, (20,)), (conv, None)):
        exchange.write(tmp_path / "x.net", network)
        assert exchange.read(tmp_path / "x.net").input_shape == shape


@pytest.mark.parametrize(
    ("layer", "stated", "message"),
    [
        (Input(shape=(7,), neuron=CUBA), (8,), r"must be \(7,\), which layer 0 \(input\) takes, got \(8,\)"),
        (Dense(shape=(3,), weight=np.ones((3, 4), np.int64)), (1, 2, 2), r"must be \(4,\), which layer 0 \(dense\)"),
        (Flatten(shape=(12,)), (2, 3, 3), r"must have shape \(18,\), got \(12,\)"),
        (Average(shape=(3,)), (7,), "must be a divisor of 7 neurons"),
        (Average(shape=(3,)), [6], r"shape: must be \(N,\) or \(C, H, W\), got \[6\]"),
        (Average(shape=(3,)), (0,), r"shape: must be integers in \[1, 268435456\], got 0"),
        (window(exchange.Pool, (2, 4, 6), (1, 1, 2, 2), stride=(2, 2)), (2, 8, 99), r"must have shape \(2, 4, 49\)"),
    ],
)
def test_what_does_not_fit_is_refused(layer, stated, message):
    with pytest.raises(ExchangeError, match=f"^stated_input_shape: .*{message}"):
        exchange.check(Network((layer,), stated_input_shape=stated))


def test_inputs_for_a_network_have_the_stated_shape():
    pool = window(exchange.Pool, (2, 2, 2), (1, 1, 2, 2), stride=(2, 2))
    assert random_input(Network((pool,)), 3).shape == (2, 4, 4, 3)
    network = Network((pool,), stated_input_shape=(2, 5, 4))
    x = random_input(network, 3)
    assert x.shape == (2, 5, 4, 3)
    assert reference.Network(network).run(x).output.shape == (2, 2, 2, 3)


def test_a_flatten_layer_is_run_on_either_form():
    flat = Network((Flatten(shape=(12,)), Dense(shape=(2,), weight=np.ones((2, 12), np.int64), neuron=CUBA)))
    stated = Network(flat.layers, stated_input_shape=(3, 2, 2))
    exchange.check(stated)
    x = random_input(stated, 4)
    assert x.shape == (3, 2, 2, 4)
    for network in (flat, stated):
        runs = [reference.Network(network).run(given).output for given in (x, x.reshape(12, 4))]
        assert np.array_equal(*runs)
