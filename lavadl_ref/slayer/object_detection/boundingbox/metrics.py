"""Overlap of boxes, and average precision of detections.

A box is (x_center, y_center, width, height) in any unit. Detections and targets are (n, 6): a box, its confidence and
its label.
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

EPS = 1e-10  #: added to areas and lengths before they are divisors, so that an empty box gives 0 and not NaN

Array = NDArray[Any]
Thresholds = float | Sequence[float] | Array


def corners(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Left, top, right and bottom of `boxes` (..., 4 or more) of a floating dtype, each (...)."""
    x, y, width, height = boxes[..., :4].unbind(-1)
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The areas of intersection and union of boxes (..., 4), which are broadcast against each other."""
    (left1, top1, right1, bottom1), (left2, top2, right2, bottom2) = corners(one), corners(other)
    width = (torch.minimum(right1, right2) - torch.maximum(left1, left2)).clamp(min=0)
    height = (torch.minimum(bottom1, bottom2) - torch.maximum(top1, top2)).clamp(min=0)
    common = width * height
    areas = (right1 - left1) * (bottom1 - top1) + (right2 - left2) * (bottom2 - top2)
    return common, areas - common


def bbox_iou(bbox1: Tensor, bbox2: Tensor) -> Tensor:
    """Intersection over union of each box of one set with each box of another.

    Parameters
    ----------
    bbox1 : Tensor
        (\\*n, 4), or more columns, of a floating dtype.
    bbox2 : Tensor
        (\\*m, 4), or more columns, in the same unit.

    Returns
    -------
    Tensor
        (\\*n, \\*m), in [0, 1].

    Examples
    --------
    >>> box = torch.tensor([[1.0, 1.0, 2.0, 2.0]])
    >>> bbox_iou(box, torch.tensor([[1.0, 1.0, 2.0, 2.0], [2.0, 1.0, 2.0, 2.0]]))
    tensor([[1.0000, 0.3333]])
    """
    common, union = _overlap(bbox1[..., :4].reshape(-1, 1, 4), bbox2[..., :4].reshape(1, -1, 4))
    return (common / (union + EPS)).reshape(*bbox1.shape[:-1], *bbox2.shape[:-1])


def wh_iou(bbox1: Tensor, bbox2: Tensor) -> Tensor:
    """Intersection over union of boxes with a common centre, from their widths and heights.

    Parameters
    ----------
    bbox1 : Tensor
        (n, 2) of a floating dtype: width, height.
    bbox2 : Tensor
        (m, 2), in the same unit.

    Returns
    -------
    Tensor
        (n, m), in [0, 1].

    Examples
    --------
    >>> wh_iou(torch.tensor([[2.0, 2.0]]), torch.tensor([[2.0, 2.0], [2.0, 1.0]]))
    tensor([[1.0000, 0.5000]])
    """
    common = torch.minimum(bbox1[..., None, :2], bbox2[..., :2]).prod(-1)
    union = bbox1[..., None, :2].prod(-1) + bbox2[..., :2].prod(-1) - common
    return common / (union + EPS)


def bbox_ciou(bbox1: Tensor, bbox2: Tensor) -> Tensor:
    """Complete intersection over union (CIoU) of pairs of boxes, with gradient.

    ``CIoU = IoU - d**2 / c**2 - alpha * v`` with the distance d of the centres, the diagonal c of the smallest box that
    encloses both, the difference of the aspect ratios ``v = 4 / pi**2 * (atan(w1 / h1) - atan(w2 / h2))**2``, and
    ``alpha = v / (1 - IoU + v)``, which receives no gradient. Source: https://arxiv.org/abs/1911.08287.

    Parameters
    ----------
    bbox1, bbox2 : Tensor
        (\\*n, 4) each, of a floating dtype and in one unit.

    Returns
    -------
    Tensor
        (prod(n),), at most 1.

    Examples
    --------
    >>> box = torch.tensor([[1.0, 1.0, 2.0, 2.0]])
    >>> bbox_ciou(box, torch.tensor([[2.0, 1.0, 2.0, 2.0]]))  # 1/3 - 1/13
    tensor([0.2564])
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


#: The recalls at which precision is averaged, equal to those of COCO's own tool in every bit.
_RECALLS = np.linspace(0, 1, 101)


