"""Operations on pictures and on frames of events, and the random choices of the data sets."""

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

#: The rest of the error that is raised if a transform is assigned: see `lavadl_ref._assigned.Refused`.
CHANGES = (
    "size and augment_prob determine how frames are changed; for other changes derive a class that changes its items"
)


def flip_lr(image: Image) -> Image:
    """The picture with left and right exchanged."""
    flipped: Image = image.transpose(pillow().Transpose.FLIP_LEFT_RIGHT)
    return flipped


def flip_ud(image: Image) -> Image:
    """The picture upside down."""
    flipped: Image = image.transpose(pillow().Transpose.FLIP_TOP_BOTTOM)
    return flipped


def resize_events_frame(events: Array, size: tuple[Height, Width]) -> Array:
    """Frames of events (..., H, W, C) of any dtype, resized to `size`, (height, width).

    Each new pixel takes the value of the old pixel at its position, rounded down to the left and to the top.

    >>> resize_events_frame(np.array([[[1], [2], [3], [4]]]), (1, 2))[..., 0]
    array([[1, 3]])
    """
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, events.shape[-3:-1], strict=True))
    resized: Array = events[..., rows[:, None], columns, :]
    return resized


def fliplr_events(events: Array) -> Array:
    """Frames of events (..., H, W, C) of any dtype with left and right exchanged."""
    return np.flip(events, axis=-2)


def chance(probability: float) -> bool:
    """True with the given probability.

    The number is drawn from torch's generator, because that is seeded differently in each worker of a data loader.
    """
    return bool(torch.rand(()) < probability)


def between(low: float, high: float) -> float:
    """A random number in [low, high], drawn from torch's generator."""
    return low + (high - low) * torch.rand(()).item()


def start(available: int, wanted: int, randomize: bool) -> int:
    """The first step of a sequence of `wanted` out of `available` steps: 0, or a random one at which it fits."""
    last = max(available - wanted, 0)
    return int(torch.randint(last + 1, ())) if randomize else 0


def padded(items: list[Item], length: int) -> list[Item]:
    """`items`, with the last one repeated until there are `length` of them."""
    return items + items[-1:] * (length - len(items))
