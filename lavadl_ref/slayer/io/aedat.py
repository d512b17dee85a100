"""AEDAT files of event cameras: version 3.1, as of DVS-Gesture, and version 4.0, as of DV.

Sources: inivation's pages "AEDAT 3.1" and "AEDAT 4.0" of its documentation of file formats, and Flatbuffers' page
"FlatBuffer Internals". Both versions begin with a line of text that names the version.

- 3.1: lines of text that begin with ``#``, the last ``#!END-HEADER``; then packets. A packet has 28 bytes of header,
  little-endian: kind and source as int16, then as int32 the bytes of an event, the place of its time, how often the
  time has overflowed, the capacity, and the numbers of events and of valid ones. A polarity event (kind 1) is a uint32,
  of which, the lowest first, 1 bit says that it is valid, 1 is the polarity, 15 are y and 15 are x; and an int32 of
  microseconds.
- 4.0: a Flatbuffer ``IOHE`` that names the compression and the end of the data; then packets. A packet has 8 bytes of
  header, its stream and its size as int32; then, perhaps compressed, a Flatbuffer. That of events, ``EVTS``, has a
  vector of 16 bytes each: microseconds as int64, x and y as int16, the polarity as a byte, and 3 bytes of nothing.

Nothing is followed or allocated before what it claims is held against what the file has.
"""

from __future__ import annotations

import importlib
import os
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lavadl_ref import _files
from lavadl_ref.slayer.io.event import Event

WHAT = "events in AEDAT 3.1 or 4.0"
PACKET = 2**26  #: bytes of one packet of version 4.0 once it is not compressed

_HEADER = 2**16  # most bytes of the lines of text
_PACKET_3 = struct.Struct("<hhiiiiii")
_POLARITY = 1
_EVENT_3 = np.dtype([("data", "<u4"), ("t", "<i4")])
_PACKET_4 = struct.Struct("<ii")
_EVENT_4 = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("on", "u1"), ("nothing", "V3")])
#: Kinds of compression of version 4.0: the package that undoes it, by the number in the file.
_COMPRESSIONS = {0: None, 1: "lz4", 2: "lz4", 3: "zstandard", 4: "zstandard"}


class Columns(NamedTuple):
    """The events of a recording; M of them, in the order of the file."""

    x: NDArray[np.int64]  #: (M,) columns of the sensor
    y: NDArray[np.int64]  #: (M,) rows
    polarity: NDArray[np.int64]  #: (M,) 0 darker, 1 brighter
    time: NDArray[np.int64]  #: (M,) microseconds


def read_aedat(filename: str | os.PathLike[str]) -> Event:
    """Read a recording of an event camera in AEDAT 3.1 or 4.0.

    Parameters
    ----------
    filename : path
        The file, usually ``.aedat`` or ``.aedat4``.  Of a compressed file of version 4.0 the package lz4 or zstandard
        is needed, as the file says.

    Returns
    -------
    Event
        2-D. Polarities are channels 0 and 1; times are in milliseconds since the earliest event. Events that the file
        marks as invalid are left out, as are frames, triggers and inertial data.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        The file has another form; the message names it and says which.
    ModuleNotFoundError
        The package that undoes the compression of the file is not installed.
    """
    found = columns(filename)
    start = found.time.min() if len(found.time) else 0
    return Event(found.x, found.y, found.polarity, (found.time - start) / 1000)


