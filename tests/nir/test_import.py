"""Graphs of others as networks: conventions that are named, roundings that are reported, and what is refused."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from lavadl_ref import nir as bridge
from lavadl_ref import reference
from lavadl_ref.exchange import ExchangeError, Recurrent, never_fires

nir = pytest.importorskip("nir", reason="needs the package nir")

DT = 1e-4


def full(shape, value):
    return np.full(shape, value, np.float32)


def lif(shape, decay=0.25, threshold=1.0, **other):
    """Neurons that lose a share `decay` a step and gain what they get, as most frameworks write them."""
    values = {"tau": DT / decay, "r": 1 / decay, "v_leak": 0, "v_threshold": threshold, "v_reset": 0, **other}
    return nir.LIF(**{name: full(shape, 1) * np.float32(value) for name, value in values.items()})


def cuba(shape, current=0.5, voltage=0.25, threshold=1.0, **other):
    values = {"tau_syn": DT / current, "tau_mem": DT / voltage, "r": 1 / voltage, "w_in": 1 / current}
    values |= {"v_leak": 0, "v_threshold": threshold, "v_reset": 0, **other}
    return nir.CubaLIF(**{name: full(shape, 1) * np.float32(value) for name, value in values.items()})


def chain(*nodes, shape):
    """A graph of `nodes`, one behind the other."""
    named = {"input": nir.Input(np.array(shape)), **{f"node_{k}": node for k, node in enumerate(nodes)}}
    named["output"] = nir.Output(None)
    names = list(named)
    return nir.NIRGraph(named, list(pairwise(names)), type_check=False)


def imported(*nodes, shape, source="nir", **told):
    return bridge.from_graph(chain(*nodes, shape=shape), source=source, **told)


EYE = np.eye(3, dtype=np.float32)


# -- conventions


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "source must be named, because a graph does not say who wrote it"),
        ({"source": "brian"}, "source must be one of nir, spikingjelly, snntorch, norse, sinabs, rockpool, spyx"),
        ({"source": "snntorch"}, "reset must be given for snntorch, whose graphs do not state it: zero"),
        ({"source": "snntorch", "reset": "subtract"}, "reset must be zero, got subtract"),
        ({"source": "snntorch", "reset": "soft"}, "reset must be one of zero, subtract, got 'soft'"),
        ({"source": "norse", "reset": "zero"}, "dt must be given for norse"),
        ({"source": "sinabs"}, "source must be another than sinabs: its neurons subtract"),
        ({"source": "rockpool"}, "source must be another than rockpool: its neurons subtract"),
        ({"source": "spyx"}, "source must be another than spyx: its neurons subtract"),
    ],
)
def test_conventions_are_named_and_never_guessed(told, said):
    with pytest.raises(ValueError, match=said):
        bridge.from_graph(chain(nir.Linear(EYE), lif(3), shape=(3,)), **told)


def test_the_same_node_has_another_meaning_in_another_source():
    """norse counts time constants in its own steps once more, and adds its input as it is."""
    node = cuba(3, r=1.0, w_in=1.0, tau_syn=1e-3 * 1e-3 / 0.5, tau_mem=1e-3 * 1e-3 / 0.25)
    nodes = (nir.Linear(EYE), node)
    (of_norse,) = imported(*nodes, shape=(3,), source="norse", dt=1e-3, reset="zero").network.layers
    (of_nir,) = imported(*nodes, shape=(3,), dt=1e-6).network.layers
    assert (of_norse.neuron["current_decay"], of_norse.neuron["voltage_decay"]) == (2048, 1024)
    assert (of_nir.neuron["current_decay"], of_nir.neuron["voltage_decay"]) == (2048, 1024)
    gains = [layer.weight[0, 0] / layer.neuron["threshold"] for layer in (of_norse, of_nir)]
    assert gains == [0.25, 0.125]


# -- parameters


def test_parameters_on_the_grid_of_a_file_are_not_rounded():
    weight = np.array([[1.0, -0.5], [0.25, 2.0]], np.float32)
    bias = np.array([0.5, -0.25], np.float32)
    found = imported(nir.Affine(weight, bias), cuba(2, threshold=1.25, v_leak=2.0), shape=(2,))
    (layer,) = found.network.layers
    assert found.report.rounded == ()
    assert layer.weight.tolist() == [[64, -32], [16, 128]]
    assert layer.input_bias.tolist() == [32, -16]
    assert layer.bias.tolist() == [32, 32]  # 2 * 0.25
    assert (layer.neuron["threshold"], layer.shifts) == (80, False)
    assert "no parameter was rounded" in str(found.report)
    assert found.report.difference is not None


def test_a_bias_of_neurons_without_a_current_is_one_behind_it():
    """The two places are the same where a current has no memory, and Lava's own neurons have the second."""
    (layer,) = imported(nir.Affine(EYE, full(3, 0.5)), lif(3), shape=(3,)).network.layers
    assert (layer.bias.tolist(), layer.input_bias) == ([32] * 3, None)


