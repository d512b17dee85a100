"""Random layers of any family: neurons, weights, biases and delays, and how to bring one to life."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from lavadl_ref.exchange import Conv, ConvTranspose, Dense, Neuron, Pool, Recurrent, Unpool
from tests.support.families import BY_TYPE
from tests.support.generate._windows import divisor, windows

COMPLEX = tuple(name for name, family in BY_TYPE.items() if family.complex)
ADAPTIVE = tuple(name for name, family in BY_TYPE.items() if family.adaptive)
CLASSES = {"conv": Conv, "convT": ConvTranspose, "pool": Pool, "unpool": Unpool}
SMALLEST, LARGEST = 1, 2**16  #: thresholds that are tried


def neurons_of(rng, family, channels, driven=False, wild=False):
    """Neuron and shift of a layer."""
    parameters = {"threshold": int(2 ** rng.uniform(4, 16 if wild else 8.5))}
    if family in COMPLEX:
        parameters |= rotation(rng, channels)
    elif family != "SDNN":
        parameters |= {name: decay(rng, channels) for name in ("current_decay", "voltage_decay")}
    if family in ADAPTIVE:
        parameters |= {name: decay(rng, channels) for name in ("threshold_decay", "refractory_decay")}
        parameters["threshold_step"] = int(rng.integers(0, 2**14 if wild else 100))
    if family == "SDNN":
        parameters["threshold"] = int(rng.integers(1, 60))
        if channels > 1 and rng.random() < 0.4:
            parameters["threshold"] = rng.integers(1, 60, channels)
        parameters["activation"] = str(rng.choice(["relu", "identity"]))
        parameters["cum_error"] = bool(rng.random() < 0.4)
    elif rng.random() < 0.2:
        parameters["graded_spike"] = True
    for name in ("weight_exp", "weight_exp_imag") if family in COMPLEX else ("weight_exp",):
        if rng.random() < 0.25 and not (driven and family == "SDNN"):
            parameters[name] = int(rng.integers(-3, 4))
    return {"neuron": Neuron(family, parameters), "delay_shift": [None, True, False][rng.integers(0, 3)]}


def decay(rng, channels):
    """A decay of all or one for each channel, an extreme one now and then."""
    if rng.random() < 0.12:
        return int(rng.choice([0, 1, 4095, 4096]))
    if channels > 1 and rng.random() < 0.4:
        return rng.integers(100, 4097, channels)
    return int(rng.integers(100, 3000))


def rotation(rng, channels):
    """Sine and cosine of a decaying rotation, of all or for each channel."""
    if rng.random() < 0.1:
        turn = [(4096, 0), (0, 4096), (-4096, 0), (0, -4096), (0, 0)][rng.integers(0, 5)]
        return dict(zip(("sin_decay", "cos_decay"), turn, strict=True))
    size = channels if channels > 1 and rng.random() < 0.4 else None
    angle, radius = 2 * np.pi / rng.uniform(3, 10, size), 4096 - rng.integers(10, 900, size)
    parts = {"sin_decay": radius * np.sin(angle), "cos_decay": radius * np.cos(angle)}
    return {name: int(value) if size is None else value.astype(np.int64) for name, value in parts.items()}


def synapse(rng, kind, inputs, family, wild):
    """A layer of `kind` on `inputs`, (C, H, W) or (N,)."""
    cls, shape, extents, more = geometry(rng, kind, inputs)
    channels, biased = shape[0], kind not in ("pool", "unpool") and rng.random() < 0.5
    values = {"weight": weights(rng, kind, extents, wild), **neurons_of(rng, family, channels, wild=wild)}
    limit = 2 ** int(rng.integers(6, 21)) if wild else 80 if family == "CUBA" else 30
    if biased:
        values["bias"] = rng.integers(-limit, limit * 3 // 2, channels)
    if family in COMPLEX:
        values["weight_imag"] = weights(rng, kind, extents, wild)
        if biased:
            values["bias_imag"] = rng.integers(-limit, limit * 3 // 2, channels)
    if rng.random() < 0.35:
        values["delay"] = rng.integers(0, 30 if rng.random() < 0.1 else 6, channels)
    if family == "CUBA" and kind not in ("pool", "unpool", "dense_rec"):
        values["input_bias"] = input_bias(values["weight"], channels, limit)
    return cls(shape=shape, **more, **values)


def input_bias(weight, channels, limit):
    """A bias of the weighted sums, none in two layers of three.

    It is drawn from the weights, so that the networks that have none are those that they were before there was one.
    """
    own = np.random.default_rng(np.abs(weight).ravel())
    return own.integers(-limit, limit, channels) if own.random() < 1 / 3 else None


def geometry(rng, kind, inputs):
    """Class, shape of the output, shape of the weight, and the window."""
    if kind in ("dense", "dense_rec"):
        outputs = int(rng.integers(2, 8))
        return Dense, (outputs,), (outputs, inputs[0]), {}
    size, window, extents = windows(rng, kind, inputs)
    if kind in ("pool", "unpool"):
        return CLASSES[kind], (inputs[0], *extents), (1, 1, *size), window
    groups = divisor(rng, inputs[0], (1, 2, 3))
    channels = groups * int(rng.integers(1, 3))
    front = (inputs[0], channels // groups) if kind == "convT" else (channels, inputs[0] // groups)
    return CLASSES[kind], (channels, *extents), (*front, *size), {"groups": groups, **window}


def weights(rng, kind, extents, wild):
    """Even ones, as the 8-bit quantiser of training gives them; one for all where a layer pools."""
    if kind in ("pool", "unpool"):
        return np.full(extents, 2 * int(rng.integers(-100, 128) if wild else rng.integers(30, 90)))
    if wild:
        return 2 * rng.integers(-128, 128, extents)
    return 2 * rng.integers(-25, 25 + 60 // int(np.prod(extents[1:])) + 12, extents)


def bare(rng, kind, inputs, wild):
    """Weighted sums without neurons."""
    cls, shape, extents, more = geometry(rng, kind, inputs)
    if kind not in ("pool", "unpool") and rng.random() < 0.5:
        more["bias"] = rng.integers(-80, 120, shape[0])
    return cls(shape=shape, weight=weights(rng, kind, extents, wild), **more)


def recurrent(rng, layer, wild):
    """A dense layer with feedback; one in three as k-winners-take-all has it."""
    size = layer.shape[0]
    winners = rng.random() < 0.33
    values = {field.name: getattr(layer, field.name) for field in fields(layer)}
    for name in ("weight_rec", "weight_rec_imag") if layer.weight_imag is not None else ("weight_rec",):
        if winners:
            excitation = 2 * int(rng.integers(0, 33))
            values[name] = np.where(np.eye(size, dtype=bool), excitation, -64)
        else:
            values[name] = 2 * rng.integers(*((-128, 128) if wild else (-15, 12)), (size, size))
    if layer.neuron.type == "CUBA" and (winners or rng.random() < 0.7):
        limit = 2**20 if wild and rng.random() < 0.5 else 40
        constant = np.full(size, rng.integers(0, limit)) if winners else rng.integers(-limit, limit, size)
        values["input_bias"] = constant
    return Recurrent(**values)


def as_trained(layer, resets):
    """`layer` without what no block of slayer has: norms that scale where there are none, delays of what is read.

    With `resets` between samples it has no delays at all, which would carry spikes over them.
    """
    if resets:
        layer = replace(layer, delay=None)
    if layer.neuron is None:
        return replace(layer, bias=None) if layer.kind == "dense" else layer
    kept = dict(layer.neuron.parameters)
    if layer.kind in ("input", "pool", "unpool", "dense_rec"):
        kept = {name: value for name, value in kept.items() if not name.startswith("weight_exp")}
    changes = {"neuron": replace(layer.neuron, parameters=kept)}
    summed = kept.get("sigma_output")
    if layer.kind == "dense" and (summed or np.all(kept["threshold"] == 2**18 - 1)):
        changes["delay"] = None
    if summed:
        changes["bias"] = None
    return replace(layer, **changes)


def lively(layer, record, too_large, may_tune):
    """Another `layer` that has smaller integers or another threshold, None where this one will do."""
    if too_large:
        return smaller(layer)
    if layer.neuron is None or layer.neuron.parameters.get("sigma_output") or not may_tune:
        return None
    threshold = layer.neuron["threshold"]
    if np.max(threshold) == 2**18 - 1:
        return None
    rate = float(np.mean(np.array(record["spikes"]) != 0))
    if rate == 0:
        changed = threshold // 4
    elif rate > 0.6:
        changed = threshold * 2 + 1
    else:
        return None
    if not SMALLEST <= np.max(changed) <= LARGEST:
        return None
    return replace(layer, neuron=replace(layer.neuron, parameters={**layer.neuron.parameters, "threshold": changed}))


def smaller(layer):
    """Weights and biases halved; what an input layer drives forgets faster."""
    if layer.kind == "input":
        fading = {name: 2000 for name in ("current_decay", "voltage_decay") if name in layer.neuron.parameters}
        kept = {name: value for name, value in layer.neuron.parameters.items() if not name.startswith("weight_exp")}
        return replace(layer, neuron=replace(layer.neuron, parameters={**kept, **fading}))
    names = ("weight", "weight_imag", "weight_rec", "weight_rec_imag", "bias", "bias_imag", "input_bias")
    found = {name: getattr(layer, name, None) for name in names}
    halved = {
        name: np.sign(value) * (np.abs(value) // 4 * 2 if "weight" in name else np.abs(value) // 2)
        for name, value in found.items()
        if value is not None
    }
    return replace(layer, **halved)
