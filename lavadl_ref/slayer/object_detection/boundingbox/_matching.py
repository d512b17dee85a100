"""The assignment of the detections of a frame to its targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


@dataclass(frozen=True)
class Matches:
    """The n detections and m targets of one or more frames, assigned to each other at I thresholds."""

    confidence: Array  #: (n,) float64, of the detections
    labels: Array  #: (n,) float64, of the detections
    right: Array  #: (n, I) bool, True for a detection that is right at a threshold
    target_labels: Array  #: (m,) float64

    @staticmethod
    def joined(parts: Sequence[Matches]) -> Matches:
        """The matches of all frames together."""
        fields = ("confidence", "labels", "right", "target_labels")
        return Matches(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def _columns(values: Tensor, what: str) -> Array:
    array: Array = values.detach().cpu().double().numpy()
    if not array.size:
        return np.zeros((0, 6))
    if array.ndim != 2 or array.shape[1] < 6:
        raise ValueError(f"{what} must be (n, 6): x, y, width, height, confidence, label, got {array.shape}")
    return array


def _ious(one: Array, other: Array) -> Array:
    """Intersection over union of each box of `one` (n, 4) with each of `other` (m, 4): float64 (n, m)."""
    low = np.maximum((one[:, :2] - one[:, 2:4] / 2)[:, None], other[:, :2] - other[:, 2:4] / 2)
    high = np.minimum((one[:, :2] + one[:, 2:4] / 2)[:, None], other[:, :2] + other[:, 2:4] / 2)
    common = np.clip(high - low, 0, None).prod(-1)
    union = one[:, 2:4].prod(-1)[:, None] + other[:, 2:4].prod(-1) - common
    ious: Array = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return ious


def matched(detections: Tensor, targets: Tensor, thresholds: Array) -> Matches:
    """Assign the targets of a frame to its detections, as COCO does but for an overlap that equals the threshold.

    Detections are taken in the order of falling confidence. Each one takes, among the targets of its class that no
    earlier detection took, the one that it overlaps most, if that overlap is greater than the threshold. As in Lava-DL
    it must be greater; COCO's tool also counts one that is equal.

    Parameters
    ----------
    detections : Tensor
        (n, 6) or empty: x_center, y_center, width, height, confidence, label.
    targets : Tensor
        (m, 6) or empty, in the same unit.
    thresholds : ndarray
        (I,), overlaps in [0, 1].

    Raises
    ------
    ValueError
        Detections or targets have another shape.
    """
    found, wanted = _columns(detections, "detections"), _columns(targets, "targets")
    found = found[np.argsort(-found[:, 4], kind="stable")]
    ious = _ious(found, wanted) * (found[:, -1:] == wanted[:, -1])
    right = np.zeros((len(found), len(thresholds)), bool)
    free = np.ones((len(thresholds), len(wanted)), bool)
    each = np.arange(len(thresholds))
    # The detections are taken one after the other, because a target is free only until it is taken. Those that overlap
    # no target by enough are skipped.
    for detection in np.flatnonzero((ious > thresholds.min()).any(1)):
        left = np.where(free, ious[detection], 0)
        taken = left.argmax(1)
        right[detection] = left[each, taken] > thresholds
        free[each[right[detection]], taken[right[detection]]] = False
    return Matches(found[:, 4], found[:, -1], right, wanted[:, -1])
