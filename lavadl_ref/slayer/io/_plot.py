"""Moving pictures of events; the only place of ``slayer.io`` that needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import FuncAnimation

from lavadl_ref.slayer.io._room import room

if TYPE_CHECKING:
    from lavadl_ref.slayer.io.event import Event

_FRAMES = 10**6  #: of an animation: eleven hours

#: Backends that write files only, and warn when asked for a window.
_WITHOUT_WINDOWS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")


def _colours(event: Event, order: np.ndarray) -> np.ndarray:
    """Red, green, blue and opacity of each event: (M, 4) in [0, 1]."""
    palette = np.array([matplotlib.colors.to_rgba(f"C{k}") for k in range(10)])
    colours = palette[event.c[order] % len(palette)]
    if event.p is not None:
        magnitude = np.abs(event.p[order])
        colours[:, 3] = magnitude / max(magnitude.max(initial=0), np.finfo(float).tiny)
    return colours


class _Raster:
    """Neuron over time; a frame is the number of events so far."""

    def __init__(self, event: Event, ax: Any, order: np.ndarray, colours: np.ndarray, kept: int) -> None:
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
    """Row over column; a frame is the picture of the events within it, and `kept` of them are held at once."""

    def __init__(self, event: Event, ax: Any, order: np.ndarray, colours: np.ndarray, kept: int) -> None:
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


def animate(event: Event, fig: Any, frame_rate: float, pre_compute_frames: bool, repeat: bool) -> FuncAnimation:
    """The animation of an event, in real time; see `Event.anim`."""
    order = np.argsort(event.t, kind="stable")
    times = event.t[order]
    duration = 1000 / frame_rate
    wanted = float(times.max(initial=0)) * frame_rate / 1000
    if not wanted <= _FRAMES:
        raise ValueError(
            f"an animation has at most {_FRAMES:,} frames, but frame_rate {frame_rate} asks for {wanted:.4g}"
        )
    count = int(times.max(initial=0) // duration) + 1
    figure = plt.figure() if fig is None else fig
    ax = figure.gca()
    ax.clear()
    painter = (_Raster if event.y is None else _Picture)(
        event, ax, order, _colours(event, order), count if pre_compute_frames else 1
    )

    def compute(index: int) -> Any:
        # What happened before time 0 is in the first frame.
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
