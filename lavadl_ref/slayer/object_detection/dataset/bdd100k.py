"""Berkeley Deep Drive, BDD100K: videos of streets with bounding boxes (https://bdd-data.berkeley.edu)."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lavadl_ref import _files
from lavadl_ref._assigned import Refused
from lavadl_ref.slayer.io._pillow import picture, pillow
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

if TYPE_CHECKING:
    from PIL.Image import Image


def removesuffix(input_string: str, suffix: str) -> str:
    """`input_string` without `suffix`, if it ends in it."""
    return input_string.removesuffix(suffix)


_SIDES = ("x1", "y1", "x2", "y2")  #: left, top, right and bottom of a box, in the files
JITTER = 0.3  #: largest relative change of brightness, contrast and saturation


class BDD(Dataset[tuple[Tensor, list[Annotation]]]):
    """Clips of BDD100K. Reading them needs Pillow.

    Parameters
    ----------
    root : path
        The folder with ``images/<dataset>/{train,val}`` and ``labels/box_<dataset>_20/{train,val}``.
    dataset : str
        Part of BDD100K; ``track`` is MOT 2020.
    size : (int, int)
        Height and width of the frames in pixels.
    train : bool
        True for the training set, False for the validation set.
    seq_len : int
        Number of frames of a clip, at least 1. The last frame of a shorter video is repeated.
    randomize_seq : bool
        True if a clip begins at a random frame of its video, False if it begins at the first.
    augment_prob : float
        Probability of each of these changes: left and right exchanged, blur, other colours, grey. A change applies to
        all frames of a clip, and is drawn from torch's generator.

    Attributes
    ----------
    classes : list of str
        Names of the labels in alphabetical order.
    idx_map : dict
        Label of each name.

    Raises
    ------
    FileNotFoundError
        A folder is missing; the message says which, and where its contents can be downloaded.
    ValueError
        `seq_len` is less than 1, or a file of labels has another form; the message names the frame.

    Examples
    --------
    Items have the form of those of `MovingShapes`::

        data = BDD("bdd100k", size=(448, 448), train=True, seq_len=32)
        clip, annotations = data[0]
    """

    datasets = Refused("the videos are in label_path and image_path, by ids")
    blur = Refused(utils.CHANGES)
    color_jitter = Refused(utils.CHANGES)
    grayscale = Refused(utils.CHANGES)
    img_transform = Refused(utils.CHANGES)
    bb_transform = Refused(utils.CHANGES)

    def __init__(
        self,
        root: str | os.PathLike[str] = "./",
        dataset: str = "track",
        size: tuple[Height, Width] = (448, 448),
        train: bool = False,
        seq_len: int = 32,
        randomize_seq: bool = False,
        augment_prob: float = 0.0,
    ) -> None:
        if seq_len < 1:
            raise ValueError(f"seq_len must be at least 1, got {seq_len}")
        room((3, *size, seq_len), 4, "a clip", f"size is {size} and seq_len is {seq_len}")
        part = "train" if train else "val"
        self.label_path = _folder(Path(root) / "labels" / f"box_{dataset}_20" / part, "labels")
        self.image_path = _folder(Path(root) / "images" / dataset / part, "images")
        self.size = size
        self.seq_len = seq_len
        self.randomize_seq = randomize_seq
        self.augment_prob = augment_prob
        self.ids = sorted(path.stem for path in self.label_path.glob("*.json"))
        names = {label["category"] for video in self.ids for frame in self._labels(video) for label in _boxes(frame)}
        self.classes = sorted(names)
        self.idx_map = {name: label for label, name in enumerate(self.classes)}

    def flip_lr(self, img: Image) -> Image:
        """The picture `img` with left and right exchanged."""
        return utils.flip_lr(img)

    def _labels(self, video: str) -> list[dict[str, Any]]:
        """The labels of the frames of a video, in order."""
        path = self.label_path / f"{video}.json"
        frames = _files.document(path, "the frames of a video")
        if not isinstance(frames, list):
            raise ValueError(f"{path} must hold a list of frames, got {type(frames).__name__}")
        for number, frame in enumerate(frames):
            _check(frame, f"{path}, frame {number}")
        return frames

    def __len__(self) -> int:
        """Number of videos."""
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, list[Annotation]]:
        """A clip (3, H, W, T) float32 with values in [0, 1], and the annotations of its T frames.

        Raises
        ------
        OSError
            A picture is missing or cannot be read.
        ValueError
            The video has no frames, or a file is damaged; the message names the file.
        """
        video = self.ids[index]
        frames = self._labels(video)
        if not frames:
            raise ValueError(f"{self.label_path / video}.json must hold at least one frame, got none")
        first = utils.start(len(frames), self.seq_len, self.randomize_seq)
        frames = frames[first : first + self.seq_len]
        changes = self._changes()
        flip = utils.chance(self.augment_prob)

        def one(frame: dict[str, Any]) -> tuple[Tensor, Annotation]:
            image = picture(self.image_path / video / frame["name"], "a frame of a video")
            annotation = self._annotation(image, frame)
            if flip:
                image, annotation = utils.flip_lr(image), fliplr_bounding_boxes(annotation)
            for change in changes:
                image = change(image)
            image = image.resize(self.size[::-1], pillow().Resampling.BILINEAR)
            pixels = torch.from_numpy(np.array(image, np.float32)).permute(2, 0, 1) / 255
            return pixels, resize_bounding_boxes(annotation, self.size)

        # Pillow releases the GIL while it decodes and resizes, so threads run at the same time.
        with ThreadPoolExecutor() as pool:
            found = utils.padded(list(pool.map(one, frames)), self.seq_len)
        return torch.stack([pixels for pixels, _ in found], dim=-1), [annotation for _, annotation in found]

    def _annotation(self, image: Image, frame: dict[str, Any]) -> Annotation:
        objects = (
            (self.idx_map[name], name, [label["box2d"][side] for side in _SIDES])
            for label in _boxes(frame)
            for name in [label["category"]]
        )
        return annotation_of(image.height, image.width, objects)

    def _changes(self) -> list[Callable[[Image], Image]]:
        """The random changes of the pictures of a clip, drawn once for all its frames."""
        changes: list[Callable[[Image], Image]] = []
        if utils.chance(self.augment_prob):
            blur = pillow("ImageFilter").GaussianBlur(utils.between(0.1, 2))
            changes.append(lambda image: image.filter(blur))
        if utils.chance(self.augment_prob):
            factors = {name: utils.between(1 - JITTER, 1 + JITTER) for name in ("Brightness", "Contrast", "Color")}

            def jitter(image: Image) -> Image:
                for name, factor in factors.items():
                    image = getattr(pillow("ImageEnhance"), name)(image).enhance(factor)
                return image

            changes.append(jitter)
        if utils.chance(self.augment_prob):
            changes.append(lambda image: image.convert("L").convert("RGB"))
        return changes


def _boxes(frame: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of a frame; the key ``labels`` may be missing."""
    return frame.get("labels") or []


