"""Which detections of a frame are right."""

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
    """Detections of one or more frames, and whether they are right."""

    confidence: Array  #: (n,)
    labels: Array  #: (n,)
    right: Array  #: (n, I) bool
    target_labels: Array  #: (m,)

    @staticmethod
    def joined(parts: Sequence[Matches]) -> Matches:
        """Of all frames together."""
        fields = ("confidence", "labels", "right", "target_labels")
        return Matches(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def _columns(values: Tensor, what: str) -> Array:
    array: Array = values.detach().cpu().double().numpy()
    if not array.size:
        return np.zeros((0, 6))
    if array.ndim != 2 or array.shape[1] < 6:
        raise ValueError(f"{what} must be (n, 6): x, y, width, height, confidence, label; got {array.shape}")
    return array


def _ious(one: Array, other: Array) -> Array:
    """Overlap of each box with each, (n, m)."""
    low = np.maximum((one[:, :2] - one[:, 2:4] / 2)[:, None], other[:, :2] - other[:, 2:4] / 2)
    high = np.minimum((one[:, :2] + one[:, 2:4] / 2)[:, None], other[:, :2] + other[:, 2:4] / 2)
    common = np.clip(high - low, 0, None).prod(-1)
    union = one[:, 2:4].prod(-1)[:, None] + other[:, 2:4].prod(-1) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def matched(detections: Tensor, targets: Tensor, thresholds: Array) -> Matches:
    """Give the targets of a frame to its detections, as COCO does.

    In the order of falling confidence, a detection takes the target that it overlaps most among those of its class
    that none took before it, if it overlaps it by more than the threshold.

    Parameters
    ----------
    detections : Tensor
        (n, 6) or empty.
    targets : Tensor
        (m, 6) or empty.
    thresholds : ndarray
        (I,).

    Raises
    ------
    ValueError
        If detections or targets have another form.
    """
    found, wanted = _columns(detections, "detections"), _columns(targets, "targets")
    found = found[np.argsort(-found[:, 4], kind="stable")]
    ious = _ious(found, wanted) * (found[:, -1:] == wanted[:, -1])
    right = np.zeros((len(found), len(thresholds)), bool)
    free = np.ones((len(thresholds), len(wanted)), bool)
    each = np.arange(len(thresholds))
    # one after the other, as what is taken depends on it, but only those that may take any
    for detection in np.flatnonzero((ious > thresholds.min()).any(1)):
        left = np.where(free, ious[detection], 0)
        taken = left.argmax(1)
        right[detection] = left[each, taken] > thresholds
        free[each[right[detection]], taken[right[detection]]] = False
    return Matches(found[:, 4], found[:, -1], right, wanted[:, -1])
