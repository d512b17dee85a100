"""A list of spikes with addresses and times, and its forms as a tensor."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch

from lavadl_ref._assigned import derived
from lavadl_ref.slayer.io import _columns, _grid
from lavadl_ref.slayer.io._room import room
from lavadl_ref.slayer.utils import _validate

Grid = TypeVar("Grid", np.ndarray, torch.Tensor)


class Event:
    """M spikes of a recording.

    Parameters
    ----------
    x_event : array of int, (M,)
        Neuron of a 1-D recording, column of a 2-D one.
    y_event : array of int, (M,), or None
        Row; None makes the recording 1-D.
    c_event : array of int, (M,)
        Channel, such as the polarity of a vision sensor; at least 0. It is kept as it is, also when
        only one channel occurs.
    t_event : array of float, (M,)
        Time in milliseconds.
    payload : array of float, (M,), optional
        Magnitude of each spike; None means 1 for all.

    Arrays, sequences and tensors are taken and copied. A coordinate or time below 0 is allowed, as
    augmentation makes them; such a spike lies in no tensor.

    Attributes
    ----------
    x, y, c : numpy.ndarray
        int64 (M,); `y` is None for a 1-D recording.
    t, p : numpy.ndarray
        float64 (M,); `p`, the payload, is None without one. All five may be assigned; they are
        checked again when they are used.
    dim : int
        1 or 2.
    graded : bool
        Whether there is a payload.

    Raises
    ------
    TypeError, ValueError
        A column does not hold finite numbers on one axis, coordinates and channels integers; a channel is
        negative; the columns differ in length.
    """

    def __init__(self, x_event: Any, y_event: Any, c_event: Any, t_event: Any, payload: Any = None) -> None:
        self.x = _columns.whole(x_event, "x_event")
        # A 0-d array of None is how lava-dl's own events hold a missing y.
        missing = y_event is None or (isinstance(y_event, np.ndarray) and y_event.ndim == 0 and y_event.item() is None)
        self.y = None if missing else _columns.whole(y_event, "y_event")
        self.c = _columns.whole(c_event, "c_event")
        self.t = _columns.real(t_event, "t_event")
        self.p = None if payload is None else _columns.real(payload, "payload")
        self._check()

    @derived("it follows from y: assign y, None for one dimension")
    def dim(self) -> int:
        """1 or 2: number of spatial axes."""
        return 1 if self.y is None else 2

    @derived("it follows from p: assign p, None for events without payload")
    def graded(self) -> bool:
        """Whether events have a payload."""
        return self.p is not None

    def _check(self) -> None:
        lengths = {name: len(column) for name, column in vars(self).items() if column is not None}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of an Event must have one length, but have {lengths}")
        if (np.asarray(self.c) < 0).any():
            raise ValueError(f"channels must be at least 0, but got {np.min(self.c)}; give polarities as 0 and 1")

    def _bins(self, sampling_time: float) -> tuple[np.ndarray, ...]:
        """Channel, row, column and step of each spike: int64, (M,) each.

        Times and coordinates, which augmentation may have made fractional, round to the nearest, half to even.
        """
        self._check()
        with np.errstate(over="ignore"):
            time = _columns.real(self.t, "t of the Event") / sampling_time
        if not np.isfinite(time).all():
            last = np.abs(self.t).max()
            raise ValueError(f"sampling_time of {sampling_time} ms is too short for an event at {last} ms")
        step = _columns.nearest(time, "t of the Event")
        x = _columns.nearest(self.x, "x of the Event")
        y = np.zeros_like(x) if self.y is None else _columns.nearest(self.y, "y of the Event")
        return _columns.whole(self.c, "c of the Event"), y, x, step

    def to_tensor(self, sampling_time: float = 1, dim: tuple[int, ...] | None = None) -> np.ndarray:
        """The recording as a new array; see `fill_tensor` for its values.

        Parameters
        ----------
        sampling_time : float
            Milliseconds per step, greater than 0.
        dim : tuple of int, optional
            Shape: (C, X, T) or (C, H, W, T) as `fill_tensor` takes; events outside are left out. By default
            the smallest (C, X, T) of a 1-D recording, (C, H, W, T) of a 2-D one, that holds every event, and
            at least one element.

        Returns
        -------
        numpy.ndarray
            float64.

        Raises
        ------
        ValueError
            `dim` is absent and an event has a negative coordinate or time, so no array holds it; the array would
            take more than 16 GiB (one of your own may be filled by `fill_tensor`); whatever `fill_tensor` raises.
        """
        if dim is not None:
            axes = 1 if isinstance(dim, (int, np.integer)) else len(dim)
            if axes not in (3, 4):
                raise ValueError(f"dim must be (C, X, T) or (C, H, W, T), but got {dim!r:.60}")
            dim = tuple(_validate.integer(length, "dim", 0) for length in dim)
            room(dim, 8, "the tensor", f"dim is {dim}")
        else:
            bins = self._bins(_validate.positive(sampling_time, "sampling_time"))
            if any((column < 0).any() for column in bins):
                raise ValueError("an event with a negative coordinate or time fits no tensor; give dim to leave it out")
            sizes = tuple(int(column.max(initial=0)) + 1 for column in bins)
            dim = (sizes[0], *sizes[2:]) if self.y is None else sizes
            ends = ", ".join(f"{size - 1:.6g}" for size in sizes[:3])
            because = f"sampling_time is {sampling_time:.6g} ms, c, y, x and t of the Event reach {ends}"
            room(dim, 8, "the tensor", f"{because} and {np.max(self.t, initial=0):.6g} ms")
        return self.fill_tensor(np.zeros(dim), sampling_time)

    def fill_tensor(
        self, empty_tensor: Grid, sampling_time: float = 1, random_shift: bool = False, binning_mode: str = "OR"
    ) -> Grid:
        """Write the recording into a tensor.

        An event of channel c at time t lands in ``[c, y, x, round(t / sampling_time)]``, rounded to the nearest,
        half to even. It is worth ``1 / sampling_time``, a graded one ``payload / sampling_time``. Events
        outside the tensor are left out. A tensor of one channel takes a recording of one channel,
        whichever that is.

        Parameters
        ----------
        empty_tensor : torch.Tensor or numpy.ndarray
            (C, H, W, T), for a 1-D recording (C, X, T) or (C, 1, X, T); any real dtype. Filled in place: elements
            without an event keep their value.
        sampling_time : float
            Milliseconds per step, greater than 0.
        random_shift : bool
            Begin at a random step of the silence before the first event, step 0 included, drawn from NumPy's
            global generator.
        binning_mode : str
            'OR': several events of an element count once; 'SUM': they add up, also to what the element held.
            Graded events always add up.

        Returns
        -------
        torch.Tensor or numpy.ndarray
            `empty_tensor`.

        Raises
        ------
        TypeError
            `empty_tensor` is neither a real tensor nor a real array.
        ValueError
            Its number of axes does not fit; its dtype cannot hold a value; an argument is out of range.
        """
        sampling_time = _validate.positive(sampling_time, "sampling_time")
        _validate.choice(binning_mode, "binning_mode", ("OR", "SUM"))
        channel, row, column, step = self._bins(sampling_time)
        shape = self._shape_of(empty_tensor)
        if random_shift and len(step):
            silence = min(int(np.min(self.t) / sampling_time), _columns.EXACT)
            step = step - np.random.randint(max(silence, 1))  # noqa: NPY002 - np.random.seed repeats a run
        if shape[0] == 1 and len(channel) and (channel == channel[0]).all():
            channel = np.zeros_like(channel)
        address = np.stack([channel, row, column, step])
        inside = ((address >= 0) & (address < np.array(shape)[:, None])).all(axis=0)
        flat = np.ravel_multi_index(tuple(address[:, inside]), shape)
        cells, which = np.unique(flat, return_inverse=True)
        place: tuple[Any, ...] = np.unravel_index(cells, tuple(empty_tensor.shape))
        if isinstance(empty_tensor, torch.Tensor):
            place = tuple(torch.from_numpy(index).to(empty_tensor.device) for index in place)
        if self.p is None and binning_mode == "OR":
            values = np.full(len(cells), 1 / sampling_time)
        else:
            worth = np.ones(len(flat)) if self.p is None else _columns.real(self.p, "p of the Event")[inside]
            values = np.bincount(which.reshape(-1), worth, len(cells)) / sampling_time
            values = values + _grid.float64(empty_tensor[place])
        empty_tensor[place] = _grid.held(values, empty_tensor)
        return empty_tensor

    def _shape_of(self, grid: np.ndarray | torch.Tensor) -> tuple[int, int, int, int]:
        """C, H, W, T of a tensor to fill."""
        if isinstance(grid, torch.Tensor):
            _validate.tensor(grid, "empty_tensor", 3, "(C, H, W, T)")
        elif not isinstance(grid, np.ndarray) or grid.dtype.kind not in "biuf":
            raise TypeError(f"empty_tensor must be a real tensor or array, but got {type(grid).__name__}")
        shape = tuple(grid.shape)
        full = (shape[0], 1, *shape[1:]) if self.y is None and len(shape) == 3 else shape
        if len(full) != 4 or 0 in full:
            axes = "(C, X, T) or (C, 1, X, T)" if self.y is None else "(C, H, W, T)"
            raise ValueError(f"a {self.dim}-D recording fills a tensor {axes} of at least one element, got {shape}")
        return full

    def show(
        self, fig: Any = None, frame_rate: float = 24, pre_compute_frames: bool = True, repeat: bool = False
    ) -> None:
        """Play the recording in a window, in real time; a backend without windows draws its first frame.

        Parameters
        ----------
        fig : matplotlib.figure.Figure, optional
            Where; by default a new figure.
        frame_rate : float
            Frames per second, greater than 0.
        pre_compute_frames : bool
            Compute all frames before the first is shown; otherwise each when it is due.
        repeat : bool
            Play again and again.

        Raises
        ------
        TypeError, ValueError
            `frame_rate` is no positive number; a column assigned later is not valid.
        """
        from lavadl_ref.slayer.io import _plot

        _plot.show(self.anim(fig, frame_rate, pre_compute_frames, repeat))

    def anim(
        self, fig: Any = None, frame_rate: float = 24, pre_compute_frames: bool = True, repeat: bool = True
    ) -> Any:
        """The recording as an animation of matplotlib.

        A 1-D recording is a raster of neuron over time in which the events up to the frame's end are drawn, a
        2-D one a picture of the events within the frame. Channels differ in colour, graded events in
        brightness.

        Parameters
        ----------
        fig, frame_rate, pre_compute_frames, repeat
            As for `show`.

        Returns
        -------
        matplotlib.animation.FuncAnimation
            Keep it while it is to play; its `save`, `to_jshtml` and `to_html5_video` export it.

        Raises
        ------
        TypeError, ValueError
            As for `show`.
        """
        from lavadl_ref.slayer.io import _plot

        frame_rate = _validate.positive(frame_rate, "frame_rate")
        channel, row, column, _ = self._bins(1)
        shown = Event(column, None if self.y is None else row, channel, self.t, self.p)
        return _plot.animate(shown, fig, frame_rate, pre_compute_frames, repeat)


def tensor_to_event(spike_tensor: Any, sampling_time: float = 1) -> Event:
    """The non-zero elements of a tensor as events, in the order of memory; the inverse of `Event.to_tensor`.

    Parameters
    ----------
    spike_tensor : torch.Tensor or numpy.ndarray
        (C, X, T), or (C, H, W, T). Any real dtype.
    sampling_time : float
        Milliseconds per step, greater than 0.

    Returns
    -------
    Event
        Times are ``step * sampling_time``, payloads ``value * sampling_time``. Without a payload if every
        value is ``1 / sampling_time`` in the dtype of the tensor.

    Raises
    ------
    TypeError
        `spike_tensor` is neither a real tensor nor a real array.
    ValueError
        It has neither three nor four axes, or a value is infinite or NaN.
    """
    sampling_time = _validate.positive(sampling_time, "sampling_time")
    if isinstance(spike_tensor, torch.Tensor):
        _validate.tensor(spike_tensor, "spike_tensor")
        spikes = spike_tensor.detach().cpu()
        array = (spikes.float() if spikes.dtype == torch.bfloat16 else spikes).numpy()
    else:
        array = spike_tensor
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise TypeError(f"spike_tensor must be a real tensor or array, but got {type(spike_tensor).__name__}")
    if array.ndim not in (3, 4):
        raise ValueError(f"spike_tensor must have axes (C, X, T) or (C, H, W, T), but has shape {array.shape}")
    channel, *rows, column, step = np.nonzero(array)
    values = array[array != 0]
    unit = np.float64(1 / sampling_time)
    spiking = values == (unit.astype(array.dtype) if array.dtype.kind == "f" else unit)
    payload = None if spiking.all() else _columns.real(values, "spike_tensor") * sampling_time
    return Event(column, rows[0] if rows else None, channel, step * sampling_time, payload)
