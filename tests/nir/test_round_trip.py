"""Networks as graphs of NIR and back: every integer comes back, and a graph that was changed is seen."""

from __future__ import annotations

import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref import nir as bridge
from lavadl_ref.deployed.deployment import UnsupportedLayer
from lavadl_ref.exchange import Conv, Dense, ExchangeError, Network, Neuron, Pool, TimeDecimation
from tests.support import generate

nir = pytest.importorskip("nir", reason="needs the package nir")

CUBA = Neuron("CUBA", {"threshold": 90, "current_decay": 1024, "voltage_decay": 300})
NETWORK = Network((Dense(shape=(3,), weight=np.arange(12).reshape(3, 4) * 2, neuron=CUBA),))


def drawn(seed):
    """A random network of any families, and the shape of its input."""
    case = generate.case(seed, families=generate.ALL_FAMILIES if seed % 2 else None, steps=4)
    return case.network, case.inputs.shape[:-1]


@pytest.mark.parametrize("seed", range(8))
def test_a_graph_holds_every_integer_of_a_network(seed, tmp_path):
    network, shape = drawn(seed)
    bridge.write(tmp_path / "x.nir", network, opaque=True, input_shape=shape)
    back = bridge.read(tmp_path / "x.nir")
    assert back.report.lossless
    assert exchange.digest(back.network) == exchange.digest(network)
    assert back.network.stated_input_shape == shape
    # nir reads the file too, and checks the types of all nodes
    of_nir = bridge.from_graph(nir.read(tmp_path / "x.nir"))
    assert of_nir.report.lossless
    assert exchange.same(of_nir.network, back.network)


@pytest.mark.parametrize("name", ["tinynet/tiny.net", "pilotnet_lif/network.net"])
def test_a_graph_holds_every_integer_of_a_real_file(data, name, tmp_path):
    if not (data / name).is_file():
        pytest.skip(f"{data / name} is absent")
    bridge.write(tmp_path / "x.nir", data / name)
    assert exchange.digest(bridge.read(tmp_path / "x.nir").network) == exchange.digest(exchange.read(data / name))


@pytest.mark.parametrize("decay", range(0, 4097, 128))
def test_decays_are_told_from_times_that_are_float32(decay):
    neuron = Neuron("CUBA", {"threshold": 90, "current_decay": decay, "voltage_decay": 4096 - decay})
    graph = bridge.to_graph(Network((Dense(shape=(1,), weight=np.array([[64]]), neuron=neuron),)))
    assert graph.nodes["dense_0_neuron"].tau_syn.dtype == np.float32
    del graph.metadata["lavadl_ref"]
    (layer,) = bridge.from_graph(graph, source="nir").network.layers
    assert (layer.neuron["current_decay"], layer.neuron["voltage_decay"]) == (decay, 4096 - decay)


def test_a_layer_becomes_standard_nodes_with_its_parameters():
    neuron = Neuron("CUBA", {"threshold": 96, "current_decay": 1024, "voltage_decay": 512})
    layer = Dense(
        shape=(2,),
        weight=np.array([[64, -32]] * 2),
        neuron=neuron,
        bias=np.array([32, 0]),
        input_bias=np.array([16, 8]),
    )
    nodes = bridge.to_graph(Network((layer,)), dt=1e-3).nodes
    assert list(nodes) == ["input", "dense_0", "dense_0_neuron", "output"]
    assert nodes["dense_0"].weight.tolist() == [[1.0, -0.5]] * 2
    assert nodes["dense_0"].bias.tolist() == [0.25, 0.125]
    found = nodes["dense_0_neuron"]
    assert (found.w_in[0], found.r[0], found.v_threshold[0], found.v_reset[0]) == (4, 8, 1.5, 0)
    assert found.v_leak.tolist() == [4.0, 0.0]
    assert (found.tau_syn == np.float32(4e-3)).all()
    assert (found.tau_mem == np.float32(8e-3)).all()


def test_a_kernel_becomes_one_that_nir_can_check():
    """Groups and kernels that are not square give wrong shapes in nir 1.0.8."""
    weight = 2 * np.arange(2 * 1 * 3 * 1).reshape(2, 1, 3, 1)
    layer = Conv(shape=(2, 4, 4), weight=weight, neuron=CUBA, groups=2, padding=(1, 0))
    node = bridge.to_graph(Network((layer,))).nodes["conv_0"]
    assert node.weight.shape == (2, 2, 3, 3)
    assert (node.weight[0, 0, :, 1] * 64 == weight[0, 0, :, 0]).all()
    assert node.padding.tolist() == [1, 1]
    assert (node.groups, np.count_nonzero(node.weight)) == (1, 5)


def test_the_weight_of_a_pool_becomes_part_of_its_threshold():
    layer = Pool(shape=(1, 2, 2), weight=np.full((1, 1, 2, 2), 30), neuron=CUBA, stride=(2, 2))
    nodes = bridge.to_graph(Network((layer,)), input_shape=(1, 4, 4)).nodes
    assert type(nodes["pool_0"]).__name__ == "SumPool2d"
    assert (nodes["pool_0_neuron"].v_threshold == 3).all()


