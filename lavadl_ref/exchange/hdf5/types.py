"""Shapes and types of datasets.  Types that nest are recognised by their class and not looked into."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from lavadl_ref.exchange.errors import ExchangeError

_AXES_LIMIT = 32
_INTEGER, _FLOAT, _STRING, _ENUM, _VARIABLE = 0, 1, 3, 8, 9
_NAMES = {
    2: "times",
    3: "empty strings",
    4: "bit fields",
    5: "an opaque type",
    6: "a compound type",
    7: "references",
    8: "an enumeration",
    9: "ragged arrays",
    10: "arrays within a dataset",
    11: "complex numbers",
}
#: Bit fields of IEEE numbers by size: offset, bits; first bit and bits of exponent and of mantissa; the exponent's bias
_IEEE = {
    2: (0, 16, 10, 5, 0, 10, 15),
    4: (0, 32, 23, 8, 0, 23, 127),
    8: (0, 64, 52, 11, 0, 52, 1023),
}
_FLOAT_FIELDS = struct.Struct("<HHBBBBI")
#: What follows the base type of the enumeration that stands for a bool: two names and the two values; the names are
#: filled up to 8 bytes in older files.
_BOOLS = (b"FALSE\0\0\0TRUE\0\0\0\0\0\1", b"FALSE\0TRUE\0\0\1")


@dataclass(frozen=True)
class Type:
    """The type of each element of a dataset."""

    #: as NumPy's: ``i``, ``u``, ``f``, ``b``; ``S``, ``O`` for strings of fixed and any length; ``R`` for arrays of
    #: numbers that differ in length; else ``V``
    kind: str
    size: int  #: bytes of an element
    dtype: np.dtype[Any] | None  #: to read it with; None for kinds ``O``, ``R`` and ``V``
    name: str  #: how messages call it
    base: np.dtype[Any] | None = None  #: of kind ``R``: that of the numbers


@lru_cache(64)
def shape_of(body: bytes) -> tuple[int, ...] | None:
    """The shape that a dataspace message gives; None for an empty dataset, which has none.

    Raises
    ------
    ExchangeError
        If the message is damaged or names a size that no file has.
    """
    version, axes, _, kind = body[:4].ljust(4, b"\0")
    start = {1: 8, 2: 4}.get(version)
    if start is None or axes > _AXES_LIMIT or len(body) < start + 8 * axes:
        raise ExchangeError("damaged file: a shape cannot be read")
    if version == 2 and kind == 2:
        return None
    shape = struct.unpack_from(f"<{axes}Q", body, start)
    if math.prod(extent for extent in shape if extent) >= 2**60:
        raise ExchangeError(f"must be an array that a file can hold, got shape {shape}")
    return shape


@lru_cache(64)
def type_of(body: bytes) -> Type:
    """The type that a datatype message gives; of kind ``V`` for what is neither number, string nor h5py's bool.

    Raises
    ------
    ExchangeError
        If the message is damaged.
    """
    if len(body) < 8:
        raise ExchangeError("damaged file: a type cannot be read")
    kind, bits, size = body[0] & 15, int.from_bytes(body[1:4], "little"), int.from_bytes(body[4:8], "little")
    if kind == _INTEGER:
        return _integer(bits, size, body[8:])
    if kind == _FLOAT:
        return _float(bits, size, body[8:])
    if kind == _STRING and size:
        return Type("S", size, np.dtype(f"S{min(size, 2**31 - 1)}"), "strings")
    if kind == _VARIABLE and bits & 15 == 1 and size == 16:
        return Type("O", size, None, "strings")
    if kind == _VARIABLE and bits & 15 == 0 and size == 16 and body[8:9] and body[8] & 15 in (_INTEGER, _FLOAT):
        return Type("R", size, None, _NAMES[_VARIABLE], type_of(body[8:]).dtype)
    if kind == _ENUM and bits == 2 and size == 1 and body[20:].rstrip(b"\0") in _BOOLS:
        # as a number: a file may hold others than 0 and 1
        return Type("b", size, np.dtype("u1"), "a bool")
    return _other(size, _NAMES.get(kind, f"an unknown type {kind}"))


def _integer(bits: int, size: int, fields: bytes) -> Type:
    if size not in (1, 2, 4, 8) or len(fields) < 4 or struct.unpack_from("<HH", fields) != (0, 8 * size):
        return _other(size, f"integers of {size} bytes that NumPy has not")
    kind = "i" if bits & 8 else "u"
    return _number(f"{'>' if bits & 1 else '<'}{kind}{size}")


def _float(bits: int, size: int, fields: bytes) -> Type:
    sign, order, implied = bits >> 8, bits & 0x41, bits >> 4 & 3
    known = len(fields) >= 12 and _FLOAT_FIELDS.unpack_from(fields) == _IEEE.get(size)
    if not known or (sign, implied) != (8 * size - 1, 2) or order not in (0, 1):
        return _other(size, f"floats of {size} bytes that NumPy has not")
    return _number(f"{'>' if order else '<'}f{size}")


def _number(text: str) -> Type:
    dtype = np.dtype(text)
    return Type(dtype.kind, dtype.itemsize, dtype, dtype.newbyteorder("=").name)


def _other(size: int, name: str) -> Type:
    return Type("V", size, None, name)
