"""A layer or a network given by the keys of a ``.net`` file, in memory: read as a file is, and written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.describe import Network
from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.read import Folder
from lavadl_ref.exchange.write import fill

#: A layer or its ``neuron`` group: a group of a file, or anything with the same keys.
Config: TypeAlias = "Mapping[str, Any] | h5py.Group"

_Self = TypeVar("_Self", bound="Keys")
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

    def folder(self: _Self, key: str, prefix: str | None = None) -> _Self:
        """The mapping called `key`; `prefix` replaces the one that its place gives it."""
        if not self.is_folder(key):
            raise self._placed(key, ExchangeError(f"must hold keys, got {type(self._config[key]).__name__}"))
        return type(self)(self._config[key], f"{self._prefix}{key}/" if prefix is None else prefix)

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


def entries_of(network: Network) -> dict[str, Any]:
    """The keys of a ``.net`` file for a legal `network`: dictionaries of texts, numbers of NumPy and arrays.

    Parameters
    ----------
    network : Network
        Legal in the sense of `lavadl_ref.exchange.check`.

    Examples
    --------
    >>> from lavadl_ref.exchange import Flatten
    >>> entries_of(Network((Flatten(shape=(4,)),)))["layer"]["0"]
    {'type': 'flatten', 'shape': array([4, 1, 1])}
    """
    found = _Entries()
    fill(found, network)
    return found


class _Entries(dict[str, Any]):
    """Nested dictionaries that are filled as groups of a file are."""

    def create_group(self, name: str) -> _Entries:
        found = self
        for key in name.split("/"):
            found = found.setdefault(key, _Entries())
        return found

    def create_dataset(self, name: str, data: Any) -> None:
        path, _, key = name.rpartition("/")
        array = np.asarray(data)
        if array.dtype.kind in "SU":
            (text,) = array.reshape(-1).tolist()
            data = text if isinstance(text, str) else text.decode("ascii")
        (self.create_group(path) if path else self)[key] = data
