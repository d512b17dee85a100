"""Careful access to an HDF5 file that nobody vouches for.

Before anything is opened its link is looked at (hard links only) and its name (known keys
only); before anything is read, its type and how much it claims to hold.  Nothing here
follows a structure deeper than its caller asks for, so cycles are harmless.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.errors import ExchangeError, within
from lavadl_ref.exchange.heap import REFERENCE_SIZE, Heaps
from lavadl_ref.exchange.layout import LAYER_LIMIT, NAME_LIMIT

DECODED_LIMIT = 2**30  # bytes of all integers of a file once they are int64
PACKED_LIMIT = 2**26  # the same, for those stored in chunks or compressed
CHUNK_COUNT_LIMIT = 2**14
FEW = 16  # numbers where two or three are expected: they may stand in a message
EXACT_LIMIT = 2**53  # integers a float64 holds exactly
CHECKSUM = 4  # bytes that HDF5 adds to a chunk if asked to

# With checksums left out.  Gzip must come once and last, for its output to be bounded here.
_SHUFFLE, _GZIP = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE
_PIPELINES = ((), (_SHUFFLE,), (_GZIP,), (_SHUFFLE, _GZIP))
_H5PY_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError)


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Name `place` in errors, and turn what h5py raises on a damaged file into `ExchangeError`."""
    try:
        with within(place):
            yield
    except ExchangeError:
        raise
    except _H5PY_ERRORS as error:
        raise ExchangeError(f"{place}: damaged file: {str(error) or type(error).__name__}") from None


@dataclass
class Budget:
    """What a file may still claim to hold.

    A dataset stored as it is takes its bytes from those of the file, so no file claims
    more than it has, even by naming the same bytes twice.  Chunked and compressed data may
    grow when read, up to a fixed limit.
    """

    heaps: Heaps  #: where variable-length strings are
    stored: int  #: bytes of the file not yet accounted for
    packed: int = PACKED_LIMIT
    decoded: int = DECODED_LIMIT

    def take(self, name: str, amount: int) -> None:
        """Subtract `amount` from the allowance called `name`."""
        left = getattr(self, name)
        if amount > left:
            raise ExchangeError(f"claims {amount:,} bytes, more than the {left:,} that the file can hold")
        setattr(self, name, left - amount)


def shown(name: str) -> str:
    """`name` as it may stand in a message: short and printable."""
    return name if name.isascii() and name.isprintable() and len(name) <= NAME_LIMIT else ascii(name[:NAME_LIMIT])


