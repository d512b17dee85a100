"""HDF5 files that a caller names or hands over: opened once it is known that they are files, and of HDF5."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, TypeVar, cast

import h5py

from lavadl_ref.exchange import hdf5
from lavadl_ref.exchange.errors import ExchangeError, within
from lavadl_ref.exchange.hdf5.decoder import SIGNATURE
from lavadl_ref.exchange.layout import NAME_LIMIT

_USER_BLOCKS = [2**power for power in range(9, 40)]  # where HDF5 data may begin

#: A file by its name, or itself: binary and seekable, such as `io.BytesIO`.
File = str | os.PathLike[str] | BinaryIO

_Kind = TypeVar("_Kind")


@contextmanager
def opened(file: File, cls: Callable[[hdf5.Group], _Kind]) -> Iterator[_Kind]:
    """Open the root of a file as a `cls`, with an allowance of its own; errors name the file.

    Parameters
    ----------
    file : path or binary file
        A file object is read from its start, and stays open.
    cls : callable
        Makes of the root group what is yielded, e.g. `lavadl_ref.exchange.read.Folder`.

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
            raise ExchangeError("must be a file, got a directory or device")
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
            raise ExchangeError(f"must begin with HDF5 data, got it at {block}")
    if start.startswith(b"version https://git-lfs"):
        raise ExchangeError("must be an HDF5 file, got a Git LFS pointer; fetch the data with git lfs pull")
    raise ExchangeError("must be an HDF5 file, got " + ("an empty file" if not start else "other data"))


def shown(name: str) -> str:
    """`name` as it may stand in a message: short and printable."""
    return name if name.isascii() and name.isprintable() and len(name) <= NAME_LIMIT else ascii(name[:NAME_LIMIT])
