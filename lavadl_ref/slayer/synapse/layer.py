"""Dense, convolutional and pooling synapses.

Weights have the five axes of a 3-D convolution over (H, W, T), the last of length 1.  A
tensor whose memory has time slowest is seen as T * N independent frames, so a synapse is
one matrix product or one 2-D operation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lavadl_ref.slayer._bridge import dense as _dense
from lavadl_ref.slayer.synapse._generic import GenericLayer as GenericLayer
from lavadl_ref.slayer.synapse._generic import Hook as Hook
from lavadl_ref.slayer.utils import _validate

Size = int | Sequence[int]


def sizes(value: Any) -> tuple[Any, ...]:
    """One size or several, as a tuple; () for what is neither."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return (value,)
    several = hasattr(value, "__iter__") and hasattr(value, "__len__") and not isinstance(value, (str, Mapping))
    return tuple(value) if several else ()


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


def checked(input: Any, synapse: GenericLayer) -> Tensor:
    """`input`, which has to be a tensor (N, C, ..., T)."""
    return _validate.tensor(input, f"input of a {type(synapse).__name__} synapse", 3, "(N, C, ..., T)")


def _initial(weight_scale: Any, weight_norm: Any) -> float:
    """The factor of the initial weights, of arguments that were looked at."""
    _validate.flag(weight_norm, "weight_norm")
    return _validate.number(weight_scale, "weight_scale")


def frames(x: Tensor, dtype: torch.dtype, what: str) -> Tensor:
    """A tensor (N, C, H, W, T) of the weights' dtype as (T * N, C, H, W), a view where memory has time slowest."""
    if x.ndim != 5:
        raise ValueError(f"{what} must have shape (N, C, H, W, T), got {tuple(x.shape)}")
    _validate.of_dtype(x, dtype, what)
    n, c, h, w, t = x.shape
    return x.permute(4, 0, 1, 2, 3).reshape(t * n, c, h, w)


def unframed(y: Tensor, samples: int, steps: int) -> Tensor:
    """The inverse of `frames`."""
    return y.reshape(steps, samples, *y.shape[1:]).permute(1, 2, 3, 4, 0)


class Dense(GenericLayer, torch.nn.Conv3d):
    """Fully connected synapse; on frames larger than its own it is a convolution, as Lava-DL's is.

    Parameters
    ----------
    in_neurons : int or tuple
        Number of inputs, or their shape (x, y) or (x, y, z) with z channels.
    out_neurons : int
        Number of outputs.
    weight_scale : float
        Factor of the initial weights.
    weight_norm : bool
        Whether to train length and direction of the weights separately.
    pre_hook_fx : callable, optional
        Quantiser of the weight.

    Attributes
    ----------
    taken : ChosenPath or None
        How the last sums were computed, by events or as a matrix product; `synapse.path` chooses.

    Raises
    ------
    ValueError
        If a size is not a positive integer or tuple of two or three of them.
    """

    def __init__(
        self,
        in_neurons: Size,
        out_neurons: int,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
    ) -> None:
        extents = sizes(in_neurons)
        good = all(isinstance(s, Integral) and int(s) > 0 for s in extents)
        if not good or len(extents) not in (1, 2, 3):
            raise ValueError(f"in_neurons must be an integer, (x, y) or (x, y, z), got {_validate.shown(in_neurons)}")
        if not isinstance(out_neurons, Integral) or out_neurons <= 0:
            raise ValueError(f"out_neurons must be a positive integer, got {_validate.shown(out_neurons)}")
        factor = _initial(weight_scale, weight_norm)
        if len(extents) == 1:
            channels, height, width = int(extents[0]), 1, 1
        else:
            channels, height, width = int(extents[2]) if len(extents) == 3 else 1, int(extents[1]), int(extents[0])
        super().__init__(channels, int(out_neurons), (height, width, 1), bias=False, pre_hook_fx=pre_hook_fx)
        self.taken: _dense.ChosenPath | None = None
        self.weight.data *= factor
        if weight_norm:
            self.enable_weight_norm()

    def _slides(self, input: Tensor) -> bool:
        """Whether `input` is a frame with more than one place for the weight.

        Raises
        ------
        ValueError
            If the weight fits nowhere.
        """
        expected = (self.in_channels, *self.kernel_size[:2])
        given = tuple(input.shape[1:-1])
        plain = not any(self.padding) and max(self.dilation) == self.groups == 1
        if plain and (given == expected or (len(given) == 1 and given[0] == math.prod(expected))):
            return False
        if len(given) == 3 and given[0] == self.in_channels:
            return True
        raise ValueError(
            f"dense synapse expects input (N, {', '.join(map(str, expected))}, T) or "
            f"(N, {math.prod(expected)}, T), got {tuple(input.shape)}"
        )

    def forward(self, input: Tensor) -> Tensor:
        """Weighted sums of `input` (N, I, T) or (N, C, H, W, T): (N, O, T) or (N, O, 1, 1, T).

        Where height and width are larger than `in_neurons` says, each place has its sums: (N, O, H', W', T).
        """
        return weighted(input, (self,))[0]


