"""A network that is written is read back, and lies in the file as Lava-DL lays it."""

import dataclasses
import errno
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from lavadl_ref import exchange
from lavadl_ref.exchange import FAMILIES, ExchangeError, Network, Neuron
from lavadl_ref.testing.strategies import networks
from tests.support.net_files import dense_net, store
from tests.support.same_networks import same

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
def test_a_network_that_was_written_is_read_back(tmp_path_factory, network):
    path = tmp_path_factory.mktemp("net") / "x.net"
    exchange.write(path, network)
    assert same(exchange.read(path), network)
    again = path.with_name("y.net")
    exchange.write(again, network)
    assert again.read_bytes() == path.read_bytes()


KINDS = ("input", "dense", "dense_rec", "conv", "convT", "pool", "unpool")
CASES = [(name, kind) for name in FAMILIES for kind in KINDS if (name, kind) != ("SDNN", "dense_rec")]


def full_neuron(name, channels, per_channel):
    """Every field away from its default, and different from every other."""
    values = {}
    for index, field in enumerate(FAMILIES[name].fields):
        if field.kind == "bool":
            values[field.name] = not field.default
        elif field.kind == "str":
            values[field.name] = "tanh"
        elif field.low == field.high:
            values[field.name] = field.low
        elif field.per_channel and per_channel:
            values[field.name] = 10 * index + 1 + np.arange(channels)
        else:
            values[field.name] = field.high - index
    return Neuron(name, values)


def full_layer(name, kind, per_channel, shift):
    """A layer with every key that its kind and its family have, no two numbers alike."""
    counter = itertools.count(-200)

    def numbers(*shape):
        return np.array([next(counter) for _ in range(np.prod(shape))]).reshape(shape)

    dense, pooling = kind.startswith("dense"), kind in ("pool", "unpool")
    shape = {"input": (3, 2, 2), "dense": (3,), "dense_rec": (3,)}.get(kind, (3, 5, 4))
    values = {"shape": shape, "neuron": full_neuron(name, 3, per_channel), "delay_shift": shift}
    if kind == "input":
        return exchange.Input(**values, weight=-77, bias=12345)
    weight = (3, 4) if dense else (1, 1, 2, 3) if pooling else (3, 3, 2, 3)
    for part in ("", "_imag") if FAMILIES[name].complex_input else ("",):
        values[f"weight{part}"] = numbers(*weight)
        if not pooling:
            values[f"bias{part}"] = numbers(3)
        if kind == "dense_rec":
            values[f"weight_rec{part}"] = numbers(3, 3)
    if FAMILIES[name].takes_input_bias and not pooling:
        values["input_bias"] = numbers(3)
    if not dense:
        values |= {"stride": (2, 1), "padding": (0, 1), "dilation": (1, 2)}
    return exchange.LAYERS[kind](**values, delay=np.array([0, 7, 62]))


@pytest.mark.parametrize("per_channel", [False, True], ids=["shared", "per channel"])
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_family_survives_in_every_kind_of_layer(tmp_path, name, kind, per_channel):
    for shift in (True, False):
        layer = full_layer(name, kind, per_channel, shift)
        exchange.write(tmp_path / "x.net", Network((layer,)))
        back = exchange.read(tmp_path / "x.net").layers[0]
        assert back.shifts == layer.shifts == shift
        if shift == FAMILIES[name].delay_shift:
            assert back.delay_shift is None
            back = dataclasses.replace(back, delay_shift=shift)
        assert same(back, layer)


@pytest.mark.parametrize("name", FAMILIES)
def test_neurons_in_the_ordinary_case_have_the_keys_of_lava_dl(tmp_path, name):
    upstream = {
        "CUBA": ("iDecay", "vDecay", "vThMant", "refDelay", "gradedSpike"),
        "ALIF": ("iDecay", "vDecay", "thDecay", "refDecay", "vThMant", "vThStep", "refDelay", "gradedSpike"),
        "RF_PHASE": ("sinDecay", "cosDecay", "vThMant", "gradedSpike"),
        "ADRF_PHASE": ("sinDecay", "cosDecay", "thDecay", "refDecay", "vThMant", "vThStep", "gradedSpike"),
        "SDNN": ("activation", "vThMant"),
    }
    upstream |= {family.replace("PHASE", "IZHIKEVICH"): keys for family, keys in upstream.items()}
    usual = {
        field.name: value
        for field, value in ((field, full_neuron(name, 3, False)[field.name]) for field in FAMILIES[name].fields)
        if field.required or field.key in ("activation", "vThMant")
    }
    for parameters in (usual, {field.name: field.default for field in FAMILIES[name].fields} | usual):
        imag = np.zeros((3, 2), np.int64) if FAMILIES[name].complex_input else None
        exchange.write(tmp_path / "x.net", Network((dense(neuron=Neuron(name, parameters), weight_imag=imag),)))
        found = listing(tmp_path / "x.net")
        types = dict.fromkeys(upstream[name], ("int64", ())) | {"type": ("object", ())}
        types |= {key: ("bool", ()) for key in types if key == "gradedSpike"}
        types |= {key: ("object", ()) for key in types if key == "activation"}
        assert {key[15:]: value for key, value in found.items() if "/neuron/" in key} == types