def columns(filename: str | os.PathLike[str]) -> Columns:
    """The events of a file as they are recorded, with whole microseconds; raises as `read_aedat`."""
    content = _files.content(filename, WHAT)
    name = os.fspath(filename)
    line, _, _ = content[:32].partition(b"\n")
    versions = {b"#!AER-DAT3.1": _version_3, b"#!AER-DAT4.0": _version_4}
    reader = versions.get(line.rstrip(b"\r"))
    if reader is None:
        raise ValueError(f"{name} must be {WHAT}, got a file that begins with {line[:20]!r}")
    try:
        parts = list(reader(content, name))
    except _Damage as damage:
        raise ValueError(f"{name} must be {WHAT}: {damage}") from None
    if not parts:
        return Columns(*(np.zeros(0, np.int64) for _ in Columns._fields))
    return Columns(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class _Damage(Exception):
    """An error in a file."""


def _version_3(content: bytes, name: str) -> Iterator[Columns]:
    at = _behind_the_text(content)
    while at < len(content):
        if len(content) - at < _PACKET_3.size:
            raise _Damage(f"the header of a packet is cut off at byte {at:,}")
        kind, _, size, _, overflow, capacity, number, valid = _PACKET_3.unpack_from(content, at)
        at += _PACKET_3.size
        if size < 1 or not 0 <= valid <= number <= capacity or overflow < 0:
            raise _Damage(f"the packet at byte {at - _PACKET_3.size:,} must count its events, got damaged numbers")
        if number * size > len(content) - at:
            raise _Damage(f"a packet claims {number:,} events of {size:,} bytes, {len(content) - at:,} bytes follow")
        if kind == _POLARITY:
            if size != _EVENT_3.itemsize:
                raise _Damage(f"polarity events must have {_EVENT_3.itemsize} bytes, got {size:,}")
            rows = np.frombuffer(content, _EVENT_3, number, at)
            rows = rows[(rows["data"] & 1) == 1]
            if (rows["t"] < 0).any():
                raise _Damage(f"times must be at least 0, got {rows['t'].min()}")
            data, time = rows["data"].astype(np.int64), rows["t"].astype(np.int64) | overflow << 31
            yield Columns(data >> 17, data >> 2 & 0x7FFF, data >> 1 & 1, time)
        at += number * size


def _behind_the_text(content: bytes) -> int:
    at = 0
    while content[at : at + 1] == b"#":
        end = content.find(b"\n", at, _HEADER) + 1
        if not end:
            raise _Damage(f"its lines of text must end within {_HEADER:,} bytes, got more")
        line, at = content[at:end], end
        if line.rstrip() == b"#!END-HEADER":
            break
    return at


def _version_4(content: bytes, name: str) -> Iterator[Columns]:
    at = content.find(b"\n") + 1
    header, at = _prefixed(content, at)
    table = _Table(header, b"IOHE")
    compression, end = table.number(0, "<i", 0), table.number(1, "<q", -1)
    if compression not in _COMPRESSIONS:
        raise _Damage(f"its compression must be one of {', '.join(map(str, _COMPRESSIONS))}, got {compression}")
    end = len(content) if end == -1 else end
    if not at <= end <= len(content):
        raise _Damage(f"its data must end within its {len(content):,} bytes, got {end:,}")
    package, left = _COMPRESSIONS[compression], _files.ARRAY
    while at < end:
        if end - at < _PACKET_4.size:
            raise _Damage(f"the header of a packet is cut off at byte {at:,}")
        _, size = _PACKET_4.unpack_from(content, at)
        at += _PACKET_4.size
        if not 0 <= size <= end - at:
            raise _Damage(f"a packet claims {size:,} bytes, {end - at:,} follow")
        data = content[at : at + size]
        at += size
        packet, _ = _prefixed(data if package is None else _inflated(data, package, name), 0)
        if packet[4:8] != b"EVTS":
            continue
        rows = np.frombuffer(_Table(packet, b"EVTS").vector(0, _EVENT_4.itemsize), _EVENT_4)
        left -= rows.nbytes
        if left < 0:
            raise _Damage(f"its events must take at most {_files.ARRAY:,} bytes, got more")
        x, y = rows["x"].astype(np.int64), rows["y"].astype(np.int64)
        if len(rows) and min(x.min(), y.min()) < 0:
            raise _Damage(f"x and y must be at least 0, got {min(x.min(), y.min())}")
        if len(rows) and np.abs(rows["t"].astype(np.float64)).max() >= 2**62:
            raise _Damage("times must be below 2^62 microseconds, got more")
        yield Columns(x, y, (rows["on"] != 0).astype(np.int64), rows["t"].astype(np.int64))


def _prefixed(content: bytes, at: int) -> tuple[bytes, int]:
    """The bytes behind a size, and where they end."""
    if len(content) - at < 4:
        raise _Damage(f"the size of a Flatbuffer is cut off at byte {at:,}")
    (size,) = struct.unpack_from("<I", content, at)
    if size > len(content) - at - 4:
        raise _Damage(f"a Flatbuffer claims {size:,} bytes, {len(content) - at - 4:,} follow")
    return content[at + 4 : at + 4 + size], at + 4 + size


class _Table:
    """The root table of a Flatbuffer: every place is held against the size of the buffer before it is read.

    Parameters
    ----------
    content : bytes
        The buffer, without a size in front.
    identifier : bytes
        The four characters behind the place of the root.
    """

    def __init__(self, content: bytes, identifier: bytes) -> None:
        self._content = content
        if content[4:8] != identifier:
            raise _Damage(f"a Flatbuffer must be {identifier.decode()}, got {content[4:8]!r}")
        self._root = self._read("<I", 0)
        self._fields = self._root - self._read("<i", self._root)
        self._size = self._read("<H", self._fields)  # of the list of fields, in bytes
        if self._size > len(content) - self._fields:
            raise _Damage(f"a Flatbuffer of {len(content):,} bytes claims {self._size:,} bytes of fields")

    def _read(self, form: str, at: int) -> int:
        if not 0 <= at <= len(self._content) - struct.calcsize(form):
            raise _Damage(f"a Flatbuffer of {len(self._content):,} bytes leads to byte {at:,}")
        (value,) = struct.unpack_from(form, self._content, at)
        return int(value)

    def _place(self, field: int) -> int:
        """The place of a field; 0 where the table does not have it."""
        at = 4 + 2 * field
        offset = self._read("<H", self._fields + at) if at + 2 <= self._size else 0
        return self._root + offset if offset else 0

    def number(self, field: int, form: str, default: int) -> int:
        """A number of the table."""
        at = self._place(field)
        return self._read(form, at) if at else default

    def vector(self, field: int, width: int) -> bytes:
        """The bytes of a vector of structures of `width` bytes; none where there is no vector."""
        at = self._place(field)
        if not at:
            return b""
        at += self._read("<I", at)
        count = self._read("<I", at)
        if count * width > len(self._content) - at - 4:
            raise _Damage(f"a vector claims {count:,} events, {len(self._content) - at - 4:,} bytes follow")
        return self._content[at + 4 : at + 4 + count * width]


def _inflated(data: bytes, package: str, name: str) -> bytes:
    """The decompressed bytes, at most `PACKET` of them."""
    try:
        module: Any = importlib.import_module("lz4.frame" if package == "lz4" else package)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"{name} is compressed: reading it needs {package}, which is not installed: pip install {package}",
            name=package,
        ) from None
    try:
        if package == "lz4":
            found = module.LZ4FrameDecompressor().decompress(data, max_length=PACKET + 1)
        else:
            found = module.ZstdDecompressor(max_window_size=PACKET).stream_reader(data).read(PACKET + 1)
    except Exception as error:  # each package has errors of its own
        raise _Damage(f"a packet cannot be decompressed ({str(error)[:60]!r})") from None
    if len(found) > PACKET:
        raise _Damage(f"a packet must have at most {PACKET:,} bytes once it is not compressed, got more")
    return bytes(found)
