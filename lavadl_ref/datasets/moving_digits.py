"""Digits before a simulated event camera, in place of N-MNIST."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.datasets import digits
from lavadl_ref.datasets._events import DURATION, SIZE, Augment, EventPictures
from lavadl_ref.datasets._pictures import tents
from lavadl_ref.slayer import io
from lavadl_ref.slayer.utils import _validate

SIDE = 22.0  #: pixels of the sensor that a digit takes on a side, on average
REACH = 4.0  #: pixels that a movement spans, on average
DARK = 0.1  #: brightness of black, of 1 for white: the camera sees logarithms
THRESHOLD = 0.3  #: change of the logarithm that makes an event


def path(generator: np.random.Generator) -> NDArray[np.floating[Any]]:
    """The place of the picture's centre at each millisecond: (301, 2), pixels right and down of the sensor's centre.

    Three straight movements of 100 ms each, along the sides of a triangle and back to where they began; its size,
    its angle and its place vary a little.
    """
    reach = REACH * generator.uniform(0.85, 1.15)
    turn = generator.normal(0, 0.1)
    angles = turn + np.pi * np.array([1 / 2, 7 / 6, -1 / 6, 1 / 2])
    corners = reach / np.sqrt(3) * np.stack([np.cos(angles), -np.sin(angles)], axis=1)
    milliseconds = np.arange(DURATION + 1)
    sides = [np.interp(milliseconds, np.arange(4) * DURATION / 3, corner) for corner in corners.T]
    return np.stack(sides, axis=1) + generator.uniform(-1, 1, 2)


def film(picture: NDArray[np.float32], centre: NDArray[np.floating[Any]], side: float) -> NDArray[np.floating[Any]]:
    """The picture that the sensor sees at each millisecond.

    Parameters
    ----------
    picture : ndarray
        (8, 8) in [0, 1].
    centre : ndarray
        (T, 2), its place on the sensor, as `path` gives it.
    side : float
        Pixels of the sensor that it takes on a side.

    Returns
    -------
    ndarray
        (T, 34, 34), brightness in [0, 1].
    """
    pixels = np.arange(SIZE) - (SIZE - 1) / 2
    columns, rows = (
        tents((pixels - centre[:, axis, None]) * digits.SIZE / side + (digits.SIZE - 1) / 2, digits.SIZE)
        for axis in (0, 1)
    )
    return rows @ picture @ columns.transpose(0, 2, 1)


def crossings(brightness: NDArray[np.floating[Any]]) -> NDArray[np.int8]:
    """Events of ideal pixels: 1 where it gets brighter, -1 where it gets darker, else 0.

    A pixel remembers a logarithm of brightness, at first that of step 0. When the present one is `THRESHOLD` or more
    away, it sends an event, at most one a step, and moves the logarithm that it remembers by the threshold.

    Parameters
    ----------
    brightness : ndarray
        (T, ...) in [0, 1].

    Returns
    -------
    ndarray
        int8 (T - 1, ...).
    """
    logarithms = np.log(DARK + (1 - DARK) * brightness)
    remembered = logarithms[0].copy()
    events = np.empty((len(logarithms) - 1, *logarithms.shape[1:]), np.int8)
    for seen, sent in zip(logarithms[1:], events, strict=True):
        np.subtract(seen >= remembered + THRESHOLD, seen <= remembered - THRESHOLD, out=sent, dtype=np.int8)
        remembered += THRESHOLD * sent
    return events


class MovingDigits(EventPictures):
    """Stand-in for N-MNIST: scikit-learn's digits moved before a simulated event camera of 34x34 pixels.

    The digits are those of `digits.Digits`, 8x8 pixels sampled linearly, and so smooth; they move along a triangle in
    300 ms as N-MNIST's did. The camera is ideal: no noise, no spread of thresholds, no latency, a step of 1 ms. A
    recording has some thousand events, like one of N-MNIST, but the task is easier, and accuracy on it
    says nothing about accuracy on N-MNIST.

    Parameters
    ----------
    train : bool
        1437 digits for training, or 360 others for testing.
    copies : int
        Recordings of each digit, which differ in path, size and angle.
    augment, sampling_time, steps, seed
        As in `EventPictures`; `seed` also decides the split and the movements.

    Recording i depends on `train`, `seed` and i alone. A sample is float32 (2, 34, 34, steps), and its digit.

    Examples
    --------
    >>> data = MovingDigits(train=False, steps=100)
    >>> spikes, digit = data[0]
    >>> len(data), spikes.shape, digit in range(10)
    (360, torch.Size([2, 34, 34, 100]), True)
    """

    def __init__(
        self,
        train: bool = True,
        copies: int = 1,
        augment: Augment | None = None,
        sampling_time: float = 1,
        steps: int = DURATION,
        seed: int = 0,
    ) -> None:
        super().__init__(augment, sampling_time, steps, seed)
        self.copies = _validate.integer(copies, "copies of MovingDigits", 1)
        self.pictures, self.labels, self.numbers = digits.split(train, seed)

    def __len__(self) -> int:
        return len(self.labels) * self.copies

    def label(self, index: int) -> int:
        return int(self.labels[index % len(self.labels)])

    def event(self, index: int) -> io.Event:
        copy, which = divmod(index, len(self.labels))
        generator = np.random.default_rng((self.seed, int(self.numbers[which]), copy))
        side = SIDE * generator.uniform(0.9, 1.1)
        events = crossings(film(self.pictures[which], path(generator), side))
        step, row, column = np.nonzero(events)
        return io.Event(column, row, (events[step, row, column] > 0).astype(int), step)

    def write(
        self,
        folder: str | os.PathLike[str],
        count: int | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Write recordings as N-MNIST's ``.bin`` files, which `NMNIST` reads.

        Parameters
        ----------
        folder : path
            Gets a folder per digit, ``0`` to ``9``: name it ``Train`` or ``Test``. Files that exist are replaced.
        count : int, optional
            The first `count` recordings; all by default.
        progress : callable
            Called with (done, total) after each.
        """
        total = len(self) if count is None else min(_validate.integer(count, "count", 1), len(self))
        for index in range(total):
            home = Path(folder) / str(self.label(index))
            home.mkdir(parents=True, exist_ok=True)
            io.encode_2d_spikes(home / f"{index:05d}.bin", self.event(index))
            progress(index + 1, total)
