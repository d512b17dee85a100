"""How the elements of a dataset lie in the file: as they are, in the header itself, or in chunks."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.hdf5.filters import undone
from lavadl_ref.exchange.hdf5.source import UNDEFINED, Source
from lavadl_ref.exchange.hdf5.trees import leaves

_COMPACT, _CONTIGUOUS, _CHUNKED, _VIRTUAL = range(4)
_TREE, _SINGLE, _IMPLICIT, _FIXED = range(4)  # how the chunks are found: by a tree in the older version
_ARRAY = struct.Struct("<4sBBBBQQ")
_PAGE = 1024  # chunks from which on HDF5 lists them in pages

#: Where a chunk lies: its offset in elements, the address, and how many bytes are stored.
Place = tuple[tuple[int, ...], int, int]


@dataclass
class Layout:
    """Elements that are stored as they are, one after the other."""

    address: int  #: `UNDEFINED` if nothing was written
    size: int  #: bytes that are there
    content: bytes | None = None  #: the bytes themselves, where the header holds them

    def stored(self, source: Source) -> int:
        """Bytes of the file that hold the data."""
        return 0 if self.address == UNDEFINED and self.content is None else self.size

    def read(self, source: Source, values: NDArray) -> None:
        """Fill a contiguous array.

        Raises
        ------
        ExchangeError
            If fewer bytes are there.
        """
        if self.stored(source) < values.nbytes:
            raise ExchangeError(f"claims {values.nbytes:,} bytes, but no data was written")
        if self.content is not None:
            values.reshape(-1).view(np.uint8)[:] = np.frombuffer(self.content, np.uint8, values.nbytes)
        elif values.nbytes:
            source.fill(self.address, values)


@dataclass
class Chunks:
    """Elements that are stored in blocks of one shape, each of which may be compressed."""

    shape: tuple[int, ...]  #: of the dataset
    chunk: tuple[int, ...]  #: of each chunk
    width: int  #: bytes of an element
    filters: tuple[int, ...]
    index: int  #: how they are found
    address: int  #: of what lists them, or of the chunks themselves
    single: int = 0  #: bytes stored of the only chunk, if filtered
    _places: list[Place] | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Bytes of a whole chunk."""
        return math.prod(self.chunk) * self.width

    @property
    def count(self) -> int:
        """How many chunks there should be; how many there are is not known yet."""
        return math.prod(-(-extent // step) for extent, step in zip(self.shape, self.chunk, strict=True))

    def stored(self, source: Source) -> int:
        """Bytes of the file that hold the data.

        Raises
        ------
        ExchangeError
            If a chunk is missing, there twice, or outside of the dataset.
        """
        return sum(size for _, _, size in self._found(source))

    def read(self, source: Source, values: NDArray) -> None:
        """Fill an array of the dataset's shape."""
        for offset, address, size in self._found(source):
            content = undone(source.data(address, size), self.filters, self.size, self.width)
            chunk = np.frombuffer(content, values.dtype).reshape(self.chunk)
            # the last chunks of an axis reach beyond the dataset
            inside = tuple(slice(0, extent - at) for at, extent in zip(offset, self.shape, strict=True))
            values[tuple(slice(at, at + step) for at, step in zip(offset, self.chunk, strict=True))] = chunk[inside]

    def _found(self, source: Source) -> list[Place]:
        """Where each chunk lies, looked up once."""
        if self._places is None:
            source.step(self.count)
            there = iter(()) if self.address == UNDEFINED else self._listed(source)
            places = [place for place in there if place[1] != UNDEFINED]
            known = set(product(*(range(0, extent, step) for extent, step in zip(self.shape, self.chunk, strict=True))))
            if len(places) != self.count or {offset for offset, _, _ in places} != known:
                raise ExchangeError(f"expected {self.count} chunks of data, found {len(places)}")
            self._places = places
        return self._places

    def _listed(self, source: Source) -> Iterator[Place]:
        if self.index == _TREE:
            axes = len(self.shape) + 1
            for key, address in leaves(source, self.address, 1, axes):
                size, skipped, *at = struct.unpack(f"<II{axes}Q", key)
                yield tuple(at[:-1]), address, _whole(size, skipped)
            return
        offsets = product(*(range(0, extent, step) for extent, step in zip(self.shape, self.chunk, strict=True)))
        if self.index == _SINGLE:
            yield next(offsets), self.address, self.single if self.filters else self.size
        elif self.index == _IMPLICIT:
            for position, offset in enumerate(offsets):
                yield offset, self.address + position * self.size, self.size
        else:
            yield from ((offset, *place) for offset, place in zip(offsets, self._array(source), strict=False))

    def _array(self, source: Source) -> Iterator[tuple[int, int]]:
        """Address and size of each chunk, as a list of fixed length has them."""
        signature, version, filtered, width, _, count, block = _ARRAY.unpack(
            source.structure(self.address, _ARRAY.size)
        )
        if signature != b"FAHD" or version or filtered != bool(self.filters) or not 8 <= width <= 20:
            raise ExchangeError("damaged file: no list of chunks where one should be")
        if count > _PAGE:
            raise ExchangeError(f"expected at most {_PAGE} chunks in a file of the newest format, found {count:,}")
        start = source.structure(block, 14)
        if not start.startswith(b"FADB\0"):
            raise ExchangeError("damaged file: no list of chunks where one should be")
        entries = source.structure(block + 14, width * count)
        for at in range(0, len(entries), width):
            entry = entries[at : at + width]
            address, size = int.from_bytes(entry[:8], "little"), self.size
            if filtered:
                size = _whole(int.from_bytes(entry[8:-4], "little"), int.from_bytes(entry[-4:], "little"))
            yield address, size


def _whole(size: int, skipped: int) -> int:
    """The size of a chunk that has gone through all filters."""
    if skipped:
        raise ExchangeError("expected every chunk to be compressed as its dataset says")
    return size


def layout_of(body: bytes, shape: tuple[int, ...], width: int, filters: tuple[int, ...]) -> Layout | Chunks:
    """What a layout message says.

    Parameters
    ----------
    body : bytes
        The message.
    shape : tuple of int
        Of the dataset.
    width : int
        Bytes of an element.
    filters : tuple of int
        What chunks go through.

    Raises
    ------
    ExchangeError
        If it is damaged, or of a kind that is not known.
    """
    try:
        return _layout(body, shape, width, filters)
    except (struct.error, IndexError):
        raise ExchangeError("damaged file: a layout cannot be read") from None


def _layout(body: bytes, shape: tuple[int, ...], width: int, filters: tuple[int, ...]) -> Layout | Chunks:
    version, kind = struct.unpack_from("<BB", body)
    if version not in (3, 4, 5):
        raise ExchangeError(f"expected an HDF5 layout of version 3 to 5, found {version}")
    if kind == _COMPACT:
        (size,) = struct.unpack_from("<H", body, 2)
        return Layout(UNDEFINED, size, body[4 : 4 + size])
    if kind == _CONTIGUOUS:
        return Layout(*struct.unpack_from("<QQ", body, 2))
    if kind == _VIRTUAL:
        raise ExchangeError("expected data in this file, found a reference to another file")
    if kind != _CHUNKED:
        raise ExchangeError(f"unknown HDF5 layout {kind}")
    if version == 3:
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
        raise ExchangeError("expected chunks of a dataset of fixed extent, found one that may grow")
    single = 0
    at += 1
    if index == _SINGLE and flags & 2:
        single, skipped = struct.unpack_from("<QI", body, at)
        single = _whole(single, skipped)
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
    single: int = 0,
) -> Chunks:
    """Chunks of the extents that a message gives, the last of which is the element's size."""
    if len(chunk) != len(shape) + 1 or chunk[-1] != width or 0 in chunk:
        raise ExchangeError(f"damaged file: chunks {chunk[:-1]} of a dataset of shape {shape}")
    return Chunks(shape, chunk[:-1], width, filters, index, address, single)
