"""Networks as graphs of NIR, the Neuromorphic Intermediate Representation, and back.

`to_graph` and `write` create a graph of standard nodes with the same parameters, which other frameworks can read, and
keep the integers of the ``.net`` file as metadata. `from_graph` and `read` restore those integers bit by bit, or import
the graphs of other frameworks with a report on what was rounded. The parameters are the same on both sides, but the
spikes may differ, because the file rounds toward zero at every step. ``docs/nir.md`` describes the mapping.

Writing needs the package ``nir`` (``pip install 'lavadl-ref[nir]'``); reading a file does not.
"""

from __future__ import annotations

import os
from typing import Any

from lavadl_ref._arguments import described
from lavadl_ref.exchange import Network, digest
from lavadl_ref.exchange.errors import ExchangeError, within
from lavadl_ref.exchange.storage import File, name_of
from lavadl_ref.nir._compare import difference as _difference
from lavadl_ref.nir._export import DT, VERSION, graph_tree, reason_for_opacity
from lavadl_ref.nir._file import holds_graph, read_tree, write_tree
from lavadl_ref.nir._graph import OURS, Tree, as_nir, as_tree, differences, numbers_of
from lavadl_ref.nir._import import chain_of
from lavadl_ref.nir._integers import network_of
from lavadl_ref.nir._report import Difference, Differing, Imported, Report, Rounded
from lavadl_ref.nir._restated import Restated as _Restated
from lavadl_ref.nir._sources import RESETS, SOURCES, convention

__all__ = [
    "DT",
    "RESETS",
    "SOURCES",
    "Difference",
    "Differing",
    "Imported",
    "Report",
    "Rounded",
    "difference",
    "from_graph",
    "holds_graph",
    "read",
    "restated",
    "to_graph",
    "write",
]


def to_graph(
    network: Network | str | os.PathLike[str],
    *,
    dt: float = DT,
    opaque: bool = False,
    input_shape: tuple[int, ...] | None = None,
) -> Any:
    """Convert a network to a NIR graph.

    Parameters
    ----------
    network : Network or path
        A description or a ``.net`` file.
    dt : float
        Seconds per step.  Other frameworks assume 1e-4.
    opaque : bool
        If True, neurons, messages and exponents that NIR cannot express become placeholder nodes, which no other
        framework runs; otherwise they are refused.
    input_shape : tuple of int, optional
        (C, H, W) or (N,), if the first layer does not determine it.

    Returns
    -------
    nir.NIRGraph
        The graph, with the integers of the file in ``metadata["lavadl_ref"]``.

    Raises
    ------
    ExchangeError
        If the network is not legal.
    UnsupportedLayer
        If NIR has no node for a layer.
    ImportError
        If the package nir is not installed.
    ValueError
        If `dt` is not positive, or `input_shape` is needed.
    """
    return as_nir(graph_tree(described(network), dt, opaque, input_shape))


def write(
    path: str | os.PathLike[str],
    network: Network | str | os.PathLike[str],
    *,
    dt: float = DT,
    opaque: bool = False,
    input_shape: tuple[int, ...] | None = None,
) -> None:
    """Write a network as a ``.nir`` file, replacing what is there.

    Parameters
    ----------
    path : str or path
        The file; it appears complete or not at all.
    network, dt, opaque, input_shape
        As for `to_graph`.

    Raises
    ------
    OSError
        With the name of the file, if it cannot be written.
    ExchangeError, UnsupportedLayer, ImportError, ValueError
        As for `to_graph`.
    """
    write_tree(path, graph_tree(described(network), dt, opaque, input_shape))


def read(
    file: File,
    *,
    source: str | None = None,
    dt: float | None = None,
    reset: str | None = None,
    requantise: bool = False,
) -> Imported:
    """Read a ``.nir`` file as a network.

    The file is not trusted: reading it takes bounded time and memory, and accepts only known content.

    Parameters
    ----------
    file : str, path or binary file
        As `lavadl_ref.exchange.read` takes it.
    source, dt, reset, requantise
        As for `from_graph`.

    Raises
    ------
    ExchangeError
        If the file is no legal graph, or cannot be imported; a one-line message names the file and the node.
    ValueError
        As for `from_graph`.
    """
    tree = read_tree(file)
    with within(name_of(file)):
        return _imported(tree, source, dt, reset, requantise)


