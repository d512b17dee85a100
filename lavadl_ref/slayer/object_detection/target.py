"""What a YOLO network shall predict for the boxes of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lavadl_ref._assigned import Guarded, derived
from lavadl_ref.slayer.object_detection.boundingbox.annotation import Annotation, tensor_from_annotation
from lavadl_ref.slayer.object_detection.boundingbox.metrics import wh_iou

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1  #: confidence of a target


def anchor_tensor(anchors: Any) -> Tensor:
    """`anchors` as float32 (heads, anchors, 2).

    Raises
    ------
    ValueError
        If they have another form, or a size is not positive.
    """
    tensor = torch.as_tensor(anchors, dtype=torch.float32).detach().cpu()
    if tensor.ndim != 3 or tensor.shape[-1] != 2 or not tensor.numel() or not bool((tensor > 0).all()):
        raise ValueError(f"anchors must be positive (width, height) for each anchor of each head, got {anchors!r}")
    return tensor


class Anchored(Guarded):
    """What follows from `anchors`, (heads, anchors, 2)."""

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
    """Targets of the heads of a YOLO network.

    In each grid, an object belongs to the cell of its centre, and there to the anchor that it resembles most in width
    and height among those that no object before it took.  Other anchors of the cell that resemble it enough are
    neither right nor wrong.

    Parameters
    ----------
    anchors : sequence
        Width and height of each anchor of each head, (heads, anchors, 2), in units of the frame.
    scales : sequence of (int, int)
        Width and height of the grid of each head, in cells.
    num_classes : int
        Number of classes.
    ignore_iou_thres : float
        Resemblance, as `wh_iou`, above which an anchor that the object does not get is not counted as wrong.

    Raises
    ------
    ValueError
        If the number of scales is not that of the heads, or anchors have another form.
    """

    def __init__(
        self, anchors: Any, scales: Sequence[Sequence[int]], num_classes: int, ignore_iou_thres: float = 0.5
    ) -> None:
        self.anchors = anchor_tensor(anchors)
        if len(self.anchors) != len(scales):
            raise ValueError(f"each head has a scale, got {len(self.anchors)} heads and scales {scales}")
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
            (anchors, H, W, 6) of each head: x and y within the cell, width and height in cells, confidence (1 for an
            object, 0 for none, -1 for what is not to be counted), label.

        Raises
        ------
        ValueError
            If a centre is outside the frame, a size is not positive, or a label is none of the classes.
        """
        return [scale[0] for scale in self.frames([targets])]

    def frames(self, boxes: Sequence[Tensor]) -> list[Tensor]:
        """As `forward`, for F frames at once: (F, anchors, H, W, 6) of each head."""
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
                f"{self.num_classes}; got {objects[bad][0].tolist()}"
            )

    def _head(self, objects: Tensor, frame: Tensor, frames: int, anchors: Tensor, width: int, height: int) -> Tensor:
        """The targets of one head, (frames, anchors, height, width, 6)."""
        tgt = torch.zeros(frames, len(anchors), height, width, 6)
        grid = torch.tensor([width, height])
        at = objects[:, :2] * grid
        # a centre on the last edge is in the last cell
        cell = torch.minimum(at.long(), grid - 1)
        place = (frame * height + cell[:, 1]) * width + cell[:, 0]
        alike = wh_iou(objects[:, 2:4], anchors)
        taken = torch.zeros(frames * height * width, len(anchors), dtype=torch.bool)
        rows = torch.cat([at - cell, objects[:, 2:4] * grid, torch.ones(len(objects), 1), objects[:, 5:6].trunc()], 1)
        # objects of different cells do not disturb each other: first the first of each cell, then the second, ...
        rank = _occurrence(place)
        for turn in range(min(int(rank.max()) + 1 if len(rank) else 0, len(anchors))):
            these = torch.nonzero(rank == turn)[:, 0]
            best = alike[these].masked_fill(taken[place[these]], -1).argmax(1)
            taken[place[these], best] = True
            tgt[frame[these], best, cell[these, 1], cell[these, 0]] = rows[these]
        confidence = tgt[..., 4]
        close, anchor = torch.nonzero(alike > self.ignore_iou_thres, as_tuple=True)
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
            N clips (C, H, W, T), and the annotation of each of their T frames.

        Returns
        -------
        images : Tensor
            (N, C, H, W, T).
        targets : list of Tensor
            (N, anchors, H, W, 6, T) of each head; see `forward`.
        bboxes : list of list of Tensor
            (n, 6) of each step and sample, ``bboxes[t][n]``.

        Raises
        ------
        ValueError
            If the number of annotations is not that of the frames of each clip.
        """
        images = torch.stack([image for image, _ in batch])
        steps = images.shape[-1]
        if any(len(annotations) != steps for _, annotations in batch):
            found = [len(annotations) for _, annotations in batch]
            raise ValueError(f"clips of {steps} frames must have as many annotations, got {found}")
        bboxes = [[tensor_from_annotation(annotations[t]) for _, annotations in batch] for t in range(steps)]
        flat = self.frames([boxes for step in bboxes for boxes in step])
        return images, [head.unflatten(0, (steps, len(batch))).permute(1, 2, 3, 4, 5, 0) for head in flat], bboxes


def _occurrence(values: Tensor) -> Tensor:
    """How often each entry of `values` (n,) has come before, (n,)."""
    order = torch.argsort(values, stable=True)
    counts = torch.unique_consecutive(values[order], return_counts=True)[1]
    start = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
    rank = torch.empty_like(values)
    rank[order] = torch.arange(len(values)) - start
    return rank
