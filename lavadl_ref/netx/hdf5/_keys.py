"""A layer given by the keys of a ``.net`` file, in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.layout import NAME_LIMIT
from lavadl_ref.exchange.read import EXACT_LIMIT
from lavadl_ref.exchange.storage import shown

#: A layer or its ``neuron`` group: a group of a file, or anything with the same keys.
Config: TypeAlias = "Mapping[str, Any] | h5py.Group"


class Keys:
    """The values of a mapping, converted and refused as `exchange.storage.Folder` does with those of a file's group.

    `exchange.read` takes either: the keys of a layer are told there, once.

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

    def only(self, known: Collection[str]) -> None:
        """Raise unless every key is one of `known`."""
        for name in self.names:
            if name not in known:
                raise self._error(shown(name), f"must be one of {', '.join(sorted(known))}, got an unknown key")

    def folder(self, key: str, prefix: str | None = None) -> Keys:
        """The mapping called `key`; `prefix` replaces the one that its place gives it."""
        if not self.is_folder(key):
            raise self._error(key, f"must hold keys, got {type(self._config[key]).__name__}")
        return Keys(self._config[key], f"{self._prefix}{key}/" if prefix is None else prefix)

    def is_folder(self, key: str) -> bool:
        """Tell whether `key` is a mapping."""
        if key not in self:
            raise self._error(key, "missing")
        return hasattr(self._config[key], "keys")

    def integers(self, key: str) -> NDArray[np.int64]:
        """The numbers called `key`, of any shape; floats must be whole."""
        array = self._array(key)
        if array.dtype.kind not in "iuf":
            raise self._error(key, f"must hold integers, got {array.dtype}")
        bad = array[~((np.abs(array) < EXACT_LIMIT) & (np.trunc(array) == array))]
        if bad.size:
            raise self._error(key, f"must hold integers below 2**53, got {bad.flat[0]}")
        return array.astype(np.int64)

    few_integers = integers

    def vector(self, key: str, count: int) -> NDArray[np.int64]:
        """The numbers called `key`; a single one is repeated `count` times."""
        values = self.integers(key)
        return np.full(count, values.reshape(-1)[0]) if values.size == 1 else values

    def integer(self, key: str) -> int:
        """The one number called `key`, of shape () or (1,)."""
        return int(self._single(key, self.integers(key)))

    def boolean(self, key: str) -> bool:
        """The one truth value called `key`."""
        value = self._single(key, self._array(key))
        if value not in (0, 1):
            raise self._error(key, f"must be a bool, got {value!r}")
        return bool(value)

    def text(self, key: str) -> str:
        """The one string called `key`, ASCII."""
        value = self._single(key, self._array(key))
        if not isinstance(value, (str, bytes)):
            raise self._error(key, f"must be a string, got {value!r}")
        text = value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else str(value)
        if len(text) > NAME_LIMIT:
            raise self._error(key, f"must have at most {NAME_LIMIT} characters, got {len(text)}")
        return text

    def _array(self, key: str) -> NDArray[Any]:
        if self.is_folder(key):
            raise self._error(key, "must be a value, got keys")
        value = self._config[key]
        return np.asarray(value[()] if isinstance(value, h5py.Dataset) else value)

    def _single(self, key: str, values: NDArray[Any]) -> Any:
        if values.shape not in ((), (1,)):
            raise self._error(key, f"must be one value, got shape {values.shape}")
        return values.reshape(-1)[0]

    def _error(self, key: str, reason: str) -> ExchangeError:
        return ExchangeError(f"{self._prefix}{key}: {reason}")
