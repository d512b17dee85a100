"""Tiny YOLOv3 with sigma-delta neurons, and with strides in place of pooling: two heads at two resolutions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lavadl_ref.slayer import neuron
from lavadl_ref.slayer.block import _saturation, sigma_delta
from lavadl_ref.slayer.loss import SparsityEnforcer
from lavadl_ref.slayer.object_detection.models.detector import BLOCK, Detector, Readout, head
from lavadl_ref.slayer.object_detection.models.yolo_kp import sdnn_params
from lavadl_ref.slayer.object_detection.yolo_base import Anchors

if TYPE_CHECKING:
    import h5py


class Network(Detector):
    """Tiny YOLOv3 with sigma-delta neurons.

    Parameters
    ----------
    num_classes, threshold, tau_grad, scale_grad, clamp_max
        As in `yolo_kp.Network`.
    anchors : sequence of sequence of (float, float)
        Width and height of each anchor of each of the two heads, in units of the frame.

    Examples
    --------
    >>> net = Network(num_classes=2).eval()
    >>> net.init_model((32, 32, 3))
    >>> net.scale  # cells of the two grids, width and height
    [(1, 1), (2, 2)]
    """

    def __init__(
        self,
        num_classes: int = 80,
        anchors: Anchors = (
            ((0.28, 0.22), (0.38, 0.48), (0.90, 0.78)),
            ((0.07, 0.15), (0.15, 0.11), (0.14, 0.29)),
        ),
        threshold: float = 0.1,
        tau_grad: float = 0.1,
        scale_grad: float = 0.1,
        clamp_max: float = 5.0,
    ) -> None:
        super().__init__(num_classes=num_classes, anchors=anchors, clamp_max=clamp_max)
        sdnn = sdnn_params(threshold, tau_grad, scale_grad)
        normed = {**sdnn, "norm": neuron.norm.MeanOnlyBatchNorm}
        blocks, conv = torch.nn.ModuleList, sigma_delta.Conv
        self.input_blocks = blocks([sigma_delta.Input(sdnn)])
        self.backend_blocks = blocks([
            conv(normed, 3, 16, 3, padding=1, stride=2, weight_scale=1, **BLOCK),
            conv(normed, 16, 32, 3, padding=1, stride=2, weight_scale=1, **BLOCK),
            conv(normed, 32, 64, 3, padding=1, stride=2, weight_scale=1, **BLOCK),
            conv(normed, 64, 128, 3, padding=1, stride=2, weight_scale=3, **BLOCK),
            conv(normed, 128, 256, 3, padding=1, stride=1, weight_scale=3, **BLOCK),
        ])  # fmt: skip
        self.head1_backend = blocks([
            conv(normed, 256, 256, 3, padding=1, stride=2, **BLOCK),
            conv(normed, 256, 512, 3, padding=1, stride=1, **BLOCK),
            conv(normed, 512, 1024, 3, padding=1, stride=1, **BLOCK),
            conv(normed, 1024, 256, 1, padding=0, stride=1, **BLOCK),
        ])  # fmt: skip
        self.head1_blocks = blocks([
            conv(normed, 256, 512, 3, padding=1, stride=1, **BLOCK),
            *head(512, self.num_output),
        ])  # fmt: skip
        self.head2_backend = blocks([
            conv(normed, 256, 128, 1, padding=0, stride=1, **BLOCK),
            sigma_delta.Unpool(sdnn, kernel_size=2, stride=2, **BLOCK),
        ])  # fmt: skip
        self.head2_blocks = blocks([
            conv(normed, 384, 256, 3, padding=1, stride=1, **BLOCK),
            *head(256, self.num_output),
        ])  # fmt: skip

    @property
    def parts(self) -> dict[str, list[Any]]:
        """The layers of each branch. `lavadl_ref.verify.trained` compares these with the file of the branch.

        ``backend`` receives the frames. ``head1_backend`` receives the output of ``backend``; ``head1`` and
        ``head2_backend`` receive that of ``head1_backend``. ``head2`` receives the channels of ``head2_backend``, then
        those of ``backend``.
        """
        return {
            "backend": [*self.input_blocks, *self.backend_blocks],
            "head1_backend": [*self.head1_backend],
            "head1": [self.head1_blocks[0], Readout.of(self.head1_blocks)],
            "head2_backend": [*self.head2_backend],
            "head2": [self.head2_blocks[0], Readout.of(self.head2_blocks)],
        }

    def forward(self, input: Tensor, sparsity_monitor: SparsityEnforcer | None = None) -> tuple[Any, Tensor]:
        """The boxes of clips.

        Parameters
        ----------
        input : Tensor
            (N, 3, H, W, T) float32 with values in [0, 1]; height and width are multiples of 32.
        sparsity_monitor : SparsityEnforcer, optional
            Receives the activity of the blocks.

        Returns
        -------
        output : Tensor or list of Tensor
            In evaluation mode the boxes of both grids (N, n, 5 + classes, T), those of the coarse grid first, see
            `YOLOBase.yolo`. In training mode a list with the raw output of each head, see `YOLOBase.yolo_raw`.
        rates : Tensor
            (1, 18), the fraction of nonzero values in the output of each block, and of synapse and sigma of each head,
            in the order of the attributes.

        Raises
        ------
        ValueError
            Height or width is no multiple of 32.
        """
        if any(extent % 32 for extent in input.shape[2:4]):
            raise ValueError(f"height and width of input must be multiples of 32, got {tuple(input.shape[2:4])}")
        rates: list[float] = []
        x = self._passed(self.normalized(input), self.input_blocks, rates, None)
        backend = self._passed(x, self.backend_blocks, rates, sparsity_monitor)
        coarse = self._passed(backend, self.head1_backend, rates, sparsity_monitor)
        head1 = self._read_out(coarse, self.head1_blocks, rates, sparsity_monitor)
        fine = self._passed(coarse, self.head2_backend, rates, sparsity_monitor)
        both = torch.cat([fine, backend], dim=1)
        head2 = self._read_out(both, self.head2_blocks, rates, sparsity_monitor)
        return self._result([head1, head2], rates)

    def _read_out(
        self, x: Tensor, blocks: torch.nn.ModuleList, rates: list[float], monitor: SparsityEnforcer | None
    ) -> Tensor:
        return self._passed(self._passed(x, [blocks[0]], rates, monitor), [*blocks][1:], rates, None)

    def export_hdf5(self, filename: str | os.PathLike[str]) -> list[Path]:
        """Write each of `parts` as a ``.net`` file, because a file holds a chain of blocks without branches.

        Parameters
        ----------
        filename : path
            The name of a part is inserted before the suffix: ``yolo.net`` becomes ``yolo.backend.net`` and so on.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        RuntimeError
            The network has not run yet, so that shapes are not known.
        """
        path = Path(filename)
        files = {path.with_name(f"{path.stem}.{name}{path.suffix}"): layers for name, layers in self.parts.items()}
        for file, layers in files.items():
            self._exported(layers, file)
        return list(files)

    def export_hdf5_head(self, handle: h5py.Group, head: int = 0) -> None:
        """Write a head, 0 for the coarse grid or 1 for the fine one, into an open group of a ``.net`` file.

        Raises
        ------
        RuntimeError
            The network has not run yet, so that the shape is not known.
        """
        _saturation.write(handle, Readout.of((self.head1_blocks, self.head2_blocks)[head]))
