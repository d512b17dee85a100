"""Files of events: five bytes an event in one or two dimensions, or NumPy arrays."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from lavadl_ref import _files
from lavadl_ref.slayer.io import _columns
from lavadl_ref.slayer.io.event import Event
from lavadl_ref.slayer.utils import _validate

_LAST_MICROSECOND = 2**23 - 1


def _checked(td_event: Any, dim: int | None = None) -> Event:
    if not isinstance(td_event, Event):
        raise TypeError(f"td_event must be an Event, but got {type(td_event).__name__}")
    if dim is not None and td_event.dim != dim:
        raise ValueError(f"this format holds {dim}-D events, but td_event is {td_event.dim}-D")
    # Columns may have been assigned since the event was made.
    return Event(td_event.x, td_event.y, td_event.c, td_event.t, td_event.p)


def _read_bytes(filename: Any) -> tuple[np.ndarray, ...]:
    """First two bytes, polarity and time in milliseconds of each event of a file."""
    content = _files.content(filename, "events of 5 bytes each")
    if len(content) % 5:
        raise ValueError(f"{os.fspath(filename)}: events take 5 bytes each, but the file has {len(content)}")
    rows = np.frombuffer(content, np.uint8).reshape(-1, 5).astype(np.int64)
    microseconds = (rows[:, 2] & 127) << 16 | rows[:, 3] << 8 | rows[:, 4]
    return rows[:, 0], rows[:, 1], rows[:, 2] >> 7, microseconds / 1000


def _write_bytes(filename: Any, td_event: Any, dim: int, address: Callable[[Event], tuple[np.ndarray, ...]]) -> None:
    event = _checked(td_event, dim)
    if event.p is not None:
        raise ValueError("this format holds no payload; encode_np_spikes does")
    polarity = _columns.within(event.c, "c of td_event", 1)
    microseconds = np.round(event.t * 1000)
    bad = (microseconds < 0) | (microseconds > _LAST_MICROSECOND)
    if bad.any():
        raise ValueError(
            f"t of td_event must be in [0, {_LAST_MICROSECOND / 1000}] ms in this format, but holds {event.t[bad][0]}"
        )
    time = microseconds.astype(np.int64)
    columns = [*address(event), polarity << 7 | time >> 16, time >> 8 & 255, time & 255]
    np.stack(columns, axis=1).astype(np.uint8).tofile(filename)


def read_1d_spikes(filename: Any) -> Event:
    """Read a binary file of 1-D events.

    Five bytes an event, most significant bit first: 16 of the neuron, 1 of polarity, 23 of the time in
    microseconds.

    Parameters
    ----------
    filename : path
        The file, usually ``.bs1``.

    Returns
    -------
    Event
        1-D, channels 0 and 1 as recorded.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        Its size is no multiple of five bytes.
    """
    high, low, polarity, time = _read_bytes(filename)
    return Event(high << 8 | low, None, polarity, time)


def encode_1d_spikes(filename: Any, td_event: Event) -> None:
    """Write a binary file of 1-D events, as `read_1d_spikes` describes it.

    Parameters
    ----------
    filename : path
        The file, replaced if it exists.
    td_event : Event
        1-D, not graded: neurons in [0, 65535], channels 0 and 1, times in [0, 8388.607] ms, which are stored to
        the nearest microsecond.

    Raises
    ------
    TypeError
        `td_event` is no Event.
    ValueError
        The format cannot hold it; no file is written then.
    """

    def address(event: Event) -> tuple[np.ndarray, ...]:
        neuron = _columns.within(event.x, "x of td_event", 2**16 - 1)
        return neuron >> 8, neuron & 255

    _write_bytes(filename, td_event, 1, address)


def read_2d_spikes(filename: Any) -> Event:
    """Read a binary file of 2-D events, as N-MNIST has them.

    Five bytes an event, most significant bit first: 8 of x, 8 of y, 1 of polarity, 23 of the time in
    microseconds.

    Parameters
    ----------
    filename : path
        The file, usually ``.bs2`` or ``.bin``.

    Returns
    -------
    Event
        2-D, channels 0 and 1 as recorded.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        Its size is no multiple of five bytes.
    """
    return Event(*_read_bytes(filename))


def encode_2d_spikes(filename: Any, td_event: Event) -> None:
    """Write a binary file of 2-D events, as `read_2d_spikes` describes it.

    Parameters
    ----------
    filename : path
        The file, replaced if it exists.
    td_event : Event
        2-D, not graded: x and y in [0, 255], channels 0 and 1, times in [0, 8388.607] ms, which are stored to the
        nearest microsecond.

    Raises
    ------
    TypeError
        `td_event` is no Event.
    ValueError
        The format cannot hold it; no file is written then.
    """

    def address(event: Event) -> tuple[np.ndarray, ...]:
        return _columns.within(event.x, "x of td_event", 255), _columns.within(event.y, "y of td_event", 255)

    _write_bytes(filename, td_event, 2, address)


def _order(fmt: Any, two_d: bool) -> str:
    """The columns of a file in their order: a permutation of xypt, or of xpt."""
    if not isinstance(fmt, str) or sorted(fmt) not in (sorted("xypt"), sorted("xpt")):
        raise ValueError(f"fmt must be the letters x, y, p and t in the order of the columns, but got {fmt!r}")
    if two_d and "y" not in fmt:
        raise ValueError(f"fmt must name the column y of 2-D events, but got {fmt!r}")
    return fmt if two_d else fmt.replace("y", "")


def _milliseconds(time_unit: float) -> tuple[float, float]:
    """How many units are how many milliseconds, from the unit in seconds as it is written in decimal.

    One of the two is 1 for a power of ten, so that a time is rounded once: a step and a half stays one.
    """
    ratio = Fraction(repr(_validate.positive(time_unit, "time_unit"))) * 1000
    return float(ratio.denominator), float(ratio.numerator)


def read_np_spikes(filename: Any, fmt: str = "xypt", time_unit: float = 1e-3) -> Event:
    """Read a NumPy file of events, with a payload if `encode_np_spikes` stored one.

    Parameters
    ----------
    filename : path
        A ``.npy`` file: (M, 3) with 1-D events, (M, 4) with 2-D ones, or a structured array (M,) whose fields are
        called x, y (if 2-D), p, t and payload (if graded).
    fmt : str
        Order of the columns: x, y, p for the polarity or channel, t for the time. The y is passed over in a file
        of three columns, all of it in one with named fields.
    time_unit : float
        Seconds per unit of t, greater than 0.

    Returns
    -------
    Event
        Times in milliseconds, each the float64 nearest to the file's where `time_unit` is a power of ten.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        It is no such array, damaged or several, or holds what no `Event` can; `fmt` or `time_unit` is not valid.
    """
    units, milliseconds = _milliseconds(time_unit)
    name = os.fspath(filename)
    array = _files.array(filename, "events in a .npy file")
    columns: dict[str, np.ndarray]
    if array.dtype.names is not None:
        if not {"x", "p", "t"} <= set(array.dtype.names) <= {"x", "y", "p", "t", "payload"} or array.ndim != 1:
            raise ValueError(
                f"{name}: expected (M,) with the fields x, y, p, t and payload, "
                f"but got shape {array.shape} with {', '.join(array.dtype.names)}"
            )
        _order(fmt, False)
        columns = {field: array[field] for field in array.dtype.names}
    elif array.ndim == 2 and array.shape[1] in (3, 4):
        columns = dict(zip(_order(fmt, array.shape[1] == 4), array.T, strict=True))
    else:
        raise ValueError(f"{name}: expected an array (M, 3) or (M, 4), but got shape {array.shape}")
    try:
        time = _columns.real(columns["t"], "t") * milliseconds / units
        return Event(columns["x"], columns.get("y"), columns["p"], time, columns.get("payload"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None


def encode_np_spikes(filename: Any, td_event: Event, fmt: str = "xypt", time_unit: float = 1e-3) -> None:
    """Write a NumPy file of events, as `read_np_spikes` describes it.

    Without a payload it is a float64 array (M, 3) or (M, 4). With one it is a structured array with named fields, so
    that no reader takes the payload for something else.

    Parameters
    ----------
    filename : path
        The file, replaced if it exists; ``.npy`` is added if the name does not end so.
    td_event : Event
        Any.
    fmt : str
        Order of the columns; a y is passed over for 1-D events.
    time_unit : float
        Seconds per unit of t, greater than 0.

    Raises
    ------
    TypeError
        `td_event` is no Event.
    ValueError
        A column assigned to `td_event`, `fmt` or `time_unit` is not valid.
    """
    units, milliseconds = _milliseconds(time_unit)
    event = _checked(td_event)
    order = _order(fmt, event.dim == 2)
    columns = {"x": event.x, "y": event.y, "p": event.c, "t": event.t * units / milliseconds}
    if event.p is None:
        np.save(filename, np.stack([np.asarray(columns[name], np.float64) for name in order], axis=1))
        return
    types = [(name, "<f8" if name == "t" else "<i8") for name in order]
    table = np.empty(len(event.x), [*types, ("payload", "<f8")])
    for name in order:
        table[name] = columns[name]
    table["payload"] = event.p
    np.save(filename, table)
