"""The base of pictures with labels, and the sampling of a picture between its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset


class LabelledPictures(Dataset[tuple[Tensor, int]]):
    """Pictures in memory: float32 (N, H, W), and their labels, int64 (N,)."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])


def tents(positions: NDArray[np.floating[Any]], size: int) -> NDArray[np.float32]:
    """Weights of linear interpolation.

    A line of `size` pixels, dark beyond its ends, has at each position the brightness ``weights @ line``; pixel j
    has its centre at position j. A picture is sampled with one set of weights for its rows and one for its columns.

    Parameters
    ----------
    positions : ndarray
        Of any shape, in pixels.
    size : int
        Pixels of the line.

    Returns
    -------
    ndarray
        float32 (\\*positions.shape, size).
    """
    away = np.abs(np.asarray(positions)[..., None] - np.arange(size))
    weights: NDArray[np.float32] = np.maximum(1 - away, 0).astype(np.float32)
    return weights
