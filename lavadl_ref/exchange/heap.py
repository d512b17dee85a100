"""Variable-length strings, read by hand.

HDF5 keeps them in global heaps.  On a damaged heap libhdf5 may loop without end, and it
clears as much memory as a string claims before it looks whether the string is there; so
these few bytes are read here, as the HDF5 file format specification (III.E) lays them out.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.layout import NAME_LIMIT

OBJECT_LIMIT = 2**15  # strings in all heaps of a file
_REFERENCE = struct.Struct("<IQI")  # length, address of the heap, index of the object
_HEAP = struct.Struct("<4sB3xQ")  # signature, version, size
_OBJECT = struct.Struct("<HH4xQ")  # index, reference count, size

REFERENCE_SIZE = _REFERENCE.size


class Heaps:
    """The global heaps of one file, each listed once when first needed."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._left = OBJECT_LIMIT
        self._listed: dict[int, dict[int, tuple[int, int]]] = {}

    def string(self, offset: int) -> bytes:
        """The string whose reference lies at byte `offset` of the file.

        Raises
        ------
        ExchangeError
            If the string is too long or not where the reference says.
        """
        length, address, index = _REFERENCE.unpack(self._bytes(offset, _REFERENCE.size))
        if length > NAME_LIMIT:
            raise ExchangeError(f"expected at most {NAME_LIMIT} characters, found {length:,}")
        if address not in self._listed:
            self._listed[address] = self._list(address)
        start, size = self._listed[address].get(index, (0, -1))
        if size != length:
            raise ExchangeError("damaged file: a string is not where it should be")
        return self._bytes(start, length).rstrip(b"\0")

    def _list(self, address: int) -> dict[int, tuple[int, int]]:
        """Offset and size of each object of the heap at `address`."""
        signature, version, size = _HEAP.unpack(self._bytes(address, _HEAP.size))
        if signature != b"GCOL" or version != 1:
            raise ExchangeError("damaged file: no strings where they should be")
        objects: dict[int, tuple[int, int]] = {}
        position, end = address + _HEAP.size, address + size
        while position + _OBJECT.size <= end:
            index, _, length = _OBJECT.unpack(self._bytes(position, _OBJECT.size))
            if index == 0:  # free space, always last
                break
            self._left -= 1
            if self._left < 0:
                raise ExchangeError(f"expected at most {OBJECT_LIMIT} strings in the file")
            position += _OBJECT.size
            objects[index] = position, length
            position += (length + 7) // 8 * 8
        return objects

    def _bytes(self, offset: int, count: int) -> bytes:
        found = b""
        if offset < 2**62:
            self._raw.seek(offset)
            found = self._raw.read(count)
        if len(found) < count:
            raise ExchangeError("damaged file: a string lies beyond its end")
        return found