def test_what_is_rounded_is_named_with_its_size():
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 6)).astype(np.float32)
    found = imported(nir.Linear(weight), lif(4, decay=0.1), shape=(6,))
    (layer,) = found.network.layers
    assert np.abs(layer.weight).max() in (254, 256)
    assert (layer.weight % 2 == 0).all()
    names = {row.name: row for row in found.report.rounded}
    assert set(names) == {"weight", "voltage_decay"}
    assert (names["weight"].of, names["voltage_decay"].of) == (24, 4)
    assert 0 < names["weight"].largest < 1 / 200
    assert names["voltage_decay"].largest == pytest.approx(0.4 / 4096, rel=1e-3)
    assert "layer 0: weight: " in str(found.report)
    # the ratio of weights and threshold is kept
    np.testing.assert_allclose(layer.weight / layer.neuron["threshold"], weight, atol=0.02)


def test_thresholds_of_each_neuron_become_part_of_its_weights():
    (layer,) = imported(nir.Linear(2 * EYE), lif(3, threshold=np.array([1, 2, 4])), shape=(3,)).network.layers
    assert (np.diag(layer.weight) / layer.neuron["threshold"]).tolist() == [2, 1, 0.5]


def test_times_of_each_neuron_become_decays_of_each_channel():
    (layer,) = imported(nir.Linear(EYE), lif(3, decay=np.array([0.5, 0.25, 0.125])), shape=(3,)).network.layers
    assert layer.neuron["voltage_decay"].tolist() == [2048, 1024, 512]


def test_an_integrator_forgets_nothing():
    node = nir.IF(r=full(3, 1 / DT), v_threshold=full(3, 2))
    (layer,) = imported(nir.Linear(EYE), node, shape=(3,), source="spikingjelly").network.layers
    assert (layer.neuron["current_decay"], layer.neuron["voltage_decay"]) == (4096, 0)
    assert layer.neuron["threshold"] == 2 * layer.weight[0, 0]


def test_neurons_that_never_spike_are_read_out():
    node = nir.LI(tau=full(3, DT * 4), r=full(3, 4), v_leak=full(3, 0))
    found = imported(nir.Linear(EYE), node, shape=(3,))
    assert never_fires(found.network.layers[0].neuron)
    assert found.report.difference is None
    assert "never spike" in str(found.report)


def test_weights_alone_are_sums():
    found = imported(nir.Linear(EYE), lif(3), nir.Linear(0.3 * EYE), shape=(3,))
    assert found.network.layers[1].neuron is None
    assert "layer 1: has no neurons; its sums are" in str(found.report)


def test_delays_are_counted_in_steps():
    found = imported(nir.Linear(EYE), lif(3), nir.Delay(np.array([0, 2.0, 3.2]) * DT), shape=(3,))
    assert found.network.layers[0].delay.tolist() == [0, 2, 3]
    assert [row.name for row in found.report.rounded] == ["delay"]


# -- structure


@pytest.mark.parametrize("within", [True, False])
def test_feedback_is_imported_as_a_graph_within_or_as_a_circle(within):
    rec = nir.Affine(0.5 * EYE, full(3, 0.25))
    if within:
        inner = nir.NIRGraph(
            {"in": nir.Input(np.array([3])), "lif": cuba(3), "w": rec, "out": nir.Output(np.array([3]))},
            [("in", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "out")],
        )
        graph = chain(nir.Linear(EYE), inner, shape=(3,))
    else:
        graph = chain(nir.Linear(EYE), cuba(3), shape=(3,))
        graph.nodes["w"] = rec
        graph.edges += [("node_1", "w"), ("w", "node_1")]
    found = bridge.from_graph(graph, source="nir")
    (layer,) = found.network.layers
    assert isinstance(layer, Recurrent)
    assert layer.weight_rec.tolist() == (32 * EYE).tolist()
    assert layer.input_bias.tolist() == [16] * 3
    assert found.report.difference.share < 0.1


def kernel(outputs, inputs, side, **other):
    rng = np.random.default_rng(2)
    weight = (rng.integers(-8, 12, (outputs, inputs, side, side)) / 32).astype(np.float32)
    given = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": np.zeros(outputs, np.float32), **other}
    return nir.Conv2d(input_shape=None, weight=weight, **given)


