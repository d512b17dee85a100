"""What is written is read back, and lies in the file as Lava-DL lays it."""

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from lavadl_ref import exchange
from lavadl_ref.exchange import ExchangeError, Network, Neuron
from tests.exchange.networks import networks, same

CUBA = Neuron(
    "CUBA",
    {
        "current_decay": 1024,
        "voltage_decay": np.array([1, 2, 3]),
        "threshold": 80,
        "refractory_delay": 1,
        "graded_spike": False,
        "weight_exp": 0,
    },
)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(network=networks())
def test_read_returns_what_was_written(tmp_path_factory, network):
    path = tmp_path_factory.mktemp("net") / "x.net"
    exchange.write(path, network)
    assert same(exchange.read(path), network)
    again = path.with_name("y.net")
    exchange.write(again, network)
    assert again.read_bytes() == path.read_bytes()


def dense(**changes):
    values = {"shape": (3,), "weight": np.arange(6).reshape(3, 2), "neuron": CUBA} | changes
    return exchange.Dense(**values)


def listing(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, node: (
                found.__setitem__(name, (str(node.dtype), node.shape)) if isinstance(node, h5py.Dataset) else None
            )
        )
    return found


def test_dense_layer_has_the_keys_dtypes_and_shapes_of_lava_dl(tmp_path):
    layer = dense(bias=np.array([1, -2, 3]), delay=np.array([0, 1, 62]))
    exchange.write(tmp_path / "x.net", Network((layer,)))
    assert listing(tmp_path / "x.net") == {
        "layer/0/type": ("|S10", (1,)),
        "layer/0/shape": ("int64", (1,)),
        "layer/0/inFeatures": ("int64", ()),
        "layer/0/outFeatures": ("int64", ()),
        "layer/0/weight": ("float32", (3, 2)),
        "layer/0/bias": ("float32", (3,)),
        "layer/0/delay": ("float32", (3,)),
        "layer/0/neuron/type": ("object", ()),
        "layer/0/neuron/iDecay": ("int64", ()),
        "layer/0/neuron/vDecay": ("int64", (3,)),
        "layer/0/neuron/vThMant": ("int64", ()),
        "layer/0/neuron/refDelay": ("int64", ()),
        "layer/0/neuron/gradedSpike": ("bool", ()),
    }


@pytest.mark.parametrize("cls", [exchange.Conv, exchange.ConvTranspose, exchange.Pool, exchange.Unpool])
def test_kernel_layers_have_the_keys_dtypes_and_shapes_of_lava_dl(tmp_path, cls):
    pooling = cls in (exchange.Pool, exchange.Unpool)
    weight = {exchange.Conv: (3, 2, 2, 1), exchange.ConvTranspose: (4, 3, 2, 1)}.get(cls, (1, 1, 2, 1))
    groups = 2 if cls is exchange.Conv else 1
    shape = (4, 5, 6) if groups == 2 else (3, 5, 6)
    weight = (4, *weight[1:]) if groups == 2 else weight
    neuron = Neuron("CUBA", {**CUBA.parameters, "voltage_decay": 7})
    layer = cls(shape=shape, weight=np.ones(weight, np.int64), groups=groups, neuron=neuron)
    exchange.write(tmp_path / "x.net", Network((layer,)))
    found = {key[8:]: value for key, value in listing(tmp_path / "x.net").items() if "neuron" not in key}
    expected = {
        "type": ("|S10", (1,)),
        "shape": ("int64", (3,)),
        "weight": ("float32", weight),
        "kernelSize": ("int64", (2,)),
        "stride": ("int64", (2,)),
        "padding": ("int64", (2,)),
        "dilation": ("int64", (2,)),
    }
    if not pooling:
        expected |= dict.fromkeys(("inChannels", "outChannels", "groups"), ("int64", ()))
    assert found == expected
    with h5py.File(tmp_path / "x.net") as file:
        assert file["layer/0/kernelSize"][()].tolist() == [2, 1]
        if not pooling:
            assert file["layer/0/inChannels"][()] == 4
            assert file["layer/0/outChannels"][()] == shape[0]


def test_flatten_is_written_with_three_axes(tmp_path):
    layers = (exchange.Input(shape=(2, 3, 4)), exchange.Flatten(shape=(24,)))
    exchange.write(tmp_path / "x.net", Network(layers))
    with h5py.File(tmp_path / "x.net") as file:
        assert file["layer/1/shape"][()].tolist() == [24, 1, 1]
        assert file["layer/1/type"][()].tolist() == [b"flatten"]


def test_sparse_fields_are_written_only_away_from_their_default(tmp_path):
    def keys(**parameters):
        neuron = Neuron("SDNN", {"activation": "relu", "threshold": 6, **parameters})
        exchange.write(tmp_path / "x.net", Network((dense(neuron=neuron),)))
        return {key[15:] for key in listing(tmp_path / "x.net") if "/neuron/" in key}

    assert keys() == keys(sigma_output=False, weight_exp=0) == {"type", "activation", "vThMant"}
    assert keys(sigma_output=True, weight_exp=-2) == {
        "type",
        "activation",
        "vThMant",
        "sigma_output",
        "weight_exp",
    }


@pytest.mark.parametrize(("shift", "written"), [(None, False), (True, False), (False, True)])
def test_delay_shift_is_written_only_where_it_is_not_the_familys(tmp_path, shift, written):
    exchange.write(tmp_path / "x.net", Network((dense(delay_shift=shift),)))
    assert ("layer/0/delayShift" in listing(tmp_path / "x.net")) == written
    assert exchange.read(tmp_path / "x.net").layers[0].shifts == (shift is not False)


def test_write_layer_fills_a_group_that_read_accepts(tmp_path):
    with h5py.File(tmp_path / "x.net", "w") as file:
        exchange.write_layer(file.create_group("layer/0"), dense())
    exchange.write(tmp_path / "y.net", Network((dense(),)))
    assert listing(tmp_path / "x.net") == listing(tmp_path / "y.net")
    assert same(exchange.read(tmp_path / "x.net"), exchange.read(tmp_path / "y.net"))


def test_write_layer_refuses_a_group_in_use(tmp_path):
    with h5py.File(tmp_path / "x.net", "w") as file:
        group = file.create_group("layer/0")
        exchange.write_layer(group, exchange.Input(shape=(2,)))
        with pytest.raises(ExchangeError, match=r"^/layer/0: expected an empty group, found bias"):
            exchange.write_layer(group, exchange.Input(shape=(2,)))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x.net"
    exchange.write(path, Network((dense(),)))
    before = path.read_bytes()
    with pytest.raises(ExchangeError, match=r"x\.net: layer 0: bias: expected shape \(3,\), found \(2,\)"):
        exchange.write(path, Network((dense(bias=np.array([1, 2])),)))

    def full(*_args, **_kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(ExchangeError, match=r"x\.net: cannot be written: no space left"):
        exchange.write(path, Network((dense(),)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_write_into_a_missing_folder_names_the_file(tmp_path):
    with pytest.raises(ExchangeError, match=r"nowhere/x\.net: cannot be written"):
        exchange.write(tmp_path / "nowhere" / "x.net", Network((dense(),)))


def test_large_biases_survive(tmp_path):
    bias = np.array([2**31 - 1, -(2**31), 2**24 + 1])
    exchange.write(tmp_path / "x.net", Network((dense(bias=bias),)))
    assert exchange.read(tmp_path / "x.net").layers[0].bias.tolist() == bias.tolist()
