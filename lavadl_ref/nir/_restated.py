"""A graph run in floating point, one step after the other: the equations of its nodes, as its source steps them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.nir._graph import INPUT, OUTPUT, Edge, Tree, flattened, successors
from lavadl_ref.nir._shapes import padding_of, pair
from lavadl_ref.nir._sources import NEURONS, Convention, Dynamics, dynamics

Array = NDArray[Any]


class Restated:
    """A graph as its nodes' equations say, with one Euler step of its source each.

    A node takes the sum of what the nodes before it give at the same step; where nodes feed back on
    each other, what came back is that of the step before.

    Parameters
    ----------
    tree : dict
        A graph with one input and one output.
    told : Convention
        Whose graph it is.
    dtype : type
        float32 or float64: the numbers of all states and sums.

    Raises
    ------
    ExchangeError
        If a node has no such equation.
    """

    def __init__(self, tree: Tree, told: Convention, dtype: Any = np.float64) -> None:
        self.nodes, edges = flattened(tree)
        self.dtype = dtype
        self._told = told
        self._input, self.output = only_ends(tree)
        self._order, self._before, self._late = _ordered(self._input, edges)
        self._neurons = {
            name: dynamics(name, self.nodes[name], told) for name in self._order if self.nodes[name]["type"] in NEURONS
        }
        for name in self._order:
            kind = self.nodes[name]["type"]
            if kind not in NEURONS and kind not in _RUNS and kind != "Delay":
                raise ExchangeError(f"node {name}: must have an equation of a step, got type {kind}")

    def run(self, inputs: ArrayLike) -> dict[str, Array]:
        """Run the graph from rest.

        Parameters
        ----------
        inputs : array_like
            (B, \\*shape, T) numbers of any type.

        Returns
        -------
        dict
            For each node that spikes, and for the output by the name of its node, (B, \\*shape, T): spikes, or what
            left the graph.
        """
        x = np.moveaxis(np.asarray(inputs, self.dtype), -1, 0)
        state: dict[str, list[Array]] = {}
        # at the first step, what feeds back is what its nodes make of nothing
        given = {name: value for name, value in self._at_rest(x[0]).items() if name in self._late}
        kept: dict[str, list[Array]] = {name: [] for name in [*self._spiking(), self.output]}
        for frame in x:
            now: dict[str, Array] = {}
            for name in self._order:
                sources = self._before.get(name, [])
                taken = [now[before] if before in now else given[before] for before in sources]
                total = frame if name == self._input else sum(taken[1:], taken[0])
                now[name] = self._node(name, total, state)
            given = {name: now[name] for name in self._late}
            for name, values in kept.items():
                values.append(now[name])
        return {name: np.moveaxis(np.stack(values), 0, -1) for name, values in kept.items()}

    def _spiking(self) -> list[str]:
        return [name for name, found in self._neurons.items() if found.threshold is not None]

    def _at_rest(self, frame: Array) -> dict[str, Array]:
        """The values of all nodes for an input of 0, with what feeds back left out."""
        now: dict[str, Array] = {}
        for name in self._order:
            taken = [now[before] for before in self._before.get(name, []) if before in now]
            total = np.zeros_like(frame) if name == self._input else sum(taken[1:], taken[0])
            kind = self.nodes[name]["type"]
            quiet = kind in NEURONS or kind == "Delay"
            now[name] = np.zeros_like(total) if quiet else _RUNS[kind](self.nodes[name], total)
        return now

    def _node(self, name: str, x: Array, state: dict[str, list[Array]]) -> Array:
        entry = self.nodes[name]
        if name in self._neurons:
            found = self._neurons[name]
            if name not in state:
                state[name] = [np.zeros_like(x), np.zeros_like(x)]
            return _stepped(found, x, state[name], self.dtype)
        if entry["type"] == "Delay":
            return self._delayed(name, x, state)
        made: Array = _RUNS[entry["type"]](entry, x)
        if made.dtype != self.dtype:
            made = made.astype(self.dtype)
        return made

    def _delayed(self, name: str, x: Array, state: dict[str, list[Array]]) -> Array:
        steps = steps_of(name, self.nodes[name], self._told)
        line = state.setdefault(name, [])
        line.insert(0, x)
        del line[int(steps.max()) + 1 :]
        made = np.zeros_like(x)
        for late in np.unique(steps):
            if late < len(line):
                made[..., steps == late] = line[late][..., steps == late]
        return made


def _stepped(found: Dynamics, x: Array, state: list[Array], dtype: Any) -> Array:
    current, voltage = state
    current = (1 - found.current_decay) * current + found.current_gain * x
    voltage = (1 - found.voltage_decay) * voltage + found.voltage_gain * current + found.bias
    current, voltage = current.astype(dtype), voltage.astype(dtype)
    if found.threshold is None:
        state[:] = current, voltage
        return voltage
    spikes = voltage > found.threshold.astype(dtype)
    state[:] = current, np.where(spikes, 0, voltage).astype(dtype)
    return spikes.astype(dtype)


def steps_of(name: str, entry: Tree, told: Convention) -> NDArray[np.int64]:
    """The steps of a Delay node, rounded to the nearest."""
    steps = np.rint(np.asarray(entry["delay"], np.float64) / told.dt)
    if steps.size and (steps.min() < 0 or steps.max() >= 2**15):
        raise ExchangeError(
            f"node {name}: delay: must be 0 to {2**15 - 1} steps, got {steps.min():g} to {steps.max():g}"
        )
    return steps.astype(np.int64)


def only_ends(tree: Tree) -> tuple[str, str]:
    """The names of the input and the output of a graph, of which it has one each."""
    ends = []
    for kind in (INPUT, OUTPUT):
        found = [name for name, entry in tree["nodes"].items() if entry["type"] == kind]
        if len(found) != 1:
            raise ExchangeError(f"graph: must have one node of type {kind}, got {len(found)}")
        ends += found
    return ends[0], ends[1]


def _ordered(start: str, edges: list[Edge]) -> tuple[list[str], dict[str, list[str]], set[str]]:
    """The nodes from the input on, each behind what it takes; what each takes; and those whose values come back."""
    after = successors(edges)
    done: list[str] = []
    on_the_way: set[str] = set()
    seen: set[str] = set()
    late: set[str] = set()
    waiting: list[tuple[str, bool]] = [(start, False)]
    while waiting:
        name, left = waiting.pop()
        if left:
            on_the_way.discard(name)
            done.append(name)
            continue
        if name in seen:
            continue
        seen.add(name)
        on_the_way.add(name)
        waiting.append((name, True))
        for following in after.get(name, []):
            if following in on_the_way:
                late.add(name)
            elif following not in seen:
                waiting.append((following, False))
    before: dict[str, list[str]] = {}
    for first, second in sorted(edges):
        if first in seen:
            before.setdefault(second, []).append(first)
    return done[::-1], before, late


# Nodes without states, of (B, *shape)


def _same(entry: Tree, x: Array) -> Array:
    return x


def _matrix(entry: Tree, x: Array) -> Array:
    made: Array = x @ np.asarray(entry["weight"]).astype(x.dtype).T
    return made + np.asarray(entry["bias"]).astype(x.dtype) if "bias" in entry else made


def _scaled(entry: Tree, x: Array) -> Array:
    return x * np.asarray(entry["scale"]).astype(x.dtype)


def _flat(entry: Tree, x: Array) -> Array:
    axes = x.shape[1:]
    first = int(entry["start_dim"]) % len(axes)
    last = int(entry["end_dim"]) % len(axes)
    return x.reshape(x.shape[0], *axes[:first], math.prod(axes[first : last + 1]), *axes[last + 1 :])


def _windows(x: Array, kernel: tuple[int, int], entry: Tree, dilation: tuple[int, int]) -> Array:
    """(B, C, H', W', kh, kw): the windows of (B, C, H, W)."""
    (above, aside), stride = padding_of(entry), pair(entry["stride"])
    padded = np.pad(x, ((0, 0), (0, 0), (above, above), (aside, aside)))
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    if min(stride) < 1 or min(reach) < 1 or any(n < r for n, r in zip(padded.shape[2:], reach, strict=True)):
        raise ExchangeError(f"windows of {kernel} must fit into an input, got {x.shape[1:]}")
    found = sliding_window_view(padded, reach, (2, 3))
    return found[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _convolved(entry: Tree, x: Array) -> Array:
    weight = np.asarray(entry["weight"]).astype(x.dtype)
    groups = int(entry["groups"])
    windows = _windows(x, weight.shape[2:], entry, pair(entry["dilation"]))
    each_in, each_out = x.shape[1] // groups, weight.shape[0] // groups
    parts = [
        np.einsum(
            "bchwij,ocij->bohw",
            windows[:, group * each_in : (group + 1) * each_in],
            weight[group * each_out : (group + 1) * each_out],
            optimize=True,
        )
        for group in range(groups)
    ]
    made: Array = np.concatenate(parts, 1) + np.asarray(entry["bias"]).astype(x.dtype)[:, None, None]
    return made


def _summed(entry: Tree, x: Array) -> Array:
    return _windows(x, pair(entry["kernel_size"]), entry, (1, 1)).sum((4, 5), dtype=x.dtype)


def _averaged(entry: Tree, x: Array) -> Array:
    return _summed(entry, x) / math.prod(pair(entry["kernel_size"]))


_RUNS: dict[str, Any] = {
    INPUT: _same,
    OUTPUT: _same,
    "Linear": _matrix,
    "Affine": _matrix,
    "Scale": _scaled,
    "Flatten": _flat,
    "Conv2d": _convolved,
    "SumPool2d": _summed,
    "AvgPool2d": _averaged,
}


def linear(entry: Tree, x: Array) -> Array:
    """The values of a node without states.

    Parameters
    ----------
    entry : dict
        Of a type with weights, a pool, a Scale or a Flatten.
    x : ndarray
        (B, \\*shape) floats.
    """
    made: Array = _RUNS[entry["type"]](entry, x)
    return made


LINEAR = frozenset(_RUNS) - {INPUT, OUTPUT}