def test_layers_of_complex_input_hold_two_parts(tmp_path):
    def keys(kind, per_channel=False):
        exchange.write(tmp_path / "x.net", Network((full_layer("ADRF_PHASE", kind, per_channel, True),)))
        return {key[8:]: value for key, value in listing(tmp_path / "x.net").items()}

    recurrent = {
        "type": ("|S10", (1,)),
        "shape": ("int64", (1,)),
        "inFeatures": ("int64", ()),
        "outFeatures": ("int64", ()),
        "weight/real": ("float32", (3, 4)),
        "weight/imag": ("float32", (3, 4)),
        "weight_rec/real": ("float32", (3, 3)),
        "weight_rec/imag": ("float32", (3, 3)),
        "bias/real": ("float32", (3,)),
        "bias/imag": ("float32", (3,)),
        "delay": ("float32", (3,)),
    }
    found = keys("dense_rec")
    assert {key: value for key, value in found.items() if "neuron" not in key} == recurrent
    assert found["neuron/weight_exp"] == found["neuron/weight_exp_imag"] == ("float32", (1,))
    pool = keys("pool")
    assert pool["weight/real"] == pool["weight/imag"] == ("float32", (1, 1, 2, 3))
    assert "bias" not in {key.split("/")[0] for key in pool}


@pytest.mark.parametrize("kind", ["dense", "dense_rec", "conv", "convT"])
def test_input_bias_is_in_a_dataset_of_its_own(tmp_path, kind):
    exchange.write(tmp_path / "x.net", Network((full_layer("CUBA", kind, False, True),)))
    found = listing(tmp_path / "x.net")
    assert found["layer/0/inputBias"] == found["layer/0/bias"] == ("float32", (3,))
    with h5py.File(tmp_path / "x.net") as file:
        assert file["layer/0/inputBias"][()].tolist() != file["layer/0/bias"][()].tolist()
    without = dataclasses.replace(full_layer("CUBA", kind, False, True), input_bias=None)
    exchange.write(tmp_path / "x.net", Network((without,)))
    assert "layer/0/inputBias" not in listing(tmp_path / "x.net")


def dense(**changes):
    values = {"shape": (3,), "weight": np.arange(6).reshape(3, 2), "neuron": CUBA} | changes
    return exchange.Dense(**values)


def listing(path):
    """Type and shape of every dataset but the digest."""
    found = {}

    def add(name, node):
        if isinstance(node, h5py.Dataset) and name != "digest":
            found[name] = (str(node.dtype), node.shape)

    with h5py.File(path) as file:
        file.visititems(add)
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

    assert keys() == keys(sigma_output=False, cum_error=False, weight_exp=0) == {"type", "activation", "vThMant"}
    assert keys(cum_error=True) == {"type", "activation", "vThMant", "cum_error"}
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


def test_a_group_filled_by_write_layer_is_read(tmp_path):
    with h5py.File(tmp_path / "x.net", "w") as file:
        exchange.write_layer(file.create_group("layer/0"), dense())
    exchange.write(tmp_path / "y.net", Network((dense(),)))
    assert listing(tmp_path / "x.net") == listing(tmp_path / "y.net")
    assert same(exchange.read(tmp_path / "x.net"), exchange.read(tmp_path / "y.net"))


def test_a_group_in_use_is_refused_by_write_layer(tmp_path):
    with h5py.File(tmp_path / "x.net", "w") as file:
        group = file.create_group("layer/0")
        exchange.write_layer(group, exchange.Input(shape=(2,)))
        with pytest.raises(ExchangeError, match=r"^/layer/0: must be an empty group, got bias"):
            exchange.write_layer(group, exchange.Input(shape=(2,)))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "x.net"
    exchange.write(path, Network((dense(),)))
    before = path.read_bytes()
    with pytest.raises(ExchangeError, match=r"x\.net: layer 0: bias: must have shape \(3,\), got \(2,\)"):
        exchange.write(path, Network((dense(bias=np.array([1, 2])),)))

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(OSError, match=r"No space left on device: '.*x\.net'"):
                exchange.write(path, Network((dense(),)))
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error_with_the_name_of_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere/x\.net"):
        exchange.write(tmp_path / "nowhere" / "x.net", Network((dense(),)))


def test_what_a_killed_process_has_left_is_removed_by_the_next_write(tmp_path):
    path = tmp_path / "x.net"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = (f"x.net.{dead.pid}.0a", "x.net.1.0a", f"y.net.{dead.pid}.0a")
    left, living, other = (tmp_path / f".{name}.part" for name in names)
    for part in (left, living, other):
        part.write_bytes(b"half")
    exchange.write(path, Network((dense(),)))
    assert sorted(tmp_path.iterdir()) == sorted([path, living, other])


def test_threads_may_write_one_file(tmp_path):
    path = tmp_path / "x.net"
    written = [Network((dense(bias=np.full(3, number)),)) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            list(pool.map(lambda network: exchange.write(path, network), written))
            assert any(same(exchange.read(path), network) for network in written)
    assert list(tmp_path.iterdir()) == [path]


def test_large_biases_survive(tmp_path):
    bias = np.array([2**31 - 1, -(2**31), 2**24 + 1])
    exchange.write(tmp_path / "x.net", Network((dense(bias=bias),)))
    assert exchange.read(tmp_path / "x.net").layers[0].bias.tolist() == bias.tolist()


def test_a_file_that_is_still_open_is_read(tmp_path):
    """Scripts for Lava-DL export into a file that they never close."""
    path = tmp_path / "x.net"
    network = exchange.read(store(tmp_path / "whole.net", dense_net()))
    with h5py.File(path, "w") as file, h5py.File(tmp_path / "whole.net") as whole:
        whole.copy("layer", file)
        assert exchange.digest(exchange.read(path)) == exchange.digest(network)
