"""Dense, convolutional and pooling synapses.

Weights have the five axes of a 3-D convolution over (H, W, T), the last of length 1.  A
tensor whose memory has time slowest is seen as T * N independent frames, so a synapse is
one matrix product or one 2-D operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lavadl_ref.slayer import _dense
from lavadl_ref.slayer.utils import _validate

Hook = Callable[..., Tensor]
Size = int | Sequence[int]


def pair(value: Any, what: str, smallest: int) -> tuple[int, int]:
    """`value` as (height, width).

    Raises
    ------
    ValueError
        If `value` is not one or two integers of at least `smallest`.
    """
    values = (value, value) if isinstance(value, Integral) else tuple(value)
    if len(values) != 2 or not all(isinstance(v, Integral) and int(v) >= smallest for v in values):
        raise ValueError(f"{what} must be one or two integers of at least {smallest}, got {value!r}")
    return int(values[0]), int(values[1])


def frames(x: Tensor, what: str) -> Tensor:
    """A tensor (N, C, H, W, T) as (T * N, C, H, W), a view where memory has time slowest."""
    if x.ndim != 5:
        raise ValueError(f"{what} must have shape (N, C, H, W, T), got {tuple(x.shape)}")
    _validate.with_fractions(x, what)
    n, c, h, w, t = x.shape
    return x.permute(4, 0, 1, 2, 3).reshape(t * n, c, h, w)


def unframed(y: Tensor, steps: int) -> Tensor:
    """The inverse of `frames`."""
    return y.reshape(steps, -1, *y.shape[1:]).permute(1, 2, 3, 4, 0)


class GenericLayer(torch.nn.Module):
    """What all synapses share: the weight, its normalisation and its quantiser."""

    weight: Tensor
    complex = False  # whether there is a real and an imaginary weight, as in `synapse.complex`

    def __init__(self, shape: tuple[int, ...], weight_norm: bool, pre_hook_fx: Hook | None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(shape))
        self.reset_parameters()
        self._pre_hook_fx = pre_hook_fx
        if weight_norm:
            self.enable_weight_norm()

    def reset_parameters(self) -> None:
        """Draw the weights as torch's convolutions do."""
        torch.nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def __getattr__(self, name: str) -> Any:
        # while the weight is split into length and direction it is made anew at each use
        if name == "weight" and "weight_g" in self._parameters:
            return torch._weight_norm(self.weight_v, self.weight_g, 0)
        return super().__getattr__(name)

    def enable_weight_norm(self) -> None:
        """Train length ``weight_g`` and direction ``weight_v`` of each output's weights instead of ``weight``."""
        if "weight_g" in self._parameters:
            return
        weight = self._parameters.pop("weight")
        assert weight is not None
        axes = tuple(range(1, weight.ndim))
        length = weight.detach().square().sum(axes, keepdim=True).sqrt()
        self.weight_g = torch.nn.Parameter(length, weight.requires_grad)
        self.weight_v = torch.nn.Parameter(weight.detach().clone(), weight.requires_grad)

    def disable_weight_norm(self) -> None:
        """Go back to one ``weight`` parameter, of the value the two have."""
        if "weight_g" not in self._parameters:
            return
        weight = torch.nn.Parameter(self.weight.detach().clone(), self.weight_v.requires_grad)
        del self._parameters["weight_g"], self._parameters["weight_v"]
        self.weight = weight

    @property
    def weight_norm_enabled(self) -> bool:
        """Whether ``weight_g`` and ``weight_v`` are trained instead of ``weight``."""
        return "weight_g" in self._parameters

    @property
    def pre_hook_fx(self) -> Hook | None:
        """The function that the weight passes before use, typically a quantiser."""
        return self._pre_hook_fx

    @pre_hook_fx.setter
    def pre_hook_fx(self, function: Hook | None) -> None:
        self._pre_hook_fx = function

    @property
    def hooked_weight(self) -> Tensor:
        """The weight as it is applied."""
        return self.weight if self._pre_hook_fx is None else self._pre_hook_fx(self.weight)

    @property
    def grad_norm(self) -> float:
        """Norm of the gradient of the weight (of its length, if normalised) over its number of elements."""
        parameter = self._parameters.get("weight_g", self._parameters.get("weight"))
        if parameter is None or parameter.grad is None:
            return 0.0
        return torch.linalg.vector_norm(parameter.grad).item() / parameter.grad.numel()

    @property
    def shape(self) -> torch.Size:
        """Shape of the weight."""
        return self.weight.shape


