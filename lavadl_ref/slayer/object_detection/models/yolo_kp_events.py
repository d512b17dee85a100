"""YOLO-KP for event cameras: its first two convolutions have CUBA neurons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lavadl_ref.slayer import neuron
from lavadl_ref.slayer.block import cuba
from lavadl_ref.slayer.loss import SparsityEnforcer
from lavadl_ref.slayer.object_detection.models.detector import BLOCK, SequentialDetector, head
from lavadl_ref.slayer.object_detection.models.yolo_kp import ANCHORS, sdnn_params, trunk
from lavadl_ref.slayer.object_detection.yolo_base import Anchors

#: Arguments of the CUBA neurons.
CUBA = {"threshold": 0.1, "current_decay": 1, "voltage_decay": 0.1, "tau_grad": 0.1, "scale_grad": 15}


class Network(SequentialDetector):
    """YOLO-KP with CUBA and sigma-delta neurons, and without an input block.

    Parameters
    ----------
    num_classes, anchors, threshold, tau_grad, scale_grad, clamp_max
        As in `yolo_kp.Network`.
    cuba_params : mapping
        Arguments of the CUBA neurons.

    Examples
    --------
    >>> net = Network(num_classes=2).eval()
    >>> net.init_model((32, 32, 2))
    >>> boxes, rates = net(torch.zeros(1, 2, 32, 32, 2))
    >>> boxes.shape, rates.shape
    (torch.Size([1, 3, 7, 2]), torch.Size([1, 11]))
    """

    def __init__(
        self,
        num_classes: int = 80,
        anchors: Anchors = ANCHORS,
        threshold: float = 0.1,
        tau_grad: float = 0.1,
        scale_grad: float = 0.1,
        clamp_max: float = 5.0,
        cuba_params: Mapping[str, Any] = CUBA,
    ) -> None:
        super().__init__(num_classes=num_classes, anchors=anchors, clamp_max=clamp_max)
        norm = {"norm": neuron.norm.MeanOnlyBatchNorm}
        spiking = {**cuba_params, **norm}
        self.blocks = torch.nn.ModuleList([
            cuba.Conv(spiking, 2, 16, 3, padding=1, stride=2, weight_scale=3, **BLOCK),
            cuba.Conv(spiking, 16, 32, 3, padding=1, stride=2, weight_scale=3, **BLOCK),
            *trunk({**sdnn_params(threshold, tau_grad, scale_grad), **norm}),
        ])  # fmt: skip
        self.heads = torch.nn.ModuleList(head(512, self.num_output))

    def init_model(self, input_dim: tuple[int, int, int] = (448, 448, 2)) -> None:
        """Determine the grid of the head, and all shapes in the network: see `YOLOBase.init_model`."""
        super().init_model(input_dim)

    def forward(self, input: Tensor, sparsity_monitor: SparsityEnforcer | None = None) -> tuple[Any, Tensor]:
        """The boxes of clips of events, `input` (N, 2, H, W, T) float32 of zeros and ones.

        The results are those of `yolo_kp.Network.forward`, with 11 rates.
        """
        rates: list[float] = []
        x = self._passed(input, self.blocks, rates, sparsity_monitor)
        x = self._passed(x, self.heads, rates, None)
        return self._result([x], rates)
