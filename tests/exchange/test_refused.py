"""Every kind of bad file gives one error that names file, layer and field."""

import os

import h5py
import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.exchange import ExchangeError
from tests.support.net_files import conv_net, dense_net, kind, resonator_net, store


def message(path):
    with pytest.raises(ExchangeError) as caught:
        exchange.read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


NAN = np.array([[0, 1, 2, 3], [0, 1, np.nan, 3], [0, 1, 2, 3]], np.float32)
HALF = np.array([[0, 1, 2, 3], [0, 0.5, 2, 3], [0, 1, 2, 3]], np.float32)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"layer/1/weight": NAN}, "layer 1: weight: must be finite integers, got nan at (1, 2)"),
        (
            {"layer/1/weight": np.full((3, 4), -np.inf)},
            "layer 1: weight: must be finite integers, got -inf",
        ),
        ({"layer/1/weight": HALF}, "layer 1: weight: must be finite integers, got 0.5 at (1, 1)"),
        ({"layer/1/weight": HALF * 2048}, "layer 1: weight: must be integers in [-512, 511], got 6144"),
        (
            {"layer/1/weight": np.full((3, 4), 2**63, np.uint64)},
            "layer 1: weight: must be integers below 2**53",
        ),
        ({"layer/1/weight": np.ones((3, 4), bool)}, "layer 1: weight: must be integers, got a bool"),
        (
            {"layer/1/weight": np.ones((3, 4), complex)},
            "layer 1: weight: must be integers, got a compound type",
        ),
        ({"layer/1/weight": "heavy"}, "layer 1: weight: must be integers, got strings"),
        ({"layer/1/weight": h5py.Empty("f4")}, "layer 1: weight: must have data, got an empty dataset"),
        ({"layer/1/weight": None}, "layer 1: weight: missing"),
        (
            {"layer/1/weight": np.ones((3, 5), np.float32)},
            "layer 1: weight: must have shape (3, 4), got (3, 5), by outFeatures, inFeatures",
        ),
        (
            {"layer/1/weight": np.ones((3, 5), np.float32), "layer/1/inFeatures": 5},
            "layer 1: weight: must have shape (3, 4), got (3, 5); the input is (4,)",
        ),
        ({"layer/1/weight": np.ones((3, 4, 2))}, "layer 1: weight: must have 2 axes, got shape (3, 4, 2)"),
        ({"layer/1/bias": np.zeros(4)}, "layer 1: bias: must have shape (3,), got (4,)"),
        (
            {"layer/1/bias": np.full(3, 2.0**31)},
            "layer 1: bias: must be integers in [-2147483648, 2147483647], got 2147483648",
        ),
        ({"layer/1/delay": np.zeros(2)}, "layer 1: delay: must have shape (3,), got (2,)"),
        ({"layer/1/delay": np.full(3, -1.0)}, "layer 1: delay: must be integers in [0, 32768], got -1"),
        ({"layer/1/type": kind("densest")}, "layer 1: type: must be one of average, conv, "),
        ({"layer/1/type": 3}, "layer 1: type: must be a string, got int64"),
        (
            {"layer/1/type": np.array(["a", "b"], "S10")},
            "layer 1: type: must be one string, got shape (2,)",
        ),
        ({"layer/1/type": "x" * 100}, "layer 1: type: must have at most 64 characters, got 100"),
        ({"layer/1/type": None}, "layer 1: type: missing"),
        ({"layer/1/shape": np.array([3, 2])}, "layer 1: shape: must be (N,) or (C, H, W), got [3, 2]"),
        (
            {"layer/1/shape": np.array([3, 2, 1])},
            "layer 1: shape: must be (N,) or (N, 1, 1), got (3, 2, 1)",
        ),
        ({"layer/1/shape": np.array([0])}, "layer 1: shape: must be (N,) or (C, H, W), got [0]"),
        ({"layer/0/shape": np.array([2**40])}, "layer 0: shape: must be integers in [1, 268435456], got"),
        (
            {"layer/1/neuron/iDecay": 4097},
            "layer 1: neuron/iDecay: must be integers in [0, 4096], got 4097",
        ),
        (
            {"layer/1/neuron/iDecay": np.array([1, 2])},
            "layer 1: neuron/iDecay: must have shape (3,), got (2,)",
        ),
        ({"layer/1/neuron/iDecay": None}, "layer 1: neuron/iDecay: missing; CUBA neurons need it"),
        (
            {"layer/1/neuron/vThMant": np.array([1, 2, 3])},
            "layer 1: neuron/vThMant: must be one value, got shape (3,)",
        ),
        ({"layer/1/neuron/gradedSpike": 2}, "layer 1: neuron/gradedSpike: must be a bool, got 2"),
        ({"layer/1/neuron/refDelay": 3}, "layer 1: neuron/refDelay: must be 1, got 3"),
        ({"layer/1/neuron/wgtExp": 2}, "layer 1: neuron/wgtExp: must be 0"),
        ({"layer/1/neuron/type": "HH"}, "layer 1: neuron/type: unknown neuron 'HH'"),
        ({"layer/1/neuron/messageBits": 8}, "layer 1: neuron/messageBits: unknown key; known are "),
        ({"layer/1/colour": 8}, "layer 1: colour: unknown key; known are "),
        ({"layer/0/delay": np.zeros(4)}, "layer 0: delay: unknown key; known are "),
        ({"extra": 1}, "extra: unknown key; known are digest, layer, simulation"),
        ({"simulation/x": 1}, "simulation/x: unknown key; known are Ts, tSample"),
        ({"layer/01/type": kind("flatten")}, "layer 3: missing; layers are numbered from 0, got 0, 01"),
        ({"layer/4/type": kind("flatten")}, "layer 3: missing; layers are numbered from 0, got 0, 1"),
    ],
)
def test_a_bad_dataset_is_named(tmp_path, changes, expected):
    assert message(store(tmp_path / "x.net", dense_net() | changes)).startswith(expected)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"layer/1/shape": np.array([4, 3, 2])},
            "layer 1: shape: must have shape (4, 3, 3), got (4, 3, 2); the input is (2, 6, 5)",
        ),
        ({"layer/1/shape": np.array([4])}, "layer 1: shape: must be (C, H, W), got (4,)"),
        ({"layer/1/groups": 0}, "layer 1: groups: must be a divisor of inChannels 2, got 0"),
        ({"layer/1/groups": 2}, "layer 1: weight: must have shape (4, 1, 3, 3), got (4, 2, 3, 3)"),
        ({"layer/1/stride": np.array([0, 1])}, "layer 1: stride: must be integers in [1, 32768], got 0"),
        ({"layer/1/stride": np.array([2])}, "layer 1: stride: must be (height, width), got (2,)"),
        (
            {"layer/1/kernelSize": np.array([3, 2])},
            "layer 1: weight: must have shape (4, 2, 3, 2), got (4, 2, 3, 3)",
        ),
        (
            {"layer/0/shape": np.array([3, 6, 5])},
            "layer 1: weight: must have shape (4, 3, 3, 3), got (4, 2, 3, 3)",
        ),
        ({"layer/0/shape": np.array([60])}, "layer 1: type: 'conv' must have input (C, H, W), got (60,)"),
        ({"layer/1/outFeatures": 4}, "layer 1: outFeatures: unknown key"),
    ],
)
def test_a_bad_convolution_is_named(tmp_path, changes, expected):
    assert message(store(tmp_path / "x.net", conv_net() | changes)).startswith(expected)


