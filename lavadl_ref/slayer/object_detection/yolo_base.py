"""The base of all YOLO networks, which computes boxes from the output of a network."""

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

    A head is an output of the network with a grid of cells over the frame. In each cell and at each step it makes one
    prediction for each of its anchors: x and y of the centre within the cell as logits, the logarithms of width and
    height relative to the anchor, the logit of the probability that an object is there, and the logits of the classes.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    anchors : sequence of sequence of (float, float)
        Width and height of each anchor of each head, (heads, anchors, 2), in units of the frame.
    clamp_max : float
        Largest logarithm of width and height; larger ones are clamped to it, so that a box stays finite.

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

    Raises
    ------
    ValueError
        `num_classes` is less than 1, or `anchors` has another shape.

    Notes
    -----
    `yolo` computes the size of a box in units of the frame as exp(logarithm) * anchor / cells of the grid. `YOLOtarget`
    compares anchors with boxes in units of the frame, without the division by the number of cells. Both are so in
    Lava-DL, and its trained networks depend on it: their logarithms are larger by the logarithm of the number of cells.

    Examples
    --------
    >>> base = YOLOBase(num_classes=2, anchors=(((0.5, 0.5), (0.2, 0.4)),))
    >>> base.num_scales, base.num_anchors, base.num_output
    (1, 2, 14)
    >>> raw = base.yolo_raw(torch.zeros(1, 14, 4, 4, 8))  # a grid of 4x4 cells, 8 steps
    >>> raw.shape
    torch.Size([1, 2, 4, 4, 7, 8])
    >>> base.yolo(raw, base.anchors[0])[0, 0, :, 0]  # a logit of 0 is the middle of the cell, and a probability of 1/2
    tensor([0.1250, 0.1250, 0.1250, 0.1250, 0.5000, 0.5000, 0.5000])
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
        return int(self.num_anchors * (5 + self.num_classes))

    def yolo(self, x: Tensor, anchors: Tensor) -> Tensor:
        """The boxes that a head predicts.

        Parameters
        ----------
        x : Tensor
            (N, anchors, H, W, 5 + classes, T), the result of `yolo_raw`, of a floating dtype.
        anchors : Tensor
            (anchors, 2), width and height of the anchors of the head, in units of the frame.

        Returns
        -------
        Tensor
            (N, anchors * H * W, 5 + classes, T): x_center, y_center, width, height in units of the frame, the
            probability that an object is there, and the probabilities of the classes.

        Raises
        ------
        ValueError
            The output is not finite.
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
            raise ValueError(
                "the output of a head must be finite, got a value that is not: training has diverged, or the input is "
                "not finite"
            )
        return boxes.reshape(n, -1, p, t)

    def yolo_raw(self, x: Tensor) -> Tensor:
        """The output `x` of a head, (N, anchors * (5 + classes), H, W, T), as (N, anchors, H, W, 5 + classes, T)."""
        return torch.unflatten(x, 1, (self.num_anchors, -1)).permute(0, 1, 3, 4, 2, 5)

    def init_model(self, input_dim: tuple[int, int, int] = (448, 448, 3)) -> None:
        """Determine the grids of the heads, and all shapes in the network, for frames of one size.

        Parameters
        ----------
        input_dim : (int, int, int)
            Height and width of the frames in pixels, and their channels.

        Notes
        -----
        The network runs on a random frame. The statistics of its norms and its mode, training or evaluation, stay as
        they are.
        """
        height, width, channels = input_dim
        modes: dict[torch.nn.Module, bool] = {module: module.training for module in self.modules()}
        self.eval()
        self.training = True  # the network then returns the raw output, which has the shape of the grid
        try:
            with torch.no_grad():
                heads: Any = self(torch.rand(1, channels, height, width, 1, device=self.anchors.device))[0]
        finally:
            for module, mode in modes.items():
                module.training = mode
        self.scale = [(head.shape[3], head.shape[2]) for head in heads]

    def validate_gradients(self) -> None:
        """Reset all gradients if any of them is not finite."""
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        if not all(bool(gradient.isfinite().all()) for gradient in gradients):
            self.zero_grad()
