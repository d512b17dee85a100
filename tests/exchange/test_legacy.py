"""Spellings that older exporters used and shipped files still have."""

import h5py
import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.exchange import ExchangeError
from tests.support.net_files import STRING, conv_net, dense, dense_net, kind, store, window
from tests.support.same_networks import same


def read(tmp_path, entries):
    return exchange.read(store(tmp_path / "x.net", entries))


@pytest.mark.parametrize(
    ("net", "changes"),
    [
        (conv_net, {"layer/1/weight": conv_net()["layer/1/weight"][..., None]}),
        (conv_net, {"layer/1/weight": conv_net()["layer/1/weight"].astype(np.int8)}),
        (conv_net, {"layer/1/neuron/gradedSpike": None, "layer/1/neuron/refDelay": None}),
        (dense_net, {"layer/0/weight": np.float32(64), "layer/0/bias": np.float32(0)}),
        (dense_net, {"layer/0/weight": None, "layer/0/bias": None}),
        (dense_net, {"layer/1/shape": np.array([3, 1, 1])}),
        (dense_net, {"layer/1/weight": dense_net()["layer/1/weight"][:, :, None, None, None]}),
        (dense_net, {"layer/1/neuron/type": "LOIHI"}),
        (dense_net, {"layer/1/neuron/type": np.array([b"CUBA"], "S10")}),
        (dense_net, {"layer/1/neuron/type": b"CUBA"}),
        (dense_net, {"layer/1/type": "dense"}),
        (dense_net, {"layer/1/type": np.array(["dense"], STRING)}),
        (dense_net, {"layer/1/neuron/iDecay": np.array([1024])}),
        (dense_net, {"layer/1/neuron/weight_exp": np.zeros(1, np.float32)}),
        (dense_net, {"layer/1/inFeatures": None, "layer/1/outFeatures": None}),
        (dense_net, {"layer/1/delayShift": True}),
        (
            dense_net,
            {
                "layer/1/neuron/theta": 1600,
                "layer/1/neuron/tauRho": 0.5,
                "layer/1/neuron/scaleRho": 10.0,
                "layer/1/neuron/wgtExp": 0,
            },
        ),
    ],
)
def test_other_spellings_read_as_the_current_one(tmp_path, net, changes):
    expected = exchange.read(store(tmp_path / "base.net", net()))
    assert same(read(tmp_path, net() | changes), expected)


def test_keys_that_are_not_used_are_named(tmp_path):
    keys = {"layer/1/neuron/theta": 1600, "layer/1/neuron/tauRho": 0.5, "layer/0/neuron/theta": 1600}
    place = store(tmp_path / "x.net", dense_net() | keys)
    expected = "x.net: keys of older exporters, .*: theta in layers 0, 1; tauRho in layers 1$"
    with pytest.warns(exchange.LegacyKeyWarning, match=expected):
        exchange.read(place)


@pytest.mark.parametrize("exponent", [4, -4, 3, -3])
def test_an_exponent_that_the_exporter_did_not_use_itself_is_warned_of(tmp_path, exponent):
    changes = {"layer/1/neuron/weight_exp": np.array([exponent], np.float32)}
    place = store(tmp_path / "x.net", dense_net() | changes)
    if abs(exponent) == 3:
        network = exchange.read(place)
    else:
        expected = rf"x.net: layer 1: neuron/weight_exp {exponent}: if Lava-DL wrote this file, .* within -3..3"
        with pytest.warns(exchange.ExponentWarning, match=expected):
            network = exchange.read(place)
    assert network.layers[1].neuron.parameters["weight_exp"] == exponent
    # with a digest the file is ours, and what it says is what was used
    exchange.write(tmp_path / "y.net", network)
    exchange.read(tmp_path / "y.net")


@pytest.mark.filterwarnings("error")
def test_a_current_file_gives_no_warning(tmp_path):
    read(tmp_path, dense_net())


@pytest.mark.parametrize("shape", [(60,), (60, 1, 1), (1, 1, 60)])
def test_flatten_keeps_the_total_size(tmp_path, shape):
    entries = {key: value for key, value in conv_net().items() if key.startswith("layer/0/")}
    entries |= {"layer/1/type": kind("flatten"), "layer/1/shape": np.array(shape)}
    network = read(tmp_path, entries | dense(2, 60, 3))
    assert [layer.shape for layer in network.layers] == [(2, 6, 5), (60,), (3,)]


def test_dense_weight_of_one_row_may_be_a_vector(tmp_path):
    entries = dense_net() | dense(2, 3, 1)
    entries |= {"layer/2/weight": np.array([1.0, 2.0, 3.0], np.float32), "layer/2/shape": np.array([1, 1, 1])}
    entries |= {"layer/2/bias": np.float64(7), "layer/2/inFeatures": None}
    layer = read(tmp_path, entries).layers[2]
    assert layer.weight.tolist() == [[1, 2, 3]]
    assert layer.shape == (1,)
    assert layer.bias.tolist() == [7]


