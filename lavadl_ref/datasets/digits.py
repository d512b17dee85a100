"""Digits that come with scikit-learn, in place of MNIST."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lavadl_ref import _extras
from lavadl_ref.datasets._pictures import LabelledPictures, tents
from lavadl_ref.slayer.io._room import room
from lavadl_ref.slayer.utils import _validate

SIZE = 8  #: pixels on a side, as recorded


def split(train: bool, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """One part of the digits: pictures (N, 8, 8) in [0, 1], labels (N,), and their numbers in scikit-learn's list."""
    _extras.require("demo", "`Digits`", "sklearn")
    from sklearn.datasets import load_digits

    found = load_digits()
    order = np.random.default_rng(_validate.integer(seed, "seed of the digits", 0)).permutation(len(found.target))
    kept = np.split(order, [len(order) * 4 // 5])[0 if train else 1]
    return (found.images[kept] / 16).astype(np.float32), found.target[kept].astype(np.int64), kept


class Digits(LabelledPictures):
    """Stand-in for MNIST: 1797 real handwritten digits of 8x8 pixels and 17 grey levels, enlarged.

    These are the digits that scikit-learn ships (a part of the UCI set "Optical Recognition of Handwritten Digits").
    Enlarging adds no detail, so they are coarser than MNIST's and thirty times fewer: accuracy on them says nothing
    about accuracy on MNIST.

    Parameters
    ----------
    train : bool
        Four fifths for training, or the other fifth for testing. They never share a digit; but writers are
        not told apart, so both have digits of the same hands.
    size : int
        Pixels on a side, at least 8; linear interpolation, with a dark margin as in MNIST if there is room for it:
        the digit takes 5/7 of the side, which is 20 of 28. At 8 the digits are as recorded.
    seed : int
        Of the split.

    Attributes
    ----------
    images : Tensor
        float32 (N, size, size) in [0, 1].
    labels : Tensor
        int64 (N,) in [0, 9].

    Examples
    --------
    >>> data = Digits(train=False, size=28)
    >>> picture, label = data[0]
    >>> len(data), picture.shape, label in range(10)
    (360, torch.Size([28, 28]), True)
    """

    def __init__(self, train: bool = True, size: int = 28, seed: int = 0) -> None:
        size = _validate.integer(size, "size of Digits", SIZE)
        room((1797, size, size), 4, "Digits", f"size is {size}")
        pictures, labels, self.numbers = split(train, seed)
        side = max(size * 5 / 7, SIZE)
        weights = tents((np.arange(size) - (size - 1) / 2) * SIZE / side + (SIZE - 1) / 2, SIZE)
        super().__init__(torch.from_numpy(weights @ pictures @ weights.T), torch.from_numpy(labels))
