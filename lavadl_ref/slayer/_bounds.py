"""The ends of ranges that parameters are still to be drawn from, as attributes."""

from __future__ import annotations

from typing import Any


class Bound:
    """One end of a range that a parameter's values are still to be drawn from.

    Parameters
    ----------
    parameter : str
        Name of the parameter.
    end : int
        0 for the smallest, 1 for the largest value.
    """

    def __init__(self, parameter: str, end: int) -> None:
        self._parameter = parameter
        self._end = end

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        bounds = instance._range(self._parameter)
        if bounds is None:
            raise AttributeError(f"{self._parameter} has no range: it was drawn, or given")
        return bounds[self._end]

    def __set__(self, instance: Any, value: float) -> None:
        bounds = instance._range(self._parameter)
        if bounds is None:
            raise AttributeError(
                f"{self._parameter} has no range to change: it was drawn, or given; write to the parameter's data"
            )
        instance._set_range(self._parameter, (value, bounds[1]) if self._end == 0 else (bounds[0], value))


def bounds_of(parameters: tuple[str, ...]) -> dict[str, Bound]:
    """The attributes ``<parameter>_min`` and ``<parameter>_max``."""
    return {f"{name}_{end}": Bound(name, index) for name in parameters for index, end in enumerate(("min", "max"))}
