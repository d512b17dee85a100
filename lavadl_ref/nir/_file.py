"""``.nir`` files: read as trees within the limits of ``.net`` files, and written as nir writes them.

A file is not trusted.  It is not given to nir, nor to HDF5's C library: `lavadl_ref.exchange.hdf5` decodes it, every
key and every type of node must be known, and graphs within graphs go no deeper than `DEPTH_LIMIT`.
"""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np

from lavadl_ref.exchange import atomic, hdf5
from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.read import Folder
from lavadl_ref.exchange.storage import File, opened, shown
from lavadl_ref.nir._graph import FIELDS, GRAPH, OPTIONAL, OURS, Tree, as_nir, with_defaults
from lavadl_ref.nir._package import package

DEPTH_LIMIT = 4  #: graphs within graphs
METADATA_DEPTH = 8  #: groups within the metadata of this package
NODE_LIMIT = 2**14  #: nodes of a file, those of graphs within counted too
EDGE_LIMIT = 2**14  #: edges of one graph
_TEXT_FIELDS = ("padding",)  # a Conv2d may have 'same' or 'valid' instead of numbers


def holds_graph(file: File) -> bool:
    """Tell whether a file of HDF5 has the keys of NIR rather than those of a ``.net`` file.

    Raises
    ------
    ExchangeError
        If there is no file, or it is not HDF5.
    """
    with opened(file, Folder) as root:
        return "node" in root


def read_tree(file: File) -> Tree:
    """Read a ``.nir`` file as a tree.

    Parameters
    ----------
    file : str, path or binary file
        As `lavadl_ref.exchange.read` takes it.

    Returns
    -------
    dict
        A graph; of metadata only that of this package, which `network_of` reads.

    Raises
    ------
    ExchangeError
        If the file is missing, not HDF5, damaged, or holds what no graph of nir 1.0.8 has; in one line that names the
        file and the place.
    """
    with opened(file, _Nodes) as root:
        root.only({"node", "version"})
        tree = root.folder("node", prefix="").node(DEPTH_LIMIT, [NODE_LIMIT])
        if tree["type"] != GRAPH:
            raise ExchangeError(f"node: must be of type {GRAPH}, got {tree['type']}")
        return tree


class _Nodes(Folder):
    """A group of a ``.nir`` file."""

    def node(self, depth: int, left: list[int]) -> Tree:
        """The node that this group holds; `left` nodes may still come, in graphs down to `depth`."""
        left[0] -= 1
        if left[0] < 0:
            raise ExchangeError(f"must have at most {NODE_LIMIT} nodes, got more")
        kind = self.text("type")
        if kind not in FIELDS:
            raise ExchangeError(f"{self._prefix}type: must be one of {', '.join(sorted(FIELDS))}, got {shown(kind)}")
        fields = FIELDS[kind]
        self.only({"type", "metadata", *fields})
        found: Tree = {"type": kind, "metadata": self._ours()}
        for key in fields:
            if key not in self:
                if key not in OPTIONAL:
                    raise ExchangeError(f"{self._prefix}{key}: missing; a node of type {kind} needs it")
            elif key == "nodes":
                found[key] = self._below(depth, left)
            else:
                found[key] = self.edges() if key == "edges" else self.values(key, texts=key in _TEXT_FIELDS)
        return with_defaults(found)

    def _below(self, depth: int, left: list[int]) -> dict[str, Tree]:
        if depth == 0:
            raise ExchangeError(f"{self._prefix}nodes: must hold graphs within graphs to a depth of {DEPTH_LIMIT}")
        folder = self.folder("nodes", prefix=self._prefix)
        for name in folder.names:
            if shown(name) != name or not name:
                raise ExchangeError(f"{self._prefix}nodes: must have short printable names, got {shown(name)}")
        return {name: folder.folder(name).node(depth - 1, left) for name in folder.names}

    def edges(self) -> list[tuple[str, str]]:
        """The edges of a graph, pairs of names."""

        def pairs(values: Any) -> list[tuple[str, str]]:
            if values.ndim != 2 or values.shape[1] != 2:
                if values.size == 0:
                    return []
                raise ExchangeError(f"must have shape (edges, 2), got {values.shape}")
            return [(_text(before), _text(after)) for before, after in values]

        if self.shape("edges") in ((0,), (0, 2)):
            return []
        return self._read("edges", "SO", 2 * EDGE_LIMIT, pairs)

    def values(self, key: str, texts: bool) -> Any:
        """Numbers or, where a field may have it, a text."""
        if texts and self.is_text(key):
            return self.text(key)
        return self._read(key, "biuf", None, _finite)

    def shape(self, key: str) -> tuple[int, ...] | None:
        """The shape of a dataset."""
        found = self._open(key, hdf5.Dataset)
        return found.shape

    def is_text(self, key: str) -> bool:
        """Tell whether a dataset holds text."""
        return self._open(key, hdf5.Dataset).type.kind in "SO"

    def _ours(self) -> dict[str, Any]:
        """The metadata of this package; that of others is not looked at."""
        if "metadata" not in self:
            return {}
        folder = self.folder("metadata")
        return {OURS: folder.folder(OURS).tree(METADATA_DEPTH)} if OURS in folder else {}

    def tree(self, depth: int) -> dict[str, Any]:
        """Everything in this group, as nested dictionaries of arrays and texts."""
        if depth == 0:
            raise ExchangeError(f"{self._prefix}: must have groups to a depth of {METADATA_DEPTH}, got a deeper one")
        found: dict[str, Any] = {}
        for name in self.names:
            if self.is_folder(name):
                found[name] = self.folder(name).tree(depth - 1)
            else:
                found[name] = self.text(name) if self.is_text(name) else self.values(name, texts=False)
        return found


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _finite(values: Any) -> Any:
    """Numbers as they are, but no NaN."""
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise ExchangeError("must be numbers, got NaN")
    return values


def write_tree(path: str | os.PathLike[str], tree: Tree) -> None:
    """Write a graph as nir does, complete or not at all, without compression.

    Parameters
    ----------
    path : str or path
        What is there is replaced.
    tree : dict
        A graph.

    Raises
    ------
    ImportError
        If the package `nir` is not installed.
    OSError
        With the name of the file, if it cannot be written.
    """
    nir = package()
    content = io.BytesIO()
    # what is compressed may grow when it is read, so that readers allow less of it
    nir.write(content, as_nir(tree), compression=None)
    atomic.write_bytes(path, content.getvalue())
