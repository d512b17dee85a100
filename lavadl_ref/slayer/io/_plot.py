"""Animations of events. This is the only module of ``slayer.io`` that needs matplotlib."""

from __future__ import annotations

from typing import Any, NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation
from numpy.typing import NDArray

from lavadl_ref.slayer.io._room import room

#: Most frames of an animation: eleven hours at 24 frames a second.
_FRAMES = 10**6

#: Backends that only write files, and warn when a window is to be opened.
_WITHOUT_WINDOWS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")


class Events(NamedTuple):
    """The columns of M events, (M,) each."""

    x: NDArray[Any]  #: int64, neuron or column
    y: NDArray[Any] | None  #: int64, row; None for events in one dimension
    c: NDArray[Any]  #: int64, channel
    t: NDArray[Any]  #: float64, time in milliseconds
    p: NDArray[Any] | None  #: float64, payload


def _colours(event: Events, order: NDArray[Any]) -> NDArray[Any]:
    """Red, green, blue and opacity of each event: (M, 4) in [0, 1]."""
    palette: NDArray[Any] = np.array([matplotlib.colors.to_rgba(f"C{k}") for k in range(10)])
    colours: NDArray[Any] = palette[event.c[order] % len(palette)]
    if event.p is not None:
        magnitude = np.abs(event.p[order])
        colours[:, 3] = magnitude / max(magnitude.max(initial=0), np.finfo(float).tiny)
    return colours


class _Raster:
    """A plot of neurons over time. A frame is described by the number of events so far."""

    def __init__(self, event: Events, ax: Any, order: NDArray[Any], colours: NDArray[Any], kept: int) -> None:
        self.points, self.colours = np.stack([event.t, event.x], axis=1)[order], colours
        end, last = (max(self.points[:, axis].max(initial=0), 1) for axis in (0, 1))
        start = min(self.points[:, 0].min(initial=0), 0)
        ax.set(xlim=(start, end), ylim=(-1, last + 1), xlabel="time [ms]", ylabel="neuron")
        self.dots = ax.scatter(np.empty(0), np.empty(0), s=4)

    def compute(self, first: int, stop: int) -> Any:
        return stop

    def draw(self, stop: Any) -> Any:
        self.dots.set_offsets(self.points[:stop])
        self.dots.set_facecolor(self.colours[:stop])
        return (self.dots,)


class _Picture:
    """Pictures of rows over columns. A frame is the picture of its events; `kept` frames are in memory at once."""

    def __init__(self, event: Events, ax: Any, order: NDArray[Any], colours: NDArray[Any], kept: int) -> None:
        x, y = event.x[order], np.asarray(event.y)[order]
        left, top = x.min(initial=0), y.min(initial=0)
        self.pixel, self.light = (y - top, x - left), colours[:, :3] * colours[:, 3:]
        height, width = (int(column.max(initial=0)) + 1 for column in self.pixel)
        self.shape = (height, width, 3)
        room((kept, *self.shape), 8, "the pictures", f"the events lie on {width}x{height} pixels in {kept} frames")
        extent = (left - 0.5, left + width - 0.5, top + height - 0.5, top - 0.5)
        self.image = ax.imshow(np.zeros(self.shape), extent=extent)
        ax.set(xlabel="x", ylabel="y")

    def compute(self, first: int, stop: int) -> Any:
        frame = np.zeros(self.shape)
        np.maximum.at(frame, tuple(column[first:stop] for column in self.pixel), self.light[first:stop])
        return frame

    def draw(self, frame: Any) -> Any:
        self.image.set_data(frame)
        return (self.image,)


def animate(event: Events, fig: Any, frame_rate: float, pre_compute_frames: bool, repeat: bool) -> FuncAnimation:
    """An animation of events in real time; see `Event.anim`."""
    order = np.argsort(event.t, kind="stable")
    times = event.t[order]
    duration = 1000 / frame_rate
    wanted = float(times.max(initial=0)) * frame_rate / 1000
    if not wanted <= _FRAMES:
        raise ValueError(
            f"an animation must have at most {_FRAMES:,} frames, got {wanted:.4g} with frame_rate {frame_rate}"
        )
    count = int(times.max(initial=0) // duration) + 1
    figure = plt.figure() if fig is None else fig
    ax = figure.gca()
    ax.clear()
    painter = (_Raster if event.y is None else _Picture)(
        event, ax, order, _colours(event, order), count if pre_compute_frames else 1
    )

    def compute(index: int) -> Any:
        # The first frame also holds the events before time 0.
        edges = (index * duration if index else -np.inf, (index + 1) * duration)
        return painter.compute(*np.searchsorted(times, edges))

    computed = [compute(index) for index in range(count)] if pre_compute_frames else None

    def update(index: int) -> Any:
        return painter.draw(compute(index) if computed is None else computed[index])

    return FuncAnimation(figure, update, frames=count, init_func=lambda: update(0), interval=duration, repeat=repeat)


def show(animation: FuncAnimation) -> None:
    """Play an animation, or draw its first frame where the backend opens no windows."""
    if matplotlib.get_backend().lower() in _WITHOUT_WINDOWS:
        animation._fig.canvas.draw()  # type: ignore[attr-defined]
    else:
        plt.show()
