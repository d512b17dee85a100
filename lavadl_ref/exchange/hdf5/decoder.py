"""The decoder of groups and datasets: superblock, headers of objects, links, and data that is stored as it is.

Every structure is read through a `Source`, which counts how many there are and how large they are.  Nothing is
recursive that a file may nest, and nothing is read before it is asked for.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.hdf5 import types
from lavadl_ref.exchange.hdf5.chunks import Chunks, chunks_of, filters_of
from lavadl_ref.exchange.hdf5.dense import dense
from lavadl_ref.exchange.hdf5.structures import UNDEFINED
from lavadl_ref.exchange.layout import NAME_LIMIT

SIGNATURE = b"\x89HDF\r\n\x1a\n"

STEP_LIMIT = 2**18  # structures, messages and entries of a file; its largest legal network has 210,000
BLOCK_LIMIT = 2**20  # bytes of one structure
STRUCTURE_LIMIT = 2**26  # bytes of all structures that are read
DECODED_LIMIT = 2**30  # bytes of all integers of a file once they are int64
PACKED_LIMIT = 2**26  # the same, for those stored in chunks or compressed
CHUNK_COUNT_LIMIT = 2**14  # of a file
KEY_LIMIT = 1024  # of one group
_PIECE = 2**24  # bytes that are read at once: a file object returns them in memory of its own
_LEVEL_LIMIT = 16  # of an older tree

# Types of messages in the header of an object, and the flag of one whose body is somewhere else
_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _EXTERNAL, _LAYOUT, _FILTERS, _SYMBOL_TABLE = 1, 2, 3, 6, 7, 8, 11, 17
_CONTINUATION, _LAST_KNOWN = 16, 24
_SHARED = 2

_CHECKSUM = 4  # bytes at the end of a block of the newer version, see `lavadl_ref.exchange.hdf5`
_PREFIX_1 = struct.Struct("<BxHII4x")  # version, messages, references, size
_MESSAGE_1 = struct.Struct("<HHB3x")  # type, size, flags
_MESSAGE_2 = struct.Struct("<BHB")
_ADDRESS_SIZE = struct.Struct("<QQ")
_NODE = struct.Struct("<4sBBH16x")  # of an older tree: signature, type, level, entries; two neighbours
_NAMES = struct.Struct("<4sB3xQQQ")  # heap of names: signature, version, size, free list, address of the names
_TABLE = struct.Struct("<4sBxH")  # symbol table: signature, version, entries
_ENTRY = struct.Struct("<QQI20x")  # of a symbol table: offset of the name, address of the object, kind
_REFERENCE = struct.Struct("<IQI")  # to a string of any length: length, address of the heap, index of the object
_HEAP = struct.Struct("<4sB3xQ")  # of strings, shared by a whole file: signature, version, size
_STRING = struct.Struct("<HH4xQ")  # in such a heap: index, reference count, size
_SOFT = 2  # kind of entry of a symbol table
_KINDS = {1: "SoftLink", 64: "ExternalLink"}
_COMPACT, _CONTIGUOUS, _CHUNKED, _VIRTUAL = range(4)  # kinds of layout
_DESCRIBED = {"iuf": "integers", "biuf": "a bool", "SO": "a string"}  # kinds of elements that a caller may ask for

Links = dict[str, "int | str"]


class Source:
    """The bytes of one file, with an allowance for what it may claim to hold.

    A dataset stored as it is takes its bytes from those of the file, so no file claims more than it has, even by
    naming the same bytes twice.  Chunked and compressed data may grow when read, up to a fixed limit.

    Parameters
    ----------
    file : binary file
        Open for reading, and seekable; it is read from its start, wherever it stands.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        self._steps = STEP_LIMIT
        self._bytes = STRUCTURE_LIMIT
        self._left = {"stored": self.size, "packed": PACKED_LIMIT, "decoded": DECODED_LIMIT}
        self._chunks = CHUNK_COUNT_LIMIT
        self._strings: dict[int, tuple[bytes, dict[int, tuple[int, int]]]] = {}

    def step(self, count: int = 1) -> None:
        """Account for `count` entries of a structure.

        Raises
        ------
        ExchangeError
            If there have been more than a file may have.
        """
        self._steps -= count
        if self._steps < 0:
            raise ExchangeError(f"must have at most {STEP_LIMIT:,} structures and messages in the file")

    def take(self, name: str, amount: int) -> None:
        """Subtract `amount` bytes from the allowance called `name`: ``stored``, ``packed`` or ``decoded``.

        Raises
        ------
        ExchangeError
            If fewer are left.
        """
        if amount > self._left[name]:
            left = self._left[name]
            raise ExchangeError(f"claims {amount:,} bytes, more than the {left:,} that the file can hold")
        self._left[name] -= amount

    def take_chunks(self, count: int) -> None:
        """Account for `count` chunks; raise ExchangeError if a file may not have so many."""
        if count > self._chunks:
            raise ExchangeError(f"must have at most {self._chunks} chunks, got {count:,}")
        self._chunks -= count

    def structure(self, address: int, count: int) -> bytes:
        """Read the `count` bytes of structure at `address`.

        Raises
        ------
        ExchangeError
            If they are not all in the file, or more than a file may have.
        """
        self.step()
        self._bytes -= count
        if count > BLOCK_LIMIT or self._bytes < 0:
            raise ExchangeError(f"must have at most {BLOCK_LIMIT:,} bytes in a structure, got {count:,}")
        return self.data(address, count)

    def data(self, address: int, count: int) -> bytes:
        """Read the `count` bytes of data at `address`, for which the caller has accounted."""
        return b"".join(self._pieces(address, count))

    def fill(self, address: int, values: NDArray[Any]) -> None:
        """Read bytes at `address` into a contiguous array of any shape and dtype."""
        content = values.reshape(-1).view(np.uint8)
        done = 0
        for piece in self._pieces(address, values.nbytes):
            content[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
            done += len(piece)

    def _pieces(self, address: int, count: int) -> Iterator[bytes]:
        """Read `count` bytes at `address`, piece by piece, once it is known that the file has them."""
        if address + count > self.size:
            raise _beyond(address, count)
        self._file.seek(address)
        left = count
        while left:
            piece = self._file.read(min(left, _PIECE))
            if not piece:  # the file has become shorter
                raise _beyond(address, count)
            left -= len(piece)
            yield piece

    def leaves(self, root: int, kind: int, axes: int) -> Iterator[tuple[bytes, int]]:
        """Go through the entries of the lowest nodes of an older tree: the key and the address of each, in order.

        Parameters
        ----------
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
            signature, found, level, count = _NODE.unpack(self.structure(address, _NODE.size))
            if signature != b"TREE" or found != kind or expected not in (-1, level) or level > _LEVEL_LIMIT:
                raise ExchangeError("damaged file: no tree where one should be")
            self.step(count)
            block = self.structure(address + _NODE.size, (width + 8) * count)
            entries = [
                (block[at : at + width], int.from_bytes(block[at + width : at + width + 8], "little"))
                for at in range(0, len(block), width + 8)
            ]
            if level:
                waiting += [(child, level - 1) for _, child in reversed(entries)]
            else:
                yield from entries

    def string(self, reference: bytes, limit: int) -> bytes:
        """Read the string that 16 bytes of a dataset refer to; each heap is listed once, when first needed.

        Raises
        ------
        ExchangeError
            If the string is longer than `limit` or not where the reference says.
        """
        length, address, index = _REFERENCE.unpack(reference)
        if length > limit:
            raise ExchangeError(f"must have at most {limit} characters, got {length:,}")
        return self._in_heap(address, index, length, "a string").rstrip(b"\0")

    def numbers(self, reference: bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Read the array of numbers that 16 bytes of a dataset refer to, (M,).

        Raises
        ------
        ExchangeError
            If it is not where the reference says, or longer than the structures of a file.
        """
        length, address, index = _REFERENCE.unpack(reference)
        if not length:
            return np.zeros(0, dtype)
        return np.frombuffer(self._in_heap(address, index, length * dtype.itemsize, "an array"), dtype)

    def _in_heap(self, address: int, index: int, length: int, what: str) -> bytes:
        """The `length` bytes of an object of a heap."""
        if address not in self._strings:
            self._strings[address] = self._list_strings(address)
        heap, objects = self._strings[address]
        start, size = objects.get(index, (0, -1))
        if size != length or start + length > len(heap):
            raise ExchangeError(f"damaged file: {what} is not where it should be")
        return heap[start : start + length]

    def _list_strings(self, address: int) -> tuple[bytes, dict[int, tuple[int, int]]]:
        """The heap at `address`, and offset and size of each object in it."""
        signature, version, size = _HEAP.unpack(self.structure(address, _HEAP.size))
        if signature != b"GCOL" or version != 1:
            raise ExchangeError("damaged file: no strings where they should be")
        heap = self.structure(address, size)
        objects: dict[int, tuple[int, int]] = {}
        at = _HEAP.size
        while at + _STRING.size <= size:
            index, _, length = _STRING.unpack_from(heap, at)
            if index == 0:  # free space, always last
                break
            self.step()
            at += _STRING.size
            objects[index] = at, length
            at += (length + 7) // 8 * 8
        return heap, objects


def _beyond(address: int, count: int) -> ExchangeError:
    where = "nowhere" if address == UNDEFINED else f"at byte {address:,}"
    return ExchangeError(f"damaged file: {count:,} bytes {where} lie beyond its end")


# Headers of objects


class Message(NamedTuple):
    """One statement of a header about its object."""

    type: int
    shared: bool  #: whether the body is somewhere else
    body: bytes


def superblock(source: Source) -> int:
    """Read the superblock; return the address of the root group's header.

    Raises
    ------
    ExchangeError
        If the file, which begins as HDF5 does, has other than addresses and lengths of 8 bytes, is cut short, or was
        not closed by its writer.
    """
    start = source.structure(0, min(source.size, 104)).ljust(104, b"\0")
    version = start[8]
    if version in (0, 1):
        sizes, at = start[13:15], 24 + 4 * version
        base, _, end, driver, _, header = struct.unpack_from("<6Q", start, at)
        if driver != UNDEFINED:
            raise ExchangeError("must be one HDF5 file, got one of several")
    elif version in (2, 3):
        sizes = start[9:11]
        base, _, end, header = struct.unpack_from("<4Q", start, 12)
        if start[11] & 1:
            raise ExchangeError("must be a whole file, got one that is still written or was not closed")
    else:
        raise ExchangeError(f"must have an HDF5 superblock of version 0 to 3, got {version}")
    if end > source.size or source.size < 48:
        raise ExchangeError(f"must have {end:,} bytes, got {source.size:,}: the file is cut short")
    if sizes != b"\x08\x08" or base:
        raise ExchangeError("must have HDF5 addresses and lengths of 8 bytes, counted from the start of the file")
    return int(header)


def messages(source: Source, address: int) -> list[Message]:
    """Read all messages of the object whose header is at `address`.

    A header of version 1 says how many messages it has.  One of version 2 has blocks that begin with a signature and
    end with a checksum.

    Raises
    ------
    ExchangeError
        If there is no header, it is damaged, or it holds what a reader must know and this one does not.
    """
    first = source.structure(address, 16)
    if newer := first.startswith(b"OHDR"):
        flags = first[5]
        # times, limits of attributes, and the size of the first block, each only where flagged
        at = 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(source.structure(address + at, width), "little")
        blocks = [(address, at + width + size + _CHECKSUM)]
        at += width
        extra = 2 if flags & 4 else 0  # each message's place in the order of creation
        head, count = _MESSAGE_2, -1
    else:
        version, count, _, size = _PREFIX_1.unpack(first)
        if version != 1:
            raise ExchangeError("damaged file: no object where one should be")
        blocks = [(address + _PREFIX_1.size, size)]
        head, extra, at = _MESSAGE_1, 0, 0
    found: list[Message] = []
    for place in blocks:  # grows while it is walked over
        block = source.structure(*place)
        if newer:
            block = block[:-_CHECKSUM]
            if not block.startswith(b"OHDR\2" if place is blocks[0] else b"OCHK"):
                raise ExchangeError("damaged file: no object where one should be")
        while count and at + head.size + extra <= len(block):
            source.step()
            count -= 1
            kind, size, state = head.unpack_from(block, at)
            at += head.size + extra
            if at + size > len(block):
                raise ExchangeError("damaged file: a message is longer than its object")
            if kind > _LAST_KNOWN:
                raise ExchangeError(f"unknown HDF5 message of type {kind}")
            body = block[at : at + size]
            if kind == _CONTINUATION:
                if size < _ADDRESS_SIZE.size:
                    raise ExchangeError("damaged file: an object goes on nowhere")
                blocks.append(_ADDRESS_SIZE.unpack_from(body))
            elif kind:
                found.append(Message(kind, bool(state & _SHARED), body))
            at += size
        at = 4 if newer else 0  # behind the signature
    if count > 0:
        raise ExchangeError(f"damaged file: {count} messages are missing")
    return found


# Links of groups: from a symbol table, or as messages in the header or in a heap


def links_of(source: Source, messages: Sequence[Message], limit: int) -> Links:
    """List the address of each object that a group links to; for other links the name of their kind.

    Raises
    ------
    ExchangeError
        If there are more than `limit`, two of the same name, or the group is damaged.
    """
    found: Links = {}
    for name, target in _links(source, messages):
        if name in found:
            raise ExchangeError("damaged file: two keys of one name")
        if len(found) == limit:
            raise ExchangeError(f"must have at most {limit} keys, got more")
        found[name] = target
    return found


def _links(source: Source, messages: Sequence[Message]) -> Iterator[tuple[str, int | str]]:
    for message in messages:
        if message.type == _SYMBOL_TABLE:
            yield from _symbols(source, *_fields("<QQ", message.body))
        elif message.type == _LINK:
            yield link_of(message.body)
        elif message.type == _LINK_INFO:
            # the greatest place in the order of creation comes first, where that is kept
            heap, names = _fields("<QQ", message.body[10 if message.body[1:2] in b"\1\3" else 2 :])
            if heap != UNDEFINED:
                for body in dense(source, heap, names):
                    yield link_of(body)


def _fields(layout: str, body: bytes) -> tuple[int, ...]:
    if len(body) < struct.calcsize(layout):
        raise ExchangeError("damaged file: a group cannot be read")
    return struct.unpack_from(layout, body)


def _symbols(source: Source, tree: int, heap: int) -> Iterator[tuple[str, int | str]]:
    """The entries of a symbol table: a tree of nodes, and a heap of names whose free list is not followed."""
    signature, version, size, _, start = _NAMES.unpack(source.structure(heap, _NAMES.size))
    if signature != b"HEAP" or version:
        raise ExchangeError("damaged file: no names where they should be")
    names = source.structure(start, size) if size else b""
    for _, address in source.leaves(tree, 0, 0):
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


def link_of(body: bytes) -> tuple[str, int | str]:
    """Read a link message: the name, and the address or the kind of link.

    Raises
    ------
    ExchangeError
        If the message is damaged.
    """
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


# Layouts of datasets


@dataclass
class Layout:
    """Elements that are stored as they are, one after the other."""

    address: int  #: `UNDEFINED` if nothing was written
    size: int  #: bytes that are there
    content: bytes | None = None  #: the bytes themselves, where the header holds them

    def read(self, source: Source, values: NDArray[Any]) -> None:
        """Fill a contiguous array of any shape and dtype.

        Raises
        ------
        ExchangeError
            If fewer bytes are there.
        """
        stored = 0 if self.address == UNDEFINED and self.content is None else self.size
        if stored < values.nbytes:
            raise ExchangeError(f"claims {values.nbytes:,} bytes, but no data was written")
        if self.content is not None:
            values.reshape(-1).view(np.uint8)[:] = np.frombuffer(self.content, np.uint8, values.nbytes)
        elif values.nbytes:
            source.fill(self.address, values)


def layout_of(body: bytes, shape: tuple[int, ...], width: int, filters: tuple[int, ...]) -> Layout | Chunks:
    """Read a layout message.

    Parameters
    ----------
    body : bytes
        The message.
    shape : tuple of int
        Of the dataset.
    width : int
        Bytes of an element.
    filters : tuple of int
        What chunks go through, see `filters_of`.

    Raises
    ------
    ExchangeError
        If it is damaged, or of a kind that is not known.
    """
    try:
        version, kind = struct.unpack_from("<BB", body)
        if version not in (3, 4, 5):
            raise ExchangeError(f"must have an HDF5 layout of version 3 to 5, got {version}")
        if kind == _COMPACT:
            (size,) = struct.unpack_from("<H", body, 2)
            return Layout(UNDEFINED, size, body[4 : 4 + size])
        if kind == _CONTIGUOUS:
            return Layout(*struct.unpack_from("<QQ", body, 2))
        if kind == _VIRTUAL:
            raise ExchangeError("must have data in this file, got a reference to another file")
        if kind != _CHUNKED:
            raise ExchangeError(f"unknown HDF5 layout {kind}")
        return chunks_of(body, shape, width, filters)
    except (struct.error, IndexError):
        raise ExchangeError("damaged file: a layout cannot be read") from None


# Objects


class Object:
    """The target of a link: one of `Group` and `Dataset`, or a type that stands alone."""

    kind = "named type"

    def __init__(self, source: Source, messages: Sequence[Message]) -> None:
        self._source = source
        self._messages = messages

    def _one(self, kind: int, what: str) -> bytes:
        """The body of the only message of a type."""
        found = [message for message in self._messages if message.type == kind]
        if len(found) != 1:
            raise ExchangeError(f"damaged file: {what} is given {len(found)} times")
        if found[0].shared:
            raise ExchangeError(f"must have {what} beside the data, got a reference to it")
        return found[0].body


class Group(Object):
    """A group: names, and the objects that they lead to."""

    kind = "group"

    @cached_property
    def links(self) -> Links:
        """The address of the object that each name leads to; where it leads out of the file, the kind of link."""
        return links_of(self._source, self._messages, KEY_LIMIT)

    def open(self, name: str) -> Object:
        """Open the object that `name` leads to.

        Raises
        ------
        ExchangeError
            If it is not in this file, or damaged.
        KeyError
            If there is no such name.
        """
        target = self.links[name]
        if isinstance(target, str):
            raise ExchangeError(f"must have data in this file, got a {target}")
        return _object(self._source, target)

    def read(self, name: str, kinds: str, most: int | None = None) -> NDArray[Any]:
        """Read the dataset that `name` leads to, see `Dataset.values`.

        Raises
        ------
        ExchangeError
            If it is no dataset of this file, is damaged, or does not hold what is asked for.
        KeyError
            If there is no such name.
        """
        found = self.open(name)
        if not isinstance(found, Dataset):
            raise ExchangeError(f"must be a {Dataset.kind}, got a {found.kind}")
        return found.values(kinds, most)

    def take(self, name: str, amount: int) -> None:
        """Account for bytes that a caller makes of what it has read, see `Source.take`."""
        self._source.take(name, amount)


class Dataset(Object):
    """A dataset, of which nothing is read but its shape, its type and its layout until its values are asked for."""

    kind = "dataset"

    @cached_property
    def shape(self) -> tuple[int, ...] | None:
        """Extents; () for a single value, None for a dataset that holds nothing by its kind."""
        return types.shape_of(self._one(_DATASPACE, "a shape"))

    @cached_property
    def type(self) -> types.Type:
        """The type of each element."""
        return types.type_of(self._one(_DATATYPE, "a type"))

    @cached_property
    def layout(self) -> Layout | Chunks:
        """The place of the data.

        Raises
        ------
        ExchangeError
            If it lies in another file, or is laid out in a way that is not known.
        """
        if any(message.type == _EXTERNAL for message in self._messages):
            raise ExchangeError("must have data in this file, got a reference to another file")
        assert self.shape is not None
        applied = [message.body for message in self._messages if message.type == _FILTERS]
        filters = filters_of(applied) if applied else ()
        return layout_of(self._one(_LAYOUT, "a layout"), self.shape, self.type.size, filters)

    def values(self, kinds: str, most: int | None = None) -> NDArray[Any]:
        """Read all elements, once the claims of the dataset are believable and accounted for.

        Parameters
        ----------
        kinds : {'iuf', 'biuf', 'SO'}
            NumPy's kinds of elements, of which the dataset must have one.
        most : int, optional
            The most elements; 1 for one element, of shape () or (1,).

        Returns
        -------
        ndarray
            Of the dataset's shape and type, in any byte order; strings of any length as bytes, a single one of shape
            (1,).

        Raises
        ------
        ExchangeError
            If there are others or more, or the data is not there, or damaged.
        """
        shape, stored = self.shape, self.type
        if most == 1 and shape not in (None, (), (1,)):
            raise ExchangeError(f"must be one {'string' if 'S' in kinds else 'value'}, got shape {shape}")
        if most is not None and shape is not None and math.prod(shape) > most:
            raise ExchangeError(f"must have at most {most} numbers, got shape {shape}")
        if shape is None:
            raise ExchangeError("must have data, got an empty dataset")
        if stored.kind not in kinds or stored.size > NAME_LIMIT:
            name = f"strings of {stored.size:,} bytes" if stored.kind == "S" and "S" in kinds else stored.name
            raise ExchangeError(f"must be {_DESCRIBED[kinds]}, got {name}")
        self._take(math.prod(shape), stored.size)
        if stored.kind == "O":
            found = [self._source.string(place, NAME_LIMIT) for place in self.references()]
            return np.array(found, "S").reshape(shape or (1,))
        return self.read()

    def _take(self, count: int, width: int) -> None:
        """Account for all that reading the dataset will take."""
        source, layout = self._source, self.layout
        if isinstance(layout, Chunks):
            # a whole chunk is held at a time
            source.take("packed", 8 * count)
            if layout.size > PACKED_LIMIT:
                raise ExchangeError(f"claims {layout.size:,} bytes for each chunk, more than {PACKED_LIMIT:,}")
            source.take_chunks(layout.count)
            source.take("stored", layout.stored(source))
        else:
            source.take("stored", count * width)
        source.take("decoded", 8 * count)

    def read(self) -> NDArray[Any]:
        """Read all elements, of any byte order; the caller has looked how many there are.

        Raises
        ------
        ExchangeError
            If the data is not there, or damaged.
        """
        assert self.shape is not None
        assert self.type.dtype is not None
        values = np.empty(self.shape, self.type.dtype)
        self.layout.read(self._source, values)
        return values

    def arrays(self) -> tuple[list[bytes], np.dtype[Any]]:
        """Read the references to arrays that differ in length, for `Source.numbers`, and the type of their numbers.

        Raises
        ------
        ExchangeError
            If the dataset holds something else, has other than one axis, or is damaged.
        """
        shape, base = self.shape, self.type.base
        if base is None or shape is None or len(shape) != 1:
            raise ExchangeError(f"must be one axis of arrays of numbers, got {self.type.name} of shape {shape}")
        self._take(math.prod(shape), self.type.size)
        return self.references(), base

    def references(self) -> list[bytes]:
        """Read the bytes of each element: where it lies; the caller has looked how many there are."""
        assert self.shape is not None
        assert self.type.kind in "OR"
        raw = np.empty(self.shape, f"V{self.type.size}")
        self.layout.read(self._source, raw)
        self._source.step(raw.size)
        return [place.tobytes() for place in raw.reshape(-1)]


def _object(source: Source, address: int) -> Object:
    said = messages(source, address)
    found = {message.type for message in said}
    if found & {_SYMBOL_TABLE, _LINK_INFO}:
        return Group(source, said)
    if found & {_DATASPACE, _LAYOUT}:
        return Dataset(source, said)
    return Object(source, said)


def root(source: Source) -> Group:
    """Open the group that holds all others.

    Raises
    ------
    ExchangeError
        If the file is not HDF5, or damaged.
    """
    found = _object(source, superblock(source))
    if not isinstance(found, Group):
        raise ExchangeError(f"damaged file: its root is a {found.kind}")
    return found
