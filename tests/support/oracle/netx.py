"""A deployed network in plain Python integers: `tests.support.oracle.network` in the terms of netx.

Its layers are those that become processes, its states arrays.
"""

from __future__ import annotations

import numpy as np

from lavadl_ref.exchange.describe import Network
from tests.support.oracle import layers as naive_layers
from tests.support.oracle import network as naive_network


def run(
    network,
    inputs,
    steps,
    *,
    reset_interval=None,
    reset_offset=0,
    time_base="slayer",
    spike_exp=6,
    skip_layers=0,
    num_layers=None,
    binary=False,
):
    """Messages (..., T) and states at each step (..., T) by name of each generated layer, and the output (..., T).

    `binary` tells that the first synapse takes any message for one spike.
    """
    layers = network.layers[skip_layers:num_layers]
    x = np.zeros((*inputs.shape[:-1], steps), np.int64)
    x[..., : inputs.shape[-1]] = inputs[..., :steps]
    if binary:
        x = (x != 0).astype(np.int64)
    frames = [x[..., n].tolist() for n in range(steps)]
    records, output = naive_network.network(
        layers, frames, reset_interval, reset_offset, time_base, spike_exp=spike_exp
    )
    messages, states = [], []
    for layer, record in zip(layers, records, strict=True):
        if layer.kind == "flatten" or (layer.kind == "input" and layer.neuron is None):
            continue

        def over_time(values, shape=layer.shape):
            return np.array(values, np.int64).reshape(steps, *shape).transpose(*range(1, len(shape) + 1), 0)

        if layer.neuron is None:
            messages.append(None)
            states.append({})
        else:
            names = naive_layers.states(
                {"driven": layer.kind == "input", "type": layer.neuron.type, **layer.neuron.parameters}
            )
            messages.append(over_time(record["spikes"]))
            states.append({name: over_time(record[name]) for name in names})
    return messages, states, np.moveaxis(np.array(output, np.int64).reshape(steps, *layers[-1].shape), 0, -1)


def network(*layers):
    """Shorthand for a description."""
    return Network(tuple(layers))