class Folder:
    """One group of a file.

    Parameters
    ----------
    group : h5py.Group
        The group, already opened.
    budget : Budget
        Shared by all groups of the file.
    prefix : str
        Put before keys in errors, e.g. ``neuron/``.
    """

    def __init__(self, group: h5py.Group, budget: Budget, prefix: str = "") -> None:
        self._group = group
        self._budget = budget
        self._prefix = prefix
        # Counted before they are listed: a group can claim any number of links.
        if len(group) > LAYER_LIMIT:
            raise ExchangeError(f"expected at most {LAYER_LIMIT} keys, found {len(group)}")
        self.names = tuple(group)

    def __contains__(self, key: str) -> bool:
        return key in self.names

    def only(self, known: Collection[str]) -> None:
        """Raise unless every key is one of `known`."""
        for name in self.names:
            if name not in known:
                raise ExchangeError(f"{self._prefix}{shown(name)}: unknown key; known are {', '.join(sorted(known))}")

    def folder(self, key: str, prefix: str | None = None) -> Folder:
        """The group called `key`; `prefix` replaces the one that its place gives it."""
        with reading(self._prefix + key):
            found = self._open(key, h5py.Group)
            return Folder(found, self._budget, f"{self._prefix}{key}/" if prefix is None else prefix)

    def is_folder(self, key: str) -> bool:
        """Whether `key` is a group."""
        with reading(self._prefix + key):
            return isinstance(self._open(key, h5py.HLObject), h5py.Group)

    def integers(self, key: str) -> NDArray[np.int64]:
        """The numbers of dataset `key`, of any shape; floats must be whole."""
        with reading(self._prefix + key):
            return _whole(self._read(self._open(key, h5py.Dataset), "iuf"))

    def few_integers(self, key: str) -> NDArray[np.int64]:
        """The numbers of dataset `key`, of any shape, but no more than can be shown."""
        with reading(self._prefix + key):
            dataset = self._open(key, h5py.Dataset)
            if dataset.shape is not None and math.prod(dataset.shape) > FEW:
                raise ExchangeError(f"expected at most {FEW} numbers, found shape {dataset.shape}")
            return _whole(self._read(dataset, "iuf"))

    def vector(self, key: str, count: int) -> NDArray[np.int64]:
        """The numbers of dataset `key`; a single one is repeated `count` times."""
        values = self.integers(key)
        if values.size != 1:
            return values
        with reading(self._prefix + key):
            self._budget.take("packed", 8 * count)
            return np.full(count, values.reshape(-1)[0])

    def integer(self, key: str) -> int:
        """The one number of dataset `key`, of shape () or (1,)."""
        with reading(self._prefix + key):
            return int(_whole(self._single(key, "iuf"))[0])

    def boolean(self, key: str) -> bool:
        """The one truth value of dataset `key`."""
        with reading(self._prefix + key):
            (value,) = self._single(key, "biuf")
            if value not in (0, 1):
                raise ExchangeError(f"expected a bool, found {value}")
            return bool(value)

    def text(self, key: str) -> str:
        """The one string of dataset `key`, of fixed or variable length, ASCII."""
        with reading(self._prefix + key):
            (value,) = self._single(key, "SO")
            text = value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else str(value)
            if len(text) > NAME_LIMIT:
                raise ExchangeError(f"expected at most {NAME_LIMIT} characters, found {len(text)}")
            return text

    def _open(self, key: str, wanted: type) -> h5py.HLObject:
        if key not in self.names:
            raise ExchangeError("missing")
        link = self._group.get(key, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ExchangeError(f"expected data in this file, found a {type(link).__name__}")
        found = self._group[key]
        if not isinstance(found, wanted):
            raise ExchangeError(f"expected a {wanted.__name__.lower()}, found a {type(found).__name__.lower()}")
        return found

    def _single(self, key: str, kinds: str) -> NDArray:
        """The one value of dataset `key`, of shape () or (1,), as shape (1,)."""
        dataset = self._open(key, h5py.Dataset)
        if dataset.shape not in (None, (), (1,)):
            raise ExchangeError(f"expected one {'string' if 'S' in kinds else 'value'}, found shape {dataset.shape}")
        return self._read(dataset, kinds).reshape(1)

    def _read(self, dataset: h5py.Dataset, kinds: str) -> NDArray:
        """All of a dataset whose NumPy kind is in `kinds`, once its claims are believable."""
        shape = dataset.shape
        if shape is None:
            raise ExchangeError("expected data, found an empty dataset")
        if dataset.is_virtual or dataset.external:
            raise ExchangeError("expected data in this file, found a reference to another file")
        dtype = dataset.dtype
        string = h5py.check_string_dtype(dtype)
        if dtype.kind not in kinds or dtype.itemsize > (NAME_LIMIT if string else 8):
            raise ExchangeError(f"expected {_described(kinds)}, found {_type_name(dtype)}")
        if (dtype.kind == "O" and string is None) or h5py.check_enum_dtype(dtype) is not None:
            raise ExchangeError(f"expected {_described(kinds)}, found {_type_name(dtype)}")
        count = math.prod(shape)
        if dataset.chunks is None:
            self._take_stored(dataset, count * dtype.itemsize)
        else:
            self._take_packed(dataset, count)
        self._budget.take("decoded", 8 * count)
        if string and string.length is None:
            return np.array([self._string(dataset)])
        return np.asarray(dataset[()])

    def _string(self, dataset: h5py.Dataset) -> bytes:
        offset = dataset.id.get_offset()
        if dataset.chunks is not None or offset is None or dataset.id.get_storage_size() != REFERENCE_SIZE:
            raise ExchangeError("expected a string stored contiguously")
        return self._budget.heaps.string(offset)

    def _take_stored(self, dataset: h5py.Dataset, size: int) -> None:
        self._budget.take("stored", size)
        if dataset.id.get_storage_size() < size:
            raise ExchangeError(f"claims {size:,} bytes, but no data was written")

    def _take_packed(self, dataset: h5py.Dataset, count: int) -> None:
        """Bound what HDF5 will allocate: whole chunks, and whatever a chunk inflates to."""
        self._budget.take("packed", 8 * count)
        size = math.prod(dataset.chunks) * dataset.dtype.itemsize
        if size > PACKED_LIMIT:
            raise ExchangeError(f"claims {size:,} bytes for each chunk, more than {PACKED_LIMIT:,}")
        properties = dataset.id.get_create_plist()
        filters = [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]
        if tuple(number for number in filters if number != h5py.h5z.FILTER_FLETCHER32) not in _PIPELINES:
            raise ExchangeError(f"expected no compression but gzip, found HDF5 filters {filters}")
        # HDF5 also takes time and memory for each chunk that is not there.
        chunks = math.prod(-(-extent // step) for extent, step in zip(dataset.shape, dataset.chunks, strict=True))
        if chunks > CHUNK_COUNT_LIMIT:
            raise ExchangeError(f"expected at most {CHUNK_COUNT_LIMIT} chunks, found {chunks:,}")
        written = dataset.id.get_num_chunks()
        if written != chunks:
            raise ExchangeError(f"expected {chunks} chunks of data, found {written}")
        for index in range(chunks):
            info = dataset.id.get_chunk_info(index)
            self._budget.take("stored", info.size)
            held = info.size
            if _GZIP in filters:
                _, packed = dataset.id.read_direct_chunk(info.chunk_offset)
                held = _inflated(packed, size)
            # HDF5 looks for a whole chunk, and for its checksum, where there may be less
            if held not in (size, size + CHECKSUM):
                raise ExchangeError(f"a chunk of {size:,} bytes holds {held:,}")


def _inflated(packed: bytes, size: int) -> int:
    """How many bytes a gzip chunk inflates to; raise if more than `size`, where HDF5 itself would not stop."""
    try:
        # A checksum may precede or follow the data.
        inflated = zlib.decompressobj().decompress(packed, size + CHECKSUM + 1)
    except zlib.error as error:
        raise ExchangeError(f"damaged compressed data: {error}") from None
    if len(inflated) > size + CHECKSUM:
        raise ExchangeError(f"a compressed chunk holds more than its {size:,} bytes")
    return len(inflated)


def _whole(values: NDArray) -> NDArray[np.int64]:
    if values.dtype.kind == "f":
        bad = ~np.isfinite(values)
        if not bad.any():
            bad = np.trunc(values) != values
        if bad.any():
            where = tuple(int(axis) for axis in np.argwhere(bad)[0])
            raise ExchangeError(f"expected finite integers, found {values[where]} at {where}")
    if values.size:
        # as Python's numbers: a narrow type does not hold the limit
        low, high = values.min().item(), values.max().item()
        if not (low > -EXACT_LIMIT and high < EXACT_LIMIT):
            raise ExchangeError(f"expected integers below 2**53, found {low} to {high}")
    return values.astype(np.int64)


def _described(kinds: str) -> str:
    return {"iuf": "integers", "biuf": "a bool", "SO": "a string"}[kinds]


def _type_name(dtype: np.dtype) -> str:
    names = {"O": "objects or strings", "S": "strings", "V": "a compound or opaque type", "b": "a bool"}
    return names.get(dtype.kind, str(dtype))
