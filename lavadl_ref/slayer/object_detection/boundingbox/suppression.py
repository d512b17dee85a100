"""One detection for each object: labels of predictions, and non-maximum suppression."""

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
    """The detections of each frame that no better one of the same class covers.

    All pairs at once: the detections that a kept one covers are dropped, until nothing changes. The first iteration
    lets dropped ones cover, too; each further one is right for one more link of a chain of detections that cover each
    other, so the outcome is that of going through them one by one.

    Parameters
    ----------
    predictions : sequence of Tensor
        Of each frame, (n, 5 + classes): x_center, y_center, width, height, confidence, probabilities of the classes.
    conf_threshold : float
        Confidence above which predictions are looked at.
    nms_threshold : float
        Overlap above which a detection covers another.
    merge_conf : bool
        Whether the score of a detection is its confidence times the probability of its class.
    max_detections : int
        Most detections of a frame, the best ones.
    max_iterations : int
        Most iterations.

    Returns
    -------
    list of Tensor
        (k, 6) of each frame, by falling score: x_center, y_center, width, height, score, label.
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


nms = non_maximum_suppression


def onehot_to_labels(
    predictions: Sequence[Tensor], conf_threshold: float = 0.0, merge_conf: bool = True
) -> list[Tensor]:
    """The most probable class of each prediction.

    Parameters
    ----------
    predictions : sequence of Tensor
        Of each frame, (n, 5 + classes), as those of `non_maximum_suppression`.
    conf_threshold : float
        Confidence above which predictions are kept.
    merge_conf : bool
        Whether to multiply the confidence by the probability of the class.

    Returns
    -------
    list of Tensor
        (k, 6) of each frame: x_center, y_center, width, height, confidence, label.
    """
    found = []
    for frame in predictions:
        probability, label = frame[:, 5:].max(dim=1, keepdim=True)
        confidence = frame[:, 4:5] * probability if merge_conf else frame[:, 4:5]
        labelled = torch.cat([frame[:, :4], confidence, label.to(frame.dtype)], dim=1)
        found.append(labelled[labelled[:, 4] > conf_threshold])
    return found
