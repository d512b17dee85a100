"""Convolutional and pooling synapses.

A tensor whose memory has time as the slowest axis is treated as T * N independent frames, so that a synapse is one 2-D
operation.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lavadl_ref.slayer.synapse.dense import Dense as Dense
from lavadl_ref.slayer.synapse.dense import GenericLayer as GenericLayer
from lavadl_ref.slayer.synapse.dense import Hook as Hook
from lavadl_ref.slayer.synapse.dense import Size as Size
from lavadl_ref.slayer.synapse.dense import checked as checked
from lavadl_ref.slayer.synapse.dense import convolved, frames, initial_factor, of_frames, sizes, unframed
from lavadl_ref.slayer.utils import _validate


def pair(value: Any, what: str, smallest: int) -> tuple[int, int]:
    """`value` as (height, width).

    Raises
    ------
    ValueError
        If `value` is not one or two integers of at least `smallest`.
    """
    values = sizes(value)
    values = values * 2 if isinstance(value, Integral) else values
    if len(values) != 2 or not all(isinstance(v, Integral) and int(v) >= smallest for v in values):
        raise ValueError(f"{what} must be one or two integers of at least {smallest}, got {_validate.shown(value)}")
    return int(values[0]), int(values[1])


class _Kernel(GenericLayer):
    """A synapse with a kernel that moves over the frame."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
    ) -> None:
        for name, value in (("in_features", in_features), ("out_features", out_features), ("groups", groups)):
            if not isinstance(value, Integral) or value <= 0:
                raise ValueError(f"{name} must be a positive integer, got {_validate.shown(value)}")
        factor = initial_factor(weight_scale, weight_norm)
        if in_features % groups or out_features % groups:
            raise ValueError(
                f"in_features and out_features must be divisible by groups, "
                f"got {in_features}, {out_features} and {groups}"
            )
        kernel = pair(kernel_size, "kernel_size", 1)
        super().__init__(
            int(in_features),
            int(out_features),
            (*kernel, 1),
            stride=(*pair(stride, "stride", 1), 1),
            padding=(*pair(padding, "padding", 0), 0),
            dilation=(*pair(dilation, "dilation", 1), 1),
            groups=int(groups),
            bias=False,
            pre_hook_fx=pre_hook_fx,
        )
        self.weight.data *= factor
        if weight_norm:
            self.enable_weight_norm()

    def _check_channels(self, input: Tensor) -> None:
        checked(input, self)
        if input.ndim != 5 or input.shape[1] != self.in_channels:
            raise ValueError(
                f"input of a convolution must have the shape (N, {self.in_channels}, H, W, T), got {tuple(input.shape)}"
            )


class Conv(_Kernel, torch.nn.Conv3d):
    """Convolution over height and width.

    Parameters
    ----------
    in_features, out_features : int
        Channels.
    kernel_size, stride, padding, dilation : int or (int, int)
        (height, width).
    groups : int
        Independent groups of channels.
    weight_scale, weight_norm, pre_hook_fx
        As in `Dense`.

    Attributes
    ----------
    taken : ChosenPath or None
        How the last sums were computed, by events or as a product of integers or floats; `synapse.path` chooses.

    Examples
    --------
    >>> Conv(2, 3, 3)(torch.ones(4, 2, 8, 8, 10)).shape
    torch.Size([4, 3, 6, 6, 10])
    """

    def weight_gradient(self, input: Tensor, grad: Tensor) -> Tensor:
        return of_frames(self, input, grad)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve `input` (N, C, H, W, T)."""
        self._check_channels(input)
        return convolved(input, self)


class ConvTranspose(_Kernel, torch.nn.ConvTranspose3d):
    """Transposed convolution over height and width; parameters as `Conv`, weight (in, out / groups, kh, kw, 1).

    Examples
    --------
    >>> ConvTranspose(2, 3, 3)(torch.ones(4, 2, 8, 8, 10)).shape
    torch.Size([4, 3, 10, 10, 10])
    """

    def weight_gradient(self, input: Tensor, grad: Tensor) -> Tensor:
        return of_frames(self, grad, input)  # of the convolution that it transposes

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]
        """Apply the transposed convolution to `input` (N, C, H, W, T)."""
        self._check_channels(input)
        weight = self.hooked_weight.squeeze(-1)
        x = frames(input, weight.dtype, "convolution input")
        y = F.conv_transpose2d(x, weight, self.hooked_bias, groups=self.groups, **self._geometry)
        return unframed(y, input.shape[0], input.shape[-1])


class _Window(_Kernel):
    """A synapse with one fixed weight over a window of each channel."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
    ) -> None:
        stride = kernel_size if stride is None else stride
        super().__init__(1, 1, kernel_size, stride, padding, dilation, 1, weight_scale, False, pre_hook_fx)
        self.weight.requires_grad_(False)
        if _validate.flag(weight_norm, "weight_norm"):
            self.enable_weight_norm()

    def _fill(self, weight: Tensor) -> None:
        # drawn before, and dropped: networks of one seed then equal Lava-DL's
        torch.nn.init.ones_(weight)

    def _check_frames(self, input: Tensor) -> None:
        if checked(input, self).shape[1] == 0:
            raise ValueError(f"input of a {type(self).__name__} synapse must have channels, got {tuple(input.shape)}")

    def _bias_per_channel(self, channels: int) -> Tensor | None:
        """That of a convolution with one group for each channel, which leaves channels where they are."""
        bias = self.hooked_bias
        return None if bias is None else bias.expand(channels)


