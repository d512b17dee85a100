"""The targets of a YOLO network for the boxes of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lavadl_ref._assigned import Guarded, derived
from lavadl_ref.slayer.object_detection.boundingbox.annotation import Annotation, tensor_from_annotation
from lavadl_ref.slayer.object_detection.boundingbox.metrics import wh_iou

#: The confidence of a target: an object is there, none is there, or the loss does not count the prediction.
POSITIVE, NEGATIVE, IGNORED = 1, 0, -1


def anchor_tensor(anchors: Any) -> Tensor:
    """`anchors`, widths and heights in units of the frame, as float32 (heads, anchors, 2).

    Raises
    ------
    ValueError
        They have another shape, or a size is not positive.
    """
    tensor = torch.as_tensor(anchors, dtype=torch.float32).detach().cpu()
    if tensor.ndim != 3 or tensor.shape[-1] != 2 or not tensor.numel() or not bool((tensor > 0).all()):
        raise ValueError(f"anchors must be positive (width, height) for each anchor of each head, got {anchors!r}")
    return tensor


class Anchored(Guarded):
    """A base with the attributes that follow from `anchors`, (heads, anchors, 2)."""

    anchors: Tensor

    @derived("it follows from anchors")
    def num_scales(self) -> int:
        """Number of heads."""
        return self.anchors.shape[0]

    @derived("it follows from anchors")
    def num_anchors(self) -> int:
        """Number of anchors of each head."""
        return self.anchors.shape[1]

    @derived("it follows from anchors")
    def flat_anchors(self) -> Tensor:
        """The anchors of all heads, (heads * anchors, 2)."""
        return self.anchors.flatten(0, 1)


class YOLOtarget(Anchored):
    """The targets of the heads of a YOLO network.

    In the grid of each head, an object is assigned to the cell that contains its centre. Among the anchors of this cell
    that no earlier object took, it takes the one whose width and height overlap its own most. Other anchors of the cell
    that overlap it by more than a threshold are ignored: the loss counts them neither as right nor as wrong.

    Parameters
    ----------
    anchors : sequence
        Width and height of each anchor of each head, (heads, anchors, 2), in units of the frame.
    scales : sequence of (int, int)
        Width and height of the grid of each head, in cells.
    num_classes : int
        Number of classes.
    ignore_iou_thres : float
        Overlap of width and height, as `wh_iou` computes it, above which an anchor that the object does not take is
        ignored.

    Raises
    ------
    ValueError
        The number of scales is not that of the heads, or `anchors` has another shape.

    Examples
    --------
    One head with a grid of 2x2 cells and one anchor. The object is in the left upper cell.

    >>> target = YOLOtarget(anchors=[[(0.5, 0.5)]], scales=[(2, 2)], num_classes=3)
    >>> boxes = torch.tensor([[0.25, 0.25, 0.5, 0.5, 1.0, 2.0]])
    >>> head = target.forward(boxes)[0]
    >>> head.shape
    torch.Size([1, 2, 2, 6])
    >>> head[0, 0, 0]  # x, y within the cell, width, height in cells, confidence, label
    tensor([0.5000, 0.5000, 1.0000, 1.0000, 1.0000, 2.0000])
    """

    def __init__(
        self, anchors: Any, scales: Sequence[Sequence[int]], num_classes: int, ignore_iou_thres: float = 0.5
    ) -> None:
        self.anchors = anchor_tensor(anchors)
        if len(self.anchors) != len(scales):
            raise ValueError(f"scales must hold one grid per head, got {len(self.anchors)} heads and scales {scales}")
        self.scales = [(int(w), int(h)) for w, h in scales]
        self.num_classes = num_classes
        self.ignore_iou_thres = ignore_iou_thres

    def forward(self, targets: Tensor) -> list[Tensor]:
        """The targets for one frame.

        Parameters
        ----------
        targets : Tensor
            (n, 6): x_center, y_center, width, height in units of the frame, confidence, label.

        Returns
        -------
        list of Tensor
            (anchors, H, W, 6) float32 of each head: x and y within the cell, width and height in cells, confidence (1
            for an object, 0 for none, -1 for an ignored anchor), label.

        Raises
        ------
        ValueError
            A centre is outside the frame, a size is not positive, or a label is none of the classes.
        """
        return [scale[0] for scale in self.frames([targets])]

    def frames(self, boxes: Sequence[Tensor]) -> list[Tensor]:
        """The targets for F frames at once, from `boxes` (n, 6) of each: (F, anchors, H, W, 6) of each head."""
        counts = torch.tensor([len(frame) for frame in boxes], dtype=torch.long)
        frame = torch.repeat_interleave(torch.arange(len(boxes)), counts)
        objects = torch.cat([torch.zeros(0, 6), *(b.reshape(-1, 6).cpu() for b in boxes)])
        self._check(objects)
        return [
            self._head(objects, frame, len(boxes), anchors, *scale)
            for anchors, scale in zip(self.anchors, self.scales, strict=True)
        ]

    def _check(self, objects: Tensor) -> None:
        center, size, label = objects[:, :2], objects[:, 2:4], objects[:, 5]
        bad = ~((center >= 0) & (center <= 1) & (size > 0)).all(1) | ~((label >= 0) & (label < self.num_classes))
        if bad.any():
            raise ValueError(
                "a box must have its centre in the frame, from 0 to 1, a positive size and a label below "
                f"{self.num_classes}, got {objects[bad][0].tolist()}"
            )

    def _head(self, objects: Tensor, frame: Tensor, frames: int, anchors: Tensor, width: int, height: int) -> Tensor:
        """The targets of one head, (frames, anchors, height, width, 6)."""
        tgt = torch.zeros(frames, len(anchors), height, width, 6)
        grid = torch.tensor([width, height])
        at = objects[:, :2] * grid
        # A centre on the right or lower edge of the frame belongs to the last cell.
        cell = torch.minimum(at.long(), grid - 1)
        place = (frame * height + cell[:, 1]) * width + cell[:, 0]
        overlap = wh_iou(objects[:, 2:4], anchors)
        taken = torch.zeros(frames * height * width, len(anchors), dtype=torch.bool)
        rows = torch.cat([at - cell, objects[:, 2:4] * grid, torch.ones(len(objects), 1), objects[:, 5:6].trunc()], 1)
        # Objects compete for anchors within their cell only. So all first objects of a cell are assigned at once, then
        # all second ones, and so on.
        rank = _occurrence(place)
        for turn in range(min(int(rank.max()) + 1 if len(rank) else 0, len(anchors))):
            these = torch.nonzero(rank == turn)[:, 0]
            best = overlap[these].masked_fill(taken[place[these]], -1).argmax(1)
            taken[place[these], best] = True
            tgt[frame[these], best, cell[these, 1], cell[these, 0]] = rows[these]
        confidence = tgt[..., 4]
        close, anchor = torch.nonzero(overlap > self.ignore_iou_thres, as_tuple=True)
        free = ~taken[place[close], anchor]
        close, anchor = close[free], anchor[free]
        confidence[frame[close], anchor, cell[close, 1], cell[close, 0]] = IGNORED
        return tgt

    def collate_fn(
        self, batch: Sequence[tuple[Tensor, Sequence[Annotation]]]
    ) -> tuple[Tensor, list[Tensor], list[list[Tensor]]]:
        """Make a batch of clips and their annotations.

        Parameters
        ----------
        batch : sequence of (Tensor, sequence of dict)
            N clips (C, H, W, T) of one shape and dtype, and the annotation of each of their T frames.

        Returns
        -------
        images : Tensor
            (N, C, H, W, T).
        targets : list of Tensor
            (N, anchors, H, W, 6, T) float32 of each head; see `forward`.
        bboxes : list of list of Tensor
            The boxes (n, 6) of each step and sample, ``bboxes[t][n]``, as `tensor_from_annotation` returns them.

        Raises
        ------
        ValueError
            A clip has another number of annotations than of frames.
        """
        images = torch.stack([image for image, _ in batch])
        steps = images.shape[-1]
        if any(len(annotations) != steps for _, annotations in batch):
            found = [len(annotations) for _, annotations in batch]
            raise ValueError(f"clips of {steps} frames must have as many annotations, got {found}")
        bboxes = [[tensor_from_annotation(annotations[t]) for _, annotations in batch] for t in range(steps)]
        flat = self.frames([boxes for step in bboxes for boxes in step])
        return (
            images,
            [head.reshape(steps, len(batch), *head.shape[1:]).permute(1, 2, 3, 4, 5, 0) for head in flat],
            bboxes,
        )


def _occurrence(values: Tensor) -> Tensor:
    """The number of earlier entries equal to each entry of `values` (n,), int64 (n,)."""
    order = torch.argsort(values, stable=True)
    counts = torch.unique_consecutive(values[order], return_counts=True)[1]
    start = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    rank = torch.empty_like(values)
    rank[order] = torch.arange(len(values)) - start
    return rank
