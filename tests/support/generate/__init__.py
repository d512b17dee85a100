"""The one maker of random networks: deployed networks with an input, alive enough that a wrong step shows.

`case` draws network number `seed`; plain ones of CUBA neurons here, those of any family in `_any_family`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lavadl_ref.exchange import Conv, ConvTranspose, Dense, Flatten, Input, Layer, Network, Neuron, Pool, Unpool, check
from tests.support.generate import _any_family
from tests.support.generate._any_family import ALL_FAMILIES, EVERY
from tests.support.generate._windows import divisor, windows
from tests.support.oracle import network as naive_network

NEVER = 2**18 - 1  #: threshold of a layer that is read out and never spikes
ON_LAVA = ("conv", "dense")
ALL = ("conv", "dense", "convT", "pool", "unpool")
__all__ = ["ALL", "ALL_FAMILIES", "EVERY", "NEVER", "ON_LAVA", "Case", "as_arrays", "case", "exceeded", "oracle", "run"]


@dataclass(frozen=True)
class Case:
    """A network, what goes into it, (\\*shape, T), and the options of the run."""

    network: Network
    inputs: np.ndarray
    options: dict[str, Any] = field(default_factory=dict)  #: reset_interval, reset_offset

    @property
    def label(self) -> str:
        """Layers and options, for messages."""
        return " ".join(
            [*(layer.kind for layer in self.network.layers), *(f"{k}={v}" for k, v in self.options.items())]
        )


def case(
    seed: int,
    kinds: tuple[str, ...] | None = None,
    steps: int = 30,
    families: tuple[str, ...] | None = None,
    wild: bool = False,
    trained: bool = False,
) -> Case:
    """Network number `seed`.

    Without `families`, 1 to 4 layers of plain CUBA neurons of `ALL` kinds besides flattening.  With families,
    1 to 5 layers of any of them and `EVERY` kind, with everything that a file can say.  Unless they are
    `wild`, sums and states of these stay inside every width, and float32 holds them.  `trained` networks
    have only what blocks of slayer have.
    """
    if families is None and not wild and not trained:
        return _plain(seed, kinds or ALL, steps)
    rng = np.random.default_rng((seed, 1))
    layers, inputs, options = _any_family.draw(rng, kinds or EVERY, steps, families or ALL_FAMILIES, wild, trained)
    network = Network(layers)
    check(network)
    return Case(network, inputs, options)


def _plain(seed, kinds, steps):
    """The networks of CUBA neurons with binary messages."""
    rng = np.random.default_rng(seed)
    spatial = rng.random() < 0.75
    shape = tuple(int(n) for n in (rng.integers([1, 4, 3], [4, 7, 6]) if spatial else rng.integers(3, 9, 1)))
    layers: list[Layer] = []
    if rng.random() < 0.3:
        x = rng.integers(-30, 110, (*shape, steps))
        layers.append(Input(shape=shape, **_neurons(rng, shape[0])))
    else:
        x = (rng.random((*shape, steps)) < 0.35).astype(np.int64)
    for _ in range(rng.integers(1 - len(layers), 5 - len(layers))):
        if len(shape) == 3 and rng.random() < 0.8:
            layers.append(_kernel(rng, str(rng.choice([k for k in kinds if k != "dense"])), shape))
        else:
            if len(shape) == 3:
                shape = (int(np.prod(shape)),)
                layers.append(Flatten(shape=shape))
            layers.append(_dense(rng, shape[0]))
        shape = layers[-1].shape
    if isinstance(layers[-1], Dense) and rng.random() < 0.15:
        layers[-1] = _readout(rng, layers[-1])
    network = Network(tuple(layers))
    check(network)
    return Case(network, x, _options(rng, network) if rng.random() < 0.3 else {})


def _options(rng, network):
    """Resets; half of them in step with the data."""
    start = 0 if isinstance(network.layers[0], Input) else 1
    return {
        "reset_interval": int(rng.integers(4, 12)),
        "reset_offset": start if rng.random() < 0.5 else int(rng.integers(0, 9)),
    }


def _neurons(rng, channels):
    """Neuron, shift and (one time in three) delays."""
    parameters = {"threshold": int(rng.integers(30, 400))}
    extreme = rng.integers(0, 8)
    for i, name in enumerate(("current_decay", "voltage_decay")):
        if extreme == i:
            parameters[name] = int(rng.choice([0, 1, 4095, 4096]))
        elif channels > 1 and rng.random() < 0.4:
            parameters[name] = rng.integers(100, 4097, channels)
        else:
            parameters[name] = int(rng.integers(100, 3000))
    neuron = Neuron("CUBA", parameters)
    return {"neuron": neuron, "delay_shift": [None, True, False][rng.integers(0, 3)]}


def _synapse(rng, shape, channels, bias=True):
    """Even weights, as the 8-bit quantiser of training gives them, with bias and delays now and then."""
    fan_in = int(np.prod(shape[1:]))
    values = {**_neurons(rng, channels), "weight": 2 * rng.integers(-25, 25 + 60 // fan_in + 12, shape)}
    if bias and rng.random() < 0.5:
        values["bias"] = rng.integers(-80, 120, channels)
    if rng.random() < 0.35:
        values["delay"] = rng.integers(0, 30 if rng.random() < 0.1 else 6, channels)
    return values


def _dense(rng, inputs):
    outputs = int(rng.integers(2, 8))
    return Dense(shape=(outputs,), **_synapse(rng, (outputs, inputs), outputs))


def _readout(rng, layer):
    """The last layer without spikes: voltages, or bare sums."""
    if rng.random() < 0.5:
        return Dense(shape=layer.shape, weight=layer.weight)
    silent = Neuron("CUBA", {**layer.neuron.parameters, "threshold": NEVER})
    return Dense(shape=layer.shape, weight=layer.weight, bias=layer.bias, neuron=silent, delay_shift=False)


def _kernel(rng, kind, shape):
    """A layer of any window that fits."""
    size, window, extents = windows(rng, kind, shape)
    groups = 1
    if kind in ("pool", "unpool"):
        channels = shape[0]
        fields = _synapse(rng, (1, 1, *size), channels, bias=False)
        fields["weight"] = np.full((1, 1, *size), 2 * int(rng.integers(30, 90)))
    else:
        groups = divisor(rng, shape[0], (1, 2, 3))
        channels = groups * int(rng.integers(1, 3))
        front = (shape[0], channels // groups) if kind == "convT" else (channels, shape[0] // groups)
        fields = _synapse(rng, (*front, *size), channels)
    cls = {"conv": Conv, "convT": ConvTranspose, "pool": Pool, "unpool": Unpool}[kind]
    return cls(shape=(channels, *extents), groups=groups, **window, **fields)


def run(case, **more):
    """Records and output of the naive network as it gives them, nested lists."""
    frames = np.moveaxis(case.inputs, -1, 0).tolist()
    return naive_network.network(case.network.layers, frames, **{**case.options, **more})


def as_arrays(case, records):
    """Records of `run` as arrays (\\*shape, T); `exceeded`, (\\*shape), where something left a width."""
    arrays = []
    for layer, record, steps in zip(case.network.layers, records, exceeded(case, records), strict=True):
        kept = {name: values for name, values in record.items() if name != "exceeded"}
        arrays.append({name: np.array(values).T.reshape(*layer.shape, -1) for name, values in kept.items()})
        if steps is not None and (steps >= 0).any():
            arrays[-1]["exceeded"] = steps
    return arrays


def oracle(case, **more):
    """Records and output of the naive network, as arrays like those of `reference.Run`."""
    records, left = run(case, **more)
    return as_arrays(case, records), np.moveaxis(np.array(left), 0, -1)


def exceeded(case, records):
    """For each layer the first step at which each neuron left a width, -1 for never; None where nothing can."""
    return [
        None if "exceeded" not in record else np.array(record["exceeded"]).reshape(layer.shape)
        for layer, record in zip(case.network.layers, records, strict=True)
    ]
