"""The loss of YOLO networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lavadl_ref._assigned import Refused
from lavadl_ref.slayer.object_detection.boundingbox.metrics import bbox_ciou
from lavadl_ref.slayer.object_detection.target import NEGATIVE, POSITIVE, Anchored, anchor_tensor

#: Added before a logarithm, so that a width of 0 does not become minus infinity.
_TINY = 1e-16
#: The reason why other modules for the terms are refused: see `lavadl_ref._assigned.Refused`.
_TERMS = "its terms are weighted by lambda_coord, lambda_obj and so on; write another loss for other terms"


class YOLOLoss(Anchored, torch.nn.Module):
    """The loss of YOLO networks: five terms, each a mean over the predictions of a head at a step.

    The means are summed over heads and steps.

    - coordinates: squared error of x and y within the cell, and of the logarithms of width and height relative to the
      anchor;
    - object: cross entropy between the confidence of predictions that have an object and
      ``(1 - alpha_iou) + alpha_iou * max(CIoU, 0)``;
    - no object: cross entropy between the confidence of predictions that have no object and 0;
    - class: cross entropy of the class;
    - IoU: squared difference between the CIoU (`bbox_ciou`) and 1.

    If no sample of the batch has an object for a head at a step, only the third term counts there.

    Parameters
    ----------
    anchors : sequence
        Width and height of each anchor of each head, (heads, anchors, 2), in units of the frame.
    lambda_coord, lambda_noobj, lambda_obj, lambda_cls, lambda_iou : float
        Weights of the terms.
    alpha_iou : float
        Weight of the overlap in the wanted confidence, in [0, 1].
    startup_samples : int
        A number that training scripts compare with `samples`; the loss does not depend on it.
    label_smoothing : float
        Part of the wanted probability that is distributed evenly over all classes, in [0, 1].

    Attributes
    ----------
    samples : int
        Number of samples so far.

    Raises
    ------
    ValueError
        `anchors` has another shape, or a size is not positive.

    Examples
    --------
    >>> from lavadl_ref.slayer.object_detection import YOLOtarget
    >>> anchors = [[(0.5, 0.5)]]
    >>> target = YOLOtarget(anchors, scales=[(2, 2)], num_classes=3)
    >>> frames = target.frames([torch.tensor([[0.25, 0.25, 0.5, 0.5, 1.0, 2.0]])])
    >>> error = YOLOLoss(anchors)
    >>> prediction = torch.zeros(1, 1, 2, 2, 8, 1)  # raw output of one head at one step
    >>> loss, terms = error([prediction], [frames[0].unsqueeze(-1)])
    >>> terms  # coordinates, object, no object, class, IoU
    tensor([0.2402, 3.4657, 6.9315, 1.0986, 0.5625])
    """

    anchors: Tensor
    mse = Refused(_TERMS)
    bce = Refused(_TERMS)
    cel = Refused(_TERMS)

    def __init__(
        self,
        anchors: Any,
        lambda_coord: float = 1,
        lambda_noobj: float = 10.0,
        lambda_obj: float = 5.0,
        lambda_cls: float = 1.0,
        lambda_iou: float = 1.0,
        alpha_iou: float = 0.25,
        startup_samples: int = 10000,
        label_smoothing: float = 0.1,
    ) -> None:
        super().__init__()
        self.register_buffer("anchors", anchor_tensor(anchors))
        self.lambda_coord = float(lambda_coord)
        self.lambda_noobj = float(lambda_noobj)
        self.lambda_obj = float(lambda_obj)
        self.lambda_cls = float(lambda_cls)
        self.lambda_iou = float(lambda_iou)
        self.alpha_iou = float(alpha_iou)
        self.label_smoothing = float(label_smoothing)
        self.startup_samples = startup_samples
        self.samples = 0

    def forward(self, predictions: Sequence[Tensor], targets: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The loss of a batch.

        Parameters
        ----------
        predictions : sequence of Tensor
            (N, anchors, H, W, 5 + classes, T) of each head, as `YOLOBase.yolo_raw` returns it.
        targets : sequence of Tensor
            (N, anchors, H, W, 6, T) of each head, as `YOLOtarget.collate_fn` returns it; they are not changed.

        Returns
        -------
        loss : Tensor
            The weighted sum of the terms, a scalar.
        terms : Tensor
            (5,), the weighted terms without gradient: coordinates, object, no object, class, IoU.

        Raises
        ------
        ValueError
            The shapes of targets and predictions do not fit.
        """
        if not len(predictions) == len(targets) == self.num_scales:
            raise ValueError(
                f"there must be {self.num_scales} heads, got {len(predictions)} predictions and {len(targets)} targets"
            )
        terms = torch.stack([self._head(*each) for each in zip(predictions, targets, self.anchors, strict=True)]).sum(0)
        self.samples += predictions[0].shape[0]
        return terms.sum(), terms.detach()

    def forward_scale(self, predictions: Tensor, targets: Tensor, anchors: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The loss of one head at one step; `forward` takes all steps at once.

        Parameters
        ----------
        predictions : Tensor
            (N, anchors, H, W, 5 + classes), the raw output of the head.
        targets : Tensor
            (N, anchors, H, W, 6), as `YOLOtarget.frames` returns it. Neither is changed.
        anchors : Tensor
            Width and height of each anchor in units of the frame, (anchors, 2).

        Returns
        -------
        loss : Tensor
            The weighted sum of the terms, a scalar.
        terms : list of Tensor
            The weighted terms: coordinates, object, no object, class, IoU.
        """
        terms = self._head(predictions.unsqueeze(-1), targets.unsqueeze(-1), anchors)
        return terms.sum(), list(terms)

    def _head(self, prediction: Tensor, target: Tensor, anchors: Tensor) -> Tensor:
        """The five terms of a head, summed over steps."""
        if prediction.shape[:4] + prediction.shape[5:] != target.shape[:4] + target.shape[5:]:
            raise ValueError(
                f"predictions (N, anchors, H, W, 5 + classes, T) and targets (N, anchors, H, W, 6, T) must fit, "
                f"got {tuple(prediction.shape)} and {tuple(target.shape)}"
            )
        # Each entry of a step has the weight one over the number of entries of that step, so that the weighted sum over
        # all entries is the sum over steps of the mean of each.
        confidence, wanted = prediction[..., 4, :], target[..., 4, :]
        empty = wanted == NEGATIVE
        empty_weight = empty.sum((0, 1, 2, 3)).clamp(min=1).reciprocal() * empty
        no_object = (F.softplus(confidence) * empty_weight).sum()

        at = torch.nonzero(wanted == POSITIVE, as_tuple=True)
        weight = torch.bincount(at[4], minlength=prediction.shape[-1])[at[4]].to(prediction.dtype).reciprocal()
        n, a, h, w, t = at
        found, goal, size = prediction[n, a, h, w, :, t], target[n, a, h, w, :, t], anchors[a]
        center, extent = found[:, 0:2].sigmoid(), found[:, 2:4]
        overlap = bbox_ciou(torch.cat([center, extent.exp() * size], dim=1), goal[:, :4])
        likely = (1 - self.alpha_iou) + self.alpha_iou * overlap.detach().clamp(min=0)
        there = F.binary_cross_entropy_with_logits(found[:, 4], likely, reduction="none")
        off = center - goal[:, 0:2], extent - torch.log(goal[:, 2:4] / size + _TINY)
        coordinates = torch.cat(off, dim=1).square().mean(1)
        label = goal[:, 5].long()
        classes = F.cross_entropy(found[:, 5:], label, reduction="none", label_smoothing=self.label_smoothing)
        return torch.stack([
            self.lambda_coord * (weight * coordinates).sum(),
            self.lambda_obj * (weight * there).sum(),
            self.lambda_noobj * no_object,
            self.lambda_cls * (weight * classes).sum(),
            self.lambda_iou * (weight * (1 - overlap).square()).sum(),
        ])  # fmt: skip
