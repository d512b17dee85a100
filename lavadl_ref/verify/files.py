"""An input from a ``.npy`` file that nobody vouches for."""

from __future__ import annotations

import os
import stat
from typing import Any

from numpy.typing import NDArray

from lavadl_ref import _files
from lavadl_ref.verify.inputs import exact_integers


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
    wanted = f"{name} must be a .npy file of integers"
    with open(path, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"{wanted}, got a device")
        data = _files.array_in(file, wanted, kinds="biuf")
    return exact_integers(data, 1, name) if data.dtype.kind == "f" else data
