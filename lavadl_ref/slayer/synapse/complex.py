"""Synapses with a complex weight, made of two real synapses on the same input, for neurons with a complex state."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import Tensor

from lavadl_ref._assigned import Fixed, Guarded, Refused
from lavadl_ref.slayer._bridge import autograd as _autograd
from lavadl_ref.slayer._hooks import watched
from lavadl_ref.slayer._precision import FullPrecision
from lavadl_ref.slayer.synapse import layer
from lavadl_ref.slayer.synapse.dense import Hook, weighted


def _of_both(name: str) -> Any:
    """An attribute of the real part that is assigned to both."""

    def get(self: ComplexLayer) -> Any:
        return getattr(self.real, name)

    def set(self: ComplexLayer, value: Any) -> None:
        setattr(self.real, name, value)
        setattr(self.imag, name, value)

    return property(get, set, doc=f"`{name}` of both parts.")


class ComplexLayer(Guarded, FullPrecision):
    """Base class of the complex synapses: two synapses of `synapse` with the same arguments.

    Attributes
    ----------
    real, imag : synapse.GenericLayer
        The two parts; the real one is initialised first.
    complex : bool
        True.
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups
        The attributes of the parts; an assignment sets both parts.
    """

    synapse: type[layer.GenericLayer]
    complex: Any = Fixed()
    weight = Refused("it has two, of its parts real and imag")
    bias = Refused("it has two, of its parts real and imag")
    in_channels, out_channels = _of_both("in_channels"), _of_both("out_channels")
    kernel_size, stride, padding = _of_both("kernel_size"), _of_both("stride"), _of_both("padding")
    dilation, groups, mask = _of_both("dilation"), _of_both("groups"), _of_both("mask")

    def __init_subclass__(cls) -> None:
        cls.__signature__ = inspect.signature(cls.synapse)  # type: ignore[attr-defined]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.complex = True
        self.real = self.synapse(*args, **kwargs)
        self.imag = self.synapse(*args, **kwargs)

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted sums of `input` (N, ..., T), real and imaginary."""
        x = _autograd.time_first(layer.checked(input, self.real))  # once for both
        return self.real(x), self.imag(x)

    @property
    def weight_norm_enabled(self) -> bool:
        """Tell whether length and direction of the weights are trained."""
        return self.real.weight_norm_enabled

    @weight_norm_enabled.setter
    def weight_norm_enabled(self, value: bool) -> None:
        self.real.weight_norm_enabled = self.imag.weight_norm_enabled = value

    def enable_weight_norm(self) -> None:
        """Train length and direction of each output's weights, separately for each part."""
        self.real.enable_weight_norm()
        self.imag.enable_weight_norm()

    def disable_weight_norm(self) -> None:
        """Return to one ``weight`` parameter in each part, with its present value."""
        self.real.disable_weight_norm()
        self.imag.disable_weight_norm()

    @property
    def pre_hook_fx(self) -> Hook | None:
        """The function that both weights pass before use, typically a quantiser."""
        return self.real.pre_hook_fx

    @pre_hook_fx.setter
    def pre_hook_fx(self, function: Hook | None) -> None:
        self.real.pre_hook_fx = function
        self.imag.pre_hook_fx = function

    @property
    def hooked_weight(self) -> tuple[Tensor, Tensor]:
        """The real and the imaginary weight as applied."""
        return self.real.hooked_weight, self.imag.hooked_weight

    @property
    def grad_norm(self) -> float:
        """Norm of the two parts' ``grad_norm``."""
        return math.hypot(self.real.grad_norm, self.imag.grad_norm)

    @property
    def shape(self) -> torch.Size:
        """Shape of each weight."""
        return self.real.shape


class Dense(ComplexLayer):
    """Complex `synapse.Dense`.

    Examples
    --------
    >>> real, imag = Dense(3, 2)(torch.ones(4, 3, 10))
    >>> imag.shape
    torch.Size([4, 2, 10])
    """

    synapse = layer.Dense
    real: layer.Dense
    imag: layer.Dense

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted sums of `input` (N, I, T) or (N, C, H, W, T), real and imaginary."""
        if watched(self.real) or watched(self.imag):
            return super().forward(input)
        real, imag = weighted(input, (self.real, self.imag))
        return real, imag


class Conv(ComplexLayer):
    """Complex `synapse.Conv`.

    Examples
    --------
    >>> real, imag = Conv(2, 3, 3)(torch.ones(4, 2, 8, 8, 10))
    >>> imag.shape
    torch.Size([4, 3, 6, 6, 10])
    """

    synapse = layer.Conv


class Pool(ComplexLayer):
    """Complex `synapse.Pool`.

    Examples
    --------
    >>> real, imag = Pool(2)(torch.ones(4, 2, 8, 8, 10))
    >>> imag.shape
    torch.Size([4, 2, 4, 4, 10])
    """

    synapse = layer.Pool


class ConvTranspose(ComplexLayer):
    """Complex `synapse.ConvTranspose`.

    Examples
    --------
    >>> real, imag = ConvTranspose(2, 3, 3)(torch.ones(4, 2, 8, 8, 10))
    >>> imag.shape
    torch.Size([4, 3, 10, 10, 10])
    """

    synapse = layer.ConvTranspose


class Unpool(ComplexLayer):
    """Complex `synapse.Unpool`.

    Examples
    --------
    >>> real, imag = Unpool(2)(torch.ones(4, 2, 8, 8, 10))
    >>> imag.shape
    torch.Size([4, 2, 16, 16, 10])
    """

    synapse = layer.Unpool
