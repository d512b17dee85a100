"""Pictures of what neurons do over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lavadl_ref._arguments import positive, whole
from lavadl_ref.plot._axes import array, axes_or_new, titled

#: Neurons up to which a raster has a bar for each spike; more have dots.
_BARS = 100


def raster(spikes: Any, axes: Any = None, *, title: str | None = None, color: Any = "black") -> Any:
    """Draw a mark for each spike over steps and neurons.

    Parameters
    ----------
    spikes : array_like or Tensor
        (neurons, T), or (C, H, W, T), which is flattened; whatever is not 0 is a spike.
    axes : matplotlib.axes.Axes, optional
        To draw into; new ones by default.
    title : str, optional
        The number of spikes is added to it.
    color : colour of Matplotlib
        Of the marks.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> raster([[0, 1, 0], [1, 0, 1]]).get_ylabel()
    'neuron'
    """
    found = array("spikes", spikes, 2, 3, 4)
    found = found.reshape(-1, found.shape[-1])
    axes = axes_or_new(axes)
    neuron, step = np.nonzero(found)
    count, steps = found.shape
    if count <= _BARS:
        axes.vlines(step, neuron - 0.4, neuron + 0.4, color=color, linewidth=max(0.6, min(1.6, 160 / max(steps, 1))))
    else:
        axes.plot(step, neuron, linestyle="none", marker=".", markersize=max(1.5, 240 / count), color=color, mew=0)
    axes.set(xlabel="step", ylabel="neuron", xlim=(-0.5, steps - 0.5), ylim=(-0.5, count - 0.5))
    _whole_ticks(axes)
    titled(axes, None if title is None else f"{title}: {len(step):,} {'spike' if len(step) == 1 else 'spikes'}")
    return axes


def traces(
    values: Any,
    axes: Any = None,
    *,
    spikes: Any = None,
    threshold: float | None = None,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Any:
    """Draw values over time as lines, such as voltages, with dots where a neuron spikes.

    Parameters
    ----------
    values : array_like or Tensor
        (T,) or (lines, T), in any unit.
    axes : matplotlib.axes.Axes, optional
        To draw into; new ones by default.
    spikes : array_like or Tensor, optional
        Of the shape of `values`; whatever is not 0 is a spike.
    threshold : float, optional
        Drawn as a dashed line, in the unit of `values`.
    labels : sequence of str, optional
        One for each line.
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If shapes do not fit each other.

    Examples
    --------
    >>> axes = traces([0.0, 0.5, 1.2, 0.0], spikes=[0, 0, 1, 0], threshold=1.0)
    >>> len(axes.lines)
    3
    """
    lines = np.atleast_2d(array("values", values, 1, 2))
    fired = None if spikes is None else np.atleast_2d(array("spikes", spikes, 1, 2))
    if fired is not None and fired.shape != lines.shape:
        raise ValueError(f"spikes must have the shape of values, {lines.shape}, got {fired.shape}")
    if labels is not None and len(labels) != len(lines):
        raise ValueError(f"labels must be one for each of {len(lines)} lines, got {len(labels)}")
    axes = axes_or_new(axes)
    for index, line in enumerate(lines):
        (drawn,) = axes.plot(line, linewidth=1.2, label=None if labels is None else labels[index])
        if fired is not None:
            steps = np.nonzero(fired[index])[0]
            axes.plot(steps, line[steps], linestyle="none", marker="o", markersize=4, color=drawn.get_color())
    if threshold is not None:
        axes.axhline(threshold, color="black", linestyle="--", linewidth=0.8, label="threshold" if labels else None)
    axes.set(xlabel="step", ylabel="value", xlim=(-0.5, lines.shape[1] - 0.5))
    if labels is not None:
        axes.legend(fontsize="small")
    titled(axes, title)
    return axes


def rates(spikes: Any, axes: Any = None, *, bins: int = 50, title: str | None = None) -> Any:
    """Draw how often neurons spike as a heat map: over the picture that they form, or over time.

    Parameters
    ----------
    spikes : array_like or Tensor
        (C, H, W, T) or (H, W, T), drawn as the rates of H rows and W columns, means over channels and time; or
        (neurons, T), drawn as the rates of each neuron in bins of time. Whatever is not 0 is a spike.
    axes : matplotlib.axes.Axes, optional
        To draw into; new ones by default.
    bins : int
        Most bins of time.
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> axes = rates([[[1, 0], [1, 1]]])  # one row of two neurons
    >>> axes.images[0].get_array().tolist()
    [[0.5, 1.0]]
    """
    found = array("spikes", spikes, 2, 3, 4) != 0
    bins = whole("bins", bins, 1)
    axes = axes_or_new(axes)
    options: dict[str, Any] = {"cmap": "magma", "vmin": 0, "interpolation": "nearest"}
    if found.ndim == 2:
        steps = found.shape[1]
        edges = np.unique(np.linspace(0, steps, min(bins, max(steps, 1)) + 1).astype(int))
        width = np.maximum(np.diff(edges), 1)
        means = np.add.reduceat(found.astype(float), edges[:-1], axis=1) / width if steps else np.zeros((len(found), 1))
        extent = (-0.5, steps - 0.5, -0.5, len(found) - 0.5)
        image = axes.imshow(means, aspect="auto", origin="lower", extent=extent, **options)
        axes.set(xlabel="step", ylabel="neuron")
    else:
        image = axes.imshow(found.mean(axis=-1).mean(axis=0) if found.ndim == 4 else found.mean(axis=-1), **options)
        axes.set(xlabel="column", ylabel="row")
    _whole_ticks(axes)
    axes.figure.colorbar(image, ax=axes, label="spikes a step")
    titled(axes, title)
    return axes


def animation(events: Any, axes: Any = None, *, interval: float = 40.0, title: str | None = None) -> Any:
    """Make an animation of the pictures that events form, one frame a step.

    Parameters
    ----------
    events : array_like or Tensor
        (C, H, W, T) or (H, W, T). Of two channels the first is drawn in red and the second in blue; of another number
        the sum is drawn in grey.
    axes : matplotlib.axes.Axes, optional
        To draw into; new ones by default.
    interval : float
        Milliseconds of a frame.
    title : str, optional
        The step is added to it.

    Returns
    -------
    matplotlib.animation.FuncAnimation
        To be kept as long as it plays; ``to_jshtml()`` shows it in a notebook, ``save(name, writer="pillow")`` writes
        it.

    Examples
    --------
    >>> import numpy as np
    >>> "<img" in animation(np.eye(4)[None]).to_jshtml()
    True
    """
    found = array("events", events, 3, 4)
    interval = positive("interval", interval)
    axes = axes_or_new(axes)
    from matplotlib.animation import FuncAnimation

    pictures = _coloured(found if found.ndim == 4 else found[None])
    image = axes.imshow(pictures[0], interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    text = "" if title is None else f"{title}: "
    heading = axes.set_title(f"{text}step 0")

    def show(step: int) -> tuple[Any, Any]:
        image.set_data(pictures[step])
        heading.set_text(f"{text}step {step}")
        return image, heading

    return FuncAnimation(axes.figure, show, frames=len(pictures), interval=interval)


def _whole_ticks(axes: Any) -> None:
    """Let ticks be at whole numbers of neurons and steps."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)


def _coloured(events: Any) -> Any:
    """Pictures (T, H, W, 3) of events (C, H, W, T), white where there are none."""
    size = np.abs(events).astype(float)
    largest = size.max(initial=0)
    strength = np.moveaxis(size / largest if largest else size, -1, 1)  # (C, T, H, W)
    pictures = np.ones((*strength.shape[1:], 3))
    if len(strength) == 2:
        pictures[..., 1:] -= strength[0][..., None]
        pictures[..., :2] -= strength[1][..., None]
    else:
        pictures -= strength.sum(0)[..., None]
    return pictures.clip(0, 1)