PARTS = np.arange(9, dtype=np.float32).reshape(3, 3)


def without(entries, start):
    return {key: value for key, value in entries.items() if not key.startswith(start)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"layer/1/weight/imag": None}, "layer 1: weight/imag: missing"),
        ({"layer/1/weight/real": None}, "layer 1: weight/real: missing"),
        ({"layer/1/weight_rec/imag": None}, "layer 1: weight_rec/imag: missing"),
        ({"layer/1/bias/imag": None}, "layer 1: bias/imag: missing"),
        ({"layer/1/bias/real": None}, "layer 1: bias/real: missing"),
        ({"layer/1/weight_rec/angle": PARTS}, "layer 1: weight_rec/angle: unknown key; known are imag, real"),
        ({"layer/1/bias/angle": PARTS}, "layer 1: bias/angle: unknown key; known are imag, real"),
        (
            {"layer/1/weight/imag": PARTS[:, :2]},
            "layer 1: weight/imag: must have shape (3, 3), got (3, 2)",
        ),
        ({"layer/1/weight_rec/imag": PARTS[:2]}, "layer 1: weight_rec/imag: must have shape (3, 3), got (2, 3)"),
        ({"layer/1/weight_rec/imag": PARTS * 100}, "layer 1: weight_rec/imag: must be integers in [-512, 511]"),
        ({"layer/1/bias/imag": PARTS[0] / 2}, "layer 1: bias/imag: must be finite integers, got 0.5 at (1,)"),
        ({"layer/1/bias/imag": PARTS}, "layer 1: bias/imag: must have shape (3,), got (3, 3)"),
        ({"layer/1/inputBias": PARTS[0]}, "layer 1: inputBias: must be absent; RF_PHASE neurons have bias"),
        (
            {"layer/1/neuron/weight_exp_imag": np.float32(0.5)},
            "layer 1: neuron/weight_exp_imag: must be finite integers, got 0.5",
        ),
        (
            {"layer/1/neuron/weight_exp_imag": np.zeros(3)},
            "layer 1: neuron/weight_exp_imag: must be one value, got shape (3,)",
        ),
        ({"layer/1/neuron/cum_error": True}, "layer 1: neuron/cum_error: unknown key; known are "),
        ({"layer/1/neuron/thDecay": 3}, "layer 1: neuron/thDecay: unknown key; known are "),
        ({"layer/0/neuron/weight_exp_imag": 0}, "layer 0: neuron/weight_exp_imag: unknown key; known are "),
        ({"layer/0/weight_rec": PARTS}, "layer 0: weight_rec: unknown key; known are "),
        ({"layer/0/inputBias": PARTS}, "layer 0: inputBias: must have shape (3,), got (3, 3)"),
        ({"layer/0/inputBias": PARTS[0] / 2}, "layer 0: inputBias: must be finite integers, got 0.5"),
        ({"layer/0/weight": None, "layer/0/weight/real": 1}, "layer 0: weight/imag: missing"),
        (
            {"layer/0/bias/real": PARTS[0], "layer/0/bias/imag": PARTS[0]},
            "layer 0: bias/imag: must be absent; CUBA neurons have real input",
        ),
    ],
)
def test_a_bad_complex_part_is_named(tmp_path, changes, expected):
    assert message(store(tmp_path / "x.net", resonator_net() | changes)).startswith(expected)


