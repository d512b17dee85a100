"""MNIST's IDX files."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lavadl_ref import _files
from lavadl_ref.datasets._pictures import LabelledPictures

#: Types of elements by the third byte of the magic number.
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

LIMIT = 2**28  #: bytes that the elements of a file may take: five times MNIST's
_AXES = 32  #: axes that an array of every version of NumPy can have
_RATIO = 1100  #: bytes that one byte of a ``.gz`` can stand for at most, and a little more


def read_idx(path: str | os.PathLike[str], limit: int = LIMIT) -> NDArray[Any]:
    """The array of an IDX file.

    Parameters
    ----------
    path : path
        Two zero bytes, one of the element type, one of the number of axes, the length of each axis (32 bits), the
        elements, all big-endian; compressed if the name ends with ``.gz``.
    limit : int
        Bytes that the elements may take.

    Returns
    -------
    ndarray
        In the byte order of the machine.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        It is no IDX file, claims more than it can hold or than `limit`, is cut short, goes on after its elements, or is
        damaged as a ``.gz``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels-idx1-ubyte")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 9]))
    ...     read_idx(path).tolist()
    [7, 2, 9]
    """
    name = os.fspath(path)
    packed = name.endswith(".gz")
    with _files.opened(path, "an IDX file") as file:
        # the claims of the header are compared with this before anything is read
        most = _files.remaining(file) * (_RATIO if packed else 1)
        try:
            array = _elements(gzip.GzipFile(fileobj=file) if packed else file, name, most, limit)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{name}: damaged gzip file: {error}") from None
    return array


def _elements(stream: Any, name: str, most: int, limit: int) -> NDArray[Any]:
    """The array of a stream, which is called `name` and has at most `most` bytes; of `limit` bytes at most."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        raise ValueError(f"{name} must be an IDX file, got one that begins with {magic.hex(' ') or 'nothing'}")
    if magic[3] > _AXES:
        raise ValueError(f"{name} must have an array of at most {_AXES} axes, got a header that claims {magic[3]}")
    header = stream.read(4 * magic[3])
    if len(header) < 4 * magic[3]:
        raise ValueError(f"{name} must have the lengths of its {magic[3]} axes, got a file that ends within them")
    shape = tuple(int(length) for length in np.frombuffer(header, ">u4"))
    dtype = np.dtype(_TYPES[magic[2]])
    size = math.prod(shape) * dtype.itemsize
    says = f"{name}: an array {shape} of {dtype.itemsize} bytes each takes {size}"
    if size > most:
        raise ValueError(f"{says}, more than the file can hold")
    if math.prod(max(length, 1) for length in shape) * dtype.itemsize > limit:
        raise ValueError(f"{says}, more than the limit of {limit}")
    content = _files.at_most(stream, size + 1)
    if len(content) != size:
        raise ValueError(f"{says}, but there are {'more' if len(content) > size else len(content)}")
    if not size:
        return np.empty(shape, dtype.newbyteorder("="))
    array: NDArray[Any] = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


class MNIST(LabelledPictures):
    """Handwritten digits.

    Parameters
    ----------
    folder : path
        Holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
        ``t10k-labels-idx1-ubyte``, each plain or with ``.gz``; of the two parts only the one asked for is needed.
    train : bool
        The 60,000 for training, or the 10,000 for testing.

    Attributes
    ----------
    images : Tensor
        float32 (N, H, W) in [0, 1].
    labels : Tensor
        int64 (N,) in [0, 9].

    Raises
    ------
    OSError
        A file is missing or cannot be read.
    ValueError
        It is no IDX file of bytes, the two do not belong together, or a label is above 9.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     header = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2])
    ...     _ = Path(folder, "t10k-images-idx3-ubyte").write_bytes(header + bytes([0, 51, 102, 255]))
    ...     _ = Path(folder, "t10k-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 7]))
    ...     picture, label = MNIST(folder, train=False)[0]
    >>> picture.tolist()[1][1], label
    (1.0, 7)
    """

    def __init__(self, folder: str | os.PathLike[str], train: bool = True) -> None:
        home = _files.folder(folder, "MNIST's IDX files")
        part = "train" if train else "t10k"
        pictures = self._bytes(home, f"{part}-images-idx3-ubyte", 3)
        labels = self._bytes(home, f"{part}-labels-idx1-ubyte", 1)
        if len(pictures) != len(labels):
            raise ValueError(f"{home}: labels of part {part} must be {len(pictures)}, as images, got {len(labels)}")
        if labels.max(initial=0) > 9:
            raise ValueError(f"{home}: labels of part {part} must be at most 9, got {labels.max()}")
        super().__init__(torch.from_numpy(pictures).float().div_(255), torch.from_numpy(labels.astype(np.int64)))

    @staticmethod
    def _bytes(home: Path, name: str, axes: int) -> NDArray[np.uint8]:
        path = home / name
        if not path.is_file():
            path = _files.file(home / f"{name}.gz", f"it, or {name}")
        array = read_idx(path)
        if array.dtype != np.uint8 or array.ndim != axes:
            raise ValueError(f"{path} must have bytes on {axes} axes, got {array.dtype} {array.shape}")
        return array