def from_graph(
    graph: Any,
    *,
    source: str | None = None,
    dt: float | None = None,
    reset: str | None = None,
    requantise: bool = False,
) -> Imported:
    """Convert a NIR graph to a network.

    For a graph that `to_graph` created, the stored integers are used, after their digest and all nodes were checked
    against them. A graph of another framework is imported by the conventions of that framework, with a report on what
    was rounded.

    Parameters
    ----------
    graph : nir.NIRGraph
        A chain of weights and neurons, with feedback and delays.
    source : str, optional
        The framework that wrote the graph: one of `SOURCES`, or ``nir`` for the equations as written. The graph itself
        does not say.
    dt : float, optional
        Seconds per step, if the source has no default.
    reset : {'zero'}, optional
        Behaviour of the neurons at a spike, if the graphs of the source do not say.
    requantise : bool
        If True, a graph of `to_graph` that was changed afterwards is imported as it is now; otherwise it is refused.

    Returns
    -------
    Imported

    Raises
    ------
    TypeError
        If `graph` is no nir.NIRGraph.
    ExchangeError
        If no ``.net`` file can express the graph, or the graph differs from the integers that it contains.
    ValueError
        If `source`, `dt` or `reset` is missing, unknown or refused.
    ImportError
        If the package nir is not installed.
    """
    return _imported(as_tree(graph), source, dt, reset, requantise)


def difference(
    network: Network | str | os.PathLike[str],
    *,
    dt: float = DT,
    input_shape: tuple[int, ...] | None = None,
    seed: int = 0,
) -> Difference | None:
    """The share of spikes in which a network differs from its graph in floating point, on random input.

    Parameters
    ----------
    network, dt, input_shape
        As for `to_graph`.
    seed : int
        Of the input.

    Returns
    -------
    Difference or None
        None if the network is too large for a comparison, or never spikes.

    Raises
    ------
    ExchangeError, UnsupportedLayer, ValueError
        As for `to_graph`.
    """
    found = described(network)
    tree = graph_tree(found, dt, False, input_shape)
    given = Network(found.layers, found.simulation, found.input_shape if input_shape is None else input_shape)
    return _difference(tree, given, _neurons(found), convention("nir", dt, None), seed)


def restated(graph: Any, *, source: str = "nir", dt: float | None = DT, reset: str | None = None) -> _Restated:
    """Prepare a graph for a run in floating point, by the equations of its nodes: ``restated(graph).run(inputs)``.

    Parameters
    ----------
    graph : nir.NIRGraph
        With one input and one output.
    source, dt, reset
        As for `from_graph`.

    Raises
    ------
    ExchangeError
        If a node has no equation.
    """
    return _Restated(as_tree(graph), convention(source, dt, reset))


def _neurons(network: Network) -> list[tuple[str, int]]:
    """The nodes of neurons that spike in the graph of a network, and their layers."""
    found = []
    for position, layer in enumerate(network.layers):
        if layer.neuron is not None and reason_for_opacity(layer) is None:
            name = f"{layer.kind}_{position}_neuron"
            found.append((f"{name}.lif" if hasattr(layer, "weight_rec") else name, position))
    return found


def _imported(tree: Tree, source: str | None, dt: float | None, reset: str | None, requantise: bool) -> Imported:
    ours = tree["metadata"].get(OURS)
    if ours is not None:
        network, made = _stored(ours, numbers_of(tree))
        changed = next(differences(made, tree), None)
        if changed is None:
            return Imported(network, Report(True, "lavadl-ref", float(made["metadata"][OURS]["dt"])))
        if not requantise:
            raise ExchangeError(
                f"{changed}: must agree with the integers in metadata/{OURS}, got another value: the graph was edited; "
                "requantise=True imports it as it is"
            )
        source, dt = source or "nir", dt or float(made["metadata"][OURS]["dt"])
    elif source == "nir" and dt is None:
        dt = DT
    told = convention(source, dt, reset)
    chain = chain_of(tree, told)
    measured = _difference(tree, chain.network, chain.neurons, told)
    report = Report(False, told.source.name, told.dt, chain.rounded, chain.notes, measured)
    return Imported(chain.network, report)


def _stored(ours: Any, numbers: int) -> tuple[Network, Tree]:
    """The network that a graph of so many `numbers` holds as integers, and the graph that it should be."""
    with within(f"metadata/{OURS}"):
        try:
            version, dt, opaque, shape = (ours[key] for key in ("version", "dt", "opaque", "input_shape"))
            if int(version) != VERSION:
                raise ExchangeError(f"version: must be {VERSION}, got {int(version)}")
            taken = tuple(int(extent) for extent in shape)
            step, stands = float(dt), bool(opaque)
        except (TypeError, LookupError, ValueError, OverflowError) as error:
            if isinstance(error, ExchangeError):
                raise
            raise ExchangeError("must have version, dt, opaque, input_shape and net, got others") from None
        network = network_of(ours.get("net"))
        try:
            made = graph_tree(network, step, stands, taken, numbers, integers=False)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise ExchangeError(str(error)) from None
    return Network(network.layers, network.simulation, taken), made
