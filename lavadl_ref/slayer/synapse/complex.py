"""Synapses with a complex weight: each is two real ones on the same input, for neurons with complex state."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import Tensor

from lavadl_ref.slayer import _autograd
from lavadl_ref.slayer.synapse import layer
from lavadl_ref.slayer.synapse.layer import Hook

_GEOMETRY = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")


class ComplexLayer(torch.nn.Module):
    """A synapse of `synapse` twice, with the same arguments.

    Attributes
    ----------
    real, imag : synapse.GenericLayer
        The two parts; the real one is initialised first.
    complex : bool
        True.
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups
        As the parts have them.
    """

    synapse: type[layer.GenericLayer]
    complex = True

    def __init_subclass__(cls) -> None:
        cls.__signature__ = inspect.signature(cls.synapse)  # type: ignore[attr-defined]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.real = self.synapse(*args, **kwargs)
        self.imag = self.synapse(*args, **kwargs)
        for name in _GEOMETRY:
            if hasattr(self.real, name):
                setattr(self, name, getattr(self.real, name))

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted sums of `input` (N, ..., T), real and imaginary."""
        x = _autograd.time_first(input)  # once for both
        return self.real(x), self.imag(x)

    @property
    def weight_norm_enabled(self) -> bool:
        """Whether length and direction of the weights are trained."""
        return self.real.weight_norm_enabled

    def enable_weight_norm(self) -> None:
        """Train length and direction of each output's weights, in both parts on its own."""
        self.real.enable_weight_norm()
        self.imag.enable_weight_norm()

    def disable_weight_norm(self) -> None:
        """Go back to one ``weight`` parameter in each part, of the value it has."""
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
        """The real and the imaginary weight as they are applied."""
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
    """Complex `synapse.Dense`."""

    synapse = layer.Dense
    real: layer.Dense
    imag: layer.Dense

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted sums of `input` (N, I, T) or (N, C, H, W, T), real and imaginary."""
        real, imag = layer.weighted(input, (self.real, self.imag))
        return real, imag


class Conv(ComplexLayer):
    """Complex `synapse.Conv`."""

    synapse = layer.Conv


class Pool(ComplexLayer):
    """Complex `synapse.Pool`."""

    synapse = layer.Pool


class ConvTranspose(ComplexLayer):
    """Complex `synapse.ConvTranspose`."""

    synapse = layer.ConvTranspose


class Unpool(ComplexLayer):
    """Complex `synapse.Unpool`."""

    synapse = layer.Unpool
