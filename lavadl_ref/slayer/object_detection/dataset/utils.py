"""What is done with pictures and frames of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from lavadl_ref.slayer.io._pillow import pillow
from lavadl_ref.slayer.object_detection.boundingbox.annotation import Height, Width

if TYPE_CHECKING:
    from PIL.Image import Image

Array = NDArray[Any]
Item = TypeVar("Item")


#: What is said where a transform is assigned.
CHANGES = "frames are changed by size and augment_prob; for other changes derive a class and change what it gives"


def flip_lr(image: Image) -> Image:
    """A picture with left and right exchanged."""
    flipped: Image = image.transpose(pillow().Transpose.FLIP_LEFT_RIGHT)
    return flipped


def flip_ud(image: Image) -> Image:
    """A picture upside down."""
    flipped: Image = image.transpose(pillow().Transpose.FLIP_TOP_BOTTOM)
    return flipped


def resize_events_frame(events: Array, size: tuple[Height, Width]) -> Array:
    """Frames of events (..., H, W, C) of another size (height, width): of each new place the nearest old one above
    and left of it."""
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, events.shape[-3:-1], strict=True))
    resized: Array = events[..., rows[:, None], columns, :]
    return resized


def fliplr_events(events: Array) -> Array:
    """Frames of events (..., H, W, C) with left and right exchanged."""
    return np.flip(events, axis=-2)


def chance(probability: float) -> bool:
    """Whether something of `probability` happens, drawn from torch's generator, which differs between workers."""
    return bool(torch.rand(()) < probability)


def between(low: float, high: float) -> float:
    """A number from `low` to `high`, drawn from torch's generator."""
    return low + (high - low) * torch.rand(()).item()


def start(available: int, wanted: int, randomize: bool) -> int:
    """Where a sequence of `wanted` out of `available` steps begins: 0, or any place where it fits."""
    last = max(available - wanted, 0)
    return int(torch.randint(last + 1, ())) if randomize else 0


def padded(items: list[Item], length: int) -> list[Item]:
    """`items`, the last one repeated until there are `length`."""
    return items + items[-1:] * (length - len(items))