class Dense(GenericLayer):
    """Fully connected synapse.

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
    taken : Taken or None
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
        sizes: tuple[Any, ...] = (in_neurons,) if isinstance(in_neurons, Integral) else tuple(in_neurons)  # type: ignore[arg-type]
        good = all(isinstance(s, Integral) and int(s) > 0 for s in sizes)
        if not good or len(sizes) not in (1, 2, 3):
            raise ValueError(f"in_neurons must be an integer, (x, y) or (x, y, z), got {in_neurons!r}")
        if not isinstance(out_neurons, Integral) or out_neurons <= 0:
            raise ValueError(f"out_neurons must be a positive integer, got {out_neurons!r}")
        if len(sizes) == 1:
            channels, height, width = int(sizes[0]), 1, 1
        else:
            channels, height, width = int(sizes[2]) if len(sizes) == 3 else 1, int(sizes[1]), int(sizes[0])
        super().__init__((int(out_neurons), channels, height, width, 1), False, pre_hook_fx)
        self._input: tuple[int, int, int] = (channels, height, width)
        self.taken: _dense.Taken | None = None
        self.in_channels: int = channels
        self.out_channels: int = int(out_neurons)
        self.kernel_size = (height, width, 1)
        self.weight.data *= weight_scale
        if weight_norm:
            self.enable_weight_norm()

    def _check_input(self, input: Tensor) -> None:
        expected = self._input
        given = tuple(input.shape[1:-1])
        if given != expected and not (len(given) == 1 and given[0] == math.prod(expected)):
            raise ValueError(
                f"dense synapse expects input (N, {', '.join(map(str, expected))}, T) or "
                f"(N, {math.prod(expected)}, T), got {tuple(input.shape)}"
            )

    def forward(self, input: Tensor) -> Tensor:
        """Weighted sums of `input` (N, I, T) or (N, C, H, W, T): (N, O, T) or (N, O, 1, 1, T)."""
        return weighted(input, (self,))[0]


def weighted(input: Tensor, synapses: Sequence[Dense]) -> list[Tensor]:
    """What `Dense.forward` returns, for several synapses on the same input: its events are searched once."""
    for synapse in synapses:
        synapse._check_input(input)
    weights = [synapse.hooked_weight.flatten(1) for synapse in synapses]
    results, taken = _dense.sums(input, weights)
    for synapse in synapses:
        synapse.taken = taken
    return results if input.ndim == 3 else [z.unflatten(1, (-1, 1, 1)) for z in results]


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
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        if in_features % groups or out_features % groups:
            raise ValueError(
                f"in_features and out_features must be divisible by groups, "
                f"got {in_features}, {out_features} and {groups}"
            )
        kernel = pair(kernel_size, "kernel_size", 1)
        super().__init__((*self._channels(in_features, out_features, groups), *kernel, 1), False, pre_hook_fx)
        self.in_channels, self.out_channels, self.groups = int(in_features), int(out_features), int(groups)
        self.kernel_size = (*kernel, 1)
        self.stride = (*pair(stride, "stride", 1), 1)
        self.padding = (*pair(padding, "padding", 0), 0)
        self.dilation = (*pair(dilation, "dilation", 1), 1)
        self.weight.data *= weight_scale
        if weight_norm:
            self.enable_weight_norm()

    @staticmethod
    def _channels(in_features: int, out_features: int, groups: int) -> tuple[int, int]:
        """The first two axes of the weight."""
        return out_features, in_features // groups

    @property
    def _geometry(self) -> dict[str, Any]:
        return {"stride": self.stride[:2], "padding": self.padding[:2], "dilation": self.dilation[:2]}

    def _check_channels(self, input: Tensor) -> None:
        if input.ndim != 5 or input.shape[1] != self.in_channels:
            raise ValueError(f"convolution expects input (N, {self.in_channels}, H, W, T), got {tuple(input.shape)}")


class Conv(_Kernel):
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
        weight = self.hooked_weight.squeeze(-1).contiguous(memory_format=torch.channels_last)
        y = F.conv2d(frames(input, "convolution input"), weight, groups=self.groups, **self._geometry)
        return unframed(y, input.shape[-1])


class ConvTranspose(_Kernel):
    """Transposed convolution over height and width; parameters as `Conv`, weight (in, out / groups, kh, kw, 1)."""

    @staticmethod
    def _channels(in_features: int, out_features: int, groups: int) -> tuple[int, int]:
        return in_features, out_features // groups

    def forward(self, input: Tensor) -> Tensor:
        """Convolve `input` (N, C, H, W, T) the transposed way."""
        self._check_channels(input)
        y = F.conv_transpose2d(
            frames(input, "convolution input"), self.hooked_weight.squeeze(-1), groups=self.groups, **self._geometry
        )
        return unframed(y, input.shape[-1])


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
        if weight_norm:
            self.enable_weight_norm()

    def reset_parameters(self) -> None:
        """Set all weights to 1."""
        super().reset_parameters()  # drawn and dropped: networks of one seed then equal Lava-DL's
        torch.nn.init.ones_(self.weight)

    def _per_channel(self, channels: int) -> Tensor:
        """The weight of a convolution with one group for each channel, which leaves channels where they are."""
        return self.hooked_weight.squeeze(-1).expand(channels, -1, -1, -1)


class Pool(_Window):
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
        x = frames(input, "pooling input")
        channels = x.shape[1]
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
        y = F.conv2d(x, self._per_channel(channels), groups=channels, **self._geometry)
        return unframed(y, input.shape[-1])


class Unpool(_Window):
    """Copy each input over a window of its channel: the adjoint of `Pool`, with the same parameters."""

    def forward(self, input: Tensor) -> Tensor:
        """Unpool `input` (N, C, H, W, T)."""
        x = frames(input, "pooling input")
        channels = x.shape[1]
        y = F.conv_transpose2d(x, self._per_channel(channels), groups=channels, **self._geometry)
        return unframed(y, input.shape[-1])