@pytest.mark.parametrize(("key", "shape"), [("weight", (3, 3)), ("weight_rec", (3, 3)), ("bias", (3,))])
def test_one_part_in_place_of_two_is_refused(tmp_path, key, shape):
    entries = without(resonator_net(), f"layer/1/{key}/") | {f"layer/1/{key}": np.zeros(shape, np.float32)}
    wanted = f"layer 1: {key}/imag: missing; RF_PHASE neurons have complex input"
    assert message(store(tmp_path / "x.net", entries)) == wanted


def test_feedback_belongs_to_recurrent_layers_alone(tmp_path):
    path = store(tmp_path / "x.net", resonator_net())
    assert isinstance(exchange.read(path).layers[1], exchange.Recurrent)
    path = store(tmp_path / "y.net", resonator_net() | {"layer/1/type": kind("dense")})
    assert message(path).startswith("layer 1: weight_rec: unknown key; known are ")


@pytest.mark.parametrize("key", ["bias", "weight_rec"])
def test_links_and_cycles_in_place_of_parts_are_refused(tmp_path, key):
    path = store(tmp_path / "x.net", without(resonator_net(), f"layer/1/{key}/"))
    with h5py.File(path, "a") as file:
        file[f"layer/1/{key}"] = file["layer"]
    assert message(path).startswith(f"layer 1: {key}/0: unknown key")
    with h5py.File(path, "a") as file:
        del file[f"layer/1/{key}"]
        file[f"layer/1/{key}"] = h5py.SoftLink("/layer/1/weight")
    assert message(path) == f"layer 1: {key}: must have data in this file, got a SoftLink"
    with h5py.File(path, "a") as file:
        del file[f"layer/1/{key}"]
        file[f"layer/1/{key}/real"] = file["layer/1/weight/real"]
        file[f"layer/1/{key}/imag"] = file["layer"]
    assert message(path) == f"layer 1: {key}/imag: must be a dataset, got a group"