def compute_ap(precision: Array, recall: Array) -> float:
    """Average precision as COCO defines it.

    It is the mean over the recalls 0, 0.01, ..., 1. At each, the best precision at that recall or a larger one counts,
    and 0 if no such recall was reached.

    Parameters
    ----------
    precision, recall : ndarray
        (n,) each, in [0, 1]: the values after the first, second, ... detection in the order of falling confidence. So
        recall does not fall.

    Raises
    ------
    ValueError
        The shapes differ, or have another number of axes than one.

    Examples
    --------
    The first of two detections is right and finds one of two targets.

    >>> print(f"{compute_ap(np.array([1.0, 0.5]), np.array([0.5, 0.5])):.4f}")  # 51 of 101 recalls
    0.5050
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
    """Precision, recall, average precision and F1 score of each frame by itself, for each class of its targets.

    A detection is right if it overlaps a target of its own class that no detection of higher confidence took.
    Frames without targets, and frames whose output is None, have no entry.

    Parameters
    ----------
    outputs : sequence of Tensor
        Detections of each frame, (n, 6), or None.
    targets : sequence of Tensor
        Targets of each frame, (m, 6).
    iou_threshold : float or sequence of float
        Overlap in [0, 1] above which a detection is right; I thresholds.

    Returns
    -------
    precision, recall, average_precision, f1 : list of ndarray
        (classes, I) float64 of each frame, in [0, 1].
    classes : list of ndarray
        The labels of each frame in rising order, (classes,) float64.

    Examples
    --------
    >>> target = torch.tensor([[1.0, 1.0, 2.0, 2.0, 1.0, 0.0]])
    >>> wrong = torch.tensor([[9.0, 9.0, 2.0, 2.0, 0.8, 0.0]])
    >>> precision, recall, *rest = average_precision_metrics([torch.cat([target, wrong])], [target], 0.5)
    >>> precision, recall
    ([array([[0.5]])], [array([[1.]])])
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
    """Precision, recall and average precision (3, I) of one class, over all frames of `found`."""
    of_label = found.labels == label
    order = np.argsort(-found.confidence[of_label], kind="stable")
    right = found.right[of_label][order].cumsum(0)
    if not len(right):
        return np.zeros((3, found.right.shape[1]))
    precision = right / np.arange(1, len(right) + 1)[:, None]
    recall = right / np.count_nonzero(found.target_labels == label)
    ap = [compute_ap(p, r) for p, r in zip(precision.T, recall.T, strict=True)]
    return np.stack([precision[-1], recall[-1], np.array(ap)])


#: The reason why Lava-DL's running sums are refused: see `lavadl_ref._assigned.Refused`.
_MATCHES = "the matches of all frames are kept: ap_scores() is their precision, reset() forgets them"


class APstats:
    """Average precision over all frames of a data set, as COCO defines it.

    For each class, the detections of all frames in the order of their confidence make one curve of precision over
    recall. The mean is taken over the classes that have targets. The scores are those of pycocotools within 1e-15,
    where no overlap equals a threshold: such a detection is wrong here and right there.

    Parameters
    ----------
    iou_threshold : float or sequence of float
        Overlap above which a detection is right; I thresholds.

    Raises
    ------
    ValueError
        There is no threshold, or one is not in [0, 1].

    Examples
    --------
    >>> stats = APstats([0.5, 0.9])
    >>> target = torch.tensor([[1.0, 1.0, 2.0, 2.0, 1.0, 0.0]])
    >>> found = torch.tensor([[1.0, 1.0, 2.0, 1.5, 0.8, 0.0]])  # overlaps it by 3/4
    >>> stats.update([found], [target])
    >>> stats.ap_scores()
    array([1., 0.])
    >>> stats[0.5], stats[:]
    (1.0, 0.5)
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
            Targets of each frame, (m, 6); m may be 0.
        """
        for prediction, target in zip(predictions, targets, strict=True):
            self._found.append(matched(prediction, target, self.iou_threshold))

    def class_scores(self) -> dict[int, Array]:
        """Average precision (I,) float64 of each class that has targets, by its label."""
        if not self._found:
            return {}
        found = Matches.joined(self._found)
        return {int(label): _of_class(found, label)[2] for label in np.unique(found.target_labels)}

    def ap_scores(self) -> Array:
        """Mean average precision over the classes, (I,) float64; 0 if no frame had targets."""
        scores = list(self.class_scores().values())
        return np.mean(scores, axis=0) if scores else np.zeros(self.num_iou)

    def __getitem__(self, iou: float | int | slice) -> Any:
        """Mean average precision at a threshold, which is given by its value (float) or its index (int).

        A slice of indices gives the mean over its thresholds.

        Raises
        ------
        KeyError
            A float is none of the thresholds.
        """
        scores = self.ap_scores()
        if isinstance(iou, slice):
            return float(scores[iou].mean())
        if isinstance(iou, float):
            at = np.flatnonzero(np.isclose(self.iou_threshold, iou, rtol=0, atol=1e-9))
            if not len(at):
                raise KeyError(f"iou must be one of the thresholds {self.iou_threshold.tolist()}, got {iou}")
            iou = int(at[0])
        return float(scores[iou])


def _are_shares(values: Array) -> bool:
    return bool(np.all((values >= 0) & (values <= 1)))
