"""The spikes of a graph in floating point next to those of the integers, for the same random input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lavadl_ref.deployed.reference import Network as Deployed
from lavadl_ref.exchange import Input, Network
from lavadl_ref.nir._graph import Tree, flattened, successors
from lavadl_ref.nir._report import Difference, Differing
from lavadl_ref.nir._restated import LINEAR, Restated, only_ends
from lavadl_ref.nir._shapes import Shape, shape_after, shape_of, work
from lavadl_ref.nir._sources import Convention

WORK_LIMIT = 2**29  #: products that a comparison may take
STEPS, SAMPLES, RATE = 100, 4, 0.2
_FEWEST = 10  #: steps below which nothing is compared


def difference(
    tree: Tree, network: Network, neurons: Sequence[tuple[str, int]], told: Convention, seed: int = 0
) -> Difference | None:
    """Run both and count the spikes that differ.

    A graph has no step per layer: the blocks of `network` are taken not to shift, and a layer's step 0 is that of its
    node.

    Parameters
    ----------
    tree : dict
        A graph.
    network : Network
        What it stands for.
    neurons : sequence of (str, int)
        For each node with neurons that spike its name, and the layer that it is.
    told : Convention
        Whose graph it is.
    seed : int
        Of the random input.

    Returns
    -------
    Difference or None
        None where a run would take more than `WORK_LIMIT` products.
    """
    first, shape = network.layers[0], network.stated_input_shape
    assert shape is not None
    each = _work(tree, shape)
    samples = max(1, min(SAMPLES, WORK_LIMIT // (each * STEPS)))
    steps = min(STEPS, WORK_LIMIT // (each * samples))
    if steps < _FEWEST or not neurons:
        return None
    unshifted = [layer if layer.neuron is None else replace(layer, delay_shift=False) for layer in network.layers]
    run = Deployed(Network(tuple(unshifted), stated_input_shape=shape), profile="slayer")
    starts = run.starts
    rng = np.random.default_rng(seed)
    inputs = (rng.random((samples, *shape, steps)) < RATE).astype(np.int64)
    driven = isinstance(first, Input) and first.neuron is not None
    # neurons that are driven directly take their current, in 1/64
    given = inputs * first.weight + first.bias if isinstance(first, Input) and driven else inputs
    late = np.zeros((*given.shape[:-1], max(starts)), np.int64)
    integers = run.run(np.concatenate([given, late], -1), layers=[layer for _, layer in neurons])
    floats = Restated(tree, told).run(inputs)
    found = []
    for name, position in neurons:
        start = starts[position]
        spikes = integers.layers[position].spikes
        assert spikes is not None
        ours = spikes[..., start : start + steps].astype(np.bool_)
        theirs = floats[name].reshape(ours.shape).astype(np.bool_)
        found.append(Differing(position, int((ours ^ theirs).sum()), int((ours | theirs).sum())))
    return Difference(tuple(found), steps, samples, RATE)


def _work(tree: Tree, shape: Shape) -> int:
    """Products of one step of one sample."""
    nodes, edges = flattened(tree)
    after = successors(edges)
    start, _ = only_ends(tree)
    total, waiting, seen = 1, [(start, shape_of(start, nodes[start]))], {start}
    while waiting:
        name, taken = waiting.pop()
        entry = nodes[name]
        made = shape_after(name, entry, taken) if entry["type"] in LINEAR else taken
        total += work(entry, taken, made) if entry["type"] in LINEAR else int(np.prod(taken))
        for following in after.get(name, []):
            if following not in seen:
                seen.add(following)
                waiting.append((following, made))
    return total