def weighted(input: Tensor, synapses: Sequence[Dense]) -> list[Tensor]:
    """What `Dense.forward` returns, for several synapses on the same input: its events are searched once."""
    checked(input, synapses[0])
    slides = [synapse._slides(input) for synapse in synapses]
    if any(slides):
        return [_convolved(input, synapse) for synapse in synapses]
    weights = [synapse.hooked_weight.flatten(1) for synapse in synapses]
    results, taken = _dense.sums(input, weights)
    for synapse in synapses:
        synapse.taken = taken
    biases = [synapse._checked_bias() for synapse in synapses]
    results = [z if bias is None else z + bias[:, None] for z, bias in zip(results, biases, strict=True)]
    return results if input.ndim == 3 else [z.unflatten(1, (-1, 1, 1)) for z in results]


def _convolved(input: Tensor, synapse: GenericLayer) -> Tensor:
    """The weighted sums of `input` (N, C, H, W, T) wherever the weight fits."""
    weight = synapse.hooked_weight.squeeze(-1).contiguous(memory_format=torch.channels_last)
    x, bias = frames(input, weight.dtype, "convolution input"), synapse._checked_bias()
    y = F.conv2d(x, weight, bias, groups=synapse.groups, **synapse._geometry)
    return unframed(y, input.shape[0], input.shape[-1])


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
        factor = _initial(weight_scale, weight_norm)
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
            raise ValueError(f"convolution expects input (N, {self.in_channels}, H, W, T), got {tuple(input.shape)}")


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
    """

    def forward(self, input: Tensor) -> Tensor:
        """Convolve `input` (N, C, H, W, T)."""
        self._check_channels(input)
        return _convolved(input, self)


class ConvTranspose(_Kernel, torch.nn.ConvTranspose3d):
    """Transposed convolution over height and width; parameters as `Conv`, weight (in, out / groups, kh, kw, 1)."""

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]
        """Convolve `input` (N, C, H, W, T) the transposed way; the output has the size that follows."""
        self._check_channels(input)
        weight = self.hooked_weight.squeeze(-1)
        x = frames(input, weight.dtype, "convolution input")
        y = F.conv_transpose2d(x, weight, self._checked_bias(), groups=self.groups, **self._geometry)
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
        bias = self._checked_bias()
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
    A last window that is only partly inside the frame counts, the missing part being zero.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Pool `input` (N, C, H, W, T)."""
        self._check_frames(input)
        weight = self.hooked_weight.squeeze(-1)
        x = frames(input, weight.dtype, "pooling input")
        channels = x.shape[1]
        weight, bias = weight.expand(channels, -1, -1, -1), self._bias_per_channel(channels)
        extra = []
        for axis in (1, 0):
            extent, padding, stride = x.shape[2 + axis], self.padding[axis], self.stride[axis]
            span = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
            last = max(-(-(extent + 2 * padding - span) // stride), 0) * stride
            if last >= extent + padding:
                last -= stride  # a window that holds nothing of the frame
            extra += [0, max(last + span - extent - 2 * padding, 0)]
        if any(extra):
            x = F.pad(x, extra)
        y = F.conv2d(x, weight, bias, groups=channels, **self._geometry)
        return unframed(y, input.shape[0], input.shape[-1])


class Unpool(_Window, torch.nn.ConvTranspose3d):
    """Copy each input over a window of its channel: the adjoint of `Pool`, with the same parameters."""

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]
        """Unpool `input` (N, C, H, W, T)."""
        self._check_frames(input)
        weight = self.hooked_weight.squeeze(-1)
        x = frames(input, weight.dtype, "pooling input")
        channels = x.shape[1]
        weight, bias = weight.expand(channels, -1, -1, -1), self._bias_per_channel(channels)
        y = F.conv_transpose2d(x, weight, bias, groups=channels, **self._geometry)
        return unframed(y, input.shape[0], input.shape[-1])
