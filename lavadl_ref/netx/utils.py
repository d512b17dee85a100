"""Access to a ``.net`` file by its keys, and the bits that its weights and delays need in Loihi's synapses.

This package builds its networks without these functions (it uses `lavadl_ref.exchange.read` and
`lavadl_ref.netx.plan.weights`); they exist for scripts written for Lava-DL. Nothing here needs Lava.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum, unique
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lavadl_ref._assigned import Refused
from lavadl_ref.exchange import hdf5
from lavadl_ref.exchange.errors import ExchangeError, within
from lavadl_ref.exchange.read import Folder
from lavadl_ref.exchange.storage import opened, shown

DELAY_LIMIT = 62  # steps: the largest delay of Lava-DL's blocks
_WHOLE = frozenset({"weight", "weight_rec", "bias", "inputBias", "real", "imag"})


@unique
class SYNAPSE_SIGN_MODE(IntEnum):
    """The signs that the weights of a synapse have; the numbers are those of Lava's ``SignMode``."""

    MIXED = 1
    EXCITATORY = 2
    INHIBITORY = 3


def optimize_weight_bits(weight: Any) -> tuple[NDArray[np.int64], int, int, SYNAPSE_SIGN_MODE]:
    """Shift weights up as far as 8 bits allow, and count the bits that they then need.

    Excitatory and inhibitory weights have 8 bits of magnitude, up to 255; mixed weights have 8 bits besides the sign,
    from -256 to 255, where the lowest bit is used only if `num_weight_bits` is 9. A Lava synapse that receives all four
    results multiplies with exactly `weight`.

    Parameters
    ----------
    weight : array of int
        Any shape; floats must be whole.

    Returns
    -------
    weight : ndarray
        int64, same shape: ``weight * 2**-weight_exp``.
    num_weight_bits : int
        0 to 9: the number of bits in use.
    weight_exp : int
        -8 to 0; positive where all weights are multiples of its power of two, and too large without it.
    sign_mode : SYNAPSE_SIGN_MODE
        Excitatory without negative weights, inhibitory with nothing else, unless 8 bits of magnitude cannot hold
        them; mixed otherwise. Pass it on to the synapse, which would take -256 for inhibitory and lose it.

    Raises
    ------
    ValueError
        The weights are not integers, or 8 bits cannot hold them.
    """
    weight = _integers(weight, "weights")
    low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
    factors = int(np.bitwise_or.reduce(weight, axis=None, initial=0))
    mode = SYNAPSE_SIGN_MODE.MIXED
    if low >= 0:
        mode = SYNAPSE_SIGN_MODE.EXCITATORY
    elif low >= -255 and (weight < 0).all():
        mode = SYNAPSE_SIGN_MODE.INHIBITORY
    if not factors:
        return weight, 0, 0, mode
    zeros = (factors & -factors).bit_length() - 1  # at the end of every weight
    # An inhibitory weight has a magnitude; in two's complement -2**k is as short as 2**k - 1.
    lowest = -low if mode == SYNAPSE_SIGN_MODE.INHIBITORY else ~min(low, -1)
    shift = 8 - max(high, lowest).bit_length()
    if zeros + shift < 0:
        ends = f"{weight.min()} to {weight.max()}"
        raise ValueError(f"weights must fit into 8 bits, got {ends}, which are multiples of {2**zeros}")
    shifted = weight << shift if shift >= 0 else weight >> -shift
    bits = 8 - shift - zeros + (mode == SYNAPSE_SIGN_MODE.MIXED)
    return shifted, bits, -shift, mode


def num_delay_bits(delays: Any) -> int:
    """Number of bits that hold all delays; 0 if all delays are 0.

    Parameters
    ----------
    delays : array of int
        Steps, 0 to 62, any shape; floats must be whole.

    Returns
    -------
    int
        0 to 6.

    Raises
    ------
    ValueError
        A delay is not an integer from 0 to 62.
    """
    delays = _integers(delays, "delays")
    low, high = int(delays.min(initial=0)), int(delays.max(initial=0))
    if low < 0 or high > DELAY_LIMIT:
        raise ValueError(f"delays must be from 0 to {DELAY_LIMIT}, got {low} to {high}")
    return high.bit_length()


def _integers(values: Any, name: str) -> NDArray[np.int64]:
    """A copy of `values` in int64."""
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be integers, got {array.dtype}")
    with np.errstate(invalid="ignore"):  # NaN and infinity are told below
        whole = array.astype(np.int64)
    if not (whole == array).all():
        raise ValueError(f"{name} must be integers, got {array[whole != array].flat[0]}")
    return whole


_KEYS = "any key can be looked up, and the file tells the type of its value"


