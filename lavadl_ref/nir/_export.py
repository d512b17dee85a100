"""Networks as graphs of NIR: standard nodes with the same parameters, and the integers of the file as metadata.

With ``dt`` the length of a step and d a decay in 1/4096, a leaky integrator has the time constant ``dt * 4096 / d`` and
the gain ``4096 / d``, so that one Euler step of ``dt`` is the step of the file, but for its rounding toward zero:
``i + dt/tau (-i + w_in x) = (1 - d/4096) i + x``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lavadl_kernels.fixed_point import DECAY_ONE, WEIGHT_ONE
from numpy.typing import NDArray

from lavadl_ref._arguments import positive, real
from lavadl_ref.deployed.deployment import is_graded, refusal
from lavadl_ref.exchange import (
    FAMILIES,
    Average,
    Conv,
    Dense,
    Flatten,
    Input,
    Kernel,
    Layer,
    Network,
    Pool,
    Recurrent,
    TimeDecimation,
    check,
)
from lavadl_ref.exchange.keys import entries_of
from lavadl_ref.nir import _unrolled
from lavadl_ref.nir._graph import GRAPH, INPUT, OURS, OUTPUT, Tree, node
from lavadl_ref.nir._unrolled import Shape, affine, floats

DT = 1e-4  #: seconds of a step; the one that snnTorch and SpikingJelly take for granted
DT_MIN, DT_MAX = 1e-9, 1e6  #: within which all times are float32 numbers
VERSION = 1  #: of the metadata of this package
#: The time constant of a decay of 0, in steps.  1 - 2**-64 is 1 in float32 and float64, so that such a state forgets
#: nothing, and the gain is finite: with an infinite time constant it would be, too, and their product no number.
FOREVER = 2.0**64
NUMBERS_LIMIT = 2**26  #: numbers of a graph, which a reader must hold

#: The type of node that has the dynamics of a family, for each family that has one.
NODES = {"CUBA": "CubaLIF"}

NO_AXIS = 16  #: number of an axis that no tensor of a network has
_FIELDS = 7  # of the node of neurons

Array = NDArray[Any]


def graph_tree(
    network: Network,
    dt: float = DT,
    opaque: bool = False,
    input_shape: tuple[int, ...] | None = None,
    numbers: int = NUMBERS_LIMIT,
    integers: bool = True,
) -> Tree:
    """The graph of a network, see `lavadl_ref.nir.to_graph`, of at most so many `numbers`, with or without `integers`.

    Raises
    ------
    ExchangeError
        If the network is not legal.
    UnsupportedLayer
        If a layer has no node, unless `opaque` allows one that stands for it; if the graph would have more `numbers`.
    ValueError
        If `dt` is not positive, or the shape of the input is needed and not known.
    """
    dt = real("dt", positive("dt", dt), DT_MIN, DT_MAX)
    check(network)
    taken = network.input_shape if input_shape is None else tuple(int(extent) for extent in input_shape)
    if taken is None:
        raise ValueError("input_shape must be given, (C, H, W) or (N,), because the first layer does not determine it")
    network = Network(network.layers, network.simulation, taken)
    check(network)
    drawn = _Drawn(dt, opaque, taken, numbers)
    for position, layer in enumerate(network.layers):
        drawn.add(position, layer)
    drawn.append("output", node(OUTPUT, shape=np.array(drawn.shape)))
    ours = {"version": VERSION, "dt": dt, "opaque": opaque, "input_shape": np.array(taken)}
    if integers:
        ours["net"] = entries_of(network)
    return {"type": GRAPH, "nodes": drawn.nodes, "edges": drawn.edges, "metadata": {OURS: ours}}


def reason_for_opacity(layer: Layer) -> str | None:
    """The reason why no standard node has the dynamics of a layer's neurons; None where one has."""
    neuron = layer.neuron
    if neuron is None:
        return None
    if neuron.type not in NODES:
        return f"has {neuron.type} neurons, for which NIR has no node"
    if is_graded(layer):
        return "sends graded spikes, which no node of NIR does"
    if neuron.parameters.get("weight_exp"):
        return "has a weight exponent, which no node of NIR has"
    return None


