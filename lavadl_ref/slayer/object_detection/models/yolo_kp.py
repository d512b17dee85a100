"""YOLO-KP: a Tiny YOLOv3 whose shape fits eight Loihi 2 chips."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lavadl_ref.slayer import neuron
from lavadl_ref.slayer.block import sigma_delta
from lavadl_ref.slayer.loss import SparsityEnforcer
from lavadl_ref.slayer.object_detection.models.detector import (
    BLOCK,
    SequentialDetector,
    head,
    quantize_5bit,
)
from lavadl_ref.slayer.object_detection.yolo_base import Anchors

#: Width and height of the anchors of the one head, in units of the frame; Lava-DL's.
ANCHORS: Anchors = (((0.28, 0.22), (0.38, 0.48), (0.90, 0.78)),)


def trunk(neuron_params: dict[str, Any]) -> list[torch.nn.Module]:
    """The blocks from 32 channels at 1/4 of the resolution to 512 channels at 1/32."""
    narrow = {**BLOCK, "pre_hook_fx": quantize_5bit}
    conv = sigma_delta.Conv
    return [
        conv(neuron_params, 32, 64, 3, padding=1, stride=2, weight_scale=1, **BLOCK),
        conv(neuron_params, 64, 128, 3, padding=1, stride=2, weight_scale=3, **BLOCK),
        conv(neuron_params, 128, 256, 3, padding=1, stride=1, weight_scale=3, **BLOCK),
        conv(neuron_params, 256, 256, 3, padding=1, stride=2, weight_scale=3, **BLOCK),
        conv(neuron_params, 256, 512, 3, padding=1, stride=1, weight_scale=3, **narrow),
        conv(neuron_params, 512, 256, 1, padding=0, stride=1, weight_scale=3, **narrow),
        conv(neuron_params, 256, 512, 3, padding=1, stride=1, weight_scale=3, **narrow),
    ]


def sdnn_params(threshold: float, tau_grad: float, scale_grad: float) -> dict[str, Any]:
    """The arguments of the sigma-delta neurons, without norm."""
    return {
        "threshold": threshold,
        "tau_grad": tau_grad,
        "scale_grad": scale_grad,
        "requires_grad": False,
        "shared_param": True,
        "activation": F.relu,
    }


class Network(SequentialDetector):
    """YOLO-KP with sigma-delta neurons.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    anchors : sequence of sequence of (float, float)
        Width and height of each anchor of the one head, in units of the frame.
    threshold : float
        Smallest change of their value that neurons send, in units of 1.
    tau_grad, scale_grad : float
        Width and height of the surrogate gradient.
    clamp_max : float
        As in `YOLOBase`.

    Examples
    --------
    >>> net = Network(num_classes=2).eval()
    >>> net.init_model((32, 32, 3))
    >>> net.scale  # cells of the grid, width and height
    [(1, 1)]
    >>> boxes, rates = net(torch.zeros(1, 3, 32, 32, 2))
    >>> boxes.shape, rates.shape
    (torch.Size([1, 3, 7, 2]), torch.Size([1, 12]))
    """

    def __init__(
        self,
        num_classes: int = 80,
        anchors: Anchors = ANCHORS,
        threshold: float = 0.1,
        tau_grad: float = 0.1,
        scale_grad: float = 0.1,
        clamp_max: float = 5.0,
    ) -> None:
        super().__init__(num_classes=num_classes, anchors=anchors, clamp_max=clamp_max)
        sdnn = sdnn_params(threshold, tau_grad, scale_grad)
        normed = {**sdnn, "norm": neuron.norm.MeanOnlyBatchNorm}
        self.input_blocks = torch.nn.ModuleList([sigma_delta.Input(sdnn)])
        self.blocks = torch.nn.ModuleList([
            sigma_delta.Conv(normed, 3, 16, 3, padding=1, stride=2, weight_scale=1, **BLOCK),
            sigma_delta.Conv(normed, 16, 32, 3, padding=1, stride=2, weight_scale=1, **BLOCK),
            *trunk(normed),
        ])  # fmt: skip
        self.heads = torch.nn.ModuleList(head(512, self.num_output))

    @property
    def layers(self) -> list[Any]:
        """All blocks and the head, in order. `lavadl_ref.verify.trained` compares these with a file."""
        return [*self.input_blocks, *super().layers]

    def forward(self, input: Tensor, sparsity_monitor: SparsityEnforcer | None = None) -> tuple[Any, Tensor]:
        """The boxes of clips.

        Parameters
        ----------
        input : Tensor
            (N, 3, H, W, T) float32 with values in [0, 1].
        sparsity_monitor : SparsityEnforcer, optional
            Receives the activity of the blocks.

        Returns
        -------
        output : Tensor or list of Tensor
            In evaluation mode the boxes (N, anchors * H * W, 5 + classes, T), see `YOLOBase.yolo`. In training mode a
            list with the raw output of the head, see `YOLOBase.yolo_raw`.
        rates : Tensor
            (1, 12), the fraction of nonzero values in the output of each block, and of synapse and sigma of the head.
        """
        rates: list[float] = []
        x = self._passed(self.normalized(input), self.input_blocks, rates, None)
        x = self._passed(x, self.blocks, rates, sparsity_monitor)
        x = self._passed(x, self.heads, rates, None)
        return self._result([x], rates)
