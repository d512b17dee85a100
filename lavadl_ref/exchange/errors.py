"""The one exception of this package, and how it learns where it happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ExchangeError(ValueError):
    """A ``.net`` file or a description of a network that is not legal.

    The message names the file, the layer and the field, what was found and what was
    expected, e.g. ``x.net: layer 2: weight: expected shape (10, 64), found (10, 32)``.
    """


@contextmanager
def within(place: str) -> Iterator[None]:
    """Put `place` in front of the message of any `ExchangeError` raised inside."""
    try:
        yield
    except ExchangeError as error:
        raise ExchangeError(f"{place}: {error}") from None
