"""A file by its keys, and bits of weights and delays."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lavadl_ref.exchange import ExchangeError
from lavadl_ref.netx import lava_support
from lavadl_ref.netx.utils import SYNAPSE_SIGN_MODE, NetDict, num_delay_bits, optimize_weight_bits
from tests.support.net_files import legacy_layer

MIXED, EXCITATORY, INHIBITORY = SYNAPSE_SIGN_MODE


def as_lava_holds_it(weight, bits, mode):
    """A fixed-point synapse's weights: clipped to 8 bits and a sign, the lowest bits cleared."""
    magnitude = -weight if mode == INHIBITORY else weight
    clipped = np.clip(magnitude, -256 if mode == MIXED else 0, 255)
    cleared = 8 - bits + (mode == MIXED)
    held = (clipped >> cleared) << cleared
    return -held if mode == INHIBITORY else held


RANGES = st.sampled_from([(-256, 254), (0, 255), (-256, 0), (-255, -1), (-128, 127), (-4, 4), (0, 0), (-7, 0)])
WEIGHTS = RANGES.flatmap(
    lambda ends: arrays(np.int64, array_shapes(max_dims=2, max_side=4), elements=st.integers(*ends))
)


@given(WEIGHTS, st.integers(0, 12))
@example(np.zeros((2, 2), int), 0)
@example(np.full((2, 2), -64), 0)
@example(np.array([-128, -2]), 0)
@example(np.array([-256, -1]), 0)
@example(np.array([-256, -256]), 1)
@example(np.array([256, 0]), 0)
@example(np.array([-256, 255]), 0)
def test_a_synapse_holds_exactly_the_weights(weight, zeros):
    weight = weight << zeros
    shifted, bits, exponent, mode = optimize_weight_bits(weight)
    held = as_lava_holds_it(shifted, bits, mode)
    assert (held == shifted).all()
    assert (held * 2.0**exponent == weight).all()
    assert 0 <= bits <= 9
    # Nothing larger fits: one more bit would be too many, and one bit less would lose some.
    if weight.any():
        assert (as_lava_holds_it(2 * shifted, 9, mode) != 2 * shifted).any()
        assert (as_lava_holds_it(shifted, bits - 1, mode) != shifted).any()


@given(WEIGHTS)
def test_lavas_own_arithmetic_says_the_same(weight):
    usable, why = lava_support.available()
    if not usable:
        pytest.skip(why)
    lava_support.enable()
    from lava.utils.weightutils import SignMode, clip_weights, truncate_weights

    shifted, bits, _, mode = optimize_weight_bits(weight)
    sign = SignMode(mode.value)
    assert sign.name == mode.name
    assert (truncate_weights(clip_weights(shifted, sign, num_bits=8), sign, bits) == shifted).all()


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        ([[-2, 4]], ([[-64, 128]], 3, -5, MIXED)),
        ([[0, 254]], ([[0, 254]], 7, 0, EXCITATORY)),
        ([[-5, -1]], ([[-160, -32]], 3, -5, INHIBITORY)),
        ([[0, -4]], ([[0, -256]], 1, -6, MIXED)),
        ([[0, 0]], ([[0, 0]], 0, 0, EXCITATORY)),
        ([[-64, -64]], ([[-128, -128]], 1, -1, INHIBITORY)),
        ([[-256, -2]], ([[-256, -2]], 8, 0, MIXED)),
        ([[512, 2.0]], "weights must fit into 8 bits, got 2 to 512, which are multiples of 2"),
        ([[512, 4]], ([[128, 1]], 8, 2, EXCITATORY)),
        ([[-300, 4]], ([[-150, 2]], 8, 1, MIXED)),
        ([[-301, 4]], "weights must fit into 8 bits, got -301 to 4"),
        ([[0.5, 3]], r"weights must be integers, got 0\.5"),
        ([[np.nan]], "weights must be integers, got nan"),
        ([["1"]], "weights must be integers, got <U1"),
        (np.zeros((0, 3)), (np.zeros((0, 3)), 0, 0, EXCITATORY)),
    ],
)
def test_weight_bits_are_those_counted_by_hand(weight, expected):
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            optimize_weight_bits(weight)
        return
    shifted, *others = optimize_weight_bits(weight)
    assert shifted.dtype == np.int64
    assert shifted.tolist() == np.asarray(expected[0]).tolist()
    assert tuple(others) == expected[1:]
    assert isinstance(others[2], SYNAPSE_SIGN_MODE)


