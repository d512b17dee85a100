"""What chunks go through before they are stored: gzip, shuffled bytes, a checksum."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.hdf5 import checksums, headers
from lavadl_ref.exchange.hdf5.headers import Message

GZIP, SHUFFLE, CHECKSUM = 1, 2, 3
# With checksums left out.  Gzip comes once and last, so that its output is bounded.
_PIPELINES = ((), (SHUFFLE,), (GZIP,), (SHUFFLE, GZIP))


def filters_of(messages: Sequence[Message]) -> tuple[int, ...]:
    """The numbers of the filters, in the order in which they were applied.

    Raises
    ------
    ExchangeError
        If they are others than gzip, shuffle and checksums, or in an order that HDF5 does not write.
    """
    found: list[int] = []
    for message in messages:
        if message.type == headers.FILTERS:
            found += _numbers(message.body)
    if tuple(number for number in found if number != CHECKSUM) not in _PIPELINES or found.count(CHECKSUM) > 1:
        raise ExchangeError(f"expected no compression but gzip, found HDF5 filters {found}")
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
        if filters[index] == CHECKSUM:
            packed = _checked(packed)
        elif filters[index] == GZIP:
            # a checksum taken before is inside
            packed = _inflated(packed, size + checksums.SIZE * filters[:index].count(CHECKSUM), size)
        elif width > 1 and len(packed) == size:
            packed = np.frombuffer(packed, np.uint8).reshape(width, -1).T.tobytes()
    if len(packed) != size:
        raise ExchangeError(f"a chunk of {size:,} bytes holds {len(packed):,}")
    return packed


def _checked(packed: bytes) -> bytes:
    data, checksum = packed[: -checksums.SIZE], packed[-checksums.SIZE :]
    if checksums.fletcher32(data) != int.from_bytes(checksum, "little"):
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
