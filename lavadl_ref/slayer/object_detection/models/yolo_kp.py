"""YOLO-KP: Tiny YOLOv3 reshaped for eight Loihi 2 chips."""

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

ANCHORS: Anchors = (((0.28, 0.22), (0.38, 0.48), (0.90, 0.78)),)


def trunk(neuron_params: dict[str, Any]) -> list[torch.nn.Module]:
    """The blocks from 32 channels at a quarter of the resolution to 512 at a thirty-second."""
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
    """Arguments of the sigma-delta neurons, without norm."""
    return {
        "threshold": threshold,
        "tau_grad": tau_grad,
        "scale_grad": scale_grad,
        "requires_grad": False,
        "shared_param": True,
        "activation": F.relu,
    }


class Network(SequentialDetector):
    """YOLO-KP of sigma-delta neurons.

    Parameters
    ----------
    num_classes : int
        Number of classes.
    anchors : sequence of sequence of (float, float)
        Width and height of each anchor of the one head, in units of the frame.
    threshold : float
        Smallest change that neurons send.
    tau_grad, scale_grad : float
        Width and height of the surrogate gradient to the threshold.
    clamp_max : float
        As in `YOLOBase`.
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
        return [*self.input_blocks, *super().layers]

    def forward(self, input: Tensor, sparsity_monitor: SparsityEnforcer | None = None) -> tuple[Any, Tensor]:
        """Boxes of clips.

        Parameters
        ----------
        input : Tensor
            (N, 3, H, W, T), from 0 to 1.
        sparsity_monitor : SparsityEnforcer, optional
            Gathers the activity of the blocks.

        Returns
        -------
        output : Tensor or list of Tensor
            In evaluation the boxes (N, anchors * H * W, 5 + classes, T), see `YOLOBase.yolo`; in training a list with
            the raw output of the head, see `YOLOBase.yolo_raw`.
        rates : Tensor
            (1, 12), the share of nonzero values that each block sent, and synapse and sigma of the head gave.
        """
        rates: list[float] = []
        x = self._passed(self.normalized(input), self.input_blocks, rates, None)
        x = self._passed(x, self.blocks, rates, sparsity_monitor)
        x = self._passed(x, self.heads, rates, None)
        return self._result([x], rates)