def test_a_group_in_place_of_an_input_bias_is_refused(tmp_path):
    feedback = {"layer/1/type": kind("dense_rec"), "layer/1/weight_rec": np.zeros((3, 3))}
    for entries in (dense_net(), dense_net() | feedback):
        path = store(tmp_path / "x.net", entries | {"layer/1/inputBias/real": np.zeros(3)})
        assert message(path) == "layer 1: inputBias: must be a dataset, got a group"
        path = store(tmp_path / "y.net", entries | {"layer/1/inputBias": np.zeros(2)})
        assert message(path) == "layer 1: inputBias: must have shape (3,), got (2,)"


def test_a_missing_layer_is_named(tmp_path):
    entries = {key: value for key, value in dense_net().items() if not key.startswith("layer/1/")}
    text = message(store(tmp_path / "x.net", entries))
    assert text == "layer 1: missing; layers are numbered from 0, got 0, 2"


def test_a_file_without_layers_is_refused(tmp_path):
    assert message(store(tmp_path / "x.net", {"simulation/Ts": 1})) == "layer: missing"
    with h5py.File(tmp_path / "y.net", "w") as file:
        file.create_group("layer")
    assert message(tmp_path / "y.net") == "layer: must have 1 to 1024 layers, got 0"


def test_groups_and_datasets_in_each_others_place_are_refused(tmp_path):
    assert message(store(tmp_path / "x.net", {"layer": 3})) == "layer: must be a group, got a dataset"
    entries = {key: value for key, value in dense_net().items() if "layer/1/neuron" not in key}
    text = message(store(tmp_path / "y.net", entries | {"layer/1/neuron": 3}))
    assert text == "layer 1: neuron: must be a group, got a dataset"
    text = message(store(tmp_path / "z.net", dense_net() | {"layer/1/shape": None, "layer/1/shape/a": 3}))
    assert text == "layer 1: shape: must be a dataset, got a group"


@pytest.mark.parametrize("cut", [1, 100, 0.5, -1])
def test_a_truncated_file_is_refused(tmp_path, cut):
    path = store(tmp_path / "x.net", dense_net())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut) if isinstance(cut, float) else cut])
    assert any(word in message(path) for word in ("cut short", "must be an HDF5 file"))


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "x.net"
    assert message(path) == "cannot be opened: No such file or directory"
    path.write_bytes(b"")
    assert message(path) == "must be an HDF5 file, got an empty file"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    assert message(path).startswith("must be an HDF5 file, got a Git LFS pointer")
    path.write_text("hello")
    assert message(path) == "must be an HDF5 file, got other data"
    assert message(tmp_path) == "must be a file, got a directory or device"
    fifo = tmp_path / "pipe.net"
    os.mkfifo(fifo)
    assert message(fifo) == "must be a file, got a directory or device"