def test_given_weights_stay_as_they_are():
    weight = np.zeros((2, 2), np.int64)
    optimize_weight_bits(weight)[0][:] = 1
    assert not weight.any()


def test_delay_bits_hold_every_delay():
    for longest in range(63):
        bits = num_delay_bits(np.array([0, longest]))
        assert longest < 2**bits
        assert longest == 0 or longest >= 2 ** (bits - 1)
    assert num_delay_bits([[3.0, 4]]) == 3
    assert num_delay_bits(5) == 3
    assert num_delay_bits([]) == 0


@pytest.mark.parametrize(
    ("delays", "message"),
    [
        ([63], "delays must be from 0 to 62, got 0 to 63"),
        ([-1, 4], "got -1 to 4"),
        ([1.5], r"delays must be integers, got 1\.5"),
    ],
)
def test_delay_bits_refuse_other_delays(delays, message):
    with pytest.raises(ValueError, match=message):
        num_delay_bits(delays)


@pytest.fixture
def path(tmp_path):
    """A file with everything a network has, and a few keys that none has."""
    with h5py.File(tmp_path / "x.net", "w") as file:
        layer = legacy_layer(file)
        layer["messageBits"] = 5
        layer["other"] = [0.5, 1.5]
        neuron = layer.create_group("neuron")
        neuron["type"] = "CUBA"
        neuron["vThMant"] = 80
        neuron["vDecay"] = [7, 8]
        neuron["gradedSpike"] = True
        neuron["weight_exp"] = np.array([1], np.float32)
        layer = file.create_group("layer/1")
        layer["weight/real"] = np.array([[2.0]])
        layer["weight/imag"] = np.array([[4]])
        for index in (2, 10):
            file.create_group(f"layer/{index}")
    return tmp_path / "x.net"


def test_a_net_dict_gives_the_values_of_a_file(path):
    net = NetDict(path)
    layer = net["layer"][0]
    assert layer["type"] == "dense"
    assert layer["shape"].tolist() == [2]
    assert (layer["weight"].dtype, layer["weight"].tolist()) == (np.int64, [[1, -2], [3, 4]])
    assert (layer["delay"].dtype, layer["delay"].tolist()) == (np.float32, [1, 2])
    assert layer["messageBits"] == 5
    assert layer["other"].tolist() == [0.5, 1.5]
    neuron = layer["neuron"]
    assert (neuron["type"], neuron["vThMant"], neuron["gradedSpike"]) == ("CUBA", 80, True)
    assert (neuron["vDecay"].tolist(), neuron["weight_exp"].tolist()) == ([7, 8], [1])
    weight = net["layer"]["1"]["weight"]
    assert {key: value.tolist() for key, value in weight.items()} == {"imag": [[4]], "real": [[2]]}
    assert net["layer/1/weight/real"].dtype == np.int64
    # Each look-up has an allowance of its own.
    assert all(layer["weight"].shape == (2, 2) for _ in range(100))


def test_a_net_dict_lists_the_keys_in_order(path):
    net = NetDict(str(path))
    assert list(net) == list(net.keys()) == ["layer"]
    assert list(net["layer"]) == ["0", "1", "2", "10"]
    assert (len(net), len(net["layer"]), len(net["layer"][2])) == (1, 4, 0)
    assert "layer/0/neuron" in net
    assert "layer/0/neuron/type/deeper" not in net
    assert net.get("simulation") is None
    assert repr(net["layer"]).endswith("at /layer: 0, 1, 2, 10)")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("simulation", "'simulation': expected one of layer"),
        ("layer/3/type", "'layer/3/type': expected one of 0, 1, 2, 10"),
        ("layer/2/type", "expected one of no keys at all"),
        ("layer/0/type/deeper", "type holds no keys"),
    ],
)
def test_absent_keys_are_key_errors(path, key, message):
    with pytest.raises(KeyError, match=message):
        NetDict(path)[key]


