"""``.nir`` files to be damaged, ways of damage that graphs alone have, and the reader that is given them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from lavadl_ref import exchange
from lavadl_ref.testing._choices import Choices
from lavadl_ref.testing._damage import Edit
from lavadl_ref.testing.fuzz import _bases
from lavadl_ref.testing.fuzz._outcomes import LEGAL

OURS = "node/metadata"  #: the integers of this package, without which a graph is read as that of others
_NAMES = (("base", "nir"), ("base", "net"), ("bare", "nir"))  #: of the files of one network, and their endings


def bases(folder: Path, seed: int) -> list[tuple[Path, Path]]:
    """Whole ``.nir`` files in a folder, each with the ``.net`` file of the same network.

    They are the networks of `_bases.networks` that NIR can hold, with the integers of this package and without.

    Raises
    ------
    ImportError
        If the package nir is not installed.
    """
    from lavadl_ref import nir

    found = []
    for index, network in enumerate(_bases.networks(seed)):
        path, net, bare = (folder / f"{name}-{index}.{kind}" for name, kind in _NAMES)
        for opaque in (False, True):
            try:
                nir.write(path, network, opaque=opaque, input_shape=_input_shape(network))
            except (exchange.ExchangeError, NotImplementedError, ValueError):
                continue  # refused with its reason, or without a shape of its input
            exchange.write(net, network)
            found.append((path, net))
            if not opaque:  # nodes that stand for what NIR does not have are no one else's
                bare.write_bytes(path.read_bytes())
                with h5py.File(bare, "r+") as file:
                    del file[OURS]
                found.append((bare, net))
            break
    return found


def _input_shape(network: exchange.Network) -> tuple[int, ...] | None:
    """A shape of the input that a network can have, of a few pixels where its first layer is a window."""
    first = network.layers[0]
    if network.input_shape is not None or not isinstance(first, exchange.Kernel):
        return network.input_shape
    channels = first.weight.shape[1] * first.groups
    for height, width in ((h, w) for h in range(1, 40) for w in range(1, 40)):
        shape = (channels, height, width)
        try:
            exchange.check(exchange.Network(network.layers, network.simulation, shape))
        except exchange.ExchangeError:
            continue
        return shape
    return None


def read(path: str | os.PathLike[str]) -> exchange.Network | str:
    """The network of a ``.nir`` file; `LEGAL` where a graph without integers of ours stands for any legal one."""
    from lavadl_ref import nir

    imported = nir.read(path, source="nir")
    exchange.check(imported.network)
    return imported.network if imported.report.lossless else LEGAL


def _nodes(file: h5py.File) -> h5py.Group:
    return file["node/nodes"] if "node/nodes" in file else file["/"]


def nested_graphs(choose: Choices, file: h5py.File, name: str) -> None:
    """Graphs within graphs."""
    group = _nodes(file)
    for _ in range(choose.integer(1, 40)):
        inner = group.create_group("within")
        inner["type"] = "NIRGraph"
        inner["edges"] = np.zeros((0, 2), "S1")
        group = inner.create_group("nodes")


def many_nodes(choose: Choices, file: h5py.File, name: str) -> None:
    """The same node under thousands of names."""
    group = _nodes(file)
    node = group[choose.one(sorted(group))]
    for index in range(choose.one((10, 1000, 3000))):
        group[f"copy {index}"] = node


def other_edges(choose: Choices, file: h5py.File, name: str) -> None:
    """Edges between any nodes, in circles, twice, to nodes that are not there, or many."""
    names = [*sorted(_nodes(file)), "nowhere"]
    count = choose.one((1, 3, len(names), 10**5))
    drawn = [[choose.one(names), choose.one(names)] for _ in range(min(count, 50))]
    if "node/edges" in file:
        del file["node/edges"]
    rows = np.array(drawn, "S40")
    file["node/edges"] = np.tile(rows, (max(count // 50, 1), 1))


def other_type(choose: Choices, file: h5py.File, name: str) -> None:
    """A node that says it is of another type."""
    types = (
        "Input",
        "Output",
        "Linear",
        "Affine",
        "Conv2d",
        "CubaLIF",
        "LIF",
        "IF",
        "Flatten",
        "SumPool2d",
        "NIRGraph",
    )
    group = _nodes(file)
    node = group[choose.one(sorted(group))]
    if isinstance(node, h5py.Group) and "type" in node:
        del node["type"]
        node["type"] = choose.one((*types, "Delay", "Scale", "Threshold", "Brain", "x" * 1000))


def huge_shape(choose: Choices, file: h5py.File, name: str) -> None:
    """Sizes, strides and paddings without measure."""
    for key in ("shape", "input_shape", "stride", "padding", "dilation", "groups"):
        places = [place for place in _places(file) if place.rpartition("/")[2] == key]
        if places and choose.integer(0, 1):
            place = choose.one(places)
            values = np.array(file[place][()])
            if values.dtype.kind in "iu" and values.ndim < 2:
                del file[place]
                file[place] = np.full(values.shape, choose.one((0, -1, 8000, 2**15, 2**28, 2**62)))


def enormous(choose: Choices, file: h5py.File, name: str) -> None:
    """Numbers that no type of integers holds, or hardly any."""
    values = np.asarray(file[name][()], np.float64)
    del file[name]
    file[name] = np.full(values.shape, choose.one((1e300, -1e300, 1e38, 1e-300, 0.0, np.inf, -np.inf, np.nan, 1e6)))


def _places(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visit(names.append)
    return sorted(name for name in names if isinstance(file[name], h5py.Dataset))


#: Edits, and whether they are of a dataset of numbers.
EDITS: Mapping[str, tuple[Edit, bool]] = {
    "nested graphs": (nested_graphs, False),
    "many nodes": (many_nodes, False),
    "other edges": (other_edges, False),
    "other type": (other_type, False),
    "huge shape": (huge_shape, False),
    "enormous numbers": (enormous, True),
}