class Pool(_Window, torch.nn.Conv3d):
    """Sum over windows of each channel.

    Parameters
    ----------
    kernel_size : int or (int, int)
        (height, width).
    stride : int or (int, int), optional
        The kernel size if not given.
    padding, dilation : int or (int, int)
        (height, width).
    weight_scale : float
        The weight of every input in its window.
    weight_norm, pre_hook_fx
        As in `Dense`; the weight is not trained.

    Notes
    -----
    A last window that is only partly inside the frame is included, with zeros for the missing part.

    Examples
    --------
    >>> Pool(2)(torch.ones(1, 1, 3, 3, 1)).flatten().tolist()
    [4.0, 2.0, 2.0, 1.0]
    """

    def _extended(self, x: Tensor) -> Tensor:
        """Frames (F, C, H, W) with zeros behind, so that the last window is whole."""
        extra = []
        for axis in (1, 0):
            extent, padding, stride = x.shape[2 + axis], self.padding[axis], self.stride[axis]
            span = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
            last = max(-(-(extent + 2 * padding - span) // stride), 0) * stride
            if last >= extent + padding:
                last -= stride  # a window that holds nothing of the frame
            extra += [0, max(last + span - extent - 2 * padding, 0)]
        return F.pad(x, extra) if any(extra) else x

    def weight_gradient(self, input: Tensor, grad: Tensor) -> Tensor:
        x = _as_samples(input)
        whole = self._extended(frames(x, x.dtype, "pooling input"))
        return of_frames(self, unframed(whole, x.shape[0], x.shape[-1]), _as_samples(grad))

    def forward(self, input: Tensor) -> Tensor:
        """Pool `input` (N, C, H, W, T)."""
        self._check_frames(input)
        weight = self.hooked_weight.squeeze(-1)
        x = self._extended(frames(input, weight.dtype, "pooling input"))
        channels = x.shape[1]
        weight, bias = weight.expand(channels, -1, -1, -1), self._bias_per_channel(channels)
        y = F.conv2d(x, weight, bias, groups=channels, **self._geometry)
        return unframed(y, input.shape[0], input.shape[-1])


class Unpool(_Window, torch.nn.ConvTranspose3d):
    """Copy each input over a window of its channel: the adjoint of `Pool`, with the same parameters.

    Examples
    --------
    >>> Unpool(2)(torch.ones(4, 2, 8, 8, 10)).shape
    torch.Size([4, 2, 16, 16, 10])
    """

    def weight_gradient(self, input: Tensor, grad: Tensor) -> Tensor:
        return of_frames(self, _as_samples(grad), _as_samples(input))  # of the pooling that it transposes

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]
        """Unpool `input` (N, C, H, W, T)."""
        self._check_frames(input)
        weight = self.hooked_weight.squeeze(-1)
        x = frames(input, weight.dtype, "pooling input")
        channels = x.shape[1]
        weight, bias = weight.expand(channels, -1, -1, -1), self._bias_per_channel(channels)
        y = F.conv_transpose2d(x, weight, bias, groups=channels, **self._geometry)
        return unframed(y, input.shape[0], input.shape[-1])


def _as_samples(x: Tensor) -> Tensor:
    """(N, C, H, W, T) as (N * C, 1, H, W, T): every channel has the same weight."""
    return x.flatten(0, 1).unsqueeze(1)
