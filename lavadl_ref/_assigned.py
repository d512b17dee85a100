"""Attributes that Lava-DL's objects have and assigning to which could only be without effect here: they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Refused:
    """An attribute that is not there: reading and assigning raise AttributeError.

    Parameters
    ----------
    instead : str
        The rest of the message: why, and what to do.
    """

    def __init__(self, instead: str) -> None:
        self.instead = instead
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        raise AttributeError(f"{_name(instance)} has no {self.name}: {self.instead}")

    def __set__(self, instance: Any, value: Any) -> None:
        raise AttributeError(f"{self.name} of {_name(instance)} cannot be assigned: {self.instead}")


def _name(instance: Any) -> str:
    return instance.__name__ if isinstance(instance, type) else type(instance).__name__


class Guarded:
    """A base, named before `torch.nn.Module`, with which modules and parameters cannot pass by a `Refused` either."""

    def __setattr__(self, name: str, value: Any) -> None:
        found = getattr(type(self), name, None)
        if isinstance(found, Refused):
            found.__set__(self, value)
        super().__setattr__(name, value)


class Derived(Refused):
    """An attribute that follows from others: it can be read, and assigning raises AttributeError.

    Parameters
    ----------
    get : callable
        Its value, from the object.
    instead : str
        What it follows from.
    """

    def __init__(self, get: Callable[[Any], Any], instead: str) -> None:
        super().__init__(instead)
        self.get = get
        self.__doc__ = get.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self.get(instance)


def derived(instead: str) -> Callable[[Callable[[Any], Any]], Any]:
    """A decorator for methods: `Derived`."""
    return lambda get: Derived(get, instead)


class Fixed:
    """An attribute that keeps its first value, which follows from the arguments of the constructor.

    The value lies in the object under the attribute's name.  Without a ``__get__`` here Python reads it there directly,
    which costs no call: neurons read their scales many times a step of training.

    Parameters
    ----------
    instead : str
        What to do for another value.
    """

    def __init__(self, instead: str = "make another one") -> None:
        self.instead = instead

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, instance: Any, value: Any) -> None:
        current = vars(instance).setdefault(self.name, value)
        if current != value:
            raise AttributeError(
                f"{self.name} of {_name(instance)} is {current!r} and cannot become {value!r}: {self.instead}"
            )


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
        self.value = value
        self.reason = reason

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self.value

    def __set__(self, instance: Any, value: Any) -> None:
        if value != self.value:
            raise ValueError(f"{self.name} of {_name(instance)} must be {self.value}, got {value!r}: {self.reason}")
