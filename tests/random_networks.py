"""Random deployed networks of CUBA neurons with an input, alive enough that a wrong step shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lavadl_ref.exchange import Conv, ConvTranspose, Dense, Flatten, Input, Layer, Network, Neuron, Pool, Unpool, check
from tests import naive_network

NEVER = 2**18 - 1  #: threshold of a layer that is read out and never spikes
ON_LAVA = ("conv", "dense")
ALL = ("conv", "dense", "convT", "pool", "unpool")


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


def case(seed: int, kinds: tuple[str, ...] = ALL, steps: int = 30) -> Case:
    """Network number `seed` with 1 to 4 layers besides flattening."""
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
    transposed = kind in ("convT", "unpool")
    partial = kind == "pool" and rng.random() < 0.5  # whether a last window past the edge counts
    size, window, extents = [], [], []
    for extent in shape[1:]:
        stride, dilation = (int(n) for n in rng.integers(1, 3, 2))
        k, padding = int(rng.integers(1, 4)), int(rng.integers(0, 2))
        if transposed:
            out = (extent - 1) * stride - 2 * padding + dilation * (k - 1) + 1
        else:
            room = extent + 2 * padding - dilation * (k - 1) - 1
            out = room // stride + 1
            # the next window counts if some of it is inside
            out += partial and room >= 0 and room % stride > 0 and out * stride < extent + padding
        if not 1 <= out <= 6:  # the window that changes nothing always fits
            k, stride, padding, dilation, out = 1, 1, 0, 1, extent
        size.append(k), window.append((stride, padding, dilation)), extents.append(out)
    stride, padding, dilation = (tuple(pair) for pair in zip(*window, strict=True))
    groups = 1
    if kind in ("pool", "unpool"):
        channels = shape[0]
        fields = _synapse(rng, (1, 1, *size), channels, bias=False)
        fields["weight"] = np.full((1, 1, *size), 2 * int(rng.integers(30, 90)))
    else:
        groups = int(rng.choice([n for n in (1, 2, 3) if shape[0] % n == 0]))
        channels = groups * int(rng.integers(1, 3))
        front = (shape[0], channels // groups) if kind == "convT" else (channels, shape[0] // groups)
        fields = _synapse(rng, (*front, *size), channels)
    cls = {"conv": Conv, "convT": ConvTranspose, "pool": Pool, "unpool": Unpool}[kind]
    window = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return cls(shape=(channels, *extents), **window, **fields)


def oracle(case, **more):
    """Records and output of the naive network, as arrays like those of `reference.Run`."""
    frames = np.moveaxis(case.inputs, -1, 0).tolist()
    records, left = naive_network.network(case.network.layers, frames, **case.options, **more)
    arrays = []
    for layer, record in zip(case.network.layers, records, strict=True):
        arrays.append({name: np.array(values).T.reshape(*layer.shape, -1) for name, values in record.items()})
    return arrays, np.moveaxis(np.array(left), 0, -1)
