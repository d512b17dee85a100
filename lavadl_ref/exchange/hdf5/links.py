"""The links of a group: from a symbol table, or as messages in its header or in a heap."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.hdf5 import headers
from lavadl_ref.exchange.hdf5.dense import dense
from lavadl_ref.exchange.hdf5.headers import Message
from lavadl_ref.exchange.hdf5.source import UNDEFINED, Source
from lavadl_ref.exchange.hdf5.trees import leaves

Links = dict[str, "int | str"]

_SOFT = 2  # kind of entry of a symbol table
_KINDS = {1: "SoftLink", 64: "ExternalLink"}
_HEAP = struct.Struct("<4sB3xQQQ")  # signature, version, size, free list, address of the names
_TABLE = struct.Struct("<4sBxH")  # signature, version, entries
_ENTRY = struct.Struct("<QQI20x")  # offset of the name, address of the object, kind


def links_of(source: Source, messages: Sequence[Message], limit: int) -> Links:
    """The address of each object that a group links to; for other links the name of their kind.

    Raises
    ------
    ExchangeError
        If there are more than `limit`, two of the same name, or the group is damaged.
    """
    found: Links = {}
    for name, target in _all(source, messages):
        if name in found:
            raise ExchangeError("damaged file: two keys of one name")
        if len(found) == limit:
            raise ExchangeError(f"expected at most {limit} keys, found more")
        found[name] = target
    return found


def _all(source: Source, messages: Sequence[Message]) -> Iterator[tuple[str, int | str]]:
    for message in messages:
        if message.type == headers.SYMBOL_TABLE:
            yield from _symbols(source, *_fields("<QQ", message.body))
        elif message.type == headers.LINK:
            yield _link(message.body)
        elif message.type == headers.LINK_INFO:
            # the greatest place in the order of creation comes first, where that is kept
            heap, names = _fields("<QQ", message.body[10 if message.body[1:2] in b"\1\3" else 2 :])
            if heap != UNDEFINED:
                for body in dense(source, heap, names):
                    yield _link(body)


def _fields(layout: str, body: bytes) -> tuple[int, ...]:
    if len(body) < struct.calcsize(layout):
        raise ExchangeError("damaged file: a group cannot be read")
    return struct.unpack_from(layout, body)


def _symbols(source: Source, tree: int, heap: int) -> Iterator[tuple[str, int | str]]:
    """The entries of a symbol table: a tree of nodes, and a heap of names whose free list is not followed."""
    signature, version, size, _, start = _HEAP.unpack(source.structure(heap, _HEAP.size))
    if signature != b"HEAP" or version:
        raise ExchangeError("damaged file: no names where they should be")
    names = source.structure(start, size) if size else b""
    for _, address in leaves(source, tree, 0, 0):
        signature, version, count = _TABLE.unpack(source.structure(address, _TABLE.size))
        if signature != b"SNOD" or version != 1:
            raise ExchangeError("damaged file: no keys where they should be")
        source.step(count)
        block = source.structure(address + _TABLE.size, _ENTRY.size * count)
        for at, target, kind in _ENTRY.iter_unpack(block):
            end = names.find(b"\0", at)
            if end < 0:
                raise ExchangeError("damaged file: a key has no name")
            yield _text(names[at:end]), "SoftLink" if kind == _SOFT else target


def _link(body: bytes) -> tuple[str, int | str]:
    """What one link message says."""
    version, flags = _fields("<BB", body)
    at = 2
    kind = 0
    if flags & 8:
        (kind,) = _fields("<B", body[at:])
        at += 1
    at += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)  # place in the order of creation; character set
    width = 1 << (flags & 3)
    length = int.from_bytes(body[at : at + width], "little")
    at += width
    name, rest = body[at : at + length], body[at + length :]
    if version != 1 or len(name) < length:
        raise ExchangeError("damaged file: a key cannot be read")
    if kind:
        return _text(name), _KINDS.get(kind, "link of an unknown kind")
    return _text(name), _fields("<Q", rest)[0]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