ALIF = Neuron(
    "ALIF",
    {
        **dict.fromkeys(("current_decay", "voltage_decay", "threshold_decay", "refractory_decay"), 400),
        "threshold": 80,
        "threshold_step": 20,
    },
)


@pytest.mark.parametrize(
    ("neuron", "said"),
    [
        (ALIF, "layer 0 (dense) has ALIF neurons, for which NIR has no node"),
        (Neuron("CUBA", {**CUBA.parameters, "graded_spike": True}), "layer 0 (dense) sends graded spikes"),
        (Neuron("CUBA", {**CUBA.parameters, "weight_exp": 2}), "layer 0 (dense) has a weight exponent"),
    ],
)
def test_neurons_without_a_node_are_refused_unless_something_may_stand_for_them(neuron, said):
    network = Network((Dense(shape=(3,), weight=np.arange(12).reshape(3, 4), neuron=neuron),))
    with pytest.raises(UnsupportedLayer, match="opaque=True") as error:
        bridge.to_graph(network)
    assert str(error.value).startswith(said)
    graph = bridge.to_graph(network, opaque=True)
    assert graph.nodes["dense_0_neuron"].metadata["lavadl_ref"]["opaque"] == neuron.type
    with pytest.raises(ExchangeError, match="must have an equation of a step, got type Threshold"):
        bridge.restated(graph)
    assert exchange.digest(bridge.from_graph(graph).network) == exchange.digest(network)


def test_bins_of_time_are_refused():
    with pytest.raises(UnsupportedLayer, match=r"layer 0 \(time_decimation\) averages over bins of time"):
        bridge.to_graph(Network((TimeDecimation(shape=(4,), factor=2),)), opaque=True)


def test_a_matrix_that_is_too_large_is_refused_before_it_is_made():
    layer = exchange.Unpool(shape=(1, 2048, 2048), weight=np.full((1, 1, 2, 2), 64), neuron=CUBA, stride=(2, 2))
    with pytest.raises(UnsupportedLayer, match=r"layer 0 \(unpool\) comes to [\d,]+ numbers in NIR"):
        bridge.to_graph(Network((layer,)))


def test_an_input_that_the_file_leaves_open_must_be_given():
    layer = Pool(shape=(1, 2, 2), weight=np.full((1, 1, 2, 2), 30), neuron=CUBA, stride=(2, 2))
    with pytest.raises(ValueError, match="input_shape must be given"):
        bridge.to_graph(Network((layer,)))


@pytest.mark.parametrize("dt", [0, -1e-4, float("nan"), float("inf"), 1e-12])
def test_a_step_takes_time(dt):
    with pytest.raises(ValueError, match="dt must be"):
        bridge.to_graph(NETWORK, dt=dt)


# -- graphs that were changed


@pytest.mark.parametrize(
    ("node", "field"), [("dense_0", "weight"), ("dense_0_neuron", "v_threshold"), ("dense_0_neuron", "tau_mem")]
)
def test_a_number_that_was_changed_is_named(node, field):
    graph = bridge.to_graph(NETWORK)
    getattr(graph.nodes[node], field).reshape(-1)[0] *= 2
    getattr(graph.nodes[node], field).reshape(-1)[0] += 1
    with pytest.raises(ExchangeError, match=f"graph/{node}/{field}: must agree with the integers"):
        bridge.from_graph(graph)
    back = bridge.from_graph(graph, requantise=True)
    assert not back.report.lossless
    assert back.report.source == "nir"
    assert exchange.digest(back.network) != exchange.digest(NETWORK)


def test_integers_that_were_changed_are_refused():
    graph = bridge.to_graph(NETWORK)
    graph.metadata["lavadl_ref"]["net"]["layer"]["0"]["neuron"]["vThMant"] += 1
    with pytest.raises(ExchangeError, match="metadata/lavadl_ref: net: digest: must be"):
        bridge.from_graph(graph)
    del graph.metadata["lavadl_ref"]["net"]["digest"]
    with pytest.raises(ExchangeError, match="digest: missing"):
        bridge.from_graph(graph)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version: must be 1, got 2"),
        ({"dt": 2e-4}, "must agree with the integers"),
        ({"dt": float("inf")}, "dt must be within"),
        ({"dt": "soon"}, "must have version, dt"),
        ({"input_shape": np.array([5])}, "stated_input_shape: must be"),
        ({"net": 1}, "digest: missing"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(change, said):
    graph = bridge.to_graph(NETWORK)
    graph.metadata["lavadl_ref"].update(change)
    with pytest.raises(ExchangeError, match=said):
        bridge.from_graph(graph)


def test_a_node_that_was_added_is_named():
    graph = bridge.to_graph(NETWORK)
    graph.nodes["more"] = nir.Scale(np.ones(3))
    with pytest.raises(ExchangeError, match="graph/more: must agree with the integers"):
        bridge.from_graph(graph)


def test_another_object_than_a_graph_is_refused():
    with pytest.raises(TypeError, match=r"graph must be a nir\.NIRGraph, got dict"):
        bridge.from_graph({})
