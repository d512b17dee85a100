"""Axes to draw into, and arrays to draw."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from lavadl_ref import _extras
from lavadl_ref._arguments import numbers, positive, whole

Array = NDArray[Any]


def figure(columns: int = 1, rows: int = 1, size: tuple[float, float] = (4.5, 3.2)) -> tuple[Any, Array]:
    """Make a figure of Matplotlib with a grid of axes.

    Parameters
    ----------
    columns, rows : int
        Of the grid.
    size : (float, float)
        Width and height of each, in inches.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : ndarray
        (rows, columns) of axes.

    Raises
    ------
    ModuleNotFoundError
        If Matplotlib is missing; says what to type.

    Examples
    --------
    >>> drawn, axes = figure(3)
    >>> axes.shape
    (1, 3)
    """
    columns, rows = whole("columns", columns, 1), whole("rows", rows, 1)
    width, height = (positive("size", one) for one in size)
    pyplot = _pyplot()
    made: tuple[Any, Array] = pyplot.subplots(
        rows, columns, figsize=(width * columns, height * rows), squeeze=False, layout="constrained"
    )
    return made


def axes_or_new(axes: Any) -> Any:
    """`axes`, or those of a new figure where None is given."""
    _extras.require("plot", "a plot")
    return figure()[1][0, 0] if axes is None else axes


def array(name: str, values: Any, *dimensions: int) -> Array:
    """`values` as an array of numbers with one of these numbers of dimensions; a tensor may have a gradient.

    Raises
    ------
    TypeError
        If they are no numbers.
    ValueError
        If they have another number of dimensions.
    """
    found = numbers(name, values)
    if found.ndim not in dimensions:
        wanted = " or ".join(map(str, dimensions))
        raise ValueError(f"{name} must have {wanted} dimensions, got the shape {found.shape}")
    return found


def titled(axes: Any, title: str | None) -> None:
    """Give the axes a title, unless it is None."""
    if title is not None:
        axes.set_title(title)


def _pyplot() -> Any:
    _extras.require("plot", "a plot")
    from matplotlib import pyplot

    return pyplot