class NetDict(Mapping[str, Any]):
    """Read a ``.net`` file, or any other HDF5 file, by its keys.

    The file does not stay open: each look-up opens it, reads and closes it. The file is not trusted: links are refused,
    and a value is read only if its size is plausible. The meaning of the keys is not checked;
    `lavadl_ref.exchange.read` does that.

    Parameters
    ----------
    filename : path, optional
        The file.
    mode : str
        ``"r"``. `lavadl_ref.exchange.write` writes.
    f : h5py.File or h5py.Group, optional
        Instead of `filename`: a group of a file on disk that the caller has opened, and closes.

    Raises
    ------
    ExchangeError
        The file cannot be opened or is not HDF5; at a look-up also: a link, or a value that is damaged or of a type
        that networks do not use.
    ValueError
        `mode` is not ``"r"``, or neither or both of `filename` and `f` are given.

    Notes
    -----
    ``net[key]`` is a `NetDict` for a group and else the value: text for a string; int64 for ``weight``,
    ``weight_rec``, ``bias`` and their parts ``real`` and ``imag``, which must be whole; any other array or scalar as
    it is stored. A key may be a path, ``"weight/real"``, or a number, ``net["layer"][0]``; one that is not there is
    a KeyError. Keys are iterated over with numbers in their order.
    """

    f = Refused("nothing stays open: each look-up opens the file, reads and closes it")
    str_keys = Refused(_KEYS)
    array_keys = Refused(_KEYS)
    copy_keys = Refused(_KEYS)

    def __init__(
        self,
        filename: str | os.PathLike[str] | None = None,
        mode: str = "r",
        f: h5py.File | h5py.Group | None = None,
    ) -> None:
        if mode != "r":
            raise ValueError(f"mode must be 'r', got {mode!r}; lavadl_ref.exchange.write writes networks")
        if f is not None and filename is None:
            filename = f.file.filename
        elif f is not None or filename is None:
            raise ValueError(f"one of filename and f must be given, got {'both' if f is not None else 'neither'}")
        self._group = f
        self._path = Path(filename).absolute()
        self._place: tuple[str, ...] = () if f is None else tuple(filter(None, f.name.split("/")))
        with self._folder():
            pass

    def __getitem__(self, key: str | int) -> Any:
        *above, last = parts = str(key).strip("/").split("/")
        try:
            with self._folder() as folder:
                for name in above:
                    folder = folder.folder(name)
                return self._inside(parts) if folder.is_folder(last) else folder.value(last)
        except _Absent as absent:
            raise KeyError(f"{key!r}: {absent}") from None

    def __iter__(self) -> Iterator[str]:
        with self._folder() as folder:
            names = _in_order(folder.names)
        return iter(names)

    def __len__(self) -> int:
        with self._folder() as folder:
            return len(folder.names)

    def __repr__(self) -> str:
        return f"NetDict({str(self._path)!r}, at /{'/'.join(self._place)}: {', '.join(map(shown, self))})"

    def _inside(self, parts: list[str]) -> NetDict:
        found = NetDict.__new__(NetDict)
        found._group, found._path, found._place = self._group, self._path, (*self._place, *parts)
        return found

    @contextmanager
    def _folder(self) -> Iterator[_Values]:
        """This group, open, with an allowance of its own."""
        group = self._group
        if group is not None and not group:
            raise ExchangeError(f"{self._path}: the file that was given has been closed")
        with opened(self._path, _Values) as folder:
            for name in self._place:
                folder = folder.folder(name)
            yield folder


class _Absent(Exception):
    """There is no such key. Not a KeyError, which would be taken for one of h5py's on a damaged file."""


class _Values(Folder):
    """A group whose values are read as they are stored."""

    def folder(self, key: str, prefix: str | None = None) -> _Values:
        if not self.is_folder(key):
            raise _Absent(f"{shown(key)} holds no keys")
        return super().folder(key, prefix)

    def value(self, key: str) -> Any:
        """The value of dataset `key`."""
        with within(self._prefix + key):
            kind = self._open(key, hdf5.Dataset).type.kind
        if kind in "SO":
            return self.text(key)
        if kind == "b":
            return self.boolean(key)
        if key in _WHOLE:
            return self.integers(key)[()]
        with within(self._prefix + key):
            found = self._open(key, hdf5.Dataset).values("iuf")
            # in the byte order of the machine, as h5py gives them
            return found.astype(found.dtype.newbyteorder("="), copy=False)[()]

    def _open(self, key: str, wanted: type[Any]) -> Any:
        if key not in self:
            raise _Absent(f"expected one of {', '.join(map(shown, _in_order(self.names)[:20])) or 'no keys at all'}")
        return super()._open(key, wanted)


def _in_order(names: tuple[str, ...]) -> list[str]:
    return sorted(names, key=lambda name: (int(name) if name.isdecimal() and len(name) < 10 else -1, name))
