"""N-MNIST's event files."""

from __future__ import annotations

import os
from pathlib import Path

from lavadl_ref import _files
from lavadl_ref.datasets._events import DURATION, SIZE, Augment, EventPictures
from lavadl_ref.slayer import io


class NMNIST(EventPictures):
    """MNIST digits as seen by an event camera that was moved in front of them.

    Parameters
    ----------
    folder : path
        Holds ``Train`` and ``Test``, each with a folder per digit, ``0`` to ``9``, of ``.bin`` files in the format
        of `slayer.io.read_2d_spikes`.
    train : bool
        Which of the two.
    augment, sampling_time, steps, seed
        As in `EventPictures`. A recording lasts a little longer than the 300 ms of the three movements; what comes
        later is left out.

    A sample is float32 (2, 34, 34, steps), axes polarity, row, column and step, and its digit.

    Raises
    ------
    OSError
        A folder is missing, or a file cannot be read.
    ValueError
        There is no recording, or a folder is called otherwise; on reading one: the file is cut short, or an event
        lies off the 34x34 sensor.

    Examples
    --------
    `MovingDigits` writes files of this format.

    >>> import tempfile
    >>> from lavadl_ref.datasets import MovingDigits
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     MovingDigits(train=False).write(Path(folder, "Test"), count=3)
    ...     data = NMNIST(folder, train=False)
    ...     len(data), data[0][0].shape
    (3, torch.Size([2, 34, 34, 300]))
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        train: bool = True,
        augment: Augment | None = None,
        sampling_time: float = 1,
        steps: int = DURATION,
        seed: int = 0,
    ) -> None:
        super().__init__(augment, sampling_time, steps, seed)
        home = _files.folder(folder, "N-MNIST's folders Train and Test")
        home = _files.folder(home / ("Train" if train else "Test"), "a folder of .bin files for each digit")
        self.files: list[tuple[Path, int]] = []
        for part in sorted(path for path in home.iterdir() if path.is_dir()):
            if part.name not in set("0123456789"):
                raise ValueError(f"{home}: folders must be called 0 to 9, got {part.name}")
            self.files += [(path, int(part.name)) for path in sorted(part.glob("*.bin"))]
        if not self.files:
            raise ValueError(f"{home}: the folders 0 to 9 must have .bin files, got none")

    def __len__(self) -> int:
        return len(self.files)

    def event(self, index: int) -> io.Event:
        path = self.files[index][0]
        event = io.read_2d_spikes(path)
        assert event.y is not None
        if max(event.x.max(initial=0), event.y.max(initial=0)) >= SIZE:
            raise ValueError(
                f"{path}: events must be on a {SIZE}x{SIZE} sensor, got x up to {event.x.max()} "
                f"and y up to {event.y.max()}"
            )
        return event

    def label(self, index: int) -> int:
        return self.files[index][1]
