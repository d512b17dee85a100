"""Data that is stored in chunks: where these lie, and what they go through before they are stored.

Files of Lava-DL and of `lavadl_ref.exchange.write` hold their data as it is; this is for files that another tool has
written or compressed.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.hdf5.structures import UNDEFINED, Structures

_TREE, _SINGLE, _IMPLICIT, _FIXED = range(4)  # how the chunks are found: by a tree in the older version
_ARRAY = struct.Struct("<4sBBBBQQ")
_PAGE = 1024  # chunks from which on HDF5 lists them in pages
_GZIP, _SHUFFLE, _CHECKSUM = 1, 2, 3  # numbers of filters
# With checksums left out.  Gzip comes once and last, so that its output is bounded.
_PIPELINES = ((), (_SHUFFLE,), (_GZIP,), (_SHUFFLE, _GZIP))
_CHECKSUM_SIZE = 4  # bytes of a checksum
_BLOCK = 2**16  # words that are summed at once: their weighted sum stays below 2**63

#: The bytes stored of a chunk, and a bit for each filter that it has not gone through: HDF5 leaves out those that would
#: not make it smaller, and all of them where elements are places in a heap.
Stored = tuple[int, int]
#: Where a chunk lies: its offset in elements, the address, and what is stored.
Place = tuple[tuple[int, ...], int, Stored]


@dataclass
class Chunks:
    """Elements that are stored in blocks of one shape, each of which may be compressed."""

    shape: tuple[int, ...]  #: of the dataset
    chunk: tuple[int, ...]  #: of each chunk
    width: int  #: bytes of an element
    filters: tuple[int, ...]
    index: int  #: how they are found
    address: int  #: of what lists them, or of the chunks themselves
    single: Stored = (0, 0)  #: of the only chunk, if filtered
    _places: list[Place] | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Bytes of a whole chunk."""
        return math.prod(self.chunk) * self.width

    @property
    def count(self) -> int:
        """The number of chunks that there should be; how many there are is not known yet."""
        return math.prod(-(-extent // step) for extent, step in zip(self.shape, self.chunk, strict=True))

    def stored(self, source: Structures) -> int:
        """Bytes of the file that hold the data.

        Raises
        ------
        ExchangeError
            If a chunk is missing, there twice, or outside of the dataset.
        """
        return sum(size for _, _, (size, _) in self._found(source))

    def read(self, source: Structures, values: NDArray[Any]) -> None:
        """Fill an array of the dataset's shape."""
        for offset, address, (size, skipped) in self._found(source):
            filters = [number for bit, number in enumerate(self.filters) if not skipped >> bit & 1]
            content = undone(source.data(address, size), filters, self.size, self.width)
            chunk = np.frombuffer(content, values.dtype).reshape(self.chunk)
            # the last chunks of an axis reach beyond the dataset
            inside = tuple(slice(0, extent - at) for at, extent in zip(offset, self.shape, strict=True))
            values[tuple(slice(at, at + step) for at, step in zip(offset, self.chunk, strict=True))] = chunk[inside]

    def _found(self, source: Structures) -> list[Place]:
        """The place of each chunk, looked up once."""
        if self._places is None:
            source.step(self.count)
            there = iter(()) if self.address == UNDEFINED else self._listed(source)
            places = [place for place in there if place[1] != UNDEFINED]
            known = set(product(*(range(0, extent, step) for extent, step in zip(self.shape, self.chunk, strict=True))))
            if len(places) != self.count or {offset for offset, _, _ in places} != known:
                raise ExchangeError(f"must have {self.count} chunks of data, got {len(places)}")
            self._places = places
        return self._places

    def _listed(self, source: Structures) -> Iterator[Place]:
        if self.index == _TREE:
            axes = len(self.shape) + 1
            for key, address in source.leaves(self.address, 1, axes):
                size, skipped, *at = struct.unpack(f"<II{axes}Q", key)
                yield tuple(at[:-1]), address, (size, skipped)
            return
        offsets = product(*(range(0, extent, step) for extent, step in zip(self.shape, self.chunk, strict=True)))
        if self.index == _SINGLE:
            yield next(offsets), self.address, self.single if self.filters else (self.size, 0)
        elif self.index == _IMPLICIT:
            for position, offset in enumerate(offsets):
                yield offset, self.address + position * self.size, (self.size, 0)
        else:
            yield from ((offset, *place) for offset, place in zip(offsets, self._array(source), strict=False))

    def _array(self, source: Structures) -> Iterator[tuple[int, Stored]]:
        """Address of each chunk and what is stored, as a list of fixed length has them."""
        signature, version, filtered, width, _, count, block = _ARRAY.unpack(
            source.structure(self.address, _ARRAY.size)
        )
        if signature != b"FAHD" or version or filtered != bool(self.filters) or not 8 <= width <= 20:
            raise ExchangeError("damaged file: no list of chunks where one should be")
        if count > _PAGE:
            raise ExchangeError(f"must have at most {_PAGE} chunks in a file of the newest format, got {count:,}")
        start = source.structure(block, 14)
        if not start.startswith(b"FADB\0"):
            raise ExchangeError("damaged file: no list of chunks where one should be")
        entries = source.structure(block + 14, width * count)
        for at in range(0, len(entries), width):
            entry = entries[at : at + width]
            address, stored = int.from_bytes(entry[:8], "little"), (self.size, 0)
            if filtered:
                stored = int.from_bytes(entry[8:-4], "little"), int.from_bytes(entry[-4:], "little")
            yield address, stored


def chunks_of(body: bytes, shape: tuple[int, ...], width: int, filters: tuple[int, ...]) -> Chunks:
    """The chunks that a layout message of version 3 to 5 tells of.

    Raises
    ------
    ExchangeError
        If their shape does not fit, or they may grow in number.
    struct.error, IndexError
        If the message is too short.
    """
    if body[0] == 3:
        axes, address = struct.unpack_from("<BQ", body, 2)
        chunk = struct.unpack_from(f"<{axes}I", body, 11)
        return _chunks(shape, chunk, width, filters, _TREE, address)
    return _newer_chunks(body, shape, width, filters)


def _newer_chunks(body: bytes, shape: tuple[int, ...], width: int, filters: tuple[int, ...]) -> Chunks:
    flags, axes, digits = struct.unpack_from("<BBB", body, 2)
    at = 5 + axes * digits
    chunk = tuple(int.from_bytes(body[start : start + digits], "little") for start in range(5, at, max(digits, 1)))
    index = body[at]
    if flags & 1 or index not in (_SINGLE, _IMPLICIT, _FIXED):
        raise ExchangeError("must have chunks of a dataset of fixed extent, got one that may grow")
    single: Stored = (0, 0)
    at += 1
    if index == _SINGLE and flags & 2:
        single = struct.unpack_from("<QI", body, at)
        at += 12
    elif index == _FIXED:
        at += 1
    (address,) = struct.unpack_from("<Q", body, at)
    return _chunks(shape, chunk, width, filters, index, address, single)


def _chunks(
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    width: int,
    filters: tuple[int, ...],
    index: int,
    address: int,
    single: Stored = (0, 0),
) -> Chunks:
    """Chunks of the extents that a message gives, the last of which is the element's size."""
    if len(chunk) != len(shape) + 1 or chunk[-1] != width or 0 in chunk:
        raise ExchangeError(f"damaged file: chunks {chunk[:-1]} of a dataset of shape {shape}")
    return Chunks(shape, chunk[:-1], width, filters, index, address, single)


def filters_of(bodies: Sequence[bytes]) -> tuple[int, ...]:
    """The numbers of the filters that messages give, in the order in which they were applied.

    Raises
    ------
    ExchangeError
        If they are others than gzip, shuffle and checksums, or in an order that HDF5 does not write.
    """
    found: list[int] = []
    for body in bodies:
        found += _numbers(body)
    if tuple(number for number in found if number != _CHECKSUM) not in _PIPELINES or found.count(_CHECKSUM) > 1:
        raise ExchangeError(f"must have no compression but gzip, got HDF5 filters {found}")
    return tuple(found)


def _numbers(body: bytes) -> list[int]:
    try:
        version, count = struct.unpack_from("<BB", body)
        at = {1: 8, 2: 2}[version]
        found = []
        for _ in range(count):
            (number,) = struct.unpack_from("<H", body, at)
            length = 0
            if version == 1 or number > 255:  # only these have a name
                (length,) = struct.unpack_from("<H", body, at + 2)
                at += 2
            (values,) = struct.unpack_from("<H", body, at + 4)
            at += 6 + length + 4 * values
            if version == 1:
                at += 4 * (values % 2)  # filled up to 8 bytes
            found.append(number)
        return found
    except (struct.error, KeyError):
        raise ExchangeError("damaged file: filters cannot be read") from None


def undone(packed: bytes, filters: Sequence[int], size: int, width: int) -> bytes:
    """The content of a chunk.

    Parameters
    ----------
    packed : bytes
        As stored.
    filters : sequence of int
        As `filters_of` gives them.
    size : int
        Bytes of a whole chunk.
    width : int
        Bytes of an element.

    Raises
    ------
    ExchangeError
        If the checksum is wrong, or the chunk holds less or more than it should.
    """
    for index in reversed(range(len(filters))):
        if filters[index] == _CHECKSUM:
            packed = _checked(packed)
        elif filters[index] == _GZIP:
            # a checksum taken before is inside
            packed = _inflated(packed, size + _CHECKSUM_SIZE * filters[:index].count(_CHECKSUM), size)
        elif width > 1 and len(packed) == size:
            packed = np.frombuffer(packed, np.uint8).reshape(width, -1).T.tobytes()
    if len(packed) != size:
        raise ExchangeError(f"a chunk of {size:,} bytes holds {len(packed):,}")
    return packed


def _checked(packed: bytes) -> bytes:
    data, checksum = packed[:-_CHECKSUM_SIZE], packed[-_CHECKSUM_SIZE:]
    if fletcher32(data) != int.from_bytes(checksum, "little"):
        raise ExchangeError("damaged file: the checksum of a chunk is wrong")
    return data


def _inflated(packed: bytes, limit: int, size: int) -> bytes:
    try:
        inflated = zlib.decompressobj().decompress(packed, limit + 1)
    except zlib.error as error:
        raise ExchangeError(f"damaged compressed data: {error}") from None
    if len(inflated) > limit:
        raise ExchangeError(f"a compressed chunk holds more than its {size:,} bytes")
    return inflated


def fletcher32(data: bytes) -> int:
    """Fletcher's checksum of 16-bit words, most significant byte first, as HDF5 takes it: 32 bits.

    ``s1 = sum of w_i`` and ``s2 = sum of (n - i) w_i``, modulo 65535; multiples of it but 0 give 65535.
    """
    words = np.frombuffer(data + bytes(len(data) % 2), ">u2")
    first = second = 0
    for start in range(0, len(words), _BLOCK):
        block = words[start : start + _BLOCK].astype(np.int64)
        second += first * len(block) + int(block @ np.arange(len(block), 0, -1))
        first += int(block.sum())
    return _folded(second) << 16 | _folded(first)


def _folded(total: int) -> int:
    return (total - 1) % 65535 + 1 if total else 0
