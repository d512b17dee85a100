"""Numbers that runs of a network reach, beside the ranges that are proved of them."""

from __future__ import annotations

import itertools

import numpy as np
from lavadl_kernels.neurons import _reach

from lavadl_ref.audit import measure
from lavadl_ref.deployed import bounds, reference


def reaches(network, shape, domain, steps=None, reset_interval=None):
    """The proved ranges of each layer, as `bounds.network_reach` gives them."""
    return bounds.network_reach(network.layers, shape, bounds.Setting(domain, steps, reset_interval))


def reached(network, inputs, **options):
    """The least and largest number of each quantity over a run without widths: {(layer, name): (low, high)}."""
    deployed = reference.Network(network, profile="slayer", **options)
    run = deployed.run(inputs, record=reference.RECORDABLE)
    found = {}
    for position, (rooms, _) in enumerate(measure.layers(network, inputs, run, deployed.resets(inputs.shape[-1]))):
        for room in rooms:
            found[position, room.quantity] = room.smallest, room.largest
        sent = run.layers[position].spikes
        if sent is not None and sent.size:
            found[position, "sent"] = int(sent.min()), int(sent.max())
    return found


def outside(proved, found):
    """Lines that say which number of `found` lies outside of its range in `proved`, and one for none that is known."""
    lines = []
    for (position, name), (low, high) in found.items():
        reach = proved[position]
        if name == "sent":
            ends = int(reach.leaving.message.low.min()), int(reach.leaving.message.high.max())
        else:
            ends = reach.quantities[name].smallest, reach.quantities[name].largest
        if max(low, -_reach.UNBOUNDED) < ends[0] or min(high, _reach.UNBOUNDED) > ends[1]:
            lines.append(f"layer {position}, {name}: {low} to {high}, proved {ends[0]} to {ends[1]}")
    return lines


def every_input(inputs, steps, low=0, high=1):
    """All inputs (inputs, steps) of these two values, one after the other, and a step for the last to arrive."""
    samples = np.array(list(itertools.product((low, high), repeat=inputs * steps)))
    stream = samples.reshape(len(samples), inputs, steps).transpose(1, 0, 2).reshape(inputs, -1)
    return np.concatenate([stream, stream[:, -1:]], axis=1)


def adversarial(rng, shape, steps, low, high):
    """An input of the two extremes: constant in time, in space, in blocks, turning, or at random."""
    kind = rng.integers(5)
    where = rng.random((*shape, 1)) < 0.5
    if kind == 0:
        signs = np.broadcast_to(where, (*shape, steps))
    elif kind == 1:
        signs = np.full((*shape, steps), bool(rng.integers(2)))
    elif kind == 2:
        signs = where ^ (np.arange(steps) >= rng.integers(steps))
    elif kind == 3:
        signs = where ^ (np.sin(np.arange(steps) * rng.uniform(0.05, 3)) > 0)
    else:
        signs = rng.random((*shape, steps)) < rng.random()
    return np.where(signs, high, low)
