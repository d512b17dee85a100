"""Graphs as nested dictionaries, in the form that nir's own ``to_dict`` gives and its files have.

All parts of this package work on these trees, so that reading a file needs no package but NumPy and h5py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.nir._package import package

Tree = dict[str, Any]  #: a node: ``type``, its fields, ``metadata``; a graph has ``nodes`` and ``edges``
Edge = tuple[str, str]

OURS = "lavadl_ref"  #: key of the metadata that this package writes
GRAPH, INPUT, OUTPUT = "NIRGraph", "Input", "Output"
_WINDOW = ("stride", "padding", "dilation")

#: The fields of each type of node of nir 1.0.8, in a file and in ``to_dict``; ``metadata`` and ``type`` aside.
FIELDS: dict[str, tuple[str, ...]] = {
    "Affine": ("weight", "bias"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Conv1d": ("input_shape", "weight", *_WINDOW, "groups", "bias"),
    "Conv2d": ("input_shape", "weight", *_WINDOW, "groups", "bias"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    "Delay": ("delay",),
    "Flatten": ("input_type", "start_dim", "end_dim"),
    "I": ("r",),
    "IF": ("r", "v_threshold", "v_reset"),
    INPUT: ("shape",),
    "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "Linear": ("weight",),
    GRAPH: ("nodes", "edges"),
    OUTPUT: ("shape",),
    "Scale": ("scale",),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "Threshold": ("threshold",),
}
#: Fields that a graph may leave out.
OPTIONAL = frozenset({"v_reset", "w_in", "input_shape", "input_type"})


def node(kind: str, **fields: Any) -> Tree:
    """A node of type `kind`, with metadata of its own under `OURS` if `fields` has ``ours``."""
    ours = fields.pop("ours", None)
    return {"type": kind, **fields, "metadata": {} if ours is None else {OURS: ours}}


def as_tree(graph: Any) -> Tree:
    """The tree of an object of the package `nir`.

    Parameters
    ----------
    graph : nir.NIRGraph
        Any object of that class.

    Raises
    ------
    TypeError
        If it is no such graph.
    ExchangeError
        If it holds what no graph of nir 1.0.8 has.
    """
    nir = package()
    if not isinstance(graph, nir.NIRGraph):
        raise TypeError(f"graph must be a nir.NIRGraph, got {type(graph).__name__}")
    tree: Tree = _plain("graph", graph.to_dict())
    return tree


def _plain(place: str, value: Any) -> Any:
    """A value of `to_dict` without Nones, with arrays of NumPy instead of other numbers and tensors."""
    if isinstance(value, Mapping):
        found = {str(key): _plain(f"{place}/{key}", entry) for key, entry in value.items() if entry is not None}
        kind = found.get("type")
        if isinstance(kind, str) and kind == GRAPH:
            found["edges"] = [(str(before), str(after)) for before, after in value["edges"]]
        return found if place.endswith("/nodes") else with_defaults(found)
    if isinstance(value, (str, bool)):
        return value
    if place.endswith("/edges"):
        return value
    found_array = np.asarray(value)
    if found_array.dtype.kind not in "biufSU":
        raise ExchangeError(f"{place}: must be numbers or text, got {type(value).__name__}")
    return found_array


def with_defaults(entry: Tree) -> Tree:
    """A node with the fields that nir fills in: a reset to 0, an input that is taken as it is."""
    if "v_threshold" in entry and "v_reset" not in entry:
        entry["v_reset"] = np.zeros_like(entry["v_threshold"])
    if "tau_syn" in entry:
        entry["w_in"] = np.ones_like(entry["tau_syn"]) * entry.get("w_in", 1)
    return entry


def as_nir(tree: Tree) -> Any:
    """An object of the package `nir`, which checks it.

    Raises
    ------
    ImportError
        If that package is not installed.
    """
    graph: Any = package().ir.dict2NIRNode(_copied(tree))
    return graph


def _copied(value: Any) -> Any:
    """A copy of the dictionaries and edges: nir's constructors change those that they are given."""
    return {key: _copied(entry) for key, entry in value.items()} if isinstance(value, dict) else value


