"""The superblock, and what the header of an object says: a list of messages."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.hdf5.source import UNDEFINED, Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"
DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL, LAYOUT, FILTERS, SYMBOL_TABLE = 1, 2, 3, 6, 7, 8, 11, 17
_CONTINUATION, _LAST_KNOWN = 16, 24
_SHARED, _MUST_BE_KNOWN = 2, 128  # flags

_CHECKSUM = 4  # bytes at the end of a block of the newer version, see `lavadl_ref.exchange.hdf5`
_PREFIX_1 = struct.Struct("<BxHII4x")  # version, messages, references, size
_MESSAGE_1 = struct.Struct("<HHB3x")  # type, size, flags
_MESSAGE_2 = struct.Struct("<BHB")
_ADDRESS_SIZE = struct.Struct("<QQ")


class Message(NamedTuple):
    """One thing that a header says."""

    type: int
    shared: bool  #: whether the body is somewhere else
    body: bytes


def superblock(source: Source) -> int:
    """The address of the root group's header.

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
            raise ExchangeError("expected one HDF5 file, found one of several")
    elif version in (2, 3):
        sizes = start[9:11]
        base, _, end, header = struct.unpack_from("<4Q", start, 12)
        if start[11] & 1:
            raise ExchangeError("expected a whole file, found one that is still written or was not closed")
    else:
        raise ExchangeError(f"expected an HDF5 superblock of version 0 to 3, found {version}")
    if end > source.size or source.size < 48:
        raise ExchangeError(f"expected {end:,} bytes, found {source.size:,}: the file is cut short")
    if sizes != b"\x08\x08" or base:
        raise ExchangeError("expected HDF5 addresses and lengths of 8 bytes, counted from the start of the file")
    return header


def messages(source: Source, address: int) -> list[Message]:
    """All messages of the object whose header is at `address`.

    Raises
    ------
    ExchangeError
        If there is no header, it is damaged, or it holds what a reader must know and this one does not.
    """
    first = source.structure(address, 16)
    found = list(_newer(source, address, first) if first.startswith(b"OHDR") else _older(source, address, first))
    for message in found:
        if message.type > _LAST_KNOWN:
            raise ExchangeError(f"unknown HDF5 message of type {message.type}")
    return found


def _older(source: Source, address: int, first: bytes) -> Iterator[Message]:
    """Messages of a header of version 1, in blocks aligned to 8 bytes."""
    version, count, _, size = _PREFIX_1.unpack(first)
    if version != 1:
        raise ExchangeError("damaged file: no object where one should be")
    blocks = [(address + 16, size)]
    for place in blocks:  # grows while it is walked over
        block, at = source.structure(*place), 0
        while at + _MESSAGE_1.size <= len(block) and count:
            source.step()
            count -= 1
            kind, size, flags = _MESSAGE_1.unpack_from(block, at)
            at += _MESSAGE_1.size
            message = _message(kind, flags, block, at, size)
            if kind == _CONTINUATION:
                blocks.append(_next(message))
            elif kind:
                yield message
            at += size
    if count:
        raise ExchangeError(f"damaged file: {count} messages are missing")


def _newer(source: Source, address: int, first: bytes) -> Iterator[Message]:
    """Messages of a header of version 2, in blocks that end with a checksum."""
    flags = first[5]
    # times, limits of attributes, and the size of the first block, each only where flagged
    at = 6 + (16 if flags & 32 else 0) + (4 if flags & 16 else 0)
    width = 1 << (flags & 3)
    size = int.from_bytes(source.structure(address + at, width), "little")
    extra = 2 if flags & 4 else 0  # each message's place in the order of creation
    blocks = [(address, at + width + size + _CHECKSUM)]
    at += width
    for place in blocks:
        block = source.structure(*place)[:-_CHECKSUM]
        if not block.startswith(b"OHDR\2" if place is blocks[0] else b"OCHK"):
            raise ExchangeError("damaged file: no object where one should be")
        while at + _MESSAGE_2.size + extra <= len(block):
            source.step()
            kind, size, state = _MESSAGE_2.unpack_from(block, at)
            at += _MESSAGE_2.size + extra
            message = _message(kind, state, block, at, size)
            if kind == _CONTINUATION:
                blocks.append(_next(message))
            elif kind:
                yield message
            at += size
        at = 4


def _message(kind: int, flags: int, block: bytes, at: int, size: int) -> Message:
    if at + size > len(block):
        raise ExchangeError("damaged file: a message is longer than its object")
    if flags & _MUST_BE_KNOWN and kind > _LAST_KNOWN:
        raise ExchangeError(f"unknown HDF5 message of type {kind}")
    return Message(kind, bool(flags & _SHARED), block[at : at + size])


def _next(message: Message) -> tuple[int, int]:
    if len(message.body) < _ADDRESS_SIZE.size:
        raise ExchangeError("damaged file: an object goes on nowhere")
    address, size = _ADDRESS_SIZE.unpack_from(message.body)
    return address, size
