"""Files that a user names: opened, bounded, and refused in one line that names them.

Nothing here reads, decodes or allocates more than a file has or a stated limit allows, whatever the file claims.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

PathLike = str | os.PathLike[str]

ARRAY = 2**32  #: bytes that an array of a file may take
TEXT = 2**24  #: bytes of a text that is read whole
PIXELS = 2**24  #: of a picture, or of a sensor
_HEADER = 2**16  #: bytes of a .npy file's header
_PIECE = 2**24
_AXES = 32
#: How files begin that are taken for arrays, and what they are.
_OTHERS = {
    b"PK": "an archive (.npz); save the one array with numpy.save",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer; fetch the data with git lfs pull",
}


def folder(path: PathLike, what: str) -> Path:
    """`path`, which must be a folder.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        It is missing, or something else; says that it should hold `what`.
    """
    found = Path(path)
    if not found.exists():
        raise FileNotFoundError(f"{found}: there is no such folder; expected one with {what}")
    if not found.is_dir():
        raise NotADirectoryError(f"{found}: expected a folder with {what}")
    return found


def file(path: PathLike, what: str) -> Path:
    """`path`, which must be a regular file, so that reading it comes to an end.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, OSError
        It is missing, a folder, or something else; says that it should be `what`.
    """
    found = Path(path)
    try:
        mode = found.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{found}: there is no such file; expected {what}") from None
    except OSError as error:
        raise type(error)(f"{found}: {error.strerror}; expected {what}") from None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{found}: this is a folder; expected {what}")
    if not stat.S_ISREG(mode):
        raise OSError(f"{found}: this is no regular file; expected {what}")
    return found


@contextmanager
def opened(path: PathLike, what: str) -> Iterator[BinaryIO]:
    """`path` for reading bytes.

    Raises
    ------
    OSError
        As `file`, or the file cannot be opened or read; begins with its name.
    """
    found = file(path, what)
    try:
        with open(found, "rb") as stream:
            yield stream
    except OSError as error:
        if error.errno is None:  # it is ours, with its text
            raise
        raise type(error)(f"{found}: {error.strerror or error}") from None


def remaining(stream: BinaryIO) -> int:
    """Bytes from where `stream` stands to the end of its file."""
    return os.fstat(stream.fileno()).st_size - stream.tell()


def at_most(stream: Any, size: int) -> bytearray:
    """Up to `size` bytes of what may be compressed, in pieces: memory is taken for what there is, not for `size`."""
    found = bytearray()
    while len(found) < size and (piece := stream.read(min(size - len(found), _PIECE))):
        found += piece
    return found


def content(path: PathLike, what: str, limit: int = ARRAY) -> bytes:
    """All bytes of a file.

    Raises
    ------
    OSError
        As `opened`.
    ValueError
        It has more than `limit` bytes.
    """
    with opened(path, what) as stream:
        size = remaining(stream)
        if size > limit:
            raise ValueError(f"{os.fspath(path)} must be {what} of at most {limit:,} bytes, got {size:,}")
        return bytes(at_most(stream, size))


def text(path: PathLike, what: str) -> str:
    """A text in UTF-8 of at most `TEXT` bytes; raises as `content`, and ValueError if it is none."""
    try:
        return content(path, what, TEXT).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)} must be {what} in UTF-8, got another byte at {error.start}") from None


def document(path: PathLike, what: str) -> Any:
    """The content of a JSON file; raises as `text`, and ValueError if it is damaged or a number is not finite."""

    def finite(said: str) -> float:
        if not math.isfinite(value := float(said)):
            raise ValueError(f"the number {said[:20]} is not finite")
        return value

    try:
        return json.loads(text(path, what), parse_float=finite, parse_constant=finite)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)} must be {what} in JSON: {error}") from None
    except ValueError as error:
        name = os.fspath(path)
        # of a number; what `text` raises begins with the name
        said = str(error) if str(error).startswith(name) else f"{name} must be {what} in JSON: {error}"
        raise ValueError(said) from None


def array(path: PathLike, what: str = "an array in a .npy file") -> NDArray[Any]:
    """The array of a ``.npy`` file, whose header is held against the file's size before anything is allocated.

    Parameters
    ----------
    path : path
        The file.
    what : str
        What it should be, for errors.

    Returns
    -------
    ndarray
        Of any shape and dtype but objects.

    Raises
    ------
    OSError
        As `opened`.
    ValueError
        It is an archive (``.npz``) or no ``.npy`` file, its header is damaged, it holds objects, or another number of
        bytes than the header says, or more than `ARRAY`.
    """
    with opened(path, what) as stream:
        return array_in(stream, f"{os.fspath(path)} must be {what}")


def array_in(stream: BinaryIO, wanted: str, kinds: str = "") -> NDArray[Any]:
    """The array that the file `stream` holds from where it stands to its end.

    Parameters
    ----------
    stream : binary file
        A regular file.
    wanted : str
        Begins the message of every error: the file's name and what it must be.
    kinds : str
        NumPy's kinds of elements that are allowed; all but objects if it is empty.

    Returns
    -------
    ndarray
        Of any shape.

    Raises
    ------
    ValueError
        As `array`.
    """
    shape, fortran, dtype = _npy_header(stream, wanted, kinds)
    size, found = math.prod(shape) * dtype.itemsize, remaining(stream)
    if size != found:
        said = (
            f"{_short(shape)} of {_short(dtype)}: its header claims {size:,} bytes of numbers, the file has {found:,}"
        )
        raise ValueError(f"{wanted}, got {said}")
    if math.prod(max(length, 1) for length in shape) * dtype.itemsize > ARRAY:
        raise ValueError(f"{wanted} of at most {ARRAY:,} bytes, got the shape {_short(shape)}")
    flat = np.frombuffer(at_most(stream, size), dtype) if size else np.empty(0, dtype)
    if not fortran:
        return flat.reshape(shape)
    return flat.reshape(shape[::-1]).transpose()


def _npy_header(stream: BinaryIO, wanted: str, kinds: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype of the array that follows in `stream`; ValueError with `wanted` in front if damaged."""
    begins = stream.read(32)
    readers = {b"\1\0": (2, np.lib.format.read_array_header_1_0), b"\2\0": (4, np.lib.format.read_array_header_2_0)}
    if not begins.startswith(np.lib.format.MAGIC_PREFIX) or begins[6:8] not in readers:
        other = next((what for start, what in _OTHERS.items() if begins.startswith(start)), "other data")
        raise ValueError(f"{wanted}, got {other if begins else 'an empty file'}")
    width, reader = readers[begins[6:8]]
    stream.seek(8 - len(begins), os.SEEK_CUR)  # behind the version
    length = stream.read(width)
    count = int.from_bytes(length, "little")
    if count > min(_HEADER, remaining(stream)):
        raise ValueError(f"{wanted}, got a header of {count:,} bytes, where {remaining(stream):,} follow")
    try:
        shape, fortran, dtype = reader(io.BytesIO(length + stream.read(count)))
    except Exception:  # it is Python source: damaged, it raises whatever the parser meets
        raise ValueError(f"{wanted}, got a damaged header") from None
    if len(shape) > _AXES or any(length < 0 for length in shape):
        raise ValueError(f"{wanted}, got the shape {_short(shape)}")
    if dtype.hasobject:
        raise ValueError(f"{wanted}, got objects")
    if dtype.itemsize == 0 or dtype.subdtype is not None or (kinds and dtype.kind not in kinds):
        raise ValueError(f"{wanted}, got {_short(dtype)}")
    return tuple(map(int, shape)), bool(fortran), dtype


def _short(value: Any, most: int = 60) -> str:
    said = str(value)
    return said if len(said) <= most else f"{said[:most]}…"