def flattened(tree: Tree) -> tuple[dict[str, Tree], list[Edge]]:
    """All nodes of a graph and of the graphs within it, and the edges between them.

    The inputs and outputs of a graph within stay as nodes that hand on what they get.

    Parameters
    ----------
    tree : dict
        A graph.

    Returns
    -------
    nodes : dict
        By name, those within a graph called ``graph.node``.
    edges : list of (str, str)

    Raises
    ------
    ExchangeError
        If an edge names no node, or a graph within has other than one input and one output.
    """
    nodes: dict[str, Tree] = {}
    edges: list[Edge] = []
    _collect("", tree, nodes, edges)
    if len(set(edges)) != len(edges):
        raise ExchangeError("edges: must be different from each other, got one twice")
    return nodes, edges


def _collect(prefix: str, tree: Tree, nodes: dict[str, Tree], edges: list[Edge]) -> None:
    ends: dict[str, dict[str, str]] = {INPUT: {}, OUTPUT: {}}
    for name, entry in tree["nodes"].items():
        full = f"{prefix}{name}"
        if full in nodes:
            raise ExchangeError(f"node {full}: must have a name of its own, got that of another node")
        if entry["type"] != GRAPH:
            nodes[full] = entry
            continue
        _collect(f"{full}.", entry, nodes, edges)
        for kind in ends:
            ends[kind][name] = f"{full}.{only(entry, kind, full)}"
    for before, after in tree["edges"]:
        for name in (before, after):
            if name not in tree["nodes"]:
                raise ExchangeError(f"edges: must join nodes of the graph, got {name!r}")
        start = ends[OUTPUT].get(before, f"{prefix}{before}")
        edges.append((start, ends[INPUT].get(after, f"{prefix}{after}")))


def only(tree: Tree, kind: str, name: str) -> str:
    """The name of the only node of a type in a graph called `name`.

    Raises
    ------
    ExchangeError
        If there is none, or several.
    """
    found = [key for key, entry in tree["nodes"].items() if entry["type"] == kind]
    if len(found) != 1:
        raise ExchangeError(f"{name}: must have one node of type {kind}, got {len(found)}")
    return found[0]


def successors(edges: list[Edge]) -> dict[str, list[str]]:
    """The nodes behind each node, in alphabetical order."""
    found: dict[str, list[str]] = {}
    for before, after in sorted(edges):
        found.setdefault(before, []).append(after)
    return found


def numbers_of(tree: Tree) -> int:
    """Numbers of all nodes, metadata aside."""
    if tree["type"] == GRAPH:
        return sum(map(numbers_of, tree["nodes"].values()))
    return sum(np.size(tree[key]) for key in FIELDS[tree["type"]] if key in tree)


def differences(left: Tree, right: Tree, place: str = "graph") -> Iterator[str]:
    """The places in which two graphs differ, metadata and dtypes aside.

    Parameters
    ----------
    left, right : dict
        Nodes or graphs.
    place : str
        What the first of them is called.
    """
    if left["type"] != right["type"]:
        yield place
        return
    if left["type"] == GRAPH:
        if set(left["edges"]) != set(right["edges"]):
            yield f"{place}/edges"
        for name in sorted({*left["nodes"], *right["nodes"]}):
            below = f"{place}/{name}"
            if name in left["nodes"] and name in right["nodes"]:
                yield from differences(left["nodes"][name], right["nodes"][name], below)
            else:
                yield below
        return
    for key in FIELDS[left["type"]]:
        ours, theirs = (np.asarray(side.get(key, "absent")) for side in (left, right))
        if not np.array_equal(ours, theirs):
            yield f"{place}/{key}"
