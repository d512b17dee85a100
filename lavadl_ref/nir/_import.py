"""Graphs of others as networks: every parameter rounded to what a file can hold, and every rounding named.

The neurons of a file take their input as it is, so a node's gains go into the weights.  Weights, biases and the
threshold of a layer may then all be multiplied by one number without any change of its spikes: by a power of two if
nothing need be rounded, else by what makes the largest weight use its 8 bits and the threshold a whole number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from lavadl_kernels.fixed_point import DECAY_ONE, STATE_BITS, WEIGHT_BITS, WEIGHT_ONE
from numpy.typing import NDArray

from lavadl_ref.exchange import (
    Conv,
    Dense,
    Flatten,
    Layer,
    Network,
    Neuron,
    Pool,
    Recurrent,
    check,
    layout,
    silenced,
)
from lavadl_ref.exchange.errors import ExchangeError, within
from lavadl_ref.nir._export import NODES
from lavadl_ref.nir._graph import Tree
from lavadl_ref.nir._report import Rounded
from lavadl_ref.nir._restated import steps_of
from lavadl_ref.nir._sources import Convention, Dynamics, dynamics
from lavadl_ref.nir._stages import Stage, stages
from lavadl_ref.nir._weights import CONV, DENSE, POOL, Weights, weights_of

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

FAMILY = next(iter(NODES))  #: the family that neurons of a graph become
WEIGHT_MIN, WEIGHT_MAX = -256, 254  #: of weights of 8 bits, which are even, in 1/64
#: Thresholds, in 1/64, lie well within the 24 bits of a voltage, in 1/4096.
THRESHOLD_MAX = 2 ** (23 - STATE_BITS + WEIGHT_BITS) - 1
_EXPONENTS = sorted(range(-12, 13), key=abs)  #: of the powers of two by which a layer may be scaled
_NEAR = 1e-6  #: relative: times of a graph are float32 numbers, so that such a change is none


@dataclass(frozen=True, eq=False)
class Chain:
    """A graph as a network, and the neurons of both side by side."""

    network: Network
    neurons: tuple[tuple[str, int], ...]  #: for each node with neurons that spike, its name and the layer it became
    rounded: tuple[Rounded, ...]
    notes: tuple[str, ...]


def chain_of(tree: Tree, told: Convention) -> Chain:
    """Import a graph that stands for no file.

    Parameters
    ----------
    tree : dict
        A graph.
    told : Convention
        Whose graph it is.

    Raises
    ------
    ExchangeError
        If no network of a file does what the graph says; the message names the node.
    """
    nodes, shape, found = stages(tree)
    made = _Made(nodes, told)
    taken = shape
    for stage in found:
        taken = made.add(stage, taken)
    network = Network(tuple(made.layers), stated_input_shape=shape)
    check(network)
    notes = [told.source.note] if told.source.note else []
    return Chain(network, tuple(made.neurons), tuple(made.rounded), (*notes, *made.notes))


class _Made:
    """The layers as far as they are made."""

    def __init__(self, nodes: dict[str, Tree], told: Convention) -> None:
        self.nodes, self.told = nodes, told
        self.layers: list[Layer] = []
        self.neurons: list[tuple[str, int]] = []
        self.rounded: list[Rounded] = []
        self.notes: list[str] = []

    def add(self, stage: Stage, taken: tuple[int, ...]) -> tuple[int, ...]:
        """Make the layers of one stage, which takes what has shape `taken`; return the shape of what leaves it."""
        weights = weights_of(stage.weights, self.nodes, taken)
        _check_finite(stage, weights)
        if len(taken) == 3 and len(weights.taken) == 1:
            self.layers.append(Flatten(shape=weights.taken))
        position = len(self.layers)
        with within(f"node {stage.neuron or stage.weights[-1]}"):
            layer = self.layer(position, stage, weights)
        self.layers.append(layer)
        if stage.neuron is not None and "v_threshold" in self.nodes[stage.neuron]:
            self.neurons.append((stage.neuron, position))
        if weights.flat:
            self.layers.append(Flatten(shape=(layer.size,)))
        return self.layers[-1].shape

    def layer(self, position: int, stage: Stage, weights: Weights) -> Layer:
        """The layer of a stage."""
        if stage.neuron is None:
            return self.bare(position, weights)
        found = dynamics(stage.neuron, self.nodes[stage.neuron], self.told)
        channels = _Channels(found, weights.shape)
        feedback, offset = self.feedback(stage, weights)
        gain = channels.gain
        if weights.kind == POOL and (gain != gain[0]).any():
            weights = _as_conv(weights)
        weight = weights.weight * (gain[0] if weights.kind == POOL else _rows(gain, weights.weight.ndim))
        parts = {"weight": weight}
        if feedback is not None:
            parts["weight_rec"] = feedback * gain[:, None]
        biases = {"input_bias": (weights.bias + offset) * gain, "bias": channels.bias}
        if (channels.current_decay == 1).all():  # without memory the two places are one
            biases = {"bias": biases["bias"] + biases["input_bias"]}
        if weights.kind == POOL and any(values.any() for values in biases.values()):  # pools have no biases
            weights, parts["weight"] = _as_conv(weights), _as_conv(weights).weight * _rows(gain, 4)
        scaling = _scaling(parts, biases, channels.threshold)
        integers = self.scaled(position, parts, biases, scaling)
        values = {
            "current_decay": self.decay(position, "current_decay", channels.current_decay),
            "voltage_decay": self.decay(position, "voltage_decay", channels.voltage_decay),
            "threshold": self.threshold(position, channels.threshold, scaling),
        }
        neuron = Neuron(FAMILY, values)
        if channels.threshold is None:
            neuron = silenced(neuron)
            self.notes.append(
                f"layer {position}: its neurons never spike; their voltages are {scaling.factor:.6g} times the graph's"
            )
        return _layer(weights, neuron, integers, self.delay(position, stage, weights))

    def bare(self, position: int, weights: Weights) -> Layer:
        """The last layer, without neurons."""
        parts, biases = {"weight": weights.weight}, {"bias": weights.bias}
        scaling = _scaling(parts, biases, None)
        integers = self.scaled(position, parts, biases, scaling)
        if scaling.factor != 1:
            self.notes.append(f"layer {position}: has no neurons; its sums are {scaling.factor:.6g} times the graph's")
        return _layer(weights, None, integers, None)

    def feedback(self, stage: Stage, weights: Weights) -> tuple[Array | None, Array]:
        """The matrix of what neurons feed back, and the constant that comes with it."""
        outputs = weights.weight.shape[0]
        if stage.feedback is None:
            return None, np.zeros(1)
        entry = self.nodes[stage.feedback]
        with within(f"node {stage.feedback}"):
            if weights.kind != DENSE:
                raise ExchangeError(f"must feed back behind a matrix of weights, got a {weights.kind} layer")
            matrix = np.asarray(entry["weight"], np.float64)
            bias = np.asarray(entry.get("bias", np.zeros(outputs)), np.float64)
            if matrix.shape != (outputs, outputs) or bias.shape != (outputs,):
                raise ExchangeError(f"weight: must have shape ({outputs}, {outputs}), got {matrix.shape}")
            if not (np.isfinite(matrix).all() and np.isfinite(bias).all()):
                raise ExchangeError("weight: must be finite, got others")
        return matrix, bias

    def scaled(
        self, position: int, parts: dict[str, Array], biases: dict[str, Array], scaling: _Scaling
    ) -> dict[str, Integers]:
        """Weights and biases in 1/64, after all of the layer were multiplied; biases of 0 are left out."""
        found = {}
        for name, values in {**parts, **biases}.items():
            exact = values * (scaling.factor * WEIGHT_ONE)
            whole = np.rint(exact)
            if name in parts and scaling.rounds:
                whole = np.clip(2 * np.rint(exact / 2), WEIGHT_MIN, WEIGHT_MAX)
            if name in biases and np.abs(whole).max(initial=0) >= layout.BIAS_LIMIT:
                raise ExchangeError(
                    f"{name}: must be below {layout.BIAS_LIMIT} / 64 units, got {np.abs(exact).max():g} / 64"
                )
            self.note(position, name, exact, whole)
            if name in parts or whole.any():
                found[name] = whole.astype(np.int64)
        return found

    def decay(self, position: int, name: str, share: Array) -> int | Integers:
        """A decay in 1/4096: one number where all channels have the same."""
        exact = share * DECAY_ONE
        whole = np.rint(exact)
        self.note(position, name, exact, whole, DECAY_ONE)
        integers = whole.astype(np.int64)
        return int(integers[0]) if (integers == integers[0]).all() else integers

    def threshold(self, position: int, threshold: float | None, scaling: _Scaling) -> int:
        """The threshold in 1/64."""
        if threshold is None:
            return 0
        exact = np.array([threshold * scaling.factor * WEIGHT_ONE])
        whole = np.minimum(np.rint(exact), THRESHOLD_MAX)
        self.note(position, "threshold", exact, whole)
        return int(whole[0])

    def delay(self, position: int, stage: Stage, weights: Weights) -> Integers | None:
        """The steps of a delay for each channel, None for none."""
        if stage.delay is None:
            return None
        entry = self.nodes[stage.delay]
        steps = steps_of(stage.delay, entry, self.told)
        self.note(position, "delay", np.asarray(entry["delay"], np.float64) / self.told.dt, steps.astype(np.float64))
        return np.rint(_per_channel("delay", steps, weights.shape)).astype(np.int64)

    def note(self, position: int, name: str, exact: Array, whole: Array, unit: float | None = None) -> None:
        """Report the numbers that were rounded, and by which share of `unit` or of the largest of them."""
        largest = unit or float(np.abs(exact).max(initial=0)) or 1.0
        change = np.abs(exact - whole) / largest
        count = int((change > _NEAR).sum())
        if count:
            self.rounded.append(Rounded(position, name, count, exact.size, float(change.max())))


@dataclass(frozen=True)
class _Scaling:
    """The number by which weights, biases and threshold of a layer are multiplied."""

    factor: float
    rounds: bool  #: whether weights are rounded to 8 bits; else all of them are whole as they are


def _scaling(parts: dict[str, Array], biases: dict[str, Array], threshold: float | None) -> _Scaling:
    """The number that rounds nothing, if there is one; else one that rounds weights little, the threshold not."""
    weights = np.concatenate([values.reshape(-1) for values in parts.values()])
    others = [values.reshape(-1) for values in biases.values()]
    others.append(np.array([] if threshold is None else [threshold]))
    limits = {WEIGHT_MIN: weights.min(), WEIGHT_MAX + 1: weights.max()}
    for exponent in _EXPONENTS:
        scaled = 2.0**exponent * WEIGHT_ONE
        fits = limits[WEIGHT_MIN] * scaled >= WEIGHT_MIN and limits[WEIGHT_MAX + 1] * scaled <= WEIGHT_MAX + 1
        if (
            fits
            and (threshold or 0) * scaled <= THRESHOLD_MAX
            and all(map(_whole, (scaled * x for x in (weights, *others))))
        ):
            return _Scaling(2.0**exponent, False)
    largest = max(weights.max() / WEIGHT_MAX, weights.min() / WEIGHT_MIN)
    factor = 1 / (largest * WEIGHT_ONE) if largest > 0 else 1.0
    if threshold is not None and threshold > 0:
        whole = min(np.floor(threshold * factor * WEIGHT_ONE), THRESHOLD_MAX)
        factor = whole / (threshold * WEIGHT_ONE) if whole >= 1 else factor
    return _Scaling(float(factor), True)


def _whole(values: Array) -> bool:
    return bool((np.abs(values - np.rint(values)) <= _NEAR * np.maximum(np.abs(values), 1)).all())


class _Channels:
    """The steps of a layer's neurons with one number for each channel, and one threshold for all of them.

    What a channel gets is multiplied instead where its threshold is another.
    """

    def __init__(self, found: Dynamics, shape: tuple[int, ...]) -> None:
        self.current_decay = _per_channel("tau_syn", found.current_decay, shape)
        self.voltage_decay = _per_channel("tau_mem", found.voltage_decay, shape)
        gain = _per_channel("r and w_in", found.current_gain * found.voltage_gain, shape)
        bias = _per_channel("v_leak", found.bias, shape)
        self.threshold: float | None = None
        if found.threshold is not None:
            each = _per_channel("v_threshold", found.threshold, shape)
            self.threshold = float(each.max())
            if (each == 0).any() and self.threshold:
                raise ExchangeError("v_threshold: must be 0 for all neurons or for none, got both")
            if self.threshold:
                gain, bias = gain * (self.threshold / each), bias * (self.threshold / each)
        self.gain, self.bias = gain, bias


def _per_channel(name: str, values: Any, shape: tuple[int, ...]) -> Array:
    """One number for each channel of neurons of `shape`, whose parameters are `values`, of that shape or one axis."""
    array = np.asarray(values, np.float64)
    count = int(np.prod(shape))
    if array.size not in (1, count):
        raise ExchangeError(f"must have the shape {shape} of what goes into it, got {array.shape}")
    each = np.broadcast_to(array.reshape(-1), (count,)).reshape(shape[0], -1)
    if (each != each[:, :1]).any():
        raise ExchangeError(f"{name}: must be the same within a channel, got others")
    return each[:, 0].copy()


def _rows(values: Array, axes: int) -> Array:
    """Numbers for each output channel, to multiply weights of so many axes with."""
    return values.reshape(-1, *[1] * (axes - 1))


def _as_conv(weights: Weights) -> Weights:
    """A pool as a convolution with a group for each channel, which may have weights and a bias of its own."""
    channels = weights.shape[0]
    return replace(weights, kind=CONV, weight=np.repeat(weights.weight, channels, 0), groups=channels)


def _check_finite(stage: Stage, weights: Weights) -> None:
    if not (np.isfinite(weights.weight).all() and np.isfinite(weights.bias).all()):
        raise ExchangeError(f"nodes {', '.join(stage.weights)}: must have finite weights, got others")


def _layer(weights: Weights, neuron: Neuron | None, integers: dict[str, Any], delay: Integers | None) -> Layer:
    """The layer of these parameters.  A graph has no step per layer, so the block does not shift."""
    given: dict[str, Any] = {"shape": weights.shape, "neuron": neuron, "delay": delay, **integers}
    if neuron is not None:
        given["delay_shift"] = False
    if weights.kind == DENSE:
        return Recurrent(**given) if "weight_rec" in given else Dense(**given)
    given.update(stride=weights.stride, padding=weights.padding, dilation=weights.dilation)
    return Pool(**given) if weights.kind == POOL else Conv(**given, groups=weights.groups)
