"""A list of spikes with addresses and times, and its conversion to and from a tensor."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from lavadl_ref import _extras
from lavadl_ref._assigned import derived
from lavadl_ref.slayer.io import _columns, _grid
from lavadl_ref.slayer.io._room import room
from lavadl_ref.slayer.utils import _validate

Grid = TypeVar("Grid", NDArray[Any], torch.Tensor)


class Event:
    """A recording of M spikes.

    Parameters
    ----------
    x_event : array of int, (M,)
        Neuron of each spike of a 1-D recording; column of each spike of a 2-D one.
    y_event : array of int, (M,), or None
        Row of each spike; None makes the recording 1-D.
    c_event : array of int, (M,)
        Channel of each spike, at least 0, such as the polarity of a vision sensor. Channels are kept as they are,
        even if only one occurs.
    t_event : array of float, (M,)
        Time in milliseconds.
    payload : array of float, (M,), optional
        Magnitude of each spike; None means 1 for all.

    Columns may be arrays, sequences or tensors; they are copied. A coordinate or time may be below 0, because
    augmentation moves spikes there; such a spike lies in no tensor.

    Attributes
    ----------
    x, y, c : numpy.ndarray
        int64 (M,); `y` is None for a 1-D recording.
    t, p : numpy.ndarray
        float64 (M,); `p` is the payload, or None. All five columns may be assigned; they are checked again when they
        are used.
    dim : int
        1 or 2.
    graded : bool
        True if there is a payload.

    Raises
    ------
    TypeError, ValueError
        A column does not hold finite numbers on one axis; a coordinate or channel is no integer; a channel is
        negative; the columns differ in length.

    Examples
    --------
    Neuron 2 spikes at 0 and 3 ms, neuron 0 at 1 ms, all in channel 0.

    >>> event = Event(x_event=[2, 0, 2], y_event=None, c_event=[0, 0, 0], t_event=[0.0, 1.0, 3.0])
    >>> event.dim, event.graded
    (1, False)
    >>> event.to_tensor()
    array([[[0., 1., 0., 0.],
            [0., 0., 0., 0.],
            [1., 0., 0., 1.]]])
    """

    def __init__(self, x_event: Any, y_event: Any, c_event: Any, t_event: Any, payload: Any = None) -> None:
        self.x = _columns.whole(x_event, "x_event")
        # Lava-DL's own events hold a missing y as a 0-d array of None.
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
        """True if the events have a payload."""
        return self.p is not None

    def _check(self) -> None:
        lengths = {name: len(column) for name, column in vars(self).items() if column is not None}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns of an Event must have one length, got {lengths}")
        if (np.asarray(self.c) < 0).any():
            raise ValueError(f"channels must be at least 0, got {np.min(self.c)}; give polarities as 0 and 1")

    def _bins(self, sampling_time: float) -> tuple[NDArray[Any], ...]:
        """Channel, row, column and step of each spike: int64, (M,) each.

        Times and coordinates, which may be fractions after augmentation, are rounded to the nearest, ties to even.
        """
        self._check()
        with np.errstate(over="ignore"):
            time = _columns.real(self.t, "t of the Event") / sampling_time
        if not np.isfinite(time).all():
            last = np.abs(self.t).max()
            raise ValueError(f"sampling_time must be long enough for an event at {last} ms, got {sampling_time} ms")
        step = _columns.nearest(time, "t of the Event")
        x = _columns.nearest(self.x, "x of the Event")
        y = np.zeros_like(x) if self.y is None else _columns.nearest(self.y, "y of the Event")
        return _columns.whole(self.c, "c of the Event"), y, x, step

    def to_tensor(self, sampling_time: float = 1, dim: tuple[int, ...] | None = None) -> NDArray[Any]:
        """The recording as a new array, with the values that `fill_tensor` writes.

        Parameters
        ----------
        sampling_time : float
            Milliseconds per time step, greater than 0.
        dim : tuple of int, optional
            Shape (C, X, T) or (C, H, W, T), as `fill_tensor` takes it; events outside are left out. By default it is
            the smallest shape that holds every event and at least one element: (C, X, T) for a 1-D recording,
            (C, H, W, T) for a 2-D one.

        Returns
        -------
        numpy.ndarray
            float64 of the shape `dim`.

        Raises
        ------
        ValueError
            `dim` is not given, and an event has a negative coordinate or time, so that no array holds it; the array
            would take more than 16 GiB (`fill_tensor` fills a larger one of the caller); anything that `fill_tensor`
            raises.
        """
        if dim is not None:
            axes = 1 if isinstance(dim, (int, np.integer)) else len(dim)
            if axes not in (3, 4):
                raise ValueError(f"dim must be (C, X, T) or (C, H, W, T), got {dim!r:.60}")
            dim = tuple(_validate.integer(length, "dim", 0) for length in dim)
            room(dim, 8, "the tensor", f"dim is {dim}")
        else:
            bins = self._bins(_validate.positive(sampling_time, "sampling_time"))
            if any((column < 0).any() for column in bins):
                raise ValueError(
                    "coordinates and times of an Event must be at least 0 without dim, got a negative one; "
                    "with dim such events are left out"
                )
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

        An event of channel c at time t is written to ``[c, y, x, round(t / sampling_time)]``; ties are rounded to
        even. Its value is ``1 / sampling_time``, that of a graded event ``payload / sampling_time``. Events outside
        the tensor are left out. If the tensor has one channel and all events have the same channel, they are written
        to it, whatever their channel is.

        Parameters
        ----------
        empty_tensor : torch.Tensor or numpy.ndarray
            (C, H, W, T), or (C, X, T) or (C, 1, X, T) for a 1-D recording; any real dtype. It is filled in place, and
            elements without an event keep their value.
        sampling_time : float
            Milliseconds per time step, greater than 0.
        random_shift : bool
            Begin the tensor at a random step before the first event, step 0 included. The step is drawn from NumPy's
            global generator.
        binning_mode : str
            'OR': several events of an element count once. 'SUM': they are added to each other and to the value that
            the element had. Graded events are always added.

        Returns
        -------
        torch.Tensor or numpy.ndarray
            `empty_tensor`.

        Raises
        ------
        TypeError
            `empty_tensor` is neither a real tensor nor a real array.
        ValueError
            The number of axes does not fit; the dtype cannot hold a value; an argument is out of range.

        Examples
        --------
        >>> event = Event([2, 0, 2], None, [0, 0, 0], [0.0, 1.0, 3.0])
        >>> event.fill_tensor(torch.zeros(1, 3, 2), sampling_time=2)
        tensor([[[0.5000, 0.0000],
                 [0.0000, 0.0000],
                 [0.5000, 0.0000]]])
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

    def _shape_of(self, grid: NDArray[Any] | torch.Tensor) -> tuple[int, int, int, int]:
        """The extents C, H, W, T of a tensor to fill."""
        if isinstance(grid, torch.Tensor):
            _validate.tensor(grid, "empty_tensor", 3, "(C, H, W, T)")
        elif not isinstance(grid, np.ndarray) or grid.dtype.kind not in "biuf":
            raise TypeError(f"empty_tensor must be a real tensor or array, got {type(grid).__name__}")
        shape = tuple(grid.shape)
        full = (shape[0], 1, *shape[1:]) if self.y is None and len(shape) == 3 else shape
        if len(full) != 4 or 0 in full:
            axes = "(C, X, T) or (C, 1, X, T)" if self.y is None else "(C, H, W, T)"
            raise ValueError(
                f"empty_tensor of a {self.dim}-D recording must have axes {axes} and an element, got {shape}"
            )
        return full

    def show(
        self, fig: Any = None, frame_rate: float = 24, pre_compute_frames: bool = True, repeat: bool = False
    ) -> None:
        """Play the recording in a window, in real time. A backend without windows draws the first frame.

        Parameters
        ----------
        fig : matplotlib.figure.Figure, optional
            The figure to draw in; by default a new one.
        frame_rate : float
            Frames per second, greater than 0.
        pre_compute_frames : bool
            Compute all frames before the first is shown; otherwise each is computed when it is due.
        repeat : bool
            Repeat the recording without end.

        Raises
        ------
        TypeError, ValueError
            `frame_rate` is no positive number; a column assigned later is not valid.
        """
        _extras.require("plot", "an animation of events")
        from lavadl_ref.slayer.io import _plot

        _plot.show(self.anim(fig, frame_rate, pre_compute_frames, repeat))

    def anim(
        self, fig: Any = None, frame_rate: float = 24, pre_compute_frames: bool = True, repeat: bool = True
    ) -> Any:
        """The recording as an animation of matplotlib.

        A frame of a 1-D recording plots neuron over time for all events up to the end of the frame. A frame of a 2-D
        recording is a picture of the events within the frame. Channels differ in colour, graded events in brightness.

        Parameters
        ----------
        fig, frame_rate, pre_compute_frames, repeat
            As for `show`, but `repeat` is True by default.

        Returns
        -------
        matplotlib.animation.FuncAnimation
            It must be kept while it plays. Its methods `save`, `to_jshtml` and `to_html5_video` export it.

        Raises
        ------
        TypeError, ValueError
            As for `show`.
        """
        _extras.require("plot", "an animation of events")
        from lavadl_ref.slayer.io import _plot

        frame_rate = _validate.positive(frame_rate, "frame_rate")
        channel, row, column, _ = self._bins(1)
        shown = Event(column, None if self.y is None else row, channel, self.t, self.p)
        events = _plot.Events(shown.x, shown.y, shown.c, shown.t, shown.p)
        return _plot.animate(events, fig, frame_rate, pre_compute_frames, repeat)


def tensor_to_event(spike_tensor: Any, sampling_time: float = 1) -> Event:
    """The nonzero elements of a tensor as events, in the order of memory: the inverse of `Event.to_tensor`.

    Parameters
    ----------
    spike_tensor : torch.Tensor or numpy.ndarray
        (C, X, T), or (C, H, W, T). Any real dtype.
    sampling_time : float
        Milliseconds per time step, greater than 0.

    Returns
    -------
    Event
        Times are ``step * sampling_time``, payloads ``value * sampling_time``. There is no payload if every nonzero
        value is ``1 / sampling_time`` in the dtype of the tensor.

    Raises
    ------
    TypeError
        `spike_tensor` is neither a real tensor nor a real array.
    ValueError
        It has neither three nor four axes, or a value is infinite or NaN.

    Examples
    --------
    >>> event = tensor_to_event(torch.tensor([[[0.0, 1, 0], [1, 0, 0]]]))
    >>> event.x, event.t, event.p
    (array([0, 1]), array([1., 0.]), None)
    """
    sampling_time = _validate.positive(sampling_time, "sampling_time")
    if isinstance(spike_tensor, torch.Tensor):
        _validate.tensor(spike_tensor, "spike_tensor")
        spikes = spike_tensor.detach().cpu()
        array = (spikes.float() if spikes.dtype == torch.bfloat16 else spikes).numpy()
    else:
        array = spike_tensor
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise TypeError(f"spike_tensor must be a real tensor or array, got {type(spike_tensor).__name__}")
    if array.ndim not in (3, 4):
        raise ValueError(f"spike_tensor must have axes (C, X, T) or (C, H, W, T), got shape {array.shape}")
    channel, *rows, column, step = np.nonzero(array)
    values = array[array != 0]
    unit = np.float64(1 / sampling_time)
    spiking = values == (unit.astype(array.dtype) if array.dtype.kind == "f" else unit)
    payload = None if spiking.all() else _columns.real(values, "spike_tensor") * sampling_time
    return Event(column, rows[0] if rows else None, channel, step * sampling_time, payload)
