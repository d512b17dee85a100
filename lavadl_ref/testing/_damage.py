"""Ways of damaging a ``.net`` file: its bytes, and its entries one at a time.

Each function takes a source of choices and the content of a whole file, and returns the content of a damaged one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import h5py
import numpy as np

from lavadl_ref.testing._choices import Choices

Edit = Callable[[Choices, h5py.File, str], None]

ODD = (2**62, -(2**62), 2**40, 5000, -1)  #: added to numbers, to leave their range
NAMES = ("extra", "bias", "weight", "iDecay", "delayShift", "0", "1024")  #: keys where none or others belong
ENTRIES: tuple[Any, ...] = (
    "text",
    "x" * 100,
    np.array([1.5, np.nan, np.inf]),
    np.array(np.nan),
    np.array([1 + 2j]),
    np.array([2**64 - 1], np.uint64),
    np.array([True, False]),
    np.array([(1, 2.0)], [("a", "i4"), ("b", "f4")]),
    np.zeros((0,), np.float32),
    np.zeros((1, 2, 3, 4, 5), np.int64),
    h5py.Empty("f4"),
    0,
    -1,
)


def truncated(choose: Choices, data: bytes) -> bytes:
    """The beginning of `data`."""
    return data[: choose.integer(0, len(data) - 1)]


def flipped(choose: Choices, data: bytes) -> bytes:
    """`data` with up to eight bytes changed."""
    result = bytearray(data)
    count = choose.integer(1, 8)
    changes = {choose.integer(0, len(data) - 1): choose.integer(1, 255) for _ in range(count)}
    for position, bits in changes.items():
        result[position] ^= bits
    return bytes(result)


def overwritten(choose: Choices, data: bytes) -> bytes:
    """`data` with a stretch of it replaced by another, or by zeros."""
    length = choose.integer(1, min(256, len(data)))
    target = choose.integer(0, len(data) - length)
    piece = bytes(length)
    if choose.one((False, True)):
        start = choose.integer(0, len(data) - length)
        piece = data[start : start + length]
    return data[:target] + piece + data[target + length :]


def shifted(choose: Choices, data: bytes) -> bytes:
    """`data` with some bytes taken out, or put in."""
    length = choose.integer(1, min(256, len(data)))
    target = choose.integer(0, len(data) - length)
    if choose.one((False, True)):
        return data[:target] + data[target + length :]
    return data[:target] + bytes(length) + data[target:]


#: Signatures of the structures of an HDF5 file; most addresses in a file are those of such structures.
_STRUCTURE = re.compile(rb"TREE|HEAP|SNOD|GCOL|OHDR|OCHK|FRHP|FHDB|FHIB|BTHD|BTLF|BTIN|FAHD|FADB")
WORD = 8  #: bytes of an address or a length
VALUES = 9  #: numbers that `word` puts in the place of one


def word(data: bytes, index: int, which: int) -> bytes:
    """`data` with its word `index` replaced by one of `VALUES` numbers.

    They are what ends a loop too late or never, and what asks for too much: 0, 1, the largest, 2**40, one more than
    was there, the size of the file, the word's own address, and those of the structure around it and of the next.
    """
    at = index * WORD
    starts = _starts(data)
    around = max((start for start in starts if start <= at), default=0)
    following = min((start for start in starts if start > at), default=around)
    old = int.from_bytes(data[at : at + WORD], "little")
    value = (0, 1, 2**64 - 1, 2**40, (old + 1) % 2**64, len(data), at, around, following)[which]
    return data[:at] + value.to_bytes(WORD, "little") + data[at + WORD :]


@lru_cache(16)
def _starts(data: bytes) -> list[int]:
    return [found.start() for found in _STRUCTURE.finditer(data)]


def any_word(choose: Choices, data: bytes) -> bytes:
    """`data` with one of its words replaced by a number that does harm, see `word`."""
    return word(data, choose.integer(0, len(data) // WORD - 1), choose.integer(0, VALUES - 1))


def edited(choose: Choices, data: bytes) -> bytes:
    """`data` as an HDF5 file of which one entry is not what it should be."""
    edit = choose.one(tuple(EDITS.values()))
    return applied(edit, edit is _change, choose, data)


def applied(edit: Edit, numbers_only: bool, choose: Choices, data: bytes) -> bytes:
    """`data` as an HDF5 file, an entry of which, or a dataset of numbers, goes through `edit`."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        if numbers_only:
            names = [name for name in names if isinstance(file[name], h5py.Dataset) and file[name].dtype.kind in "iuf"]
        edit(choose, file, choose.one(sorted(names)))
    return buffer.getvalue()


def _change(choose: Choices, file: h5py.File, name: str) -> None:
    """Change the values, the shape or the type of a dataset of numbers."""
    values = np.asarray(file[name][()], np.float64)
    del file[name]
    change = choose.one(("range", "half", "longer", "axis", "type"))
    if change == "range":
        values = values + choose.one(ODD)
    elif change == "half":
        values = values + 0.5
    elif change == "longer":
        values = np.append(values, 1)
    elif change == "axis":
        values = np.stack([values, values])
    else:
        with np.errstate(all="ignore"):
            values = values.astype(choose.one(("S8", "c16", "f2", ">i8", "u1")))
    file.create_dataset(name, data=values)


def _replace(choose: Choices, file: h5py.File, name: str) -> None:
    del file[name]
    file.create_dataset(name, data=choose.one(ENTRIES))


def _remove(choose: Choices, file: h5py.File, name: str) -> None:
    del file[name]


def _rename(choose: Choices, file: h5py.File, name: str) -> None:
    parent = file[name].parent
    parent.move(name.rpartition("/")[2], _other_name(choose, parent))


def _copy(choose: Choices, file: h5py.File, name: str) -> None:
    parent = file[name].parent
    file.copy(name, parent, _other_name(choose, parent))


def _other_name(choose: Choices, group: h5py.Group) -> str:
    return choose.one([key for key in NAMES if key not in group])


def _link(choose: Choices, file: h5py.File, name: str) -> None:
    del file[name]
    links = (h5py.SoftLink("/layer"), h5py.SoftLink("/nowhere"), h5py.ExternalLink("other.net", name))
    file[name] = choose.one(links)


def _group(choose: Choices, file: h5py.File, name: str) -> None:
    del file[name]
    file.create_group(name)


def nudge(choose: Choices, file: h5py.File, name: str) -> None:
    """Change one number by one: most often it is still legal."""
    dataset = file[name]
    values = np.array(dataset[()])
    values.reshape(-1)[choose.integer(0, values.size - 1)] += choose.one((-1, 1))
    dataset[...] = values


def exchange_entries(choose: Choices, file: h5py.File, name: str) -> None:
    """Let an entry and a neighbour of it change places."""
    parent, key = file[name].parent, name.rpartition("/")[2]
    other = choose.one(sorted(parent))
    parent.move(key, "aside")
    if other != key:
        parent.move(other, key)
    parent.move("aside", other)


def attribute(choose: Choices, file: h5py.File, name: str) -> None:
    """Attach attributes, which no file of this package has."""
    values = ("text", np.zeros(5000), h5py.Empty("f4"), file.ref, np.array([(1, 2.0)], [("a", "i4"), ("b", "f4")]))
    for index in range(choose.integer(1, 40)):
        file[name].attrs[f"{choose.one(NAMES)} {index}"] = choose.one(values)


EDITS: dict[str, Edit] = {
    "type or shape": _change,
    "other data": _replace,
    "removed": _remove,
    "renamed": _rename,
    "extra": _copy,
    "link": _link,
    "group": _group,
}
