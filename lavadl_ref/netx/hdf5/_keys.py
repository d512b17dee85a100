"""A layer given by the keys of a ``.net`` file, in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.read import Folder

#: A layer or its ``neuron`` group: a group of a file, or anything with the same keys.
Config: TypeAlias = "Mapping[str, Any] | h5py.Group"

_Value = TypeVar("_Value")


class Keys(Folder):
    """A mapping that `exchange.read.layer_of` reads as it reads a group of a file.

    Parameters
    ----------
    config : mapping or h5py.Group
        Values are numbers, text, arrays, datasets, or mappings again.
    prefix : str
        Put before keys in errors, e.g. ``neuron/``.
    """

    def __init__(self, config: Config, prefix: str = "") -> None:
        self._config, self._prefix = config, prefix
        self.names = tuple(sorted(map(str, config)))

    def __contains__(self, key: str) -> bool:
        return key in self.names

    def folder(self, key: str, prefix: str | None = None) -> Keys:
        """The mapping called `key`; `prefix` replaces the one that its place gives it."""
        if not self.is_folder(key):
            raise self._placed(key, ExchangeError(f"must hold keys, got {type(self._config[key]).__name__}"))
        return Keys(self._config[key], f"{self._prefix}{key}/" if prefix is None else prefix)

    def is_folder(self, key: str) -> bool:
        """Tell whether `key` is a mapping."""
        if key not in self:
            raise self._placed(key, ExchangeError("missing"))
        return hasattr(self._config[key], "keys")

    def vector(self, key: str, count: int) -> NDArray[np.int64]:
        """The numbers called `key`; a single one is repeated `count` times."""
        values = self.integers(key)
        return np.full(count, values.reshape(-1)[0]) if values.size == 1 else values

    def _read(self, key: str, kinds: str, most: int | None, finish: Callable[[NDArray[Any]], _Value]) -> _Value:
        try:
            return finish(self._values(key, kinds, most))
        except ExchangeError as error:
            raise self._placed(key, error) from None

    def _values(self, key: str, kinds: str, most: int | None) -> NDArray[Any]:
        if key not in self:
            raise ExchangeError("missing")
        value = self._config[key]
        if hasattr(value, "keys"):
            raise ExchangeError("must be a value, got keys")
        array = np.asarray(value[()] if isinstance(value, h5py.Dataset) else value)
        if array.dtype.kind == "U":
            array = np.char.encode(array, "ascii", "backslashreplace")
        if array.dtype.kind not in kinds:
            raise ExchangeError(f"must hold {'text' if 'S' in kinds else 'numbers'}, got {array.dtype}")
        if most == 1 and array.shape not in ((), (1,)):
            raise ExchangeError(f"must be one value, got shape {array.shape}")
        if most is not None and math.prod(array.shape) > most:
            raise ExchangeError(f"must hold at most {most} numbers, got shape {array.shape}")
        return array
