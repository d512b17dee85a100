"""Ways in which a ``.net`` file can be wrong, drawn by Hypothesis."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

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


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """`data` with some damage."""
    # twice as often where a change surely matters
    return st.one_of(edited(data), edited(data), flipped(data), overwritten(data), truncated(data))


def truncated(data: bytes) -> st.SearchStrategy[bytes]:
    """The beginning of `data`."""
    return st.integers(0, len(data) - 1).map(lambda end: data[:end])


@st.composite
def flipped(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with up to eight bytes changed."""
    change = st.tuples(st.integers(0, len(data) - 1), st.integers(1, 255))
    result = bytearray(data)
    for position, bits in draw(st.lists(change, min_size=1, max_size=8, unique_by=lambda pair: pair[0])):
        result[position] ^= bits
    return bytes(result)


@st.composite
def overwritten(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with a stretch of it replaced by another, or by zeros."""
    length = draw(st.integers(1, min(256, len(data))))
    target = draw(st.integers(0, len(data) - length))
    piece = bytes(length) if draw(st.booleans()) else _piece(data, draw(st.integers(0, len(data) - length)), length)
    return data[:target] + piece + data[target + length :]


def _piece(data: bytes, start: int, length: int) -> bytes:
    return data[start : start + length]


@st.composite
def edited(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` as an HDF5 file of which one entry is not what it should be."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        edit = draw(st.sampled_from(EDITS))
        numbers = [name for name in names if isinstance(file[name], h5py.Dataset) and file[name].dtype.kind in "iuf"]
        edit(draw, file, draw(st.sampled_from(sorted(numbers if edit is _change else names))))
    return buffer.getvalue()


def _remove(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    del file[name]


def _rename(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    parent = file[name].parent
    new = draw(st.sampled_from([key for key in NAMES if key not in parent]))
    parent.move(name.rpartition("/")[2], new)


def _copy(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    parent = file[name].parent
    file.copy(name, parent, draw(st.sampled_from([key for key in NAMES if key not in parent])))


def _link(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    del file[name]
    links = (h5py.SoftLink("/layer"), h5py.SoftLink("/nowhere"), h5py.ExternalLink("other.net", name))
    file[name] = draw(st.sampled_from(links))


def _group(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    del file[name]
    file.create_group(name)


def _replace(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    del file[name]
    file.create_dataset(name, data=draw(st.sampled_from(ENTRIES)))


def _change(draw: st.DrawFn, file: h5py.File, name: str) -> None:
    """Change a value, the shape or the type of a dataset of numbers."""
    values = np.asarray(file[name][()], np.float64)
    del file[name]
    change = draw(st.sampled_from(("range", "half", "longer", "axis", "type")))
    if change == "range":
        values = values + draw(st.sampled_from(ODD))
    elif change == "half":
        values = values + 0.5
    elif change == "longer":
        values = np.append(values, 1)
    elif change == "axis":
        values = np.stack([values, values])
    else:
        values = values.astype(draw(st.sampled_from(("S8", "c16", "f2", ">i8", "u1"))))
    file.create_dataset(name, data=values)


EDITS: tuple[Callable[[st.DrawFn, h5py.File, str], None], ...] = (
    _change,
    _replace,
    _remove,
    _rename,
    _copy,
    _link,
    _group,
)