def test_dense_weight_of_one_column_may_be_a_vector(tmp_path):
    entries = dense_net() | {"layer/0/shape": np.array([1])} | dense(1, 1, 3)
    entries["layer/1/weight"] = np.array([1.0, 2.0, 3.0], np.float32)
    assert read(tmp_path, entries).layers[1].weight.tolist() == [[1], [2], [3]]


@pytest.mark.parametrize("threshold", [131071, 262143, 0])
def test_thresholds_that_never_or_always_fire_are_read(tmp_path, threshold):
    network = read(tmp_path, dense_net() | {"layer/1/neuron/vThMant": threshold})
    assert network.layers[1].neuron["threshold"] == threshold


def test_a_dense_layer_without_neurons_is_read(tmp_path):
    entries = {key: value for key, value in dense_net().items() if "layer/2/neuron" not in key}
    layer = read(tmp_path, entries).layers[2]
    assert layer.neuron is None
    assert not layer.shifts


def test_biases_in_double_precision_are_read(tmp_path):
    network = read(tmp_path, dense_net() | {"layer/1/bias": np.array([1.0, -2.0, 3.0])})
    assert network.layers[1].bias.tolist() == [1, -2, 3]


def test_one_delay_stands_for_all_channels(tmp_path):
    for delay in (np.float32(5), np.array([5.0])):
        network = read(tmp_path, dense_net() | {"layer/1/delay": delay})
        assert network.layers[1].delay.tolist() == [5, 5, 5]


def test_the_simulation_group_is_read(tmp_path):
    network = read(tmp_path, dense_net() | {"simulation/Ts": 1, "simulation/tSample": 64})
    assert network.simulation == {"Ts": 1, "tSample": 64}


def test_detector_head_has_neither_threshold_nor_activation(tmp_path):
    entries = {
        "layer/0/type": kind("conv"),
        "layer/0/shape": np.array([6, 7, 7]),
        "layer/0/weight": np.full((6, 8, 1, 1, 1), 510, np.float32),
        "layer/0/bias": np.zeros(6, np.float32),
        **window(0, (8, 6), 1, 1, 0),
        "layer/0/neuron/type": "SDNN",
        "layer/0/neuron/sigma_output": True,
    }
    layer = read(tmp_path, entries).layers[0]
    assert layer.weight.shape == (6, 8, 1, 1)
    assert layer.neuron.parameters == {
        "activation": None,
        "threshold": None,
        "sigma_output": True,
        "cum_error": False,
        "weight_exp": 0,
    }
    with pytest.raises(ExchangeError, match="layer 0: neuron/vThMant: missing"):
        read(tmp_path, entries | {"layer/0/neuron/sigma_output": None})


def test_complex_weights_of_the_old_form_are_read(tmp_path):
    entries = {key: value for key, value in dense_net().items() if "layer/1/neuron" not in key}
    weight = entries.pop("layer/1/weight")
    entries |= {"layer/1/weight/real": weight, "layer/1/weight/imag": -weight}
    entries |= {"layer/1/neuron/type": "RF_PHASE", "layer/1/neuron/vThMant": 64}
    entries |= {"layer/1/neuron/sinDecay": 2167, "layer/1/neuron/cosDecay": 2982}
    layer = read(tmp_path, entries).layers[1]
    assert (layer.weight == weight).all()
    assert (layer.weight_imag == -weight).all()
    with pytest.raises(ExchangeError, match="layer 1: weight/imag: missing"):
        read(tmp_path, {k: v for k, v in entries.items() if k != "layer/1/weight/imag"})


def test_pooling_may_keep_a_last_window_that_reaches_past_the_edge(tmp_path):
    def pool(height, width):
        entries = {key: value for key, value in conv_net().items() if key.startswith("layer/0/")}
        window = {"kernelSize": 2, "stride": 2, "padding": 0, "dilation": 1}
        entries |= {f"layer/1/{key}": np.array([value, value]) for key, value in window.items()}
        entries |= {"layer/1/type": kind("pool"), "layer/1/shape": np.array([2, height, width])}
        return read(tmp_path, entries | {"layer/1/weight": np.full((1, 1, 2, 2), 64.0, np.float32)})

    assert pool(3, 2).layers[1].shape == (2, 3, 2)
    assert pool(3, 3).layers[1].shape == (2, 3, 3)
    with pytest.raises(ExchangeError, match=r"layer 1: shape: must have shape \(2, 3, 2\), got \(2, 4, 2\)"):
        pool(4, 2)


def test_gzip_and_big_endian_data_are_read(tmp_path):
    path = store(tmp_path / "x.net", dense_net())
    expected = exchange.read(path)
    with h5py.File(path, "a") as file:
        weight = file["layer/1/weight"][()]
        del file["layer/1/weight"]
        file.create_dataset(
            "layer/1/weight", data=weight.astype(">f8"), compression="gzip", shuffle=True, fletcher32=True
        )
    assert same(exchange.read(path), expected)


def test_a_layer_of_an_exporter_that_was_never_released_is_refused(tmp_path):
    with pytest.raises(ExchangeError, match=r"layer 1: type: 'recurrent' is of .* never released.*Recurrent block"):
        read(tmp_path, dense_net() | {"layer/1/type": np.array([b"recurrent"], "S10")})
