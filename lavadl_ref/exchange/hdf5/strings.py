"""Strings of any length, which lie in heaps that a whole file shares."""

from __future__ import annotations

import struct

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.hdf5.structures import Structures

_REFERENCE = struct.Struct("<IQI")  # length, address of the heap, index of the object
_HEAP = struct.Struct("<4sB3xQ")  # signature, version, size
_OBJECT = struct.Struct("<HH4xQ")  # index, reference count, size

REFERENCE_SIZE = _REFERENCE.size


class Strings:
    """The string heaps of one file, each listed once when first needed."""

    def __init__(self, source: Structures) -> None:
        self._source = source
        self._listed: dict[int, tuple[bytes, dict[int, tuple[int, int]]]] = {}

    def string(self, reference: bytes, limit: int) -> bytes:
        """The string that 16 bytes of a dataset refer to.

        Raises
        ------
        ExchangeError
            If the string is longer than `limit` or not where the reference says.
        """
        length, address, index = _REFERENCE.unpack(reference)
        if length > limit:
            raise ExchangeError(f"expected at most {limit} characters, found {length:,}")
        if address not in self._listed:
            self._listed[address] = self._list(address)
        heap, objects = self._listed[address]
        start, size = objects.get(index, (0, -1))
        if size != length or start + length > len(heap):
            raise ExchangeError("damaged file: a string is not where it should be")
        return heap[start : start + length].rstrip(b"\0")

    def _list(self, address: int) -> tuple[bytes, dict[int, tuple[int, int]]]:
        """The heap at `address`, and offset and size of each object in it."""
        signature, version, size = _HEAP.unpack(self._source.structure(address, _HEAP.size))
        if signature != b"GCOL" or version != 1:
            raise ExchangeError("damaged file: no strings where they should be")
        heap = self._source.structure(address, size)
        objects: dict[int, tuple[int, int]] = {}
        at = _HEAP.size
        while at + _OBJECT.size <= size:
            index, _, length = _OBJECT.unpack_from(heap, at)
            if index == 0:  # free space, always last
                break
            self._source.step()
            at += _OBJECT.size
            objects[index] = at, length
            at += (length + 7) // 8 * 8
        return heap, objects
