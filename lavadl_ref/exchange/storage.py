"""Careful access to an HDF5 file that nobody vouches for.

Before anything is opened its link is looked at (hard links only) and its name (known keys
only); before anything is read, its type and how much it claims to hold.  Nothing here
follows a structure deeper than its caller asks for, so cycles are harmless.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, TypeVar, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange import hdf5
from lavadl_ref.exchange.errors import ExchangeError, within
from lavadl_ref.exchange.hdf5.decoder import SIGNATURE
from lavadl_ref.exchange.layout import NAME_LIMIT

FEW = 16  # numbers where two or three are expected: they may stand in a message
_USER_BLOCKS = [2**power for power in range(9, 40)]  # where HDF5 data may begin
EXACT_LIMIT = 2**53  # integers a float64 holds exactly

#: A file by its name, or itself: binary and seekable, such as `io.BytesIO`.
File = str | os.PathLike[str] | BinaryIO

_Found = TypeVar("_Found", bound=hdf5.Object)
_Kind = TypeVar("_Kind", bound="Folder")
_Self = TypeVar("_Self", bound="Folder")
_Value = TypeVar("_Value")


@contextmanager
def opened(file: File, cls: Callable[[hdf5.Group], _Kind]) -> Iterator[_Kind]:
    """Open the root of a file as a `cls`, with an allowance of its own; errors name the file.

    Parameters
    ----------
    file : path or binary file
        A file object is read from its start, and stays open.
    cls : callable
        Makes a `Folder` of the root group.

    Raises
    ------
    TypeError
        If `file` is neither a path nor a binary file.
    ExchangeError
        If there is no file, or it is not HDF5.
    """
    name = name_of(file)
    with within(name):
        if not isinstance(file, (str, os.PathLike)):
            _check_start(file)
            yield cls(hdf5.root(hdf5.Source(file)))
            return
        _bring_to_disk(file)
        with _file(name) as raw:
            _check_start(raw)
            yield cls(hdf5.root(hdf5.Source(raw)))


def name_of(file: Any) -> str:
    """The name of a file for messages: its path, or for a file object without one its class, ``<BytesIO>``.

    Raises
    ------
    TypeError
        If `file` is neither a path nor a binary file that can seek.
    """
    if isinstance(file, (str, os.PathLike)):
        return str(os.fspath(cast(Any, file)))
    if isinstance(file, io.TextIOBase) or not all(hasattr(file, name) for name in ("read", "write", "seek")):
        raise TypeError(f"file must be a path or a binary file, got {type(file).__name__}")
    if not file.seekable():
        raise TypeError(f"file must be able to seek, got {type(file).__name__}")
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else f"<{type(file).__name__}>"


def _bring_to_disk(path: str | os.PathLike[str]) -> None:
    """Let HDF5's library write what it holds of `path`, where this process has the file open and is writing it.

    Scripts for Lava-DL read files that they have not closed, of which little is on the disk yet.
    """
    for file in h5py.h5f.get_obj_ids(types=h5py.h5f.OBJ_FILE):
        with suppress(OSError, ValueError):  # a file without a name on the disk, or closed by another thread meanwhile
            if file.get_intent() != h5py.h5f.ACC_RDONLY and os.path.samefile(h5py.h5f.get_name(file), path):
                h5py.h5f.flush(file)


def _file(path: str) -> BinaryIO:
    """Open the file at `path`, if it is a regular file."""
    try:
        # looked at before it is opened: to open a pipe is to wait for who writes into it
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ExchangeError("expected a file, found a directory or device")
        return open(path, "rb")
    except ExchangeError:
        raise
    except OSError as error:
        raise ExchangeError(f"cannot be opened: {error.strerror}") from None
    except ValueError as error:  # a name with a byte 0
        raise ExchangeError(f"cannot be opened: {error}") from None


def _check_start(file: BinaryIO) -> None:
    """Raise unless a file begins as HDF5 does; tell what it is instead."""
    file.seek(0)
    start = file.read(64)
    if start.startswith(SIGNATURE):
        return
    for block in _USER_BLOCKS:
        file.seek(block)
        if file.read(len(SIGNATURE)) == SIGNATURE:
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
        The group, already opened; all groups of a file share one allowance.
    prefix : str
        Put before keys in errors, e.g. ``neuron/``.
    """

    def __init__(self, group: hdf5.Group, prefix: str = "") -> None:
        self._group = group
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
        """Open the group called `key`; `prefix` replaces the one that its place gives it."""
        try:
            found = self._open(key, hdf5.Group)
            return type(self)(found, f"{self._prefix}{key}/" if prefix is None else prefix)
        except ExchangeError as error:
            raise self._placed(key, error) from None

    def is_folder(self, key: str) -> bool:
        """Tell whether `key` is a group."""
        try:
            return isinstance(self._open(key, hdf5.Object), hdf5.Group)
        except ExchangeError as error:
            raise self._placed(key, error) from None

    def integers(self, key: str) -> NDArray[np.int64]:
        """Read the numbers of dataset `key`, of any shape; floats must be whole."""
        return self._read(key, "iuf", None, _whole)

    def few_integers(self, key: str) -> NDArray[np.int64]:
        """Read the numbers of dataset `key`, of any shape, but no more than can be shown."""
        return self._read(key, "iuf", FEW, _whole)

    def vector(self, key: str, count: int) -> NDArray[np.int64]:
        """Read the numbers of dataset `key`; a single one is repeated `count` times."""

        def repeated(values: NDArray[Any]) -> NDArray[np.int64]:
            values = _whole(values)
            if values.size != 1:
                return values
            self._group.take("packed", 8 * count)
            return np.full(count, values.reshape(-1)[0])

        return self._read(key, "iuf", None, repeated)

    def integer(self, key: str) -> int:
        """Read the one number of dataset `key`, of shape () or (1,)."""
        return self._read(key, "iuf", 1, lambda values: int(_whole(values).reshape(1)[0]))

    def boolean(self, key: str) -> bool:
        """Read the one truth value of dataset `key`."""
        return self._read(key, "biuf", 1, _truth)

    def text(self, key: str) -> str:
        """Read the one string of dataset `key`, of fixed or variable length, ASCII."""
        return self._read(key, "SO", 1, _short_text)

    def _open(self, key: str, wanted: type[_Found]) -> _Found:
        if key not in self.names:
            raise ExchangeError("missing")
        found = self._group.open(key)
        if not isinstance(found, wanted):
            raise ExchangeError(f"expected a {wanted.kind}, found a {found.kind}")
        return found

    def _read(self, key: str, kinds: str, most: int | None, finish: Callable[[NDArray[Any]], _Value]) -> _Value:
        """Read dataset `key`, see `hdf5.Dataset.values`, and give its values to `finish`; errors name the key."""
        try:
            if key not in self.names:
                raise ExchangeError("missing")
            return finish(self._group.read(key, kinds, most))
        except ExchangeError as error:
            raise self._placed(key, error) from None

    def _placed(self, key: str, error: ExchangeError) -> ExchangeError:
        return ExchangeError(f"{self._prefix}{key}: {error}")


def _truth(values: NDArray[Any]) -> bool:
    (value,) = values.reshape(1)
    if value not in (0, 1):
        raise ExchangeError(f"expected a bool, found {value}")
    return bool(value)


def _short_text(values: NDArray[Any]) -> str:
    (value,) = values.reshape(1)
    text = str(value.decode("ascii", "backslashreplace"))
    if len(text) > NAME_LIMIT:
        raise ExchangeError(f"expected at most {NAME_LIMIT} characters, found {len(text)}")
    return text


def _whole(values: NDArray[Any]) -> NDArray[np.int64]:
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
