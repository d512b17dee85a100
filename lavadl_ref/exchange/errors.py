"""The exception of this package, the context that it reports, and the warnings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class ExchangeError(ValueError):
    """Error for a ``.net`` file or a description of a network that is not legal.

    The message names the file, the layer and the field, what was found and what was
    expected, e.g. ``x.net: layer 2: weight: must have shape (10, 64), got (10, 32)``.
    """


class LegacyKeyWarning(UserWarning):
    """A file contains keys of older exporters that have no effect on a run; the message names them and the layers."""


class ExponentWarning(UserWarning):
    """A file contains a weight exponent that Lava-DL's evaluation did not use; the message names the layers."""


@contextmanager
def within(place: str) -> Iterator[None]:
    """Put `place` in front of the message of any `ExchangeError` raised inside."""
    try:
        yield
    except ExchangeError as error:
        raise ExchangeError(f"{place}: {error}") from None
