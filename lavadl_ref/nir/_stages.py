"""Graphs as a chain of stages: weights, then neurons with or without feedback, then a delay."""

from __future__ import annotations

from dataclasses import dataclass, field

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.nir._graph import INPUT, OUTPUT, Tree, flattened, successors
from lavadl_ref.nir._restated import LINEAR, only_ends
from lavadl_ref.nir._shapes import Shape, shape_of
from lavadl_ref.nir._sources import NEURONS

MATRICES = ("Linear", "Affine")  #: types of nodes with a matrix


@dataclass
class Stage:
    """The nodes that become one layer, by their names."""

    weights: list[str] = field(default_factory=list)
    neuron: str | None = None
    feedback: str | None = None
    delay: str | None = None


def stages(tree: Tree) -> tuple[dict[str, Tree], Shape, list[Stage]]:
    """The nodes of a graph, the shape of its input, and the stages between input and output.

    Raises
    ------
    ExchangeError
        If the graph is no chain of such stages; the message names the node.
    """
    nodes, edges = flattened(tree)
    after = successors(edges)
    start, end = only_ends(tree)
    shape = shape_of(start, nodes[start])
    found = [Stage()]
    name, passed = start, 0
    while name != end:
        following = after.get(name, [])
        if found[-1].neuron == name and found[-1].delay is None:
            back = [other for other in following if _feeds_back(other, name, nodes, after)]
            if back and not NEURONS[nodes[name]["type"]]:
                raise ExchangeError(f"node {name}: must spike to feed back, got type {nodes[name]['type']}")
            if len(back) > 1:
                raise ExchangeError(f"node {name}: must have one node that feeds back, got {len(back)}")
            found[-1].feedback = back[0] if back else None
            following = [other for other in following if other not in back]
            passed += 2 * len(back)
        if len(following) != 1:
            raise ExchangeError(f"node {name}: must lead to one other node, got {len(following)}")
        (name,) = following
        passed += 1
        if passed > len(edges):
            raise ExchangeError(
                f"node {name}: must not be in a circle, unless it feeds back to neurons through weights"
            )
        if name != end:
            _place(name, nodes, found)
    if passed != len(edges):
        raise ExchangeError(f"edges: must form one chain from input to output, got {len(edges) - passed} beside it")
    if found == [Stage()]:
        raise ExchangeError("graph: must have nodes between input and output, got none")
    return nodes, shape, found


def _feeds_back(name: str, neuron: str, nodes: dict[str, Tree], after: dict[str, list[str]]) -> bool:
    return nodes[name]["type"] in MATRICES and after.get(name) == [neuron]


def _place(name: str, nodes: dict[str, Tree], found: list[Stage]) -> None:
    """Put a node into the last stage, or begin a stage with it."""
    kind = nodes[name]["type"]
    if kind in (INPUT, OUTPUT):  # of a graph within
        return
    last = found[-1]
    if kind == "Delay":
        if last.neuron is None or last.delay is not None:
            raise ExchangeError(f"node {name}: must be a single delay directly behind neurons")
        last.delay = name
        return
    if kind not in LINEAR and kind not in NEURONS:
        raise ExchangeError(f"node {name}: must be of a type that can be imported, got {kind}")
    if last.neuron is not None:
        if not NEURONS[nodes[last.neuron]["type"]]:
            raise ExchangeError(f"node {name}: must not follow neurons that never spike")
        last = Stage()
        found.append(last)
    if kind in NEURONS:
        last.neuron = name
    else:
        last.weights.append(name)
