"""Graphs in floating point beside the integers: equal in every spike where nothing is rounded, in most elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lavadl_ref import nir as bridge
from lavadl_ref import reference
from lavadl_ref.exchange import Average, Dense, Flatten, Input, Network, Neuron, check
from tests.support import generate

nir = pytest.importorskip("nir", reason="needs the package nir")


def without_rounding(rng, layer):
    """A layer of which no product is rounded: every state is forgotten at once or not at all.

    A graph has no step per layer, so that the block does not shift either.
    """
    if layer.neuron is None or isinstance(layer, (Flatten, Average)):
        return layer
    values = {"threshold": int(rng.integers(30, 400))}
    for name in ("current_decay", "voltage_decay"):
        each = layer.channels > 1 and rng.random() < 0.5
        values[name] = rng.choice([0, 4096], layer.channels) if each else int(rng.choice([0, 4096, 4096]))
    more = {"weight": 64, "bias": 0} if isinstance(layer, Input) else {}
    return replace(layer, neuron=Neuron("CUBA", values), delay_shift=False, **more)


@pytest.mark.parametrize("seed", range(16))
def test_a_graph_spikes_as_the_integers_do_where_nothing_is_rounded(seed):
    """All kinds of layers: kernels, pools, whole matrices in place of others, feedback, delays, biases, gains."""
    rng = np.random.default_rng(seed)
    case = generate.case(seed, families=("CUBA",) if seed % 2 else None)
    shape, steps = case.inputs.shape[:-1], case.inputs.shape[-1]
    layers = tuple(without_rounding(rng, layer) for layer in case.network.layers)
    network = Network(layers, stated_input_shape=shape)
    check(network)
    driven = isinstance(layers[0], Input) and layers[0].neuron is not None
    x = case.inputs / 64 if driven else case.inputs
    graph = bridge.to_graph(network, input_shape=shape)
    found = bridge.restated(graph).run(x[None])
    starts = network.start_steps
    late = np.zeros((*shape, max(starts)), np.int64)
    run = reference.Network(network, profile="slayer").run(np.concatenate([case.inputs, late], -1))
    for k, (layer, start) in enumerate(zip(layers, starts, strict=True)):
        if layer.neuron is not None:
            name = f"{layer.kind}_{k}_neuron{'.lif' if layer.kind == 'dense_rec' else ''}"
            expected = run.layers[k].spikes[..., start : start + steps]
            assert (found[name][0].reshape(expected.shape) == expected).all(), (k, case.label)
    if layers[-1].neuron is None:
        expected = run.output[..., starts[-1] : starts[-1] + steps] * float(run.unit)
        np.testing.assert_allclose(
            found["output"][0], expected.reshape(found["output"][0].shape), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize(
    ("current", "voltage", "threshold", "low", "high"),
    [(4096, 4096, 64, 0, 0), (2048, 4096, 64, 0, 0.01), (1024, 410, 80, 0.001, 0.05), (32, 16, 512, 0.05, 0.5)],
)
def test_the_share_of_spikes_that_differ_grows_with_memory(current, voltage, threshold, low, high):
    rng = np.random.default_rng(0)
    neuron = Neuron("CUBA", {"current_decay": current, "voltage_decay": voltage, "threshold": threshold})
    layer = Dense(shape=(200,), weight=2 * rng.integers(-4, 5 if current < 2000 else 40, (200, 20)), neuron=neuron)
    found = bridge.difference(Network((layer,)))
    assert found.spikes > 2000
    assert low <= found.share <= high
    assert f"of {found.spikes:,} spikes differ" in str(found)


def test_an_open_circle_gives_the_spikes_of_a_graph_within():
    rng = np.random.default_rng(1)
    case = next(c for c in map(generate_recurrent, range(20)) if any(x.kind == "dense_rec" for x in c.network.layers))
    x = rng.random((2, *case.inputs.shape)) < 0.4
    graph = bridge.to_graph(case.network)
    opened = {}
    edges = []
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            opened.update({f"{name}_lif": node.nodes["lif"], f"{name}_rec": node.nodes["w_rec"]})
            edges += [(f"{name}_lif", f"{name}_rec"), (f"{name}_rec", f"{name}_lif")]
        else:
            opened[name] = node
    inner = {name: f"{name}_lif" for name, node in graph.nodes.items() if isinstance(node, nir.NIRGraph)}
    edges += [(inner.get(a, a), inner.get(b, b)) for a, b in graph.edges]
    other = nir.NIRGraph(opened, edges, type_check=False)
    expected, found = (bridge.restated(g).run(x)["output"] for g in (graph, other))
    assert expected.any()
    assert (expected == found).all()


def generate_recurrent(seed):
    """A random network of fully connected layers, with plain neurons in each."""
    case = generate.case(seed, kinds=("dense", "dense_rec"), families=("CUBA",), steps=20)
    layers = [
        layer if layer.neuron is None else replace(layer, neuron=plain(layer.neuron)) for layer in case.network.layers
    ]
    return replace(case, network=Network(tuple(layers)))


def plain(neuron):
    return Neuron("CUBA", {**neuron.parameters, "graded_spike": False, "weight_exp": 0})