@pytest.mark.parametrize("name", ["SoftLink", "ExternalLink"])
@pytest.mark.parametrize("key", ["layer/1/weight", "layer/1/neuron", "layer/1", "layer"])
def test_links_other_than_hard_ones_are_refused(tmp_path, name, key):
    path = store(tmp_path / "x.net", dense_net())
    other = store(tmp_path / "other.net", dense_net())
    with h5py.File(path, "a") as file:
        del file[key]
        file[key] = h5py.SoftLink("/layer/0/weight") if name == "SoftLink" else h5py.ExternalLink(other, key)
    field = {"layer/1": "layer 1: layer/1", "layer": "layer"}.get(key, key.replace("layer/1/", "layer 1: "))
    assert message(path) == f"{field}: must have data in this file, got a {name}"


def test_a_cycle_of_links_is_refused(tmp_path):
    path = store(tmp_path / "x.net", dense_net())
    with h5py.File(path, "a") as file:
        file["layer/1/again"] = file["layer"]
    assert message(path).startswith("layer 1: again: unknown key")
    with h5py.File(path, "a") as file:
        del file["layer/1/again"], file["layer/1/neuron"]
        file["layer/1/neuron"] = file["layer"]
    assert message(path) == "layer 1: neuron/type: missing"
    with h5py.File(path, "a") as file:
        del file["layer/1/neuron"]
        file["layer/1/neuron"] = h5py.SoftLink("/layer/1/neuron")
    assert message(path) == "layer 1: neuron: must have data in this file, got a SoftLink"


def test_data_outside_the_file_is_refused(tmp_path):
    weight = np.ones((3, 4), np.float32)
    (tmp_path / "raw").write_bytes(weight.tobytes())
    path = store(tmp_path / "x.net", dense_net() | {"layer/1/weight": None})
    with h5py.File(path, "a") as file:
        file.create_dataset("layer/1/weight", (3, 4), "f4", external=[(tmp_path / "raw", 0, 48)])
    wanted = "layer 1: weight: must have data in this file, got a reference to another file"
    assert message(path) == wanted
    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[:] = h5py.VirtualSource(store(tmp_path / "o.net", {"w": weight}), "w", (3, 4))
    with h5py.File(path, "a") as file:
        del file["layer/1/weight"]
        file.create_virtual_dataset("layer/1/weight", layout)
    assert message(path) == wanted


def test_types_that_hold_no_numbers_are_refused(tmp_path):
    found = {
        "references": h5py.ref_dtype,
        "a compound type": np.dtype([("a", "f4"), ("b", "f4")]),
        "an opaque type": np.dtype("V8"),
        "an enumeration": h5py.enum_dtype({"a": 0, "b": 1}, "i1"),
        "ragged arrays": h5py.vlen_dtype(np.int64),
        "arrays within a dataset": np.dtype(("f4", (2,))),
        "a bool": np.dtype(bool),
        "strings": h5py.string_dtype(),
        "floats of 16 bytes that NumPy has not": np.dtype("g"),
    }
    for name, dtype in found.items():
        path = store(tmp_path / "x.net", dense_net() | {"layer/1/weight": None})
        with h5py.File(path, "a") as file:
            file.create_dataset("layer/1/weight", (3, 4), dtype)
        assert message(path) == f"layer 1: weight: must be integers, got {name}"


def test_a_compression_other_than_gzip_is_refused(tmp_path):
    path = store(tmp_path / "x.net", dense_net() | {"layer/1/weight": None})
    with h5py.File(path, "a") as file:
        file.create_dataset("layer/1/weight", data=np.ones((3, 4), np.float32), compression="lzf")
    assert message(path).startswith("layer 1: weight: must have no compression but gzip, got HDF5 filters")


def test_the_file_is_closed_after_success_and_failure(tmp_path):
    path = store(tmp_path / "x.net", dense_net())
    exchange.read(path)
    store(path, dense_net() | {"layer/1/weight": NAN})
    message(path)
    store(path, dense_net())
    exchange.read(path)
