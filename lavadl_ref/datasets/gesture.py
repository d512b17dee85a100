"""DVS-Gesture: gestures before an event camera, in AEDAT 3.1."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lavadl_ref import _files
from lavadl_ref.datasets._places import from_the_front
from lavadl_ref.slayer import io
from lavadl_ref.slayer.io import aedat
from lavadl_ref.slayer.io._room import room
from lavadl_ref.slayer.utils import _validate

SIZE = 128  #: rows and columns of the sensor
CLASSES = 11
CHANNELS = 2  #: polarities: 0 darker, 1 brighter
STEPS = 1500  #: of a millisecond; gestures last about 6 s
_COLUMNS = "class,startTime_usec,endTime_usec"


class DVSGesture(Dataset[tuple[Tensor, int]]):
    """Eleven gestures of 29 people before an event camera.

    The user downloads ``DvsGesture.tar.gz`` from IBM's page "DVS128 Gesture Dataset" and unpacks it.

    Parameters
    ----------
    folder : path
        Holds ``trials_to_train.txt`` and ``trials_to_test.txt``, lists of files such as
        ``user01_fluorescent.aedat``, and those with a ``user01_fluorescent_labels.csv`` beside each: lines of class,
        start and end in microseconds, below a line that names the columns.
    train : bool
        Which list.
    sampling_time : float
        Milliseconds per step.
    steps : int
        Steps of a sample, from the start of the gesture; later events are left out.

    A sample is float32 (2, 128, 128, steps), axes polarity, row, column and step, and its class, counted from 0: a file
    counts from 1.

    Attributes
    ----------
    gestures : list of tuple
        Of each sample the file, the class from 0, and start and end in microseconds.

    Raises
    ------
    OSError
        A file or folder is missing or cannot be read.
    ValueError
        A list or a table of labels is damaged; on reading a sample: its recording is, or an event lies off the sensor.

    Notes
    -----
    The recording that was read last is kept, as it holds about ten gestures: samples are read fastest in their order.
    """

    def __init__(
        self, folder: str | os.PathLike[str], train: bool = True, sampling_time: float = 1, steps: int = STEPS
    ) -> None:
        self.sampling_time = _validate.positive(sampling_time, "sampling_time of DVSGesture")
        self.steps = _validate.integer(steps, "steps of DVSGesture", 1)
        room((CHANNELS, SIZE, SIZE, self.steps), 4, "a sample of DVSGesture", f"steps is {self.steps}")
        home = _files.folder(folder, "the files of DVS-Gesture")
        listed = home / ("trials_to_train.txt" if train else "trials_to_test.txt")
        self.gestures: list[tuple[Path, int, int, int]] = []
        for line in _files.text(listed, "a list of recordings").splitlines():
            name = line.strip()
            if not name:
                continue
            if name != os.path.basename(name) or not name.endswith(".aedat"):
                raise ValueError(f"{listed} must name .aedat files in its folder, got {name[:40]!r}")
            self.gestures += read_gestures(home / f"{name.removesuffix('.aedat')}_labels.csv", home / name)
        if not self.gestures:
            raise ValueError(f"{listed} must name recordings with gestures, got none")
        self._last: tuple[Path, aedat.Columns] | None = None

    def __len__(self) -> int:
        return len(self.gestures)

    def event(self, index: int) -> io.Event:
        """The events of a gesture; milliseconds from its start."""
        path, _, start, end = self.gestures[from_the_front(index, len(self), "DVSGesture")]
        if self._last is None or self._last[0] != path:
            found = aedat.columns(path)
            if max(found.x.max(initial=0), found.y.max(initial=0)) >= SIZE:
                raise ValueError(
                    f"{path}: events must be on a {SIZE}x{SIZE} sensor, got x up to {found.x.max()} and y up to "
                    f"{found.y.max()}"
                )
            self._last = path, found
        x, y, polarity, time = self._last[1]
        within = (time >= start) & (time < end)
        return io.Event(x[within], y[within], polarity[within], (time[within] - start) / 1000)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        event = self.event(index)
        grid = torch.zeros(CHANNELS, SIZE, SIZE, self.steps)
        # fill_tensor divides by the time of a step; a spike has the value 1, however long a step is
        spikes = event.fill_tensor(grid, self.sampling_time) * self.sampling_time
        return spikes, self.gestures[index][1]


def read_gestures(path: str | os.PathLike[str], recording: Path) -> list[tuple[Path, int, int, int]]:
    """The gestures of a table of labels: the recording, the class from 0, start and end in microseconds.

    Raises
    ------
    OSError
        The file is missing or cannot be read.
    ValueError
        The first line does not name the columns, or another has other than a class and two times in order.
    """
    first, *lines = _files.text(path, f"a table of {_COLUMNS}").splitlines() or [""]
    if first.strip() != _COLUMNS:
        raise ValueError(f"{os.fspath(path)} must begin with {_COLUMNS}, got {first[:60]!r}")
    found = []
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 3 or not all(cell.isascii() and cell.isdigit() and len(cell) < 18 for cell in cells):
            raise ValueError(f"line {number} of {os.fspath(path)} must be three whole numbers, got {line[:60]!r}")
        kind, start, end = map(int, cells)
        if not 1 <= kind <= CLASSES or end < start:
            raise ValueError(
                f"line {number} of {os.fspath(path)} must be a class of 1 to {CLASSES}, a start and a later end, got "
                f"{line[:60]!r}"
            )
        found.append((recording, kind - 1, start, end))
    return found
