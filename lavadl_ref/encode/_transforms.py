"""Changes of recordings: arrays and tensors over time, and lists of events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lavadl_ref._arguments import brief, positive, real, whole
from lavadl_ref.encode._values import Array, finite, generator, like

#: The axes that `flip` mirrors, as they are counted from the end of (C, H, W, T).
_AXES = {"horizontal": -2, "vertical": -3, "polarity": 0, "time": -1}


def jitter(events: Any, sigma: float, seed: Any) -> Any:
    """Move each event in time by a random distance.

    Parameters
    ----------
    events : array_like, Tensor or slayer.io.Event
        (\\*shape, T), or a list of events.
    sigma : float
        Standard deviation of the normal distribution that distances are drawn from: in steps, to which they are
        rounded; of a list of events in milliseconds.
    seed : int or generator of NumPy or torch
        Of the random numbers.

    Returns
    -------
    ndarray, Tensor or slayer.io.Event
        As `events`. Of an array, events that leave it are lost, and of two that meet the larger stays.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, or out of range.

    Examples
    --------
    >>> jitter([[0, 0, 1, 0]], 0.0, seed=0).tolist()
    [[0, 0, 1, 0]]
    """
    sigma, drawn = real("sigma", sigma, 0), generator(seed)
    if _is_list(events):
        return _listed(events, t=events.t + sigma * drawn.standard_normal(len(events.t)))

    def moved(where: list[Array], shape: tuple[int, ...]) -> tuple[list[Array], tuple[int, ...]]:
        distance = np.rint(sigma * drawn.standard_normal(len(where[-1]))).clip(-shape[-1], shape[-1])
        where[-1] = where[-1] + distance.astype(np.int64)
        return where, shape

    return _changed(events, moved)


def drop(events: Any, fraction: float, seed: Any) -> Any:
    """Leave out events at random.

    Parameters
    ----------
    events : array_like, Tensor or slayer.io.Event
        (\\*shape, T), or a list of events.
    fraction : float
        The probability that an event is left out, 0 to 1.
    seed : int or generator of NumPy or torch
        Of the random numbers.

    Returns
    -------
    ndarray, Tensor or slayer.io.Event
        As `events`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, or out of range.

    Examples
    --------
    >>> drop([[1, 0, 1]], 1.0, seed=0).tolist()
    [[0, 0, 0]]
    """
    fraction, drawn = real("fraction", fraction, 0, 1), generator(seed)
    if _is_list(events):
        return _kept(events, drawn.random(len(events.t)) >= fraction)
    found = _over_time(events).copy()
    places = np.nonzero(found)
    lost = drawn.random(len(places[0])) < fraction
    found[tuple(axis[lost] for axis in places)] = 0
    return like(events, found)


def flip(events: Any, axis: str, seed: Any = None, *, probability: float = 1.0, size: float | None = None) -> Any:
    """Mirror a recording.

    Parameters
    ----------
    events : array_like, Tensor or slayer.io.Event
        (C, X, T) or (C, H, W, T), or a list of events.
    axis : {'horizontal', 'vertical', 'polarity', 'time'}
        Which axis is mirrored: columns, rows, channels or time.
    seed : int or generator of NumPy or torch, optional
        Of the random number that `probability` is compared with; needed where that is less than 1.
    probability : float
        That it is mirrored, 0 to 1.
    size : float, optional
        Of a list of events the length of the axis: columns, rows, channels, or the duration in milliseconds.

    Returns
    -------
    ndarray, Tensor or slayer.io.Event
        As `events`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, out of range or missing, or there is no such axis.

    Examples
    --------
    >>> flip([[[1, 0], [0, 0]]], "time").tolist()
    [[[0, 1], [0, 0]]]
    """
    if axis not in _AXES:
        raise ValueError(f"axis must be one of {', '.join(_AXES)}, got {brief(axis)}")
    probability = real("probability", probability, 0, 1)
    if seed is None and probability < 1:
        raise ValueError(f"seed must be given with a probability of less than 1, got {probability:g}")
    mirrored = seed is None or generator(seed).random() < probability
    if not _is_list(events):
        found = _recording(events)
        if axis == "vertical" and found.ndim == 3:
            raise ValueError(f"axis must be one of a recording (C, X, T), which has no rows, got {axis!r}")
        return like(events, (np.flip(found, _AXES[axis]) if mirrored else found).copy())
    if size is None:
        raise ValueError(f"size must be given to mirror a list of events, the length of its {axis} axis, got None")
    if axis == "vertical" and events.y is None:
        raise ValueError(f"axis must be one of a list of events without rows, got {axis!r}")
    if not mirrored:
        return _listed(events)
    if axis == "time":
        return _listed(events, t=positive("size", size) - events.t)
    name = {"horizontal": "x", "vertical": "y", "polarity": "c"}[axis]
    return _listed(events, **{name: whole("size", size, 1) - 1 - getattr(events, name)})


def crop(events: Any, size: Sequence[int], seed: Any = None, *, within: Sequence[int] | None = None) -> Any:
    """Cut a window out of a recording: at random with a seed, else from its middle.

    Parameters
    ----------
    events : array_like, Tensor or slayer.io.Event
        (C, H, W, T), or a list of events with rows.
    size : (int, int)
        Rows and columns of the window.
    seed : int or generator of NumPy or torch, optional
        Of the place of the window.
    within : (int, int), optional
        Of a list of events the rows and columns of the sensor.

    Returns
    -------
    ndarray, Tensor or slayer.io.Event
        As `events`, (C, \\*size, T); events outside of the window are lost, and the others are counted from its corner.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or missing, or the window is larger than the recording.

    Examples
    --------
    >>> import numpy as np
    >>> crop(np.arange(16).reshape(1, 4, 4, 1), (2, 2))[0, ..., 0].tolist()
    [[5, 6], [9, 10]]
    """
    listed = _is_list(events)
    if listed and (within is None or events.y is None):
        raise ValueError("within must be given for a list of events, which must have rows, got None")
    found = None if listed else _recording(events)
    if found is not None and found.ndim != 4:
        raise ValueError(f"events must have the axes (C, H, W, T), got the shape {found.shape}")
    whole_size = _pair("within", within) if found is None else found.shape[1:3]
    wanted = _pair("size", size)
    room = [outer - inner for outer, inner in zip(whole_size, wanted, strict=True)]
    if min(room) < 0:
        raise ValueError(f"size must be within the recording's {tuple(whole_size)}, got {wanted}")
    drawn = None if seed is None else generator(seed)
    top, left = (space // 2 if drawn is None else int(drawn.integers(space + 1)) for space in room)
    if found is not None:
        return like(events, found[:, top : top + wanted[0], left : left + wanted[1]].copy())
    y, x = events.y - top, events.x - left
    inside = (y >= 0) & (y < wanted[0]) & (x >= 0) & (x < wanted[1])
    return _kept(_listed(events, x=x, y=y), inside)


def rescale(events: Any, factor: float) -> Any:
    """Stretch a recording in time.

    Parameters
    ----------
    events : array_like, Tensor or slayer.io.Event
        (\\*shape, T), or a list of events.
    factor : float
        Positive; 2 is twice as long.

    Returns
    -------
    ndarray, Tensor or slayer.io.Event
        As `events`. Of an array, an event of step t is at step floor(t factor), the number of steps is
        ceil(T factor), and of two events that meet the larger stays.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type, or out of range.

    Examples
    --------
    >>> rescale([[1, 0, 1]], 2).tolist()
    [[1, 0, 0, 0, 1, 0]]
    """
    factor = positive("factor", factor)
    if not np.isfinite(factor):
        raise ValueError(f"factor must be finite, got {factor}")
    if _is_list(events):
        return _listed(events, t=events.t * factor)

    def moved(where: list[Array], shape: tuple[int, ...]) -> tuple[list[Array], tuple[int, ...]]:
        where[-1] = np.floor(where[-1] * factor).astype(np.int64)
        return where, (*shape[:-1], int(np.ceil(shape[-1] * factor)))

    return _changed(events, moved)


def _changed(events: Any, move: Callable[[list[Array], tuple[int, ...]], tuple[list[Array], tuple[int, ...]]]) -> Any:
    """The events of an array at other places; those outside are lost, and of those that meet the largest stays."""
    found = _over_time(events)
    places = np.nonzero(found)
    values = found[places]
    where, shape = move(list(places), found.shape)
    inside = (where[-1] >= 0) & (where[-1] < shape[-1])
    made = np.zeros(shape, found.dtype)
    order = np.argsort(np.abs(values[inside]), kind="stable")  # the last one that is written stays
    made[tuple(axis[inside][order] for axis in where)] = values[inside][order]
    return like(events, made)


def _over_time(events: Any) -> Array:
    found = finite("events", events)
    if found.ndim < 1:
        raise ValueError(f"events must have an axis of time, (*shape, T), got the shape {found.shape}")
    return found


def _recording(events: Any) -> Array:
    found = finite("events", events)
    if found.ndim not in (3, 4):
        raise ValueError(f"events must have the axes (C, X, T) or (C, H, W, T), got the shape {found.shape}")
    return found


def _pair(name: str, size: Any) -> tuple[int, int]:
    if not isinstance(size, Sequence) or isinstance(size, str) or len(size) != 2:
        raise TypeError(f"{name} must be a pair (rows, columns), got {brief(size)}")
    return whole(name, size[0], 1), whole(name, size[1], 1)


def _is_list(events: Any) -> bool:
    """Tell whether `events` is a `slayer.io.Event`, or something with its columns."""
    return all(hasattr(events, name) for name in ("x", "y", "c", "t", "p"))


def _listed(events: Any, **columns: Any) -> Any:
    """A new list of events with other columns."""
    from lavadl_ref.slayer.io import Event

    now = {name: getattr(events, name) for name in ("x", "y", "c", "t", "p")} | columns
    return Event(now["x"], now["y"], now["c"], now["t"], now["p"])


def _kept(events: Any, kept: Array) -> Any:
    columns = {name: getattr(events, name) for name in ("x", "y", "c", "t", "p")}
    return _listed(events, **{name: None if column is None else column[kept] for name, column in columns.items()})
