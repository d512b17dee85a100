"""The one exception of this package, how it learns where it happened, and the warnings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ExchangeError(ValueError):
    """A ``.net`` file or a description of a network that is not legal.

    The message names the file, the layer and the field, what was found and what was
    expected, e.g. ``x.net: layer 2: weight: must have shape (10, 64), got (10, 32)``.
    """


class LegacyKeyWarning(UserWarning):
    """A file holds keys of older exporters that do not bear on a run; the message names them and the layers."""


class ExponentWarning(UserWarning):
    """A file holds a weight exponent that Lava-DL's evaluation did not use; the message names the layers."""


@contextmanager
def within(place: str) -> Iterator[None]:
    """Put `place` in front of the message of any `ExchangeError` raised inside."""
    try:
        yield
    except ExchangeError as error:
        raise ExchangeError(f"{place}: {error}") from None
