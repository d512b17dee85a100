"""Frames and steering angles of a recorded drive."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lavadl_ref import _files
from lavadl_ref.datasets._driving import SEQUENCE, SIZE
from lavadl_ref.datasets._places import from_the_front
from lavadl_ref.slayer.io._pillow import picture, pillow
from lavadl_ref.slayer.io._room import room
from lavadl_ref.slayer.utils import _validate


def read_angles(path: Path) -> list[tuple[str, float]]:
    """File names and angles of a ``data.txt``, as `PilotNet` describes it; its errors."""
    found = []
    for number, line in enumerate(_files.text(path, "a line for each frame").splitlines(), 1):
        words = line.split(maxsplit=1)
        if not words:
            continue
        try:
            angle = float(words[1].split(",")[0])
        except (IndexError, ValueError):
            angle = math.nan
        if not math.isfinite(angle):
            raise ValueError(f"{path}:{number} must be a file name and an angle in degrees, got {line!r:.80}")
        found.append((words[0], angle))
    return found


class PilotNet(Dataset[tuple[Tensor, Tensor]]):
    """Sequences of frames from behind a windscreen, and the angle of the steering wheel.

    Parameters
    ----------
    folder : path
        Holds the pictures and ``data.txt``, with a line for each: ``0.jpg 12.5``, or ``0.jpg 12.5,DATE TIME``, the
        angle in degrees. That is how Sully Chen's driving data set comes.
    train : bool
        The first four fifths of the drive, or the rest.
    sequence : int
        Frames of a sample; sequences do not overlap, and frames that fill none at the end are left out.
    size : tuple of int
        Rows and columns that pictures are resized to, bilinearly with Pillow.

    A sample is float32 (3, rows, columns, sequence) in [0, 1], red, green and blue, and float32 (sequence,), radians.

    Raises
    ------
    ImportError
        Pillow is missing.
    OSError
        The folder, ``data.txt`` or, on reading a sample, a picture is missing or cannot be read.
    ValueError
        A line is malformed, a frame is named outside the folder, there are too few for a sequence, or a picture is
        damaged.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for i in range(5):
    ...         Image.new("RGB", (200, 66), (255, 0, 0)).save(Path(folder, f"{i}.png"))
    ...     _ = Path(folder, "data.txt").write_text("".join(f"{i}.png {10 * i}\\n" for i in range(5)))
    ...     frames, angles = PilotNet(folder, sequence=4)[0]
    >>> frames.shape, angles.shape
    (torch.Size([3, 33, 100, 4]), torch.Size([4]))
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        train: bool = True,
        sequence: int = SEQUENCE,
        size: tuple[int, int] = SIZE,
    ) -> None:
        pillow()  # raises at once where it is missing, not at the first frame
        self.sequence = _validate.integer(sequence, "sequence of PilotNet", 1)
        rows, columns = (_validate.integer(length, "size of PilotNet", 1) for length in size)
        self.size = rows, columns
        shape = (3, rows, columns, self.sequence)
        room(shape, 4, "a sample of PilotNet", f"size is {self.size} and sequence is {self.sequence}")
        self.folder = _files.folder(folder, "frames and data.txt")
        path = self.folder / "data.txt"
        frames = read_angles(path)
        for name, _ in frames:
            if Path(name).name != name:
                raise ValueError(f"{path}: frames must lie beside it, got {name!r}")
        border = len(frames) * 4 // 5
        self.frames = frames[:border] if train else frames[border:]
        if len(self) == 0:
            part = "train" if train else "test"
            raise ValueError(f"{path}: frames to {part} with must be at least {sequence}, got {len(self.frames)}")

    def __len__(self) -> int:
        return len(self.frames) // self.sequence

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        place = from_the_front(index, len(self), "PilotNet")
        taken = self.frames[place * self.sequence : (place + 1) * self.sequence]
        pictures = np.stack([self._frame(name) for name, _ in taken], axis=-1)
        angles = torch.tensor([math.radians(angle) for _, angle in taken])
        return torch.from_numpy(pictures).movedim(2, 0).float() / 255, angles

    def _frame(self, name: str) -> NDArray[np.uint8]:
        """One picture: uint8 (rows, columns, 3)."""
        rows, columns = self.size
        frame = picture(self.folder / name, "a frame that data.txt names")
        return np.asarray(frame.resize((columns, rows), pillow().Resampling.BILINEAR), np.uint8)
