"""What all YOLO networks share: the boxes that a network's output stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lavadl_ref._assigned import derived
from lavadl_ref.slayer.object_detection.loss import YOLOLoss
from lavadl_ref.slayer.object_detection.target import Anchored, YOLOtarget, anchor_tensor

__all__ = ["Anchors", "YOLOBase", "YOLOLoss", "YOLOtarget"]

Anchors = Sequence[Sequence[tuple[float, float]]]


class YOLOBase(Anchored, torch.nn.Module):
    """Base of networks that predict boxes from clips.

    A head gives, in each cell of a grid and at each step, one prediction for each of its anchors: x and y within the
    cell as logits, logarithms of width and height over those of the anchor, the logit of an object being there, and
    the logits of the classes.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    anchors : sequence of sequence of (float, float)
        Width and height of each anchor of each head, (heads, anchors, 2).
    clamp_max : float
        Largest logarithm of width and height that is taken; larger ones count as this.

    Attributes
    ----------
    anchors : Tensor
        (heads, anchors, 2) float32.
    num_scales, num_anchors : int
        Number of heads, and of anchors of each.
    num_output : int
        Channels of a head: anchors * (5 + classes).
    scale : list of (int, int) or None
        Width and height of the grid of each head, in cells; `init_model` sets it.

    Notes
    -----
    The size of a box in units of the frame is exp(logarithm) * anchor / cells of the grid, but `YOLOtarget` compares
    anchors with boxes in units of the frame, without that division. Lava-DL has it so, and its trained networks learned
    it so: their logarithms are larger by that of the number of cells.
    """

    anchors: Tensor

    def __init__(
        self,
        num_classes: int = 20,
        anchors: Anchors = (
            ((0.28, 0.22), (0.38, 0.48), (0.90, 0.78)),
            ((0.07, 0.15), (0.15, 0.11), (0.14, 0.29)),
            ((0.02, 0.03), (0.04, 0.07), (0.08, 0.06)),
        ),
        clamp_max: float = 5.0,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        self.register_buffer("anchors", anchor_tensor(anchors))
        self._classes = num_classes
        self.clamp_max = clamp_max
        self.scale: list[tuple[int, int]] | None = None

    @derived("heads are made for it: make another network")
    def num_classes(self) -> int:
        """Number of classes."""
        return self._classes

    @derived("it follows from num_classes and the anchors")
    def num_output(self) -> int:
        """Channels of a head."""
        return self.num_anchors * (5 + self.num_classes)

    def yolo(self, x: Tensor, anchors: Tensor) -> Tensor:
        """The boxes that a head predicts.

        Parameters
        ----------
        x : Tensor
            (N, anchors, H, W, 5 + classes, T), what `yolo_raw` gives.
        anchors : Tensor
            (anchors, 2), those of the head.

        Returns
        -------
        Tensor
            (N, anchors * H * W, 5 + classes, T): x_center, y_center, width, height in units of the frame, the
            probability of an object, and those of the classes.

        Raises
        ------
        ValueError
            If the output is not finite.
        """
        n, _, h, w, p, t = x.shape
        cells = torch.tensor([w, h], dtype=x.dtype, device=x.device).reshape(2, 1)
        columns = torch.arange(w, dtype=x.dtype, device=x.device).expand(h, w)
        rows = torch.arange(h, dtype=x.dtype, device=x.device).reshape(h, 1).expand(h, w)
        corner = torch.stack([columns, rows], dim=-1).unsqueeze(-1)
        center = (x[..., 0:2, :].sigmoid() + corner) / cells
        size = x[..., 2:4, :].clamp(max=self.clamp_max).exp() * anchors.reshape(1, -1, 1, 1, 2, 1) / cells
        boxes = torch.cat([center, size, x[..., 4:5, :].sigmoid(), x[..., 5:, :].softmax(dim=-2)], dim=-2)
        if not boxes.isfinite().all():
            raise ValueError("the output of a head is not finite: training has diverged, or the input is not finite")
        return boxes.reshape(n, -1, p, t)

    def yolo_raw(self, x: Tensor) -> Tensor:
        """The output of a head, (N, anchors * (5 + classes), H, W, T), as (N, anchors, H, W, 5 + classes, T)."""
        return x.unflatten(1, (self.num_anchors, -1)).permute(0, 1, 3, 4, 2, 5)

    def init_model(self, input_dim: tuple[int, int, int] = (448, 448, 3)) -> None:
        """Find the grids of the heads for frames of a size, and fix all shapes that depend on it.

        Parameters
        ----------
        input_dim : (int, int, int)
            Height, width and channels.

        Notes
        -----
        A random frame is passed. Statistics of norms and the mode, training or evaluation, stay as they are.
        """
        height, width, channels = input_dim
        modes: dict[torch.nn.Module, bool] = {module: module.training for module in self.modules()}
        self.eval()
        self.training = True  # for raw output
        try:
            with torch.no_grad():
                heads: Any = self(torch.rand(1, channels, height, width, 1, device=self.anchors.device))[0]
        finally:
            for module, mode in modes.items():
                module.training = mode
        self.scale = [(head.shape[3], head.shape[2]) for head in heads]

    def validate_gradients(self) -> None:
        """Forget all gradients if any of them is not finite."""
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        if not all(bool(gradient.isfinite().all()) for gradient in gradients):
            self.zero_grad()
