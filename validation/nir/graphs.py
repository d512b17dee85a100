"""The networks that frameworks are given as graphs, and the input of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lavadl_ref.exchange import Conv, Dense, Flatten, Layer, Network, Neuron, Pool, Recurrent

STEPS = 60


@dataclass(frozen=True, eq=False)
class Given:
    """A network and what goes into it."""

    name: str
    network: Network
    inputs: np.ndarray  #: (\\*shape, T) of 0 and 1


def _neuron() -> Neuron:
    return Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 410, "threshold": 80})


def networks(seed: int = 3) -> list[Given]:
    """One network for each kind of node that frameworks read: matrices, biases, feedback, kernels and pools."""
    rng = np.random.default_rng(seed)

    def weight(*shape: int) -> np.ndarray:
        return 2 * rng.integers(-30, 50, shape)

    def dense(outputs: int, inputs: int, **more: np.ndarray) -> Dense:
        return Dense(shape=(outputs,), neuron=_neuron(), weight=weight(outputs, inputs), **more)

    one = np.full((1, 1, 2, 2), 64)
    found: dict[str, tuple[Layer, ...]] = {
        "dense": (dense(6, 4), dense(3, 6)),
        "bias": (dense(6, 4, input_bias=rng.integers(0, 20, 6)), dense(3, 6)),
        "recurrent": (
            Recurrent(shape=(6,), neuron=_neuron(), weight=weight(6, 4), weight_rec=weight(6, 6) // 2),
            dense(3, 6),
        ),
        "conv": (
            Conv(shape=(2, 4, 4), neuron=_neuron(), weight=weight(2, 1, 3, 3)),
            Pool(shape=(2, 2, 2), neuron=_neuron(), weight=one, stride=(2, 2)),
            Flatten(shape=(8,)),
            dense(3, 8),
        ),
    }
    made = []
    for name, layers in found.items():
        network = Network(layers, stated_input_shape=(1, 6, 6) if name == "conv" else (4,))
        assert network.stated_input_shape is not None
        made.append(Given(name, network, (rng.random((*network.stated_input_shape, STEPS)) < 0.3).astype(np.int64)))
    return made


def foreign(seed: int = 5) -> Network:
    """A network that NIR has no nodes for."""
    rng = np.random.default_rng(seed)
    decays = dict.fromkeys(("current_decay", "voltage_decay", "threshold_decay", "refractory_decay"), 400)
    neuron = Neuron("ALIF", {**decays, "threshold": 80, "threshold_step": 20})
    return Network((Dense(shape=(3,), neuron=neuron, weight=2 * rng.integers(-30, 50, (3, 4))),))
