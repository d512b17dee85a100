"""Layers that are given by the keys of a file, without a file."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.exchange.describe import Conv, ConvTranspose, Network
from tests.support import netx_families as families
from tests.support.lava import USABLE, WHY

if not USABLE:
    pytest.skip(WHY, allow_module_level=True)

from lavadl_ref.netx.hdf5 import Network as LavaNetwork
from lavadl_ref.netx.hdf5._net_config import NetConfig
from lavadl_ref.netx.hdf5._single_layer import read_layer


def layers():
    """A layer of each family as every kind that has neurons."""
    rng = np.random.default_rng(0)
    for family in families.FAMILIES:
        yield families.entry(family, (3,))
        yield families.dense(family, bias=np.array([1, -2, 3]), delay=np.array([0, 1, 2]))
        if family != "SDNN":
            yield families.recurrent(family)
        window = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
        weight = families.weights(rng, family, 4, 1, 3, 2)
        yield Conv(shape=(4, 3, 4), neuron=families.neuron(family), **window, **weight)
        yield ConvTranspose(
            shape=(4, 3, 4), neuron=families.neuron(family), groups=2, **families.weights(rng, family, 2, 2, 3, 2)
        )


LAYERS = list(layers())
NAMES = [f"{layer.neuron.type}-{layer.kind}" for layer in LAYERS]


def plain(config):
    """The same keys in plain dictionaries."""
    return {key: plain(value) if hasattr(value, "keys") else value for key, value in config.items()}


@pytest.mark.parametrize("layer", LAYERS, ids=NAMES)
def test_a_layer_is_the_same_from_keys_in_memory_and_from_a_file(layer, tmp_path):
    expected = exchange.digest(Network((layer,)))
    given = plain(NetConfig((layer,))["layer"][0])
    assert exchange.digest(Network((read_layer(given),))) == expected
    exchange.write(tmp_path / "one.net", Network((layer,)))
    with h5py.File(tmp_path / "one.net") as file:
        assert exchange.digest(Network((read_layer(file["layer/0"]),))) == expected


def test_a_layer_in_older_spelling_is_reduced():
    layer = families.dense("CUBA")
    given = {**plain(NetConfig((layer,))["layer"][0]), "type": "dense", "shape": [3, 1, 1], "delay": 2}
    given["weight"] = np.float64(layer.weight)[..., None, None]
    given["neuron"] = {**given["neuron"], "type": b"LOIHI", "theta": 1.5, "weight_exp": 4}
    with (
        pytest.warns(exchange.LegacyKeyWarning, match="layer_config: .*: theta in layers 0"),
        pytest.warns(exchange.ExponentWarning, match="layer_config: layer 0: neuron/weight_exp 4"),
    ):
        found = read_layer(given)
    assert (found.shape, found.weight.shape, found.delay.tolist()) == ((3,), (3, 4), [2, 2, 2])
    assert found.neuron.type == "CUBA"


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("type",), "dens", "layer 0: type: must be one of .*, got 'dens'"),
        (("type",), 3, "layer 0: type: must hold text, got int64"),
        (("type",), ["dense", "dense"], r"layer 0: type: must be one value, got shape \(2,\)"),
        (("type",), "d" * 65, "layer 0: type: .*at most 64 characters, .* 65"),
        (("more",), 1, "layer 0: more: .*unknown key"),
        (("weight",), None, "layer 0: weight: missing"),
        (("weight",), "none", "layer 0: weight: must hold numbers, got .S4"),
        (("weight",), np.full((3, 4), 0.5), "layer 0: weight: .*integers, .*0.5"),
        (("weight",), np.full((3, 4), np.nan), "layer 0: weight: .*integers, .*nan"),
        (("weight",), np.full((3, 4), 512), "layer 0: weight: .*512"),
        (("weight",), {"real": np.ones((3, 4)), "imag": np.ones((3, 4))}, "layer 0: weight_imag|layer 0: weight"),
        (("neuron",), 5, "layer 0: neuron: must hold keys, got int"),
        (("neuron", "vThMant"), None, "layer 0: neuron/vThMant: missing"),
        (("neuron", "vThMant"), {}, "layer 0: neuron/vThMant: must be a value, got keys"),
        (("neuron", "vThMant"), -1, "layer 0: neuron/vThMant: .*-1"),
        (("neuron", "gradedSpike"), 2, "layer 0: neuron/gradedSpike: .*a bool, .*2"),
        (("neuron", "iDecay"), np.arange(5), r"layer 0: neuron/iDecay: .*\(5,\)"),
    ],
)
def test_a_layer_of_wrong_keys_is_refused_by_name(place, value, message):
    given = plain(NetConfig((families.dense("CUBA"),))["layer"][0])
    *groups, key = place
    held = given[groups[0]] if groups else given
    if value is None:
        del held[key]
    else:
        held[key] = value
    with pytest.raises(exchange.ExchangeError, match=f"^layer_config: {message}"):
        LavaNetwork.create_dense(given)


def test_neurons_of_wrong_keys_are_refused_by_name():
    with pytest.raises(exchange.ExchangeError, match="neuron/vThMant"):
        LavaNetwork.get_neuron_params({"type": "CUBA", "iDecay": 4, "vDecay": 5})
    with pytest.raises(exchange.ExchangeError, match="'CUBE'"):
        LavaNetwork.get_neuron_params({"type": "CUBE"})
    with pytest.raises(exchange.ExchangeError, match="neuron/type: missing"):
        LavaNetwork.get_neuron_params({})
