"""The Spiking Heidelberg Digits (SHD) and Spiking Speech Commands (SSC)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lavadl_ref import _files
from lavadl_ref.datasets._places import from_the_front
from lavadl_ref.exchange import ExchangeError, hdf5
from lavadl_ref.slayer import io
from lavadl_ref.slayer.io._room import room
from lavadl_ref.slayer.utils import _validate

UNITS = 700  #: channels of the artificial cochlea
STEPS = 1000  #: of a millisecond: samples last up to 1.4 s, most of them less than 1
WHAT = "recordings of SHD or SSC in HDF5"


class Heidelberg(Dataset[tuple[Tensor, int]]):
    """Spoken digits or words as spikes of an artificial cochlea: SHD and SSC.

    The user downloads the files, ``shd_train.h5.gz`` and others, from the Zenke lab's page "Spiking Heidelberg
    Datasets" and decompresses them with gunzip.  HDF5's C library never sees the file: it is decoded in Python within
    bounds.

    Parameters
    ----------
    path : path
        A file such as ``shd_train.h5``: ``spikes/times`` and ``spikes/units`` hold an array a recording, of seconds and
        of channels, and ``labels`` a number a recording.
    sampling_time : float
        Milliseconds per step.
    steps : int
        Steps of a sample; later spikes are left out.

    A sample is float32 (700, steps), 1 where a channel spikes, and its label: of SHD the digit, in English 0 to 9 and
    in German 10 to 19, of SSC one of 35 words.

    Attributes
    ----------
    labels : ndarray
        (recordings,) int64.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        It is no such file, or damaged; on reading a recording also: it is longer than the structures of a file may be,
        a channel is not one of 700, or a time is negative or not finite.

    Examples
    --------
    >>> import tempfile, h5py
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with h5py.File(f"{folder}/shd_train.h5", "w") as file:
    ...         for name, dtype, values in (("times", "f2", [0.001, 0.25]), ("units", "u2", [3, 699])):
    ...             part = file.create_dataset(f"spikes/{name}", (1,), h5py.vlen_dtype(dtype))
    ...             part[0] = values
    ...         file["labels"] = [7]
    ...     data = Heidelberg(f"{folder}/shd_train.h5")
    ...     spikes, label = data[0]
    >>> spikes.shape, label, spikes.nonzero().tolist()
    (torch.Size([700, 1000]), 7, [[3, 1], [699, 250]])
    """

    def __init__(self, path: str | os.PathLike[str], sampling_time: float = 1, steps: int = STEPS) -> None:
        self.path = path
        self.sampling_time = _validate.positive(sampling_time, "sampling_time of Heidelberg")
        self.steps = _validate.integer(steps, "steps of Heidelberg", 1)
        room((UNITS, self.steps), 4, "a sample of Heidelberg", f"steps is {self.steps}")
        with self._source() as source:
            root = hdf5.root(source)
            self._times, self._time_type = _dataset(root, "spikes", "times").arrays()
            self._units, self._unit_type = _dataset(root, "spikes", "units").arrays()
            labels = _dataset(root, "labels").values("iuf")
            counts = {"times": len(self._times), "units": len(self._units), "labels": labels.size}
            if labels.ndim != 1 or len(set(counts.values())) > 1:
                raise ExchangeError(f"must have as many times as units and labels, got {counts}")
            if self._unit_type.kind not in "iu" or self._time_type.kind != "f":
                raise ExchangeError(f"must have whole units and times in seconds, got {self._unit_type.name} units")
            whole = labels.astype(np.int64) if labels.dtype.kind in "iu" else np.zeros(0, np.int64)
            if len(whole) != labels.size or (whole < 0).any():
                raise ExchangeError("labels: must be whole numbers from 0")
        self.labels = whole

    @contextmanager
    def _source(self) -> Iterator[hdf5.Source]:
        """The file, opened for each recording: so that processes that load data share no place in it."""
        with _files.opened(self.path, WHAT) as stream:
            if stream.read(2) == b"\x1f\x8b":
                raise ValueError(f"{os.fspath(self.path)} must be {WHAT}, got a compressed file: gunzip it first")
            stream.seek(0)
            if stream.read(8) != b"\x89HDF\r\n\x1a\n":
                raise ValueError(f"{os.fspath(self.path)} must be {WHAT}, got other data")
            try:
                yield hdf5.Source(stream)
            except ExchangeError as error:
                raise ValueError(f"{os.fspath(self.path)} must be {WHAT}: {error}") from None

    def __len__(self) -> int:
        return len(self.labels)

    def event(self, index: int) -> io.Event:
        """The spikes of a recording: 1-D, in channel 0, with milliseconds."""
        place = from_the_front(index, len(self), "Heidelberg")
        with self._source() as source:
            times = source.numbers(self._times[place], self._time_type).astype(np.float64)
            units = source.numbers(self._units[place], self._unit_type)
            if len(times) != len(units):
                raise ExchangeError(f"recording {place} must have a unit a time, got {len(units)} and {len(times)}")
            if not np.isfinite(times).all() or (times < 0).any():
                raise ExchangeError(f"recording {place} must have times of at least 0 s")
            if len(units) and not 0 <= int(units.min()) <= int(units.max()) < UNITS:
                raise ExchangeError(f"recording {place} must have units below {UNITS}, got {int(units.max())}")
        return io.Event(units.astype(np.int64), None, np.zeros(len(units), np.int64), times * 1000)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        event = self.event(index)
        grid = torch.zeros(1, UNITS, self.steps)
        # fill_tensor divides by the time of a step; a spike has the value 1, however long a step is
        spikes = event.fill_tensor(grid, self.sampling_time) * self.sampling_time
        return spikes[0], int(self.labels[index])


def _dataset(group: hdf5.Group, *names: str) -> hdf5.Dataset:
    found: hdf5.Object = group
    for name in names:
        if not isinstance(found, hdf5.Group) or name not in found.links:
            raise ExchangeError(f"must have a dataset {'/'.join(names)}, got none")
        found = found.open(name)
    if not isinstance(found, hdf5.Dataset):
        raise ExchangeError(f"{'/'.join(names)} must be a dataset, got a {found.kind}")
    return found
