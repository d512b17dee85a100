"""The older trees of HDF5: of keys, and of chunks."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.hdf5.source import Source

_NODE = struct.Struct("<4sBBH16x")  # signature, type, level, entries; two neighbours
_LEVEL_LIMIT = 16


def leaves(source: Source, root: int, kind: int, axes: int) -> Iterator[tuple[bytes, int]]:
    """The key and the address of each entry of the tree's lowest nodes, in order.

    Parameters
    ----------
    source : Source
        The file.
    root : int
        Address of the tree.
    kind : int
        0 for keys of a group, 1 for chunks.
    axes : int
        Of the offset that a chunk has, the one for bytes within an element included.

    Raises
    ------
    ExchangeError
        If the tree is damaged: levels must go down one by one, so it cannot lead back to itself.
    """
    width = 8 + 8 * axes if kind else 8
    waiting = [(root, -1)]
    while waiting:
        address, expected = waiting.pop()
        signature, found, level, count = _NODE.unpack(source.structure(address, _NODE.size))
        if signature != b"TREE" or found != kind or expected not in (-1, level) or level > _LEVEL_LIMIT:
            raise ExchangeError("damaged file: no tree where one should be")
        source.step(count)
        block = source.structure(address + _NODE.size, (width + 8) * count)
        entries = [
            (block[at : at + width], int.from_bytes(block[at + width : at + width + 8], "little"))
            for at in range(0, len(block), width + 8)
        ]
        if level:
            waiting += [(child, level - 1) for _, child in reversed(entries)]
        else:
            yield from entries
