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

from lavadl_ref.datasets import _files
from lavadl_ref.datasets._pictures import LabelledPictures

#: Element types by the third byte of the magic number.
_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array of an IDX file.

    Parameters
    ----------
    path : path
        Two zero bytes, one of the element type, one of the number of axes, the length of each axis (32 bits), the
        elements, all big-endian; compressed if the name ends with ``.gz``.

    Returns
    -------
    ndarray
        In the byte order of the machine.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is no IDX file, is cut short, goes on after its elements, or is damaged as a ``.gz``.
    """
    name = os.fspath(path)
    try:
        with gzip.open(path) if name.endswith(".gz") else open(path, "rb") as stream:
            magic = stream.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES:
                raise ValueError(f"{name}: expected an IDX file, but it begins with {magic.hex(' ') or 'nothing'}")
            header = stream.read(4 * magic[3])
            if len(header) < 4 * magic[3]:
                raise ValueError(f"{name}: the file ends within the lengths of its {magic[3]} axes")
            shape = tuple(int(length) for length in np.frombuffer(header, ">u4"))
            dtype = np.dtype(_TYPES[magic[2]])
            size = math.prod(shape) * dtype.itemsize
            content = _at_most(stream, size + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{name}: damaged gzip file: {error}") from None
    if len(content) != size:
        found = "more" if len(content) > size else str(len(content))
        raise ValueError(f"{name}: an array {shape} of {dtype.itemsize} bytes each takes {size}, but there are {found}")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _at_most(stream: Any, size: int, piece: int = 1 << 24) -> bytes:
    """Up to `size` bytes, asked for in pieces: a header may promise more than there is memory."""
    pieces = []
    while size > 0 and (read := stream.read(min(size, piece))):
        pieces.append(read)
        size -= len(read)
    return b"".join(pieces)


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
    """

    def __init__(self, folder: str | os.PathLike[str], train: bool = True) -> None:
        home = _files.folder(folder, "MNIST's IDX files")
        part = "train" if train else "t10k"
        pictures = self._bytes(home, f"{part}-images-idx3-ubyte", 3)
        labels = self._bytes(home, f"{part}-labels-idx1-ubyte", 1)
        if len(pictures) != len(labels):
            raise ValueError(f"{home}: {len(pictures)} images of part {part}, but {len(labels)} labels")
        if labels.max(initial=0) > 9:
            raise ValueError(f"{home}: labels of part {part} must be at most 9, but one is {labels.max()}")
        super().__init__(torch.from_numpy(pictures).float() / 255, torch.from_numpy(labels.astype(np.int64)))

    @staticmethod
    def _bytes(home: Path, name: str, axes: int) -> NDArray[np.uint8]:
        path = home / name
        if not path.is_file():
            path = _files.file(home / f"{name}.gz", f"it, or {name}")
        array = read_idx(path)
        if array.dtype != np.uint8 or array.ndim != axes:
            raise ValueError(f"{path}: expected bytes on {axes} axes, but found {array.dtype} {array.shape}")
        return array