SUM = nir.SumPool2d(kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=np.array([0, 0]))
MEAN = nir.AvgPool2d(kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=np.array([0, 0]))
FLAT = nir.Flatten(None, 0, -1)
#: Nodes behind an input (2, 6, 6), and the kinds of the layers that they become.
STRUCTURES = {
    "kernel": ((kernel(3, 2, 3), cuba((3, 4, 4))), ["conv"]),
    "padded": ((kernel(3, 2, 3, padding=1, stride=2), cuba((3, 3, 3))), ["conv"]),
    "same": ((kernel(3, 2, 3, padding="same"), cuba((3, 6, 6))), ["conv"]),
    "pool": ((SUM, lif((2, 3, 3))), ["pool"]),
    "mean": ((MEAN, lif((2, 3, 3))), ["pool"]),
    "pool of each channel": ((SUM, lif((2, 3, 3), threshold=np.array([1, 2]).reshape(2, 1, 1))), ["conv"]),
    "pool with a bias": ((SUM, lif((2, 3, 3), v_leak=0.5)), ["conv"]),
    "pool before a kernel": ((lif((2, 6, 6)), SUM, kernel(3, 2, 2), cuba((3, 2, 2))), ["conv", "conv"]),
    "mean before a matrix": ((MEAN, FLAT, nir.Linear(full((4, 18), 0.25)), lif(4)), ["flatten", "dense"]),
    "kernel read as one axis": ((kernel(3, 2, 3), FLAT, cuba(48)), ["conv", "flatten"]),
    "kernel, then a matrix": (
        (kernel(3, 2, 3), cuba((3, 4, 4)), FLAT, nir.Linear(full((4, 48), 0.25)), lif(4)),
        ["conv", "flatten", "dense"],
    ),
    "two matrices": (
        (FLAT, nir.Linear(full((5, 72), 0.25)), nir.Linear(full((4, 5), 0.5)), lif(4)),
        ["flatten", "dense"],
    ),
    "no weights": ((lif((2, 6, 6), threshold=0.5),), ["conv"]),
    "a scale": ((nir.Scale(full((2, 6, 6), 2)), lif((2, 6, 6))), ["conv"]),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_nodes_between_neurons_become_one_layer(name):
    """Few spikes differ, as weights are on the grid and decays powers of 2."""
    nodes, kinds = STRUCTURES[name]
    found = imported(*nodes, shape=(2, 6, 6))
    assert [layer.kind for layer in found.network.layers] == kinds
    assert not [row for row in found.report.rounded if not row.name.startswith("weight")]
    assert found.report.difference.spikes > 100
    assert found.report.difference.share < 0.06


def test_an_imported_network_runs_as_it_is_described():
    found = imported(nir.Linear(2 * EYE), lif(3), shape=(3,))
    run = reference.Network(found.network).run(np.ones((3, 5), np.int64))
    assert run.output.tolist() == [[0, 1, 1, 1, 1]] * 3


MATRIX = nir.Linear(EYE)


@pytest.mark.parametrize(
    ("nodes", "shape", "said"),
    [
        ((MATRIX, lif(4)), (3,), r"node node_1: must have the shape \(3,\) of what goes into it, got \(4,\)"),
        ((MATRIX, lif(3)), (4,), r"node node_0: weight: must have shape \(any, 4\) behind \(4,\), got \(3, 3\)"),
        ((MATRIX, lif(3, v_reset=0.5)), (3,), "node node_1: v_reset: must be 0, got 0.5"),
        ((MATRIX, lif(3, threshold=-1)), (3,), "node node_1: v_threshold: must be finite and not negative"),
        ((MATRIX, lif(3, tau=DT / 2)), (3,), "node node_1: tau: must be at least a step of 0.0001 s"),
        ((MATRIX, lif(3, tau=-1)), (3,), "node node_1: tau: must be positive"),
        ((MATRIX, lif(3, r=np.inf)), (3,), "node node_1: r: must be finite"),
        ((nir.Linear(EYE * np.nan), lif(3)), (3,), "nodes node_0: must have finite weights"),
        (
            (MATRIX, nir.Threshold(full(3, 1))),
            (3,),
            "node node_1: must be of a type that can be imported, got Threshold",
        ),
        ((nir.Delay(full(3, DT)), lif(3)), (3,), "node node_0: must be a single delay directly behind neurons"),
        ((MATRIX, lif(3), nir.Delay(full(3, -DT))), (3,), "node node_2: delay: must be 0 to"),
        ((kernel(3, 2, 7), lif((3, 1, 1))), (2, 6, 6), "node node_0: must give 1 to"),
        ((kernel(3, 4, 3), lif((3, 4, 4))), (2, 6, 6), "node node_0: weight: must fit 2 channels in 1 groups"),
        (
            (kernel(3, 2, 3), lif((3, 4, 4), threshold=1 + np.arange(16).reshape(4, 4))),
            (2, 6, 6),
            "the same within a channel",
        ),
        (
            (kernel(3, 2, 3), kernel(3, 3, 3), lif((3, 2, 2))),
            (2, 6, 6),
            "nodes node_0, node_1: must be one convolution",
        ),
        ((), (3,), "graph: must have nodes between input and output, got none"),
    ],
)
def test_what_no_file_can_say_is_refused_with_the_name_of_its_node(nodes, shape, said):
    with pytest.raises(ExchangeError, match=said):
        imported(*nodes, shape=shape)


@pytest.mark.parametrize(
    ("edges", "said"),
    [
        ([("node_0", "output")], "node node_0: must lead to one other node, got 2"),
        ([("node_1", "node_0")], "node node_1: must lead to one other node|must not be in a circle"),
        ([("node_1", "nothing")], "edges: must join nodes of the graph, got 'nothing'"),
        ([("input", "node_0")], "edges: must be different from each other"),
    ],
)
def test_graphs_that_are_no_chain_are_refused(edges, said):
    graph = chain(MATRIX, lif(3), shape=(3,))
    graph.edges += edges
    with pytest.raises(ExchangeError, match=said):
        bridge.from_graph(graph, source="nir")
