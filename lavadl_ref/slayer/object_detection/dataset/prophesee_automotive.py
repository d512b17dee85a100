"""Prophesee's automotive data sets: recordings of an event camera with bounding boxes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lavadl_ref import _files
from lavadl_ref._assigned import Refused
from lavadl_ref.slayer.io._room import room
from lavadl_ref.slayer.object_detection.boundingbox.annotation import (
    Annotation,
    Height,
    Width,
    annotation_of,
    fliplr_bounding_boxes,
    resize_bounding_boxes,
)
from lavadl_ref.slayer.object_detection.dataset import utils
from lavadl_ref.slayer.object_detection.dataset.prophesee_files import EventFile, read_boxes

Array = NDArray[Any]

#: Boxes are left out up to this time in microseconds, and below these lengths in pixels: their objects have few events.
FIRST, SMALLEST_DIAGONAL, SMALLEST_SIDE = 100_000, 60, 20


class PropheseeAutomotive(Dataset[tuple[Tensor, list[Annotation]]]):
    """Clips of events with the boxes of objects.

    A clip begins at a time step that has boxes. A later step without boxes keeps those of the step before it.

    Parameters
    ----------
    root : path
        The folder with ``label_map_dictionary.json``, and with the folders ``train`` and ``val`` of ``*_td.dat`` and
        ``*_bbox.npy`` files.
    delta_t : int
        Duration of a time step in milliseconds, at least 1.
    size : (int, int)
        Height and width of the frames in pixels.
    train : bool
        True for the training set, False for the validation set.
    seq_len : int
        Number of time steps of a clip, at least 1. The last step of a shorter recording is repeated.
    events_ratio : float
        A box counts in the first step only if it has more events per pixel than this.
    randomize_seq : bool
        True if a clip begins at a random step of its recording, False if it begins with the first boxes.
    augment_prob : float
        Probability that left and right are exchanged, drawn from torch's generator.

    Attributes
    ----------
    classes : list of str
        Names of the labels.
    idx_map : dict
        Name of each class, by its number in the data set.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    ValueError
        `seq_len` or `delta_t` is less than 1, or ``label_map_dictionary.json`` is no dictionary of names by number.

    Examples
    --------
    Items have the form of those of `MovingShapes`, with two channels::

        data = PropheseeAutomotive("prophesee", delta_t=1, size=(448, 448), seq_len=32)
        clip, annotations = data[0]
    """

    datasets = Refused("the recordings are in recordings")
    img_transform = Refused(utils.CHANGES)
    bb_transform = Refused(utils.CHANGES)

    def __init__(
        self,
        root: str | os.PathLike[str] = "./",
        delta_t: int = 1,
        size: tuple[Height, Width] = (448, 448),
        train: bool = False,
        seq_len: int = 32,
        events_ratio: float = 0.07,
        randomize_seq: bool = False,
        augment_prob: float = 0.0,
    ) -> None:
        if seq_len < 1 or delta_t < 1:
            raise ValueError(f"seq_len and delta_t must be at least 1, got {seq_len} and {delta_t}")
        room((2, *size, seq_len), 4, "a clip", f"size is {size} and seq_len is {seq_len}")
        self.idx_map = _names(Path(root) / "label_map_dictionary.json")
        self.classes = list(self.idx_map.values())
        self._labels = {number: label for label, number in enumerate(self.idx_map)}
        self.delta_t = delta_t * 1000
        self.size = size
        self.seq_len = seq_len
        self.events_ratio = events_ratio
        self.randomize_seq = randomize_seq
        self.augment_prob = augment_prob
        folder = Path(root) / ("train" if train else "val")
        self.recordings = sorted(folder.glob("*_td.dat"))
        if not self.recordings:
            raise FileNotFoundError(f"there is no recording *_td.dat in {folder}")

    def get_name(self, index: int) -> str:
        """The name of a recording."""
        return self.recordings[index].name.removesuffix("_td.dat")

    def __len__(self) -> int:
        """Number of recordings."""
        return len(self.recordings)

    def __getitem__(self, index: int) -> tuple[Tensor, list[Annotation]]:
        """A clip (2, H, W, T) float32 of zeros and ones, and the annotations of its T frames.

        The first channel is 1 where a pixel became brighter, the second where it became darker.

        Raises
        ------
        ValueError
            No step of the recording has boxes with enough events, or a file is damaged; the message names the file.
        """
        path = self.recordings[index]
        events = EventFile(path)
        boxes = self._shown(read_boxes(path.with_name(f"{self.get_name(index)}_bbox.npy")), events)
        steps = -(-events.duration // self.delta_t)
        begin = utils.start(steps, self.seq_len, self.randomize_seq)
        first, objects = self._first(events, boxes, begin)
        if first is None:
            raise ValueError(
                f"{path} must have a step with a box of more than {self.events_ratio} events per pixel, got none"
            )
        count = max(min(self.seq_len, steps - first), 1)
        frames = self._frames(events, first, count)
        annotations = self._annotations(boxes, first, count, objects, events)
        if utils.chance(self.augment_prob):
            frames, annotations = utils.fliplr_events(frames), [fliplr_bounding_boxes(a) for a in annotations]
        resized = torch.from_numpy(utils.resize_events_frame(frames, self.size).astype(np.float32))
        clip = torch.cat([resized, resized[-1:].expand(self.seq_len - count, -1, -1, -1)])
        annotations = [resize_bounding_boxes(annotation, self.size) for annotation in annotations]
        return clip.permute(3, 1, 2, 0).contiguous(), utils.padded(annotations, self.seq_len)

    def _shown(self, boxes: Array, events: EventFile) -> Array:
        """The `boxes` that are large and late enough, lie inside the frame, and have a known class."""
        x, y, w, h = (boxes[name] for name in "xywh")
        large = (w >= SMALLEST_SIDE) & (h >= SMALLEST_SIDE) & (w**2 + h**2 >= SMALLEST_DIAGONAL**2)
        inside = (x > 0) & (y > 0) & (x + w < events.width) & (y + h < events.height)
        known = np.isin(boxes["class_id"], list(self.idx_map))
        shown: Array = boxes[large & inside & known & (boxes["t"] > FIRST)]
        return shown

    def _first(self, events: EventFile, boxes: Array, begin: int) -> tuple[int | None, Array]:
        """The first step from `begin` on with boxes that have enough events, and these boxes.

        If there is none, steps before `begin` are tried, too; without any the step is None.
        """
        at = boxes["t"] // self.delta_t
        candidates = np.unique(at)
        split = int(np.searchsorted(candidates, begin))
        for step in (*candidates[split:].tolist(), *candidates[:split].tolist()):
            there = boxes[at == step]
            frame = self._frames(events, step, 1)[0]
            enough = [_ratio(frame, box) > self.events_ratio for box in there]
            if any(enough):
                kept: Array = there[np.array(enough)]
                return step, kept
        return None, boxes[:0]

    def _frames(self, events: EventFile, first: int, count: int) -> Array:
        """Frames (count, H, W, 2) uint8 that are 1 where there was an event in a step."""
        room((count, events.height, events.width, 2), 1, f"a clip of {events.path}", f"seq_len is {self.seq_len}")
        frames = np.zeros((count, events.height, events.width, 2), np.uint8)
        t, x, y, polarity = events.between(first * self.delta_t, (first + count) * self.delta_t)
        frames[t // self.delta_t - first, y, x, 1 - polarity] = 1
        return frames

    def _annotations(self, boxes: Array, first: int, count: int, objects: Array, events: EventFile) -> list[Annotation]:
        step = boxes["t"] // self.delta_t - first
        annotations = []
        for number in range(count):
            there = boxes[step == number]
            objects = there if number and len(there) else objects
            annotations.append(self._annotation(objects, events))
        return annotations

    def _annotation(self, boxes: Array, events: EventFile) -> Annotation:
        objects = (
            (self._labels[number], self.idx_map[number], (x, y, x + w, y + h))
            for _, x, y, w, h, number in boxes.tolist()
        )
        return annotation_of(events.height, events.width, objects)


def _ratio(frame: Array, box: Any) -> float:
    """Number of events in a box, at most one per pixel and polarity, divided by its number of pixels."""
    left, top = int(box["x"]), int(box["y"])
    right, bottom = int(box["x"] + box["w"]), int(box["y"] + box["h"])
    return np.count_nonzero(frame[top:bottom, left:right]) / max((right - left) * (bottom - top), 1)


def _names(path: Path) -> dict[int, str]:
    """The names of the classes, by their numbers in the data set."""
    names = _files.document(path, "the names of the classes")
    numbers = list(names) if isinstance(names, dict) else [""]
    if not all(re.fullmatch("[0-9]{1,18}", key) and isinstance(names[key], str) for key in numbers):
        raise ValueError(f"{path} must hold a dictionary of names by number, such as {{'0': 'car'}}, got {names!r:.60}")
    found = {int(number): names[number] for number in numbers}
    if len(found) < len(names):
        raise ValueError(f"{path} must hold each number once, got {', '.join(numbers):.60}")
    return found
