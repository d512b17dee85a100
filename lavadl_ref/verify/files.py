"""An input from a ``.npy`` file that nobody vouches for."""

from __future__ import annotations

import io
import math
import os
import stat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.verify.inputs import exact_integers

HEADER = 1 << 16  # bytes at the beginning in which a header must end
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
#: How files begin that are something else.
_OTHERS = {
    b"PK": "an archive (.npz); save the one array with numpy.save",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer; fetch the data with git lfs pull",
}


def read_input(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The integers of a ``.npy`` file; floats that are whole as integers.

    Memory is bounded by the size of the file: what its header claims is compared with it before anything is loaded.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    ndarray
        Of an integer type or bool.

    Raises
    ------
    ValueError
        If the file is not one whole array of integers; the message names the file.
    OSError
        If it cannot be opened.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("found a device")
            offset, count, dtype = _header(file.read(HEADER))
            size, held = count * dtype.itemsize, status.st_size - offset
            if size != held:
                raise ValueError(f"its header claims {size:,} bytes of numbers, the file has {held:,}")
            file.seek(0)
            data = np.load(file, allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{name}: expected a .npy file of integers, {error}") from None
    return exact_integers(data, 1, name) if data.dtype.kind == "f" else data


def _header(start: bytes) -> tuple[int, int, np.dtype[Any]]:
    """Where the numbers of a file begin, how many it claims, and of which type."""
    stream = io.BytesIO(start)  # hands out no more than there is, whatever is asked for
    for magic, what in _OTHERS.items():
        if start.startswith(magic):
            raise ValueError(f"found {what}")
    if not start.startswith(np.lib.format.MAGIC_PREFIX):
        raise ValueError("found " + ("other data" if start else "an empty file"))
    try:
        shape, _, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    except Exception:  # a damaged header raises whatever its parser meets
        raise ValueError("found a damaged header") from None
    if dtype.kind not in "biuf":
        raise ValueError(f"found {'objects' if dtype.hasobject else dtype}")
    if min(shape, default=0) < 0:
        raise ValueError(f"found the shape {shape}")
    return stream.tell(), math.prod(shape), dtype
