"""The files of Prophesee's automotive data sets: events in .dat files, boxes in .npy files.

A .dat file begins with lines of text that start with ``%`` and a space. A byte for the kind of events and one for
their size in bytes follow, then the events. An event has, the least significant first, 32 bits of time in
microseconds, 14 of x, 14 of y and 4 of polarity, of which only the lowest is used.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref import _files

Array = NDArray[Any]

_EVENT = np.dtype([("t", "<u4"), ("address", "<u4")])
_KINDS = (0, 12)  #: events of contrast detection, in the numbering of old and of new files
_BITS = 14  #: of a coordinate
_HEADER = 2**16  #: most bytes of a header

#: The columns of a box that are used; the files may have more.
BOX = np.dtype([("t", "<i8"), ("x", "<f4"), ("y", "<f4"), ("w", "<f4"), ("h", "<f4"), ("class_id", "<u4")])


class EventFile:
    """The events of a recording. They stay on disk until they are read.

    Parameters
    ----------
    path : path
        A .dat file.

    Attributes
    ----------
    height, width : int
        Size of the sensor in pixels.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        The file has another form; the message says which.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        said: dict[str, str] = {}
        with _files.opened(path, "a recording of events") as file:
            while (line := file.readline(_HEADER)).startswith(b"%"):
                key, _, value = line[1:].decode("ascii", "replace").strip().partition(" ")
                said[key] = value.strip()
                offset = file.tell()
                if offset >= _HEADER:
                    raise ValueError(f"{path} must have a header of at most {_HEADER} bytes, got a longer one")
            if not said:
                raise ValueError(f"{path} must have a header with the size of its sensor, got none")
            file.seek(offset)
            kind = file.read(2)
            size = _files.remaining(file)
        try:
            self.height, self.width = int(said["Height"]), int(said["Width"])
        except (KeyError, ValueError):
            shown = {key[:20]: value[:20] for key, value in list(said.items())[:8]}
            raise ValueError(f"the header of {path} must have Height and Width, got {shown}") from None
        if not (0 < self.height <= 1 << _BITS and 0 < self.width <= 1 << _BITS):
            got = f"{said['Height']:.20} and {said['Width']:.20}"
            raise ValueError(f"Height and Width of {path} must be in [1, {1 << _BITS}], got {got}")
        if self.height * self.width > _files.PIXELS:
            raise ValueError(
                f"the sensor of {path} must have at most {_files.PIXELS:,} pixels, got {self.width}x{self.height}"
            )
        if len(kind) < 2 or kind[0] not in _KINDS or kind[1] != _EVENT.itemsize:
            raise ValueError(f"{path} must hold events of kind 0 or 12 with 8 bytes each, got {list(kind)}")
        if size % _EVENT.itemsize:
            raise ValueError(f"{path} must hold 8 bytes per event, got {size} bytes: the last event is cut off")
        empty = np.zeros(0, _EVENT)
        self._events = np.memmap(self.path, _EVENT, "r", offset + 2) if size else empty

    def __len__(self) -> int:
        """Number of events."""
        return len(self._events)

    @property
    def duration(self) -> int:
        """Time after the last event, in microseconds."""
        return int(self._events["t"][-1]) + 1 if len(self) else 0

    def between(self, begin: int, end: int) -> tuple[Array, Array, Array, Array]:
        """The times, columns, rows and polarities of the events in [begin, end), in microseconds; (n,) each.

        Raises
        ------
        ValueError
            An event is outside the sensor, or the events are not in the order of time.
        """
        first, last = np.searchsorted(self._events["t"], np.array([begin, end], np.int64))
        found = np.array(self._events[first:last])
        x, y = found["address"] & ((1 << _BITS) - 1), (found["address"] >> _BITS) & ((1 << _BITS) - 1)
        if len(found) and (x.max() >= self.width or y.max() >= self.height):
            raise ValueError(
                f"events of {self.path} must lie on its sensor of {self.width}x{self.height} pixels, got one outside"
            )
        times = found["t"].astype(np.int64)
        if len(times) and (times[0] < begin or times[-1] >= end or (np.diff(times) < 0).any()):
            raise ValueError(f"events of {self.path} must be in the order of time, got others")
        return times, x, y, (found["address"] >> (2 * _BITS)) & 1


def read_boxes(path: str | os.PathLike[str]) -> Array:
    """The boxes of a recording, in the order of time.

    Parameters
    ----------
    path : path
        A .npy file with the fields ``ts`` or ``t``, ``x``, ``y``, ``w``, ``h`` and ``class_id``.

    Returns
    -------
    ndarray
        (n,) of dtype `BOX`: time in microseconds; left, top, width and height in pixels; number of the class in the
        data set.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        The file is no such file, a field is missing, or a value is not finite or not in the range of its dtype in
        `BOX`; the message says which.
    """
    found = _files.array(path, "boxes in a .npy file")
    names = found.dtype.names or ()
    time = next((name for name in ("t", "ts") if name in names), None)
    missing = [name for name in BOX.names or () if name != "t" and name not in names]
    if time is None or missing:
        raise ValueError(f"{path} must have the fields t or ts, x, y, w, h and class_id, got {list(names)}")
    if found.ndim != 1:
        raise ValueError(f"{path} must have boxes on one axis, got shape {found.shape}")
    boxes = np.empty(len(found), BOX)
    for name in BOX.names or ():
        field = time if name == "t" else name
        boxes[name] = _held(found[field], BOX[name], f"{field} of {path}")
    return boxes[np.argsort(boxes["t"], kind="stable")]


def _held(values: Array, dtype: np.dtype[Any], name: str) -> Array:
    """`values` (n,) converted to `dtype`: integers exactly, real numbers to the nearest; ValueError if that fails."""
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be a real number in each box, got {values.dtype} of shape {values.shape[1:]}")
    whole = dtype.kind in "iu"
    # Times are limited to 2^53 us, up to which float64, a dtype that the files may use, holds every integer.
    most = min(int(np.iinfo(dtype).max), 2**53) if whole else float(np.finfo(dtype).max)
    least = 0 if whole else -most
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = values.astype(np.float64)
    good = np.isfinite(values) & (values >= least) & (values <= most)
    if whole and values.dtype.kind == "f":
        good &= values == np.floor(values)
    if not good.all():
        box = int(np.argmin(good))
        kind = "an integer" if whole else "a number"
        raise ValueError(f"{name} must be {kind} in [{least}, {most}], got {values[box]} in box {box}")
    return values.astype(dtype)
