"""Attributes that may not be assigned freely: what an assignment cannot change says so."""

from __future__ import annotations

from typing import Any


class Fixed:
    """An attribute of an instance that keeps its first value.

    Parameters
    ----------
    remedy : str
        What to do instead, for the error.
    """

    def __init__(self, remedy: str) -> None:
        self._remedy = remedy

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        try:
            return instance.__dict__[self._name]
        except KeyError:
            raise AttributeError(self._name) from None

    def __set__(self, instance: Any, value: Any) -> None:
        present = instance.__dict__.setdefault(self._name, value)
        if present != value:
            raise ValueError(f"{self._name} must stay {present}: {self._remedy}, got {value!r}")


class Constant:
    """An attribute that has one value.

    Parameters
    ----------
    value : object
        The value.
    reason : str
        Why there is no other, for the error.
    """

    def __init__(self, value: Any, reason: str) -> None:
        self._value = value
        self._reason = reason

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return self._value

    def __set__(self, instance: Any, value: Any) -> None:
        if value != self._value:
            raise ValueError(f"{self._name} must be {self._value}: {self._reason}, got {value!r}")


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
