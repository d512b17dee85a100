"""Clips of shapes that move in front of a still background, with their boxes. They are computed, not stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lavadl_ref.slayer.io._room import room
from lavadl_ref.slayer.object_detection.boundingbox.annotation import Annotation, Height, Width, annotation_of

Array = NDArray[Any]

#: Names of the shapes; the index is the label.
CLASSES = ("circle", "square", "triangle", "cross")


def inside(u: Array, v: Array, label: Array) -> Array:
    """Tell which points lie within a shape. The box of the shape is [-1, 1] in both directions, and v points down.

    Parameters
    ----------
    u, v : ndarray
        Coordinates of points, floats of shapes that broadcast with each other and with that of `label`.
    label : ndarray of int
        Index of the shape in `CLASSES`, of a shape that broadcasts with those of `u` and `v`.

    Returns
    -------
    ndarray
        int64 of the broadcast shape: 1 for a point within the shape, 0 for one outside.

    Examples
    --------
    >>> inside(np.array([0.0, 0.9]), np.array([0.0, 0.9]), np.array(0))  # a circle
    array([1, 0])
    """
    across, along = np.abs(u), np.abs(v)
    box = np.maximum(across, along) <= 1
    shapes = (
        u**2 + v**2 <= 1,
        box,
        box & (across <= (v + 1) / 2),
        box & (np.minimum(across, along) <= 1 / 3),
    )
    shown: Array = np.select([label == number for number in range(len(shapes))], shapes)
    return shown


class MovingShapes(Dataset[tuple[Tensor, list[Annotation]]]):
    """Clips of circles, squares, triangles and crosses that move straight and bounce off the edges of the frame.

    A clip depends only on the seed, its index, and `train`.

    Parameters
    ----------
    num_clips : int
        Number of clips, at least 1.
    size : (int, int)
        Height and width of the frames in pixels, at least 1.
    seq_len : int
        Number of frames of a clip, at least 1.
    train : bool
        True for clips for training, False for other clips for testing.
    seed : int
        Seed of all clips.
    max_objects : int
        Largest number of objects in a clip, at least 1. Each clip has one object or more.

    Attributes
    ----------
    classes : list of str
        Names of the labels.

    Raises
    ------
    ValueError
        A number is less than 1.

    Examples
    --------
    >>> data = MovingShapes(num_clips=2, size=(32, 48), seq_len=4)
    >>> clip, annotations = data[0]
    >>> clip.shape, len(annotations)
    (torch.Size([3, 32, 48, 4]), 4)
    >>> annotations[0]["annotation"]["size"]
    {'height': 32, 'width': 48}
    """

    def __init__(
        self,
        num_clips: int = 512,
        size: tuple[Height, Width] = (96, 96),
        seq_len: int = 8,
        train: bool = False,
        seed: int = 0,
        max_objects: int = 3,
    ) -> None:
        if min(num_clips, *size, seq_len, max_objects) < 1:
            raise ValueError(
                "num_clips, size, seq_len and max_objects must be at least 1, "
                f"got {num_clips}, {size}, {seq_len} and {max_objects}"
            )
        room(
            (seq_len, max_objects, *size), 8, "a clip", f"size is {size}, seq_len {seq_len}, max_objects {max_objects}"
        )
        self.num_clips = num_clips
        self.size = size
        self.seq_len = seq_len
        self.train = train
        self.seed = seed
        self.max_objects = max_objects
        self.classes = list(CLASSES)

    def __len__(self) -> int:
        """Number of clips."""
        return self.num_clips

    def __getitem__(self, index: int) -> tuple[Tensor, list[Annotation]]:
        """A clip (3, H, W, T) float32 with values in [0, 1], and the annotations of its T frames.

        Raises
        ------
        IndexError
            There is no such clip.
        """
        if not 0 <= index < self.num_clips:
            raise IndexError(f"index of a clip must be in [0, {self.num_clips - 1}], got {index}")
        rng = np.random.default_rng((self.seed, int(self.train), index))
        count = int(rng.integers(1, self.max_objects + 1))
        label = rng.integers(0, len(CLASSES), count)
        half = rng.uniform(0.11, 0.2, count) * min(self.size)
        center = self._centers(rng, half)
        frames = self._background(rng)
        color = _colors(rng, count)
        grid = [np.arange(extent, dtype=np.float32) + 0.5 for extent in self.size]
        v = (grid[0][:, None] - center[:, :, 0, None, None]) / half[:, None, None]
        u = (grid[1] - center[:, :, 1, None, None]) / half[:, None, None]
        shown = inside(u, v, label[:, None, None])
        # Where objects overlap, the last one is in front.
        front = count - 1 - shown[:, ::-1].argmax(1)
        frames = np.where(np.expand_dims(shown.any(1), -1), color[front], frames)
        clip = torch.from_numpy(frames.astype(np.float32).transpose(3, 1, 2, 0).copy())
        return clip, [self._annotation(label, half, places) for places in center]

    def _centers(self, rng: np.random.Generator, half: Array) -> Array:
        """Row and column of each object at each step, (T, count, 2), in pixels."""
        room = np.array(self.size) - 2 * half[:, None]
        begin = rng.uniform(0, 1, room.shape) * room
        speed = rng.uniform(-0.025, 0.025, room.shape) * min(self.size)
        way = begin + speed * np.arange(self.seq_len)[:, None, None]
        # An object that bounces back and forth moves along a triangle wave.
        folded = np.abs((way + room) % (2 * room) - room)
        center: Array = folded + half[:, None]
        return center

    def _background(self, rng: np.random.Generator) -> Array:
        """A dim colour gradient with noise, (H, W, 3), the same in all frames."""
        height, width = self.size
        ends = rng.uniform(0.05, 0.4, (2, 3))
        slope = ends[0] + (ends[1] - ends[0]) * np.linspace(0, 1, height)[:, None, None]
        background: Array = np.clip(slope + rng.normal(0, 0.02, (height, width, 1)), 0, 1)
        return background

    def _annotation(self, label: Array, half: Array, places: Array) -> Annotation:
        objects = (
            (number, CLASSES[number], (x - h, y - h, x + h, y + h))
            for number, h, (y, x) in zip(label.tolist(), half.tolist(), places.tolist(), strict=True)
        )
        return annotation_of(*self.size, objects)


def _colors(rng: np.random.Generator, count: int) -> Array:
    """Colours of objects, (count, 3). In each, one component is brighter than that of any background."""
    color = rng.uniform(0.3, 1, (count, 3))
    color[np.arange(count), rng.integers(0, 3, count)] = rng.uniform(0.8, 1, count)
    return color
