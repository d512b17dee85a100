"""Pictures of what is learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lavadl_ref.plot._axes import array, axes_or_new, titled

#: Most bars of a histogram.
_BINS = 60


def curves(
    values: Any, axes: Any = None, *, ylabel: str = "loss", logarithmic: bool | None = None, title: str | None = None
) -> Any:
    """Draw learning curves, a value for each epoch.

    Parameters
    ----------
    values : mapping of str to sequence of float, or sequence of float
        The curves by name. None and NaN leave a gap.
    axes : matplotlib.axes.Axes, optional
        To draw into; new ones by default.
    ylabel : str
        The quantity, and its unit.
    logarithmic : bool, optional
        Whether the scale is; by default that of a quantity named loss whose values are all positive.
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> curves({"training": [1.0, 0.5, 0.2], "testing": [1.1, 0.7, 0.6]}).get_yscale()
    'log'
    """
    given: Mapping[str, Any] = values if isinstance(values, Mapping) else {"": values}
    lines = {}
    for name, line in given.items():
        plain: Any = line if hasattr(line, "detach") else [np.nan if value is None else value for value in line]
        lines[name] = array(f"curve {name!r}" if name else "values", plain, 1).astype(float)
    axes = axes_or_new(axes)
    for name, line in lines.items():
        axes.plot(np.arange(1, len(line) + 1), line, marker=".", linewidth=1.2, label=name or None)
    known = np.concatenate([line[np.isfinite(line)] for line in lines.values()] or [np.zeros(0)])
    if logarithmic is None:
        logarithmic = "loss" in ylabel and known.size > 0 and bool(known.min() > 0)
    axes.set(xlabel="epoch", ylabel=ylabel, yscale="log" if logarithmic else "linear")
    axes.xaxis.get_major_locator().set_params(integer=True)
    if any(lines):
        axes.legend(fontsize="small")
    titled(axes, title)
    return axes


def delays(values: Any, axes: Any = None, *, longest: int | None = None, title: str | None = None) -> Any:
    """Draw how many channels have each axonal delay.

    Parameters
    ----------
    values : array_like or Tensor
        Delays of any shape, in steps; of fractions the whole part acts.
    axes : matplotlib.axes.Axes, optional
        To draw into; new ones by default.
    longest : int, optional
        The longest delay that is possible, where the axis ends; by default the longest there is.
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> axes = delays([0.0, 1.5, 1.0, 4.0])
    >>> [int(bar.get_height()) for bar in axes.patches]
    [1, 2, 0, 0, 1]
    """
    steps = np.floor(_flat("values", values)).astype(int)
    if steps.min(initial=0) < 0:
        raise ValueError(f"values must be delays of at least 0 steps, got {steps.min()}")
    axes = axes_or_new(axes)
    end = int(max(steps.max(initial=0), longest or 0))
    counts = np.bincount(steps, minlength=end + 1)
    axes.bar(np.arange(end + 1), counts.astype(float), width=0.9)
    axes.set(xlabel="delay [steps]", ylabel="channels", xlim=(-0.6, end + 0.6))
    for axis in (axes.xaxis, axes.yaxis):
        axis.get_major_locator().set_params(integer=True)
    titled(axes, title)
    return axes


def weights(before: Any, after: Any = None, axes: Any = None, *, title: str | None = None) -> Any:
    """Draw how weights are distributed, before and after they were quantised.

    Parameters
    ----------
    before : array_like or Tensor
        Weights as they are trained, of any shape, units of 1.
    after : array_like or Tensor, optional
        The same as the synapse applies them: ``block.synapse.hooked_weight``.
    axes : matplotlib.axes.Axes, optional
        To draw into; new ones by default.
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the two have different numbers of weights.

    Examples
    --------
    >>> axes = weights([0.1, 0.2, -0.3], [0.09375, 0.1875, -0.3125])
    >>> [text.get_text() for text in axes.get_legend().get_texts()]
    ['before', 'after']
    """
    trained = _flat("before", before)
    applied = None if after is None else _flat("after", after)
    if applied is not None and applied.size != trained.size:
        raise ValueError(f"after must have as many weights as before, {trained.size}, got {applied.size}")
    axes = axes_or_new(axes)
    levels, counts = np.unique([] if applied is None else applied, return_counts=True)
    axes.hist(trained, _edges(trained, levels), color="0.75", label="before")
    if applied is not None:
        axes.vlines(levels, 0, counts, color="C0", linewidth=1.2, label="after")
        axes.plot(levels, counts, linestyle="none", marker="o", markersize=2.5, color="C0")
        axes.legend(fontsize="small")
    axes.set(xlabel="weight", ylabel="synapses", ylim=(0, None))
    titled(axes, title)
    return axes


def _edges(trained: Any, levels: Any) -> Any:
    """Edges of a histogram: around each level that quantised weights can have, unless these are many."""
    low, high = (float(trained.min()), float(trained.max())) if trained.size else (0.0, 1.0)
    if len(levels) > 1:
        step = np.diff(levels).min()
        first, last = levels[0] - step / 2, max(high, levels[-1]) + step
        first -= step * max(0, np.ceil((first - low) / step))
        if (last - first) / step <= 10 * _BINS:
            return np.arange(first, last + step, step)
    return np.linspace(low, high if high > low else low + 1, min(_BINS, max(8, trained.size // 4)) + 1)


def _flat(name: str, values: Any) -> Any:
    found = array(name, values, *range(9)).astype(float).reshape(-1)
    if not np.isfinite(found).all():
        raise ValueError(f"{name} must be finite, got {found[~np.isfinite(found)][0]}")
    return found