def test_a_net_dict_takes_an_open_file(path):
    with h5py.File(path, "r+") as file:
        file["layer/0/neuron/activation"] = "relu"
        net = NetDict(f=file)
        assert net["layer"][0]["neuron"]["activation"] == "relu"
        assert NetDict(f=file["layer/0"])["weight"].tolist() == [[1, -2], [3, 4]]
    with pytest.raises(ExchangeError):
        net["layer"]


def test_a_net_dict_keeps_no_file_open(path):
    net = NetDict(path)
    layer = net["layer"][0]
    assert layer["neuron"]["type"] == "CUBA"
    # HDF5 refuses to write to a file that it has open for reading.
    with h5py.File(path, "r+") as file:
        file["layer/0/messageBits"][...] = 6
    assert layer["messageBits"] == 6


def test_links_are_refused_and_cycles_harmless(path):
    with h5py.File(path, "r+") as file:
        file["soft"] = h5py.SoftLink("/layer/0")
        file["external"] = h5py.ExternalLink("x.net", "/layer")
        file["layer/0/up"] = file["layer"]
    net = NetDict(path)
    for name, kind in (("soft", "SoftLink"), ("external", "ExternalLink")):
        with pytest.raises(ExchangeError, match=f"{name}: must have data in this file, got a {kind}"):
            net[name]
    assert net["layer/0/up/0/up/0/type"] == "dense"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([1.5]), r"x.net: layer/0/weight: must be finite integers, got 1\.5"),
        (np.array([np.nan]), "must be finite integers, got nan"),
        (h5py.Empty("f4"), "got an empty dataset"),
        (np.array([(1, 2)], [("a", "i4"), ("b", "i4")]), "got a compound type"),
    ],
)
def test_values_that_no_network_has_are_refused(path, value, message):
    with h5py.File(path, "r+") as file:
        del file["layer/0/weight"]
        file["layer/0/weight"] = value
    with pytest.raises(ExchangeError, match=message):
        NetDict(path)["layer"][0]["weight"]


def test_a_claim_that_the_file_cannot_hold_is_not_believed(path):
    with h5py.File(path, "r+") as file:
        file.create_dataset("layer/0/huge", shape=(2**40,), dtype="i8")
    with pytest.raises(ExchangeError, match="claims 8,796,093,022,208 bytes"):
        NetDict(path)["layer"][0]["huge"]


def test_a_net_dict_refuses_bad_arguments(tmp_path, path):
    with pytest.raises(ExchangeError, match=r"absent.net: cannot be opened: No such file"):
        NetDict(tmp_path / "absent.net")
    (tmp_path / "text.net").write_text("dense")
    with pytest.raises(ExchangeError, match="must be an HDF5 file, got other data"):
        NetDict(tmp_path / "text.net")
    with pytest.raises(ValueError, match=r"mode must be 'r', got 'w'; lavadl_ref.exchange.write"):
        NetDict(path, mode="w")
    with pytest.raises(ValueError, match="one of filename and f must be given, got"):
        NetDict()
    with h5py.File(path) as file, pytest.raises(ValueError, match="one of filename and f must be given, got"):
        NetDict(path, f=file)


def test_a_net_dict_has_no_lists_of_keys(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["anything"] = np.arange(3)
    net = NetDict(path)
    for name in ("f", "str_keys", "array_keys", "copy_keys"):
        with pytest.raises(AttributeError, match=f"{name} of NetDict cannot be assigned: (nothing stays|any key)"):
            setattr(net, name, ["anything"])
        assert not hasattr(net, name)
    assert net["anything"].tolist() == [0, 1, 2]
