"""An example run in a certificate: spikes and one state of a few neurons of each layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.deployed import deployment, reference
from lavadl_ref.deployed.reference import LayerRun

ROWS = 24  #: neurons of a layer whose messages are shown
TRACES = 3  #: neurons of a layer whose state is shown
STEPS = 256  #: steps that are shown
LAYERS = 32  #: layers that are shown


def example(run: reference.Run, told: str) -> dict[str, Any]:
    """Messages and states of a run, bounded: the first layers, the first steps, and a sample of the neurons.

    Parameters
    ----------
    run : reference.Run
        Of one sample, everything recorded.
    told : str
        What its input was.
    """
    layers = [_layer(position, ran) for position, ran in enumerate(run.layers) if ran.spikes is not None and ran.states]
    steps = int(run.output.shape[-1])
    return {
        "input": told,
        "steps": steps,
        "shown_steps": min(steps, STEPS),
        "of_layers": len(layers),
        "layers": layers[:LAYERS],
    }


def _layer(position: int, ran: LayerRun) -> dict[str, Any]:
    """One layer: steps of the messages of evenly spaced neurons, and a state of those that send most."""
    assert ran.spikes is not None
    sent = ran.spikes.reshape(-1, ran.spikes.shape[-1])
    rows = spaced(len(sent), ROWS)
    record = deployment.record_of(ran.layer)
    assert record is not None
    name = record.carried if record.carried in ran.states else next(iter(ran.states))
    counts = np.count_nonzero(sent, axis=1)
    busiest = np.sort(np.argsort(-counts, kind="stable")[:TRACES])
    values = ran.states[name].reshape(sent.shape)[busiest, :STEPS]
    return {
        "position": position,
        "neurons": len(sent),
        "messages": int(counts.sum()),
        "rows": [
            {"neuron": int(row), "steps": np.flatnonzero(sent[row, :STEPS]).tolist(), "all": int(counts[row])}
            for row in rows
        ],
        "state": name,
        "traces": [
            {"neuron": int(lane), "values": [int(value) for value in trace]}
            for lane, trace in zip(busiest, values, strict=True)
        ],
    }


def spaced(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of the indices below `count`, evenly spaced, the first and the last among them."""
    if count <= most:
        return np.arange(count)
    return (np.arange(most) * (count - 1)) // (most - 1)
