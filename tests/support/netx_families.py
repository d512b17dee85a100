"""A layer of each family, made by name, and what decides between Lava's process and this package's."""

from __future__ import annotations

import numpy as np

from lavadl_ref.exchange.describe import Dense, Input, Neuron, Recurrent
from tests.support.families import BY_TYPE

FAMILIES = tuple(BY_TYPE)
COMPLEX = tuple(name for name, family in BY_TYPE.items() if family.complex)
_LEAKS = {"current_decay": 1500, "voltage_decay": 300}
_TURN = {"sin_decay": 2900, "cos_decay": 2300}
_ADAPTS = {"threshold_decay": 400, "refractory_decay": 900, "threshold_step": 15}
PARAMETERS = {
    name: {**family.pick(_LEAKS, _TURN, _ADAPTS), "threshold": 40 if family.complex else 120}
    for name, family in BY_TYPE.items()
}
PARAMETERS["SDNN"] = {"activation": "relu", "threshold": 30}
#: Lava's process, and this package's.
STOCK = {name: family.stock for name, family in BY_TYPE.items()}
OWN = {name: family.own for name, family in BY_TYPE.items()}


def neuron(family, **parameters):
    """Neurons of a family."""
    return Neuron(family, {**PARAMETERS[family], **parameters})


def weights(rng, family, *shape, low=-40, high=60, name="weight"):
    """Random even weights, of both parts where the family has two."""
    names = (name, f"{name}_imag")[: 1 + (family in COMPLEX)]
    return {part: 2 * rng.integers(low, high, shape) for part in names}


def dense(family, outputs=3, inputs=4, seed=0, neurons=None, **more):
    """A fully connected layer; a bias is given to both parts."""
    rng = np.random.default_rng(seed)
    if family in COMPLEX and "bias" in more:
        more["bias_imag"] = more["bias"]
    given = {**weights(rng, family, outputs, inputs), **more}
    return Dense(shape=(outputs,), neuron=neuron(family, **neurons or {}), **given)


def recurrent(family, outputs=3, inputs=4, seed=0, neurons=None, **more):
    """A fully connected layer with feedback."""
    rng = np.random.default_rng(seed)
    given = {
        **weights(rng, family, outputs, inputs),
        **weights(rng, family, outputs, outputs, low=-30, high=20, name="weight_rec"),
        **more,
    }
    return Recurrent(shape=(outputs,), neuron=neuron(family, **neurons or {}), **given)


def entry(family, shape=(4,), **parameters):
    """An input layer."""
    return Input(shape=shape, neuron=neuron(family, **parameters))