@dataclass
class _Drawn:
    """A graph as far as it is drawn, and what leaves its last node."""

    dt: float
    opaque: bool
    shape: Shape
    left: int  #: numbers that may still come
    nodes: dict[str, Tree] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    last: tuple[str, ...] = ()
    spatial: Shape = ()  #: (C, H, W) of the file where the graph has one axis for it

    def __post_init__(self) -> None:
        self.append("input", node(INPUT, shape=np.array(self.shape)))

    @property
    def taken(self) -> Shape:
        """The shape that the last layer has in the file."""
        return self.spatial or self.shape

    def append(self, name: str, *entries: Tree) -> None:
        """Put nodes side by side behind the last ones; a second is called ``name_imag``."""
        names = [name, f"{name}_imag"][: len(entries)]
        self.nodes.update(zip(names, entries, strict=True))
        self.edges += [(before, after) for before in self.last for after in names]
        self.last = tuple(names)

    def add(self, position: int, layer: Layer) -> None:
        """Draw one layer."""
        name = f"{layer.kind}_{position}"
        if isinstance(layer, TimeDecimation):
            raise refusal(position, layer, "averages over bins of time, which no node of NIR does")
        reason = reason_for_opacity(layer)
        if reason is not None and not self.opaque:
            raise refusal(position, layer, f"{reason}; opaque=True writes a node that stands for it")
        if isinstance(layer, Flatten):
            self.flatten(name)
            self.shape, self.spatial = layer.shape, ()
            return
        self.take(position, layer, 1 if reason else _FIELDS)
        scale = self.synapse(position, name, layer, reason is None)
        # what is one axis in the graph stays so, whatever shape it has in the file
        flat = len(self.shape) == 1 and len(layer.shape) == 3
        self.shape, self.spatial = ((layer.size,), layer.shape) if flat else (layer.shape, ())
        if layer.neuron is not None:
            if reason is not None:
                self.barrier(name)
            entry = self.neuron(layer, scale) if reason is None else self.opaque_neuron(layer)
            self.behind(name, layer, entry)
        if layer.delay is not None:
            steps = self.lanes(layer, layer.delay)
            self.append(f"{name}_delay", node("Delay", delay=floats(steps * self.dt)))

    def take(self, position: int, layer: Layer, fields: int) -> None:
        """Account for the numbers of a layer's nodes, before any of them is made: a file may claim many neurons."""
        count = layer.size * ((layer.neuron is not None) * fields + (layer.delay is not None))
        inputs = math.prod(self.taken)
        if isinstance(layer, (Conv, Pool)) and len(self.shape) == 3:
            count += layer.channels * inputs // math.prod(self.taken[1:]) * max(layer.kernel_size) ** 2
        elif isinstance(layer, Input):
            count += layer.channels**2
        else:
            count += layer.size * inputs
        self.left -= count
        if self.left < 0:
            raise refusal(position, layer, f"comes to {count:,} numbers in NIR, more than a graph may have")

    def flatten(self, name: str) -> None:
        """Make one axis of three, unless the graph has one already."""
        if len(self.shape) == 3:
            self.append(name, node("Flatten", input_type=np.array(self.shape), start_dim=0, end_dim=-1))
            self.shape, self.spatial = (math.prod(self.shape),), self.shape

    def synapse(self, position: int, name: str, layer: Layer, standard: bool) -> int:
        """Draw the nodes in front of a layer's neurons; return by how much its threshold is divided, in 1/64."""
        if isinstance(layer, Input):
            self.gain(position, name, layer)
            return WEIGHT_ONE
        parts = _parts(layer, standard)
        if isinstance(layer, (Conv, Pool)) and len(self.shape) == 3:
            if standard and layer.neuron is not None and _unrolled.is_plain_pool(layer):
                pool = _unrolled.sum_pool(layer, self.shape)
                if pool is not None:
                    self.append(name, pool)
                    return int(layer.weight.flat[0])
            kernels = [_unrolled.conv(layer, weight, bias, self.shape) for weight, bias in parts]
            if None not in kernels:
                self.append(name, *(kernel for kernel in kernels if kernel is not None))
                return WEIGHT_ONE
        taken = self.taken
        self.flatten(f"{name}_flat")
        self.append(name, *self.matrices(position, layer, parts, taken))
        self.shape = (layer.size,)
        return WEIGHT_ONE

    def matrices(self, position: int, layer: Layer, parts: list[tuple[Any, Any]], taken: Shape) -> list[Tree]:
        """Nodes with a matrix for each part of a layer's weights."""
        if isinstance(layer, Dense):
            return [affine(weight / WEIGHT_ONE, bias) for weight, bias in parts]
        if isinstance(layer, Average):
            return [affine(_unrolled.matrix(position, layer, taken), None)]
        assert isinstance(layer, Kernel)
        each = layer.size // layer.channels
        return [
            affine(_unrolled.matrix(position, layer, taken, part), None if bias is None else np.repeat(bias, each))
            for part, (_, bias) in enumerate(parts)
        ]

    def gain(self, position: int, name: str, layer: Input) -> None:
        """Draw the gain and the offset of an input layer, where it has other than 1 and 0 or drives neurons.

        A Scale would say it in one number a neuron, but no importer knows that node.
        """
        if layer.neuron is None and (layer.weight, layer.bias) == (WEIGHT_ONE, 0):
            return
        channels = layer.channels
        _unrolled.check_size(position, layer, channels, channels)
        gain = np.eye(channels) * (layer.weight / WEIGHT_ONE)
        offset = np.full(channels, layer.bias / WEIGHT_ONE) if layer.bias else None
        if len(self.shape) == 1:
            self.append(name, affine(gain, offset))
            return
        one = np.ones(2, np.int64)
        self.append(
            name,
            node(
                "Conv2d",
                input_shape=np.array(self.shape[1:]),
                weight=floats(gain[:, :, None, None]),
                stride=one,
                padding=0 * one,
                dilation=one,
                groups=1,
                bias=floats(np.zeros(channels) if offset is None else offset),
            ),
        )

    def lanes(self, layer: Layer, values: Any) -> Array:
        """One number, or one for each channel, for each neuron of a layer in the shape that the graph has for it."""
        array = np.asarray(values, np.float64)
        if array.ndim == 1:
            array = array.reshape(-1, *[1] * (len(layer.shape) - 1))
        return np.broadcast_to(array, layer.shape).reshape(self.shape)

    def neuron(self, layer: Layer, scale: int) -> Tree:
        """The standard node of a layer's neurons; the threshold is divided by `scale` / 64."""
        neuron = layer.neuron
        assert neuron is not None
        gains = {}
        for name in ("current_decay", "voltage_decay"):
            decay = self.lanes(layer, neuron[name])
            gains[name] = np.where(decay == 0, FOREVER, DECAY_ONE / np.where(decay == 0, 1, decay))
        bias = None if isinstance(layer, Input) else getattr(layer, "bias", None)
        leak = self.lanes(layer, 0 if bias is None else bias / WEIGHT_ONE)
        return node(
            NODES[neuron.type],
            tau_syn=_narrow(self.dt * gains["current_decay"]),
            tau_mem=_narrow(self.dt * gains["voltage_decay"]),
            r=_narrow(gains["voltage_decay"]),
            w_in=_narrow(gains["current_decay"]),
            v_leak=_narrow(leak * gains["voltage_decay"]),
            v_threshold=_narrow(self.lanes(layer, neuron["threshold"] / scale)),
            v_reset=_narrow(self.lanes(layer, 0)),
        )

    def barrier(self, name: str) -> None:
        """Draw two nodes that change nothing and that no peer can run: norse leaves out a Threshold without a word."""
        axes = len(self.shape)
        shape = np.array(self.shape)
        self.append(f"{name}_barrier", node("Flatten", input_type=shape, start_dim=NO_AXIS, end_dim=-1))
        shape = np.array([*self.shape, 1])
        self.append(f"{name}_behind_barrier", node("Flatten", input_type=shape, start_dim=axes - 1, end_dim=-1))

    def opaque_neuron(self, layer: Layer) -> Tree:
        """A node that stands for neurons that NIR does not have, and that no peer runs."""
        neuron = layer.neuron
        assert neuron is not None
        threshold = neuron.parameters.get("threshold")
        values = self.lanes(layer, 0 if threshold is None else threshold)
        return node("Threshold", threshold=floats(values / WEIGHT_ONE), ours={"opaque": neuron.type})

    def behind(self, name: str, layer: Layer, entry: Tree) -> None:
        """Draw neurons, with their feedback as a graph of its own: peers miss a cycle that lies open."""
        if not isinstance(layer, Recurrent):
            self.append(f"{name}_neuron", entry)
            return
        weights = [layer.weight_rec, *([] if layer.weight_rec_imag is None else [layer.weight_rec_imag])]
        feedback = dict(zip(("w_rec", "w_rec_imag"), weights, strict=False))
        nodes = {
            "input": node(INPUT, shape=np.array(self.shape)),
            "lif": entry,
            **{key: affine(weight / WEIGHT_ONE, None) for key, weight in feedback.items()},
            "output": node(OUTPUT, shape=np.array(self.shape)),
        }
        edges = [("input", "lif")]
        for key in feedback:
            edges += [("lif", key), (key, "lif")]
        edges.append(("lif", "output"))
        self.append(f"{name}_neuron", {"type": GRAPH, "nodes": nodes, "edges": edges, "metadata": {}})


def _narrow(values: Array) -> Array:
    """Parameters of neurons as float32: with these a peer's states have the type of its weights."""
    return np.asarray(values, np.float32)


def _parts(layer: Layer, standard: bool) -> list[tuple[Any, Any]]:
    """Weight (1/64) and bias (units of 1) of the parts of a layer's input; the bias that acts there, or None."""
    if not isinstance(layer, (Dense, Kernel)):
        return [(None, None)]
    at_input = layer.neuron is None or not standard or FAMILIES[layer.neuron.type].bias_at_input
    found = []
    for weight, bias in ((layer.weight, layer.bias), (layer.weight_imag, layer.bias_imag)):
        if weight is not None:
            given = bias if at_input else getattr(layer, "input_bias", None)
            found.append((weight, None if given is None else given / WEIGHT_ONE))
    return found
