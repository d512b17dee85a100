"""Links of large groups in the newest format: a heap of messages, and the tree that says where they lie."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.hdf5.structures import UNDEFINED, Structures

_NAMES = 5  # type of a tree of links by the hash of their names
_RECORD = struct.Struct("<4x7s")  # hash of the name, place in the heap
_FIXED = 10  # bytes of a node beside its entries: signature, version, type, checksum
_TREE = struct.Struct("<4sBBIHHBBQHQ")
_HEAP = struct.Struct("<4sBHHBI12QHQQHHQH")


def dense(source: Structures, heap: int, names: int) -> Iterator[bytes]:
    """The link messages in the heap at address `heap`, in the order of the tree at address `names`.

    Raises
    ------
    ExchangeError
        If either is damaged, or the heap is larger than a group of a network needs.
    """
    place = _heap(source, heap)
    for (record,) in (_RECORD.unpack(entry) for entry in _records(source, names)):
        yield place.object(record)


def _records(source: Structures, address: int) -> Iterator[bytes]:
    """All records of a tree of version 2."""
    block = source.structure(address, _TREE.size)
    signature, version, kind, size, width, depth, _, _, root, count, _ = _TREE.unpack(block)
    if signature != b"BTHD" or version or kind != _NAMES or width != _RECORD.size or depth > 8 or size < 32:
        raise ExchangeError("damaged file: no tree where one should be")
    # how many records a node has at most decides how wide the numbers of records are, level by level
    most = total = (size - _FIXED) // width
    own, totals = _bytes_for(most), [0]
    for _ in range(depth):
        pointer = 8 + own + totals[-1]
        inner = (size - _FIXED - pointer) // (width + pointer)
        total = (inner + 1) * total + inner
        totals.append(_bytes_for(total))
    waiting = [(root, count, depth)] if root != UNDEFINED else []
    while waiting:
        address, count, depth = waiting.pop()
        source.step(count)
        pointer = 8 + own + totals[depth - 1] if depth else 0
        block = source.structure(address, 6 + count * width + ((count + 1) * pointer if depth else 0))
        if not block.startswith(b"BTIN\0" if depth else b"BTLF\0"):
            raise ExchangeError("damaged file: no tree where one should be")
        for index in range(count):
            yield block[6 + index * width : 6 + (index + 1) * width]
        for index in range(count + 1) if depth else ():
            at = 6 + count * width + index * pointer
            below = int.from_bytes(block[at + 8 : at + 8 + own], "little")
            waiting.append((int.from_bytes(block[at : at + 8], "little"), below, depth - 1))


@dataclass
class _Heap:
    """A heap whose objects lie in blocks that double in size, all of which one table lists."""

    blocks: list[tuple[int, bytes]]  #: offset within the heap, and content from there
    offset_bytes: int
    length_bytes: int

    def object(self, place: bytes) -> bytes:
        """The object at a place: flags, offset, length."""
        offset = int.from_bytes(place[1 : 1 + self.offset_bytes], "little")
        length = int.from_bytes(place[1 + self.offset_bytes :][: self.length_bytes], "little")
        for start, block in self.blocks:
            if place[0] == 0 and start <= offset and offset + length <= start + len(block):
                return block[offset - start : offset - start + length]
        raise ExchangeError("damaged file: a key is not where it should be")


def _heap(source: Structures, address: int) -> _Heap:
    block = source.structure(address, _HEAP.size)
    fields = _HEAP.unpack(block)
    signature, version, id_length, filtered = fields[:4]
    width, first, largest, bits, _, root, rows = fields[-7:]
    largest_object = fields[5]
    if signature != b"FRHP" or version or filtered or not (first and width) or rows > 64:
        raise ExchangeError("damaged file: no keys where they should be")
    offset_bytes = (bits + 7) // 8
    header = 4 + 1 + 8 + offset_bytes
    found = _Heap([], offset_bytes, _bytes_for(min(largest, largest_object)))
    if id_length < 1 + offset_bytes + found.length_bytes:
        raise ExchangeError("damaged file: no keys where they should be")
    if not rows:
        places = [(root, first)]
    else:
        table = source.structure(root, header + 8 * width * rows)
        if not table.startswith(b"FHIB\0"):
            raise ExchangeError("damaged file: no keys where they should be")
        addresses = struct.unpack_from(f"<{width * rows}Q", table, header)
        # rows 0 and 1 have blocks of the first size, each row below of twice the size of the row above
        places = [(block, first << max(index // width - 1, 0)) for index, block in enumerate(addresses)]
    offset = 0
    for block_address, size in places:
        if block_address != UNDEFINED:
            if size > largest:
                raise ExchangeError(f"must have at most {offset:,} bytes of keys in a group, got more")
            block = source.structure(block_address, size)
            if not block.startswith(b"FHDB\0"):
                raise ExchangeError("damaged file: no keys where they should be")
            found.blocks.append((offset, block))
        offset += size
    return found


def _bytes_for(number: int) -> int:
    return max((number.bit_length() + 7) // 8, 1)
