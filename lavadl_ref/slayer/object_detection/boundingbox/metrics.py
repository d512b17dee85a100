"""Overlap of boxes, and average precision of detections.

A box is (x_center, y_center, width, height), in any unit; a detection or target goes on with its confidence and ends
with its label, (n, 6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref._assigned import Refused
from lavadl_ref.slayer.object_detection.boundingbox._matching import Matches, matched

EPS = 1e-10  #: added to areas and lengths that are divided by

Array = NDArray[Any]
Thresholds = float | Sequence[float] | Array


def corners(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Left, top, right and bottom of `boxes` (..., 4), each (...)."""
    x, y, width, height = boxes[..., :4].unbind(-1)
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Area that boxes have in common, and area of both together; boxes broadcast."""
    (left1, top1, right1, bottom1), (left2, top2, right2, bottom2) = corners(one), corners(other)
    width = (torch.minimum(right1, right2) - torch.maximum(left1, left2)).clamp(min=0)
    height = (torch.minimum(bottom1, bottom2) - torch.maximum(top1, top2)).clamp(min=0)
    common = width * height
    areas = (right1 - left1) * (bottom1 - top1) + (right2 - left2) * (bottom2 - top2)
    return common, areas - common


def bbox_iou(bbox1: Tensor, bbox2: Tensor) -> Tensor:
    """Intersection over union of each box of one set with each of another.

    Parameters
    ----------
    bbox1 : Tensor
        (\\*n, 4) or more columns.
    bbox2 : Tensor
        (\\*m, 4) or more columns.

    Returns
    -------
    Tensor
        (\\*n, \\*m), from 0 to 1.
    """
    common, union = _overlap(bbox1[..., :4].reshape(-1, 1, 4), bbox2[..., :4].reshape(1, -1, 4))
    return (common / (union + EPS)).reshape(*bbox1.shape[:-1], *bbox2.shape[:-1])


def wh_iou(bbox1: Tensor, bbox2: Tensor) -> Tensor:
    """As `bbox_iou`, of sizes (width, height) with a common centre.

    Parameters
    ----------
    bbox1 : Tensor
        (n, 2).
    bbox2 : Tensor
        (m, 2).

    Returns
    -------
    Tensor
        (n, m), from 0 to 1.
    """
    common = torch.minimum(bbox1[..., None, :2], bbox2[..., :2]).prod(-1)
    union = bbox1[..., None, :2].prod(-1) + bbox2[..., :2].prod(-1) - common
    return common / (union + EPS)


def bbox_ciou(bbox1: Tensor, bbox2: Tensor) -> Tensor:
    """Complete intersection over union of pairs of boxes, with gradient.

    IoU less the squared distance of the centres over the squared diagonal of the box around both, less the difference
    of aspect ratios v times alpha = v / (1 - IoU + v); alpha has no gradient (https://arxiv.org/abs/1911.08287).

    Parameters
    ----------
    bbox1, bbox2 : Tensor
        (\\*n, 4) each.

    Returns
    -------
    Tensor
        (prod(n),), at most 1.
    """
    one, other = bbox1[..., :4].reshape(-1, 4), bbox2[..., :4].reshape(-1, 4)
    common, union = _overlap(one, other)
    iou = common / (union + EPS)
    (left1, top1, right1, bottom1), (left2, top2, right2, bottom2) = corners(one), corners(other)
    around = (torch.maximum(right1, right2) - torch.minimum(left1, left2)).square()
    around = around + (torch.maximum(bottom1, bottom2) - torch.minimum(top1, top2)).square() + EPS
    distance = (one[:, :2] - other[:, :2]).square().sum(-1)
    angles = torch.atan(one[:, 2] / (one[:, 3] + EPS)) - torch.atan(other[:, 2] / (other[:, 3] + EPS))
    aspect = 4 / math.pi**2 * angles.square()
    with torch.no_grad():
        alpha = aspect / (1 - iou + aspect + EPS)
    return iou - (distance / around + alpha * aspect)


#: As COCO's own tool has them, down to the last bit.
_RECALLS = np.linspace(0, 1, 101)


def compute_ap(precision: Array, recall: Array) -> float:
    """Average precision as COCO defines it.

    The mean, over the recalls 0, 0.01, ..., 1, of the best precision at that recall or a larger one; 0 where none was
    reached.

    Parameters
    ----------
    precision, recall : ndarray
        (n,), after the first, second, ... detection in the order of falling confidence; recall does not fall.

    Raises
    ------
    ValueError
        If the two have different lengths.
    """
    precision, recall = np.asarray(precision, float), np.asarray(recall, float)
    if precision.ndim != 1 or precision.shape != recall.shape:
        raise ValueError(
            f"precision and recall must have one value per detection, got {precision.shape}, {recall.shape}"
        )
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(best[np.searchsorted(recall, _RECALLS, side="left")].mean())


def average_precision_metrics(
    outputs: Sequence[Tensor | None], targets: Sequence[Tensor], iou_threshold: Thresholds
) -> tuple[list[Array], list[Array], list[Array], list[Array], list[Array]]:
    """Precision, recall, average precision and F1 of each frame alone, for each class that its targets have.

    A detection is right if it overlaps a target of its own class that no detection of higher confidence took.
    Frames without targets, and frames whose output is None, have no entry.

    Parameters
    ----------
    outputs : sequence of Tensor
        Detections of each frame, (n, 6).
    targets : sequence of Tensor
        Targets of each frame, (m, 6).
    iou_threshold : float or sequence of float
        Overlap above which a detection is right; I thresholds.

    Returns
    -------
    precision, recall, average_precision, f1 : list of ndarray
        (classes, I) of each frame.
    classes : list of ndarray
        The labels, rising, of each frame.
    """
    thresholds = np.atleast_1d(np.asarray(iou_threshold, float))
    rows: list[list[Array]] = [[], [], [], [], []]
    for output, target in zip(outputs, targets, strict=True):
        if output is None or not len(target):
            continue
        found = matched(output, target, thresholds)
        labels = np.unique(found.target_labels)
        values = np.stack([_of_class(found, label) for label in labels])
        precision, recall, ap = values[:, 0], values[:, 1], values[:, 2]
        f1 = 2 * precision * recall / (precision + recall + EPS)
        for row, value in zip(rows, (precision, recall, ap, f1, labels), strict=True):
            row.append(value)
    return rows[0], rows[1], rows[2], rows[3], rows[4]


def _of_class(found: Matches, label: float) -> Array:
    """Precision, recall and average precision of one class, (3, I), of detections of any number of frames."""
    of_label = found.labels == label
    order = np.argsort(-found.confidence[of_label], kind="stable")
    right = found.right[of_label][order].cumsum(0)
    if not len(right):
        return np.zeros((3, found.right.shape[1]))
    precision = right / np.arange(1, len(right) + 1)[:, None]
    recall = right / np.count_nonzero(found.target_labels == label)
    ap = [compute_ap(p, r) for p, r in zip(precision.T, recall.T, strict=True)]
    return np.stack([precision[-1], recall[-1], np.array(ap)])


_MATCHES = "the matches of all frames are kept: ap_scores() is their precision, reset() forgets them"


class APstats:
    """Average precision over all frames of a data set, as COCO has it.

    The detections of all frames together, in the order of their confidence, make one curve of each class; the mean is
    over the classes that have targets.

    Parameters
    ----------
    iou_threshold : float or sequence of float
        Overlap above which a detection is right; I thresholds.

    Raises
    ------
    ValueError
        If there is no threshold, or one is not from 0 to 1.
    """

    ap_sum = Refused(_MATCHES)
    count = Refused(_MATCHES)

    def __init__(self, iou_threshold: Thresholds) -> None:
        self.iou_threshold = np.atleast_1d(np.asarray(iou_threshold, float))
        if self.iou_threshold.ndim != 1 or not len(self.iou_threshold) or not _are_shares(self.iou_threshold):
            raise ValueError(f"iou_threshold must be one or more numbers from 0 to 1, got {iou_threshold!r}")
        self.num_iou = len(self.iou_threshold)
        self.reset()

    def reset(self) -> None:
        """Forget all frames."""
        self._found: list[Matches] = []

    def update(self, predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> None:
        """Add frames.

        Parameters
        ----------
        predictions : sequence of Tensor
            Detections of each frame, (n, 6).
        targets : sequence of Tensor
            Targets of each frame, (m, 6); there may be none.
        """
        for prediction, target in zip(predictions, targets, strict=True):
            self._found.append(matched(prediction, target, self.iou_threshold))

    def class_scores(self) -> dict[int, Array]:
        """Average precision (I,) of each class that has targets, by its label."""
        if not self._found:
            return {}
        found = Matches.joined(self._found)
        return {int(label): _of_class(found, label)[2] for label in np.unique(found.target_labels)}

    def ap_scores(self) -> Array:
        """Mean average precision, (I,); 0 if no frame had targets."""
        scores = list(self.class_scores().values())
        return np.mean(scores, axis=0) if scores else np.zeros(self.num_iou)

    def __getitem__(self, iou: float | int | slice) -> Any:
        """Mean average precision at a threshold given by value (float) or index (int); of a slice their mean.

        Raises
        ------
        KeyError
            If a float is none of the thresholds.
        """
        scores = self.ap_scores()
        if isinstance(iou, slice):
            return float(scores[iou].mean())
        if isinstance(iou, float):
            at = np.flatnonzero(np.isclose(self.iou_threshold, iou, rtol=0, atol=1e-9))
            if not len(at):
                raise KeyError(f"{iou} is none of the thresholds {self.iou_threshold.tolist()}")
            iou = int(at[0])
        return float(scores[iou])


def _are_shares(values: Array) -> bool:
    return bool(np.all((values >= 0) & (values <= 1)))
