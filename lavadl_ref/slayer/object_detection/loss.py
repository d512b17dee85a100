"""How far a YOLO network's output is from its targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lavadl_ref._assigned import Refused
from lavadl_ref.slayer.object_detection.boundingbox.metrics import bbox_ciou
from lavadl_ref.slayer.object_detection.target import NEGATIVE, POSITIVE, Anchored, anchor_tensor

_TERMS = "its terms are weighted by lambda_coord, lambda_obj and so on; write another loss for other terms"


class YOLOLoss(Anchored, torch.nn.Module):
    """The loss of YOLO networks: five terms, each a mean over a head and step, summed over heads and steps.

    - coordinates: squared error of x, y within the cell and of the logarithms of width and height over the anchor's;
    - object: cross entropy of the confidence of predictions that have an object with
      ``(1 - alpha_iou) + alpha_iou * max(CIoU, 0)``;
    - no object: cross entropy of the confidence of those that shall have none;
    - class: cross entropy of the class;
    - IoU: squared difference of the CIoU (`bbox_ciou`) from 1.

    A head and step without an object, in the whole batch, has only the third.

    Parameters
    ----------
    anchors : sequence
        Width and height of each anchor of each head, (heads, anchors, 2).
    lambda_coord, lambda_noobj, lambda_obj, lambda_cls, lambda_iou : float
        Weights of the terms.
    alpha_iou : float
        How much the wanted confidence depends on the overlap.
    startup_samples : int
        Kept for training scripts, which count `samples` up to it; the loss does not depend on it.
    label_smoothing : float
        Share of the class's probability that all classes share.

    Attributes
    ----------
    samples : int
        Number of samples so far.
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
            (N, anchors, H, W, 5 + classes, T) of each head, as `YOLOBase.yolo_raw` gives it.
        targets : sequence of Tensor
            (N, anchors, H, W, 6, T) of each head, as `YOLOtarget.collate_fn` gives it; not changed.

        Returns
        -------
        loss : Tensor
            The weighted sum.
        terms : Tensor
            (5,), without gradient: coordinates, object, no object, class, IoU, weighted.

        Raises
        ------
        ValueError
            If targets do not fit the predictions.
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
            (N, anchors, H, W, 5 + classes).
        targets : Tensor
            (N, anchors, H, W, 6); neither is changed.
        anchors : Tensor
            Width and height of each anchor, (anchors, 2).

        Returns
        -------
        loss : Tensor
            The weighted sum.
        terms : list of Tensor
            Coordinates, object, no object, class, IoU, weighted.
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
        # each entry of a step weighs one over their number: a sum of weighted entries is a sum of means over steps
        confidence, wanted = prediction[..., 4, :], target[..., 4, :]
        empty = wanted == NEGATIVE
        share = empty.sum((0, 1, 2, 3)).clamp(min=1).reciprocal() * empty
        no_object = (F.softplus(confidence) * share).sum()

        at = torch.nonzero(wanted == POSITIVE, as_tuple=True)
        weight = torch.bincount(at[4], minlength=prediction.shape[-1])[at[4]].to(prediction.dtype).reciprocal()
        n, a, h, w, t = at
        found, goal, size = prediction[n, a, h, w, :, t], target[n, a, h, w, :, t], anchors[a]
        center, extent = found[:, 0:2].sigmoid(), found[:, 2:4]
        overlap = bbox_ciou(torch.cat([center, extent.exp() * size], dim=1), goal[:, :4])
        likely = (1 - self.alpha_iou) + self.alpha_iou * overlap.detach().clamp(min=0)
        there = F.binary_cross_entropy_with_logits(found[:, 4], likely, reduction="none")
        off = center - goal[:, 0:2], extent - torch.log(goal[:, 2:4] / size + 1e-16)
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
