"""Random networks of all families of neurons, mixed, with everything that a file can say.

Layers are drawn one after the other and run by the oracle at once: a layer that is silent or never silent gets
another threshold, one whose integers are too large smaller weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lavadl_ref.exchange import Average, Dense, Flatten, Input
from tests.support.generate._layers import as_trained, bare, lively, neurons_of, recurrent, synapse
from tests.support.oracle import network as naive_network
from tests.support.oracle.layers import fraction
from tests.support.oracle.neurons import STATES

ALL_FAMILIES = tuple(STATES)
EVERY = ("conv", "dense", "convT", "pool", "unpool", "dense_rec", "average", "bare", "input")
EXACT = 2**24  #: below it float32 holds every integer
ATTEMPTS = 14


@dataclass
class Growing:
    """A network as far as it is drawn, and what leaves its last layer."""

    rng: np.random.Generator
    options: dict
    wild: bool
    trained: bool
    layers: list
    frames: list  #: nested lists, one for each step
    bits: int = 0  #: fractional bits of these messages

    @property
    def shape(self):
        """(C, H, W) or (N,)."""
        return naive_network.extents(self.frames[0]) if not self.layers else self.layers[-1].shape

    def append(self, layer):
        """Run `layer` until it is alive and its integers are small, and keep it."""
        layer = as_trained(layer, bool(self.options)) if self.trained else layer
        starts = naive_network.start_steps([*self.layers, layer])
        processes = sum(x.kind != "flatten" and (x.neuron is not None or x.kind != "input") for x in self.layers)
        interval, offset = self.options.get("reset_interval"), self.options.get("reset_offset", 0)
        resets = naive_network.resets_of(processes, len(self.frames), interval, offset)
        for attempt in range(ATTEMPTS * 2):
            if layer.neuron is None:
                record = naive_network.bare_sums(layer, self.frames, self.bits, starts[-1], True)
            else:
                record = naive_network.neurons(layer, self.frames, self.bits, None, starts[-1], resets, True, 6)
            changed = None if self.wild else lively(layer, record, self.too_large(layer, record), attempt < ATTEMPTS)
            if changed is None:
                break
            layer = changed
        sent = naive_network.delayed(layer, record["weighted" if layer.neuron is None else "spikes"])
        self.frames = [naive_network.shaped(frame, layer.shape) for frame in sent]
        if layer.neuron is not None:
            self.bits = fraction({"type": layer.neuron.type, **layer.neuron.parameters}, 6)
        self.layers.append(layer)

    def too_large(self, layer, record):
        """Tell whether something leaves its width, or float32 could round a state or a partial sum."""
        if any(step >= 0 for step in record["exceeded"]):
            return True
        held = [values for name, values in record.items() if name != "exceeded"]
        if max((abs(value) for values in held for frame in values for value in frame), default=0) >= EXACT:
            return True
        return layer.kind != "input" and self.largest_sum(layer, record) >= EXACT

    def largest_sum(self, layer, record):
        """The sum of all magnitudes, at the finest scale of what is added."""
        own = fraction({"type": layer.neuron.type, **layer.neuron.parameters}, 6) if layer.kind == "dense_rec" else 0
        finest = max(self.bits, own)
        added = sum(int(np.abs(b).max(initial=0)) for b in parts(layer, "bias", "bias_imag", "input_bias"))
        fed_back = np.abs(np.array(record.get("spikes", [[0]]))).max(initial=0) << (finest - own)
        for weight in parts(layer, "weight_rec", "weight_rec_imag"):
            added += (int(np.abs(weight).sum(axis=1).max() * fed_back) >> finest) + 1
        largest = np.abs(np.array(self.frames)).max(axis=0).tolist()  # each neuron at its loudest
        worst = max(
            max(naive_network.sums(layer, largest, np.abs(weight).tolist()))
            for weight in parts(layer, "weight", "weight_imag")
        )
        return (worst << (finest - self.bits)) + (added << finest)

    def flatten(self):
        """(C, H, W) as one axis, where it is not one already."""
        if len(self.shape) == 3:
            layer = Flatten(shape=(int(np.prod(self.shape)),))
            self.frames = [naive_network.flat(frame) for frame in self.frames]
            self.layers.append(layer)


def parts(layer, *names):
    """The arrays that `layer` has of these."""
    return [value for value in (getattr(layer, name, None) for name in names) if value is not None]


def draw(rng, kinds, steps, families, wild, trained):
    """Layers, inputs (\\*shape, T) and options of one network."""
    windowed = [kind for kind in kinds if kind in ("conv", "convT", "pool", "unpool")]
    spatial = bool(windowed) and rng.random() < 0.7
    shape = tuple(int(n) for n in (rng.integers([1, 3, 3], [4, 6, 5]) if spatial else rng.integers(3, 8, 1)))
    likely = [*families, *(family for family in families if family == "CUBA")]
    order = [str(rng.choice(likely)) for _ in range(rng.integers(1, 6))]
    opening = "input" in kinds and rng.random() < 0.35
    x = inputs(rng, (*shape, steps), order[0], opening, wild)
    growing = Growing(rng, options(rng, opening, trained), wild, trained, [], np.moveaxis(x, -1, 0).tolist())
    if not opening:
        growing.bits = 12 if order[0] == "SDNN" else 0
        if "input" in kinds and rng.random() < 0.2:
            growing.layers.append(Input(shape=shape))
    for position, family in enumerate(order):
        if position == 0 and opening:
            growing.append(Input(shape=shape, **neurons_of(rng, family, shape[0], driven=True, wild=wild)))
        else:
            last = position == len(order) - 1
            grow(growing, family, kinds, windowed, last, position)
    if "average" in kinds and rng.random() < 0.2 and averages(growing.layers[-1]):
        sizes = [n for n in range(1, growing.layers[-1].size + 1) if growing.layers[-1].size % n == 0]
        growing.layers.append(Average(shape=(int(rng.choice(sizes)),)))
    return tuple(growing.layers), x, growing.options


def grow(growing, family, kinds, windowed, last, position):
    """One more layer behind a synapse."""
    rng = growing.rng
    ends = rng.random() if last else 1.0
    if len(growing.shape) == 3 and windowed and rng.random() < 0.8:
        kind = str(rng.choice(windowed))
    else:
        growing.flatten()
        feeds_back = "dense_rec" in kinds and ("dense" not in kinds or rng.random() < 0.45)
        feeds_back = feeds_back and not (growing.trained and growing.options)  # samples share no spikes
        kind = "dense_rec" if feeds_back and family != "SDNN" else "dense"
    first = not any(layer.neuron is not None for layer in growing.layers)
    plain = kind == "dense" or not growing.trained
    if "bare" in kinds and ends < 0.12 and kind != "dense_rec" and plain:
        growing.bits = 0 if first else growing.bits
        growing.append(bare(rng, kind, growing.shape, growing.wild))
        return
    layer = synapse(rng, kind, growing.shape, family, growing.wild)
    if kind == "dense_rec":
        layer = recurrent(rng, layer, growing.wild)
    if last and family == "SDNN" and ends < 0.65 and plain:
        silent = {name: layer.neuron[name] for name in ("activation", "threshold")} if ends < 0.4 else {}
        layer = replace(layer, neuron=replace(layer.neuron, parameters={**silent, "sigma_output": True}))
    elif last and family != "SDNN" and ends < 0.25 and isinstance(layer, Dense) and (plain or kind != "dense_rec"):
        never = {**layer.neuron.parameters, "threshold": 2**18 - 1}
        layer = replace(layer, neuron=replace(layer.neuron, parameters=never), delay=None, delay_shift=False)
    growing.append(layer)


def averages(layer):
    """Tell whether its messages may be averaged."""
    if layer.neuron is None or layer.neuron.parameters.get("sigma_output"):
        return False
    return np.any(layer.neuron["threshold"] != 2**18 - 1)


def options(rng, opening, trained):
    """Resets now and then; half of them in step with the data, of `trained` networks all."""
    if rng.random() < 0.7:
        return {}
    offset = (0 if opening else 1) if rng.random() < 0.5 or trained else int(rng.integers(0, 9))
    return {"reset_interval": int(rng.integers(4, 12)), "reset_offset": offset}


def inputs(rng, extents, family, opening, wild):
    """Spikes; graded integers where sigma-delta neurons take them; a current in 1/64 for an input layer."""
    if wild:
        size = 2 ** int(rng.integers(4, 21))
        return rng.integers(-size, size + 1, extents) * (rng.random(extents) < 0.7)
    if opening and family == "SDNN":
        return np.cumsum(rng.integers(-40, 41, extents) * (rng.random(extents) < 0.4), axis=-1)
    if opening:
        return rng.integers(-30, 110, extents)
    if family == "SDNN":
        return rng.integers(-3000, 6000, extents) * (rng.random(extents) < 0.35)
    return (rng.random(extents) < 0.35).astype(np.int64)