def _check(frame: Any, where: str) -> None:
    """Check that a frame is ``{"name": str, "labels": [{"category": str, "box2d": {"x1": number, ...}}, ...]}``.

    `where` is the subject of the error, a file and the number of the frame.
    """
    name = frame.get("name") if isinstance(frame, dict) else None
    if not isinstance(name, str) or not name or Path(name).name != name or "\0" in name:
        raise ValueError(f"{where} must have the name of a picture in the folder of the video, got {name!r:.60}")
    boxes = frame.get("labels") or []
    if not isinstance(boxes, list):
        raise ValueError(f"{where} must have a list of labels, got {type(boxes).__name__}")
    for number, label in enumerate(boxes):
        box = label.get("box2d") if isinstance(label, dict) else None
        if box is None or not isinstance(label.get("category"), str):
            raise ValueError(f"{where}, label {number} must have category and box2d, got {label!r:.60}")
        sides = [box.get(side) for side in _SIDES] if isinstance(box, dict) else [None]
        if not all(_is_place(side) for side in sides):
            raise ValueError(f"{where}, label {number} must have numbers x1, y1, x2 and y2, got {box!r:.60}")


def _is_place(value: Any) -> bool:
    """Tell whether a value is a number that may be a coordinate in pixels."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**31


def _folder(path: Path, what: str) -> Path:
    if not path.is_dir():
        raise FileNotFoundError(
            f'there is no folder {path}: download "MOT 2020 {what}" from https://bdd-data.berkeley.edu/portal.html'
        )
    return path
