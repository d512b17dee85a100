"""Careful access to an HDF5 file that nobody vouches for.

Before anything is opened its link is looked at (hard links only) and its name (known keys
only); before anything is read, its type and how much it claims to hold.  Nothing here
follows a structure deeper than its caller asks for, so cycles are harmless.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange import hdf5
from lavadl_ref.exchange.errors import ExchangeError, within
from lavadl_ref.exchange.hdf5.headers import SIGNATURE
from lavadl_ref.exchange.hdf5.layouts import Chunks
from lavadl_ref.exchange.hdf5.strings import Strings
from lavadl_ref.exchange.layout import NAME_LIMIT

DECODED_LIMIT = 2**30  # bytes of all integers of a file once they are int64
PACKED_LIMIT = 2**26  # the same, for those stored in chunks or compressed
CHUNK_COUNT_LIMIT = 2**14  # of a file
FEW = 16  # numbers where two or three are expected: they may stand in a message
_USER_BLOCKS = [2**power for power in range(9, 40)]  # where HDF5 data may begin
EXACT_LIMIT = 2**53  # integers a float64 holds exactly


class Budget:
    """What a file may still claim to hold.

    A dataset stored as it is takes its bytes from those of the file, so no file claims
    more than it has, even by naming the same bytes twice.  Chunked and compressed data may
    grow when read, up to a fixed limit.
    """

    def __init__(self, source: hdf5.Source) -> None:
        self.source = source
        self.strings = Strings(source)
        self.stored = source.size  #: bytes of the file not yet accounted for
        self.packed = PACKED_LIMIT
        self.decoded = DECODED_LIMIT
        self.chunks = CHUNK_COUNT_LIMIT

    def take(self, name: str, amount: int) -> None:
        """Subtract `amount` bytes from the allowance called `name`."""
        left = getattr(self, name)
        if amount > left:
            raise ExchangeError(f"claims {amount:,} bytes, more than the {left:,} that the file can hold")
        setattr(self, name, left - amount)

    def take_chunks(self, count: int) -> None:
        """Account for `count` chunks."""
        if count > self.chunks:
            raise ExchangeError(f"expected at most {self.chunks} chunks, found {count:,}")
        self.chunks -= count


_Found = TypeVar("_Found", bound=hdf5.Object)
_Kind = TypeVar("_Kind", bound="Folder")
_Self = TypeVar("_Self", bound="Folder")


@contextmanager
def opened(path: str | os.PathLike[str], cls: Callable[[hdf5.Group, Budget], _Kind]) -> Iterator[_Kind]:
    """The root of the file at `path` as a `cls`, with an allowance of its own; errors name the file.

    Raises
    ------
    ExchangeError
        If there is no file, or it is not HDF5.
    """
    _bring_to_disk(path)
    with within(os.fspath(path)), _file(os.fspath(path)) as raw:
        source = hdf5.Source(raw)
        yield cls(hdf5.root(source), Budget(source))


def _bring_to_disk(path: str | os.PathLike[str]) -> None:
    """Let HDF5's library write what it holds of `path`, where this process has the file open and is writing it.

    Scripts for Lava-DL read files that they have not closed, of which little is on the disk yet.
    """
    for file in h5py.h5f.get_obj_ids(types=h5py.h5f.OBJ_FILE):
        with suppress(OSError, ValueError):  # a file without a name on the disk, or closed by another thread meanwhile
            if file.get_intent() != h5py.h5f.ACC_RDONLY and os.path.samefile(h5py.h5f.get_name(file), path):
                h5py.h5f.flush(file)


def _file(path: str) -> BinaryIO:
    """The file at `path`, open, if it is a regular file."""
    try:
        # looked at before it is opened: to open a pipe is to wait for who writes into it
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ExchangeError("expected a file, found a directory or device")
        raw = open(path, "rb")  # noqa: SIM115 - closed by who asked for it
    except ExchangeError:
        raise
    except OSError as error:
        raise ExchangeError(f"cannot be opened: {error.strerror}") from None
    except ValueError as error:  # a name with a byte 0
        raise ExchangeError(f"cannot be opened: {error}") from None
    start = raw.read(64)
    if start.startswith(SIGNATURE):
        return raw
    block = next((at for at in _USER_BLOCKS if os.pread(raw.fileno(), 8, at) == SIGNATURE), 0)
    raw.close()
    if block:
        raise ExchangeError(f"expected HDF5 data from the start, found it at {block}")
    if start.startswith(b"version https://git-lfs"):
        raise ExchangeError("expected an HDF5 file, found a Git LFS pointer; fetch the data with git lfs pull")
    raise ExchangeError("expected an HDF5 file, found " + ("an empty file" if not start else "other data"))


def shown(name: str) -> str:
    """`name` as it may stand in a message: short and printable."""
    return name if name.isascii() and name.isprintable() and len(name) <= NAME_LIMIT else ascii(name[:NAME_LIMIT])


class Folder:
    """One group of a file.

    Parameters
    ----------
    group : hdf5.Group
        The group, already opened.
    budget : Budget
        Shared by all groups of the file.
    prefix : str
        Put before keys in errors, e.g. ``neuron/``.
    """

    def __init__(self, group: hdf5.Group, budget: Budget, prefix: str = "") -> None:
        self._group = group
        self._budget = budget
        self._prefix = prefix
        self.names = tuple(sorted(group.links))

    def __contains__(self, key: str) -> bool:
        return key in self._group.links

    def only(self, known: Collection[str]) -> None:
        """Raise unless every key is one of `known`."""
        for name in self.names:
            if name not in known:
                raise ExchangeError(f"{self._prefix}{shown(name)}: unknown key; known are {', '.join(sorted(known))}")

    def folder(self: _Self, key: str, prefix: str | None = None) -> _Self:
        """The group called `key`; `prefix` replaces the one that its place gives it."""
        with within(self._prefix + key):
            found = self._open(key, hdf5.Group)
            return type(self)(found, self._budget, f"{self._prefix}{key}/" if prefix is None else prefix)

    def is_folder(self, key: str) -> bool:
        """Whether `key` is a group."""
        with within(self._prefix + key):
            return isinstance(self._open(key, hdf5.Object), hdf5.Group)

    def integers(self, key: str) -> NDArray[np.int64]:
        """The numbers of dataset `key`, of any shape; floats must be whole."""
        with within(self._prefix + key):
            return _whole(self._read(self._open(key, hdf5.Dataset), "iuf"))

    def few_integers(self, key: str) -> NDArray[np.int64]:
        """The numbers of dataset `key`, of any shape, but no more than can be shown."""
        with within(self._prefix + key):
            dataset = self._open(key, hdf5.Dataset)
            if dataset.shape is not None and math.prod(dataset.shape) > FEW:
                raise ExchangeError(f"expected at most {FEW} numbers, found shape {dataset.shape}")
            return _whole(self._read(dataset, "iuf"))

    def vector(self, key: str, count: int) -> NDArray[np.int64]:
        """The numbers of dataset `key`; a single one is repeated `count` times."""
        values = self.integers(key)
        if values.size != 1:
            return values
        with within(self._prefix + key):
            self._budget.take("packed", 8 * count)
            return np.full(count, values.reshape(-1)[0])

    def integer(self, key: str) -> int:
        """The one number of dataset `key`, of shape () or (1,)."""
        with within(self._prefix + key):
            return int(_whole(self._single(key, "iuf"))[0])

    def boolean(self, key: str) -> bool:
        """The one truth value of dataset `key`."""
        with within(self._prefix + key):
            (value,) = self._single(key, "biuf")
            if value not in (0, 1):
                raise ExchangeError(f"expected a bool, found {value}")
            return bool(value)

    def text(self, key: str) -> str:
        """The one string of dataset `key`, of fixed or variable length, ASCII."""
        with within(self._prefix + key):
            (value,) = self._single(key, "SO")
            text = value.decode("ascii", "backslashreplace")
            if len(text) > NAME_LIMIT:
                raise ExchangeError(f"expected at most {NAME_LIMIT} characters, found {len(text)}")
            return text

    def _open(self, key: str, wanted: type[_Found]) -> _Found:
        if key not in self:
            raise ExchangeError("missing")
        found = self._group.open(key)
        if not isinstance(found, wanted):
            raise ExchangeError(f"expected a {wanted.kind}, found a {found.kind}")
        return found

    def _single(self, key: str, kinds: str) -> NDArray:
        """The one value of dataset `key`, of shape () or (1,), as shape (1,)."""
        dataset = self._open(key, hdf5.Dataset)
        if dataset.shape not in (None, (), (1,)):
            raise ExchangeError(f"expected one {'string' if 'S' in kinds else 'value'}, found shape {dataset.shape}")
        return self._read(dataset, kinds).reshape(1)

    def _read(self, dataset: hdf5.Dataset, kinds: str) -> NDArray:
        """All of a dataset whose NumPy kind is in `kinds`, once its claims are believable."""
        shape, stored = dataset.shape, dataset.type
        if shape is None:
            raise ExchangeError("expected data, found an empty dataset")
        if stored.kind not in kinds or stored.size > NAME_LIMIT:
            name = f"strings of {stored.size:,} bytes" if stored.kind == "S" and "S" in kinds else stored.name
            raise ExchangeError(f"expected {_DESCRIBED[kinds]}, found {name}")
        self._take(dataset, math.prod(shape), stored.size)
        if stored.kind == "O":
            return np.array([self._budget.strings.string(dataset.reference(), NAME_LIMIT)])
        return dataset.read()

    def _take(self, dataset: hdf5.Dataset, count: int, width: int) -> None:
        """Account for all that reading a dataset will take."""
        budget, layout = self._budget, dataset.layout
        if isinstance(layout, Chunks):
            # a whole chunk is held at a time
            budget.take("packed", 8 * count)
            if layout.size > PACKED_LIMIT:
                raise ExchangeError(f"claims {layout.size:,} bytes for each chunk, more than {PACKED_LIMIT:,}")
            budget.take_chunks(layout.count)
            budget.take("stored", layout.stored(budget.source))
        else:
            budget.take("stored", count * width)
        budget.take("decoded", 8 * count)


def _whole(values: NDArray) -> NDArray[np.int64]:
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values)
        if not bad.any():
            bad = np.trunc(values) != values
        if bad.any():
            where = tuple(int(axis) for axis in np.argwhere(bad)[0])
            raise ExchangeError(f"expected finite integers, found {values[where]} at {where}")
    if values.size:
        # as Python's numbers: a narrow type does not hold the limit
        low, high = values.min().item(), values.max().item()
        if not (low > -EXACT_LIMIT and high < EXACT_LIMIT):
            raise ExchangeError(f"expected integers below 2**53, found {low} to {high}")
    return values.astype(np.int64, copy=False)


_DESCRIBED = {"iuf": "integers", "biuf": "a bool", "SO": "a string"}
