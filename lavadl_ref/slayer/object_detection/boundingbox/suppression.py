"""Non-maximum suppression, which leaves one detection for each object, and the labels of predictions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lavadl_ref.slayer.object_detection.boundingbox.metrics import bbox_iou


def non_maximum_suppression(
    predictions: Sequence[Tensor],
    conf_threshold: float = 0.5,
    nms_threshold: float = 0.4,
    merge_conf: bool = True,
    max_detections: int = 300,
    max_iterations: int = 100,
) -> list[Tensor]:
    """The detections of each frame that no better detection of the same class covers.

    A detection covers another of a lower score if their overlap is greater than a threshold. The usual algorithm goes
    through the detections in the order of falling score, and drops each one that a kept one covers. Here all pairs are
    compared at once: an iteration drops the detections that are covered by those kept so far, and iterations are
    repeated until nothing changes. In the first iteration all detections still cover others. Each further iteration
    corrects one more link of a chain in which each detection covers the next, so the final result is that of the
    usual algorithm.

    Parameters
    ----------
    predictions : sequence of Tensor
        Predictions of each frame, (n, 5 + classes) of a floating dtype: x_center, y_center, width, height, confidence,
        probabilities of the classes. The unit of the boxes is arbitrary.
    conf_threshold : float
        Predictions of at most this confidence are dropped.
    nms_threshold : float
        Overlap, as `bbox_iou`, above which a detection covers another.
    merge_conf : bool
        True if the score of a detection is its confidence times the probability of its class, False if it is its
        confidence.
    max_detections : int
        Largest number of detections of a frame; the best ones are kept.
    max_iterations : int
        Largest number of iterations.

    Returns
    -------
    list of Tensor
        (k, 6) of each frame, by falling score: x_center, y_center, width, height, score, label.

    Examples
    --------
    The first box covers the second, which has the lower score.

    >>> frame = torch.tensor([[0.50, 0.5, 0.2, 0.2, 0.9, 0.0, 1.0], [0.51, 0.5, 0.2, 0.2, 0.8, 0.0, 1.0]])
    >>> non_maximum_suppression([frame])
    [tensor([[0.5000, 0.5000, 0.2000, 0.2000, 0.9000, 1.0000]])]
    """
    found = []
    for frame in predictions:
        detections = onehot_to_labels([frame[frame[:, 4] > conf_threshold]], -torch.inf, merge_conf)[0]
        detections = detections[torch.argsort(detections[:, 4], descending=True, stable=True)]
        same = detections[:, None, 5] == detections[:, 5]
        covers = ((bbox_iou(detections, detections) > nms_threshold) & same).triu(1)
        keep = torch.ones(len(detections), dtype=torch.bool, device=frame.device)
        for _ in range(max_iterations):
            kept = ~(covers & keep[:, None]).any(0)
            if torch.equal(kept, keep):
                break
            keep = kept
        found.append(detections[keep][:max_detections])
    return found


nms = non_maximum_suppression  # Lava-DL has both names


def onehot_to_labels(
    predictions: Sequence[Tensor], conf_threshold: float = 0.0, merge_conf: bool = True
) -> list[Tensor]:
    """The most probable class of each prediction.

    Parameters
    ----------
    predictions : sequence of Tensor
        Predictions of each frame, (n, 5 + classes), as for `non_maximum_suppression`.
    conf_threshold : float
        Predictions of at most this confidence are dropped.
    merge_conf : bool
        True if the confidence is multiplied by the probability of the class.

    Returns
    -------
    list of Tensor
        (k, 6) of each frame: x_center, y_center, width, height, confidence, label.

    Examples
    --------
    >>> onehot_to_labels([torch.tensor([[0.5, 0.5, 0.2, 0.2, 0.8, 0.25, 0.75]])])
    [tensor([[0.5000, 0.5000, 0.2000, 0.2000, 0.6000, 1.0000]])]
    """
    found = []
    for frame in predictions:
        probability, label = frame[:, 5:].max(dim=1, keepdim=True)
        confidence = frame[:, 4:5] * probability if merge_conf else frame[:, 4:5]
        labelled = torch.cat([frame[:, :4], confidence, label.to(frame.dtype)], dim=1)
        found.append(labelled[labelled[:, 4] > conf_threshold])
    return found
