"""Files of events: binary files of five bytes per event, in one or two dimensions, and NumPy arrays."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref import _files
from lavadl_ref.slayer.io import _columns
from lavadl_ref.slayer.io.event import Event
from lavadl_ref.slayer.utils import _validate

_LAST_MICROSECOND = 2**23 - 1  #: the binary format has 23 bits for the time


def _checked(td_event: Any, dim: int | None = None) -> Event:
    if not isinstance(td_event, Event):
        raise TypeError(f"td_event must be an Event, got {type(td_event).__name__}")
    if dim is not None and td_event.dim != dim:
        raise ValueError(f"td_event must be {dim}-D in this format, got a {td_event.dim}-D Event")
    # A new Event checks the columns again: they may have been assigned since td_event was made.
    return Event(td_event.x, td_event.y, td_event.c, td_event.t, td_event.p)


def _read_bytes(filename: Any) -> tuple[NDArray[Any], ...]:
    """First byte, second byte, polarity and time in milliseconds of each event of a file, (M,) each."""
    content = _files.content(filename, "events of 5 bytes each")
    if len(content) % 5:
        raise ValueError(f"{os.fspath(filename)} must hold 5 bytes per event, got {len(content)} bytes")
    rows = np.frombuffer(content, np.uint8).reshape(-1, 5).astype(np.int64)
    microseconds = (rows[:, 2] & 127) << 16 | rows[:, 3] << 8 | rows[:, 4]
    return rows[:, 0], rows[:, 1], rows[:, 2] >> 7, microseconds / 1000


def _write_bytes(filename: Any, td_event: Any, dim: int, address: Callable[[Event], tuple[NDArray[Any], ...]]) -> None:
    event = _checked(td_event, dim)
    if event.p is not None:
        raise ValueError("td_event must have no payload in this format, got a graded Event: encode_np_spikes stores it")
    polarity = _columns.within(event.c, "c of td_event", 1)
    microseconds = np.round(event.t * 1000)
    bad = (microseconds < 0) | (microseconds > _LAST_MICROSECOND)
    if bad.any():
        raise ValueError(
            f"t of td_event must be in [0, {_LAST_MICROSECOND / 1000}] ms in this format, got {event.t[bad][0]}"
        )
    time = microseconds.astype(np.int64)
    columns = [*address(event), polarity << 7 | time >> 16, time >> 8 & 255, time & 255]
    np.stack(columns, axis=1).astype(np.uint8).tofile(filename)


def read_1d_spikes(filename: Any) -> Event:
    """Read a binary file of 1-D events.

    An event takes five bytes. Its bits are, the most significant first: 16 of the neuron, 1 of the polarity, and 23
    of the time in microseconds.

    Parameters
    ----------
    filename : path
        The file, usually ``.bs1``.

    Returns
    -------
    Event
        1-D. Polarities are channels 0 and 1; times are in milliseconds.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        Its size is no multiple of five bytes.

    Examples
    --------
    See `encode_1d_spikes`.
    """
    high, low, polarity, time = _read_bytes(filename)
    return Event(high << 8 | low, None, polarity, time)


def encode_1d_spikes(filename: Any, td_event: Event) -> None:
    """Write a binary file of 1-D events in the format of `read_1d_spikes`.

    Parameters
    ----------
    filename : path
        The file; it is replaced if it exists.
    td_event : Event
        1-D and not graded, with neurons in [0, 65535], channels 0 and 1, and times in [0, 8388.607] ms, which are
        stored to the nearest microsecond.

    Raises
    ------
    TypeError
        `td_event` is no Event.
    ValueError
        The format cannot hold `td_event`. No file is written then.

    Examples
    --------
    >>> import os, tempfile
    >>> event = Event(x_event=[2, 300], y_event=None, c_event=[0, 1], t_event=[0.0, 1.5])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     name = os.path.join(folder, "spikes.bs1")
    ...     encode_1d_spikes(name, event)
    ...     found = read_1d_spikes(name)
    >>> found.x, found.t
    (array([  2, 300]), array([0. , 1.5]))
    """

    def address(event: Event) -> tuple[NDArray[Any], ...]:
        neuron = _columns.within(event.x, "x of td_event", 2**16 - 1)
        return neuron >> 8, neuron & 255

    _write_bytes(filename, td_event, 1, address)


def read_2d_spikes(filename: Any) -> Event:
    """Read a binary file of 2-D events, the format of N-MNIST.

    It differs from that of `read_1d_spikes` in the first two bytes of an event: 8 bits of x, then 8 bits of y.

    Parameters
    ----------
    filename : path
        The file, usually ``.bs2`` or ``.bin``.

    Returns
    -------
    Event
        2-D. Polarities are channels 0 and 1; times are in milliseconds.

    Raises
    ------
    OSError, ValueError
        As `read_1d_spikes`.

    Examples
    --------
    See `encode_2d_spikes`.
    """
    return Event(*_read_bytes(filename))


def encode_2d_spikes(filename: Any, td_event: Event) -> None:
    """Write a binary file of 2-D events in the format of `read_2d_spikes`.

    Parameters
    ----------
    filename, td_event
        As for `encode_1d_spikes`, but the event is 2-D, with x and y in [0, 255].

    Raises
    ------
    TypeError, ValueError
        As `encode_1d_spikes`.

    Examples
    --------
    >>> import os, tempfile
    >>> event = Event(x_event=[2, 30], y_event=[7, 7], c_event=[0, 1], t_event=[0.0, 1.5])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     name = os.path.join(folder, "spikes.bs2")
    ...     encode_2d_spikes(name, event)
    ...     found = read_2d_spikes(name)
    >>> found.x, found.y, found.c
    (array([ 2, 30]), array([7, 7]), array([0, 1]))
    """

    def address(event: Event) -> tuple[NDArray[Any], ...]:
        return _columns.within(event.x, "x of td_event", 255), _columns.within(event.y, "y of td_event", 255)

    _write_bytes(filename, td_event, 2, address)


def _order(fmt: Any, two_d: bool) -> str:
    """The names of a file's columns in their order: a permutation of xypt, or of xpt."""
    if not isinstance(fmt, str) or sorted(fmt) not in (sorted("xypt"), sorted("xpt")):
        raise ValueError(f"fmt must be the letters x, y, p and t in the order of the columns, got {fmt!r}")
    if two_d and "y" not in fmt:
        raise ValueError(f"fmt must name the column y of 2-D events, got {fmt!r}")
    return fmt if two_d else fmt.replace("y", "")


def _milliseconds(time_unit: float) -> tuple[float, float]:
    """Two integers as floats: the first of them in units is the second in milliseconds.

    They are computed from the unit in seconds as it is written in decimal. For a power of ten one of the two is 1, so
    that a time is rounded only once when it is multiplied by one and divided by the other: 1.5 ms remain 1.5 ms.
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
        Order of the columns: x, y, p for the polarity or channel, t for the time. In a file of three columns the y is
        ignored; in a file with named fields all of `fmt` is.
    time_unit : float
        Seconds per unit of t, greater than 0.

    Returns
    -------
    Event
        Times are in milliseconds. If `time_unit` is a power of ten, each is the float64 nearest to the time in the
        file.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        The file is damaged, holds no such array or several arrays, or its values make no `Event`; `fmt` or `time_unit`
        is not valid.

    Examples
    --------
    See `encode_np_spikes`.
    """
    units, milliseconds = _milliseconds(time_unit)
    name = os.fspath(filename)
    array = _files.array(filename, "events in a .npy file")
    columns: dict[str, NDArray[Any]]
    if array.dtype.names is not None:
        if not {"x", "p", "t"} <= set(array.dtype.names) <= {"x", "y", "p", "t", "payload"} or array.ndim != 1:
            raise ValueError(
                f"{name} must hold an array (M,) with the fields x, y, p, t and payload, "
                f"got shape {array.shape} with {', '.join(array.dtype.names)}"
            )
        _order(fmt, False)
        columns = {field: array[field] for field in array.dtype.names}
    elif array.ndim == 2 and array.shape[1] in (3, 4):
        columns = dict(zip(_order(fmt, array.shape[1] == 4), array.T, strict=True))
    else:
        raise ValueError(f"{name} must hold an array (M, 3) or (M, 4), got shape {array.shape}")
    try:
        time = _columns.real(columns["t"], "t") * milliseconds / units
        return Event(columns["x"], columns.get("y"), columns["p"], time, columns.get("payload"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None


def encode_np_spikes(filename: Any, td_event: Event, fmt: str = "xypt", time_unit: float = 1e-3) -> None:
    """Write a NumPy file of events in the format of `read_np_spikes`.

    Events without a payload become a float64 array (M, 3) or (M, 4). Graded events become a structured array, whose
    fields have names, so that no reader mistakes the payload for another column.

    Parameters
    ----------
    filename : path
        The file; it is replaced if it exists. ``.npy`` is added to a name that does not end in it.
    td_event : Event
        Any events.
    fmt : str
        Order of the columns, as for `read_np_spikes`. The y is ignored for 1-D events.
    time_unit : float
        Seconds per unit of t, greater than 0.

    Raises
    ------
    TypeError
        `td_event` is no Event.
    ValueError
        A column assigned to `td_event`, `fmt` or `time_unit` is not valid.

    Examples
    --------
    >>> import os, tempfile
    >>> event = Event(x_event=[2, 30], y_event=[7, 7], c_event=[0, 1], t_event=[0.0, 1.5], payload=[1.0, -2.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     name = os.path.join(folder, "spikes.npy")
    ...     encode_np_spikes(name, event, time_unit=1e-6)
    ...     found = read_np_spikes(name, time_unit=1e-6)
    >>> found.t, found.p
    (array([0. , 1.5]), array([ 1., -2.]))
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
