"""Blocks with neurons, for any family: input, dense, convolutional and pooling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref.slayer.block import describe
from lavadl_ref.slayer.block.base import Output, SpikingBlock, SynapticBlock
from lavadl_ref.slayer.neuron.spiking import Signal
from lavadl_ref.slayer.synapse.layer import Hook, Size


class Input(SpikingBlock):
    """Neurons driven by the network's input: q(weight) * q(x) + q(bias), with q the 8-bit quantiser.

    Resonators take it as their real input; sigma-delta neurons send its changes, without sum and activation.

    Parameters
    ----------
    neuron_params : mapping, optional
        Arguments of the neuron; without them the block only scales.
    weight, bias : float, optional
        Gain and offset, trained.
    delay_shift, count_log
        As in `SpikingBlock`.
    """

    def __init__(
        self,
        neuron_params: Mapping[str, Any] | None = None,
        weight: float | None = None,
        bias: float | None = None,
        delay_shift: bool | None = None,
        count_log: bool = False,
    ) -> None:
        super().__init__(neuron_params, False, delay_shift, count_log)
        self.weight: Tensor | None
        self.bias: Tensor | None
        for name, value in (("weight", weight), ("bias", bias)):
            start = None if value is None else torch.nn.Parameter(torch.tensor([float(value)]))
            self.register_parameter(name, start)

    def _quantised(self, x: Tensor) -> Tensor:
        return x if self.neuron is None else self.neuron.quantize_8bit(x)

    def _scaled(self, x: Tensor) -> Tensor:
        """What drives the neurons."""
        z = x if self.neuron is None else self.neuron.quantized_input(x)
        if self.weight is not None:
            z = z * self._quantised(self.weight)
        if self.bias is not None:
            z = z + self._quantised(self.bias)
        return z

    def forward(self, x: Tensor) -> Output:
        """Spikes of `x` (N, C, ..., T)."""
        z = self._scaled(x)
        if self.neuron is not None:
            return self._sent(self.neuron.driven(z))
        self.shape = x.shape[1:-1]
        return self._counted(self._shifted(z))

    def describe(self) -> exchange.Layer:
        return describe.input(self)


class Masked:
    """A quantiser applied to weights of which only those that `mask` keeps are left.

    Parameters
    ----------
    hook : callable
        The quantiser.
    mask : Tensor
        Factor of the weights, (out, in) or the weight's own shape.
    shape : tuple of int
        Shape of the weight.

    Raises
    ------
    ValueError
        If `mask` has another shape.
    """

    def __init__(self, hook: Hook, mask: Tensor, shape: torch.Size) -> None:
        matrix = (shape[0], math.prod(shape[1:]))
        if tuple(mask.shape) not in (tuple(shape), matrix):
            raise ValueError(f"mask must have the shape (out, in) {matrix} of the weight, got {tuple(mask.shape)}")
        self.hook = hook
        self.mask = mask.detach().clone().reshape(shape)

    def __call__(self, weight: Tensor, **options: Any) -> Tensor:
        return self.hook(weight * self.mask.to(weight.dtype), **options)


def mask_synapse(block: Affine | Dense, mask: Tensor | None) -> None:
    """Let the synapse of `block` use only the weights that `mask` keeps; the mask is saved with the block."""
    block.register_buffer("mask", None)
    if mask is not None:
        assert block.synapse.pre_hook_fx is not None
        hook = Masked(block.synapse.pre_hook_fx, mask, block.synapse.shape)
        block.synapse.pre_hook_fx, block.mask = hook, hook.mask


class Affine(SpikingBlock):
    """Weighted sums of spikes, integrated but never fired: for regression and readout.

    Parameters
    ----------
    neuron_params : mapping
        Arguments of the neuron; its threshold is not used.
    in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx
        As in `synapse.Dense`.
    dynamics : bool
        Whether the output is the value that the neuron would reach: voltage, imaginary part, or
        activation; else the weighted sum, of resonators its imaginary part.
    mask : Tensor, optional
        Factor of the weights, (out, in) or the weight's own shape.
    count_log : bool
        Whether to return an event rate too.
    """

    def __init__(
        self,
        neuron_params: Mapping[str, Any],
        in_neurons: Size,
        out_neurons: int,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
        dynamics: bool = True,
        mask: Tensor | None = None,
        count_log: bool = False,
    ) -> None:
        super().__init__(self.neuron_class.silenced(neuron_params), False, False, count_log)
        assert self.neuron is not None
        self.dynamics = dynamics
        self.synapse = self.synapses.Dense(in_neurons, out_neurons, weight_scale, weight_norm)
        self.synapse.pre_hook_fx = self.neuron.quantize_8bit if pre_hook_fx is None else pre_hook_fx
        mask_synapse(self, mask)
        self._sized(out_neurons)

    def forward(self, x: Tensor) -> Output:
        """Values or weighted sums (N, out, T)."""
        assert self.neuron is not None
        z: Signal = self.synapse(x)
        if self.dynamics:
            z = self.neuron.dynamics(z)[1]  # type: ignore[arg-type]
        elif isinstance(z, tuple):
            z = z[1]
        self.shape = z.shape[1:-1]
        return self._counted(z)

    def describe(self) -> exchange.Layer:
        return describe.affine(self)


class Dense(SynapticBlock):
    """Fully connected neurons.

    Parameters
    ----------
    neuron_params, delay, delay_shift, count_log
        As in `SpikingBlock`.
    in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx
        As in `synapse.Dense`; `pre_hook_fx` is the neuron's 8-bit quantiser if not given.
    mask : Tensor, optional
        Factor of the weights, (out, in) or the weight's own shape.
    """

    def __init__(
        self,
        neuron_params: Mapping[str, Any],
        in_neurons: Size,
        out_neurons: int,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
        delay: bool = False,
        delay_shift: bool | None = None,
        mask: Tensor | None = None,
        count_log: bool = False,
    ) -> None:
        synapse = self.synapses.Dense(in_neurons, out_neurons, weight_scale, weight_norm)
        super().__init__(neuron_params, synapse, pre_hook_fx, delay, delay_shift, count_log)
        mask_synapse(self, mask)

    def describe(self) -> exchange.Layer:
        return describe.dense(self)


class _KernelBlock(SynapticBlock):
    """A block whose synapse is a convolution."""

    synapse_name: str
    layer: type[exchange.Kernel]

    def __init__(
        self,
        neuron_params: Mapping[str, Any],
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
        delay: bool = False,
        delay_shift: bool | None = None,
        count_log: bool = False,
    ) -> None:
        synapse = getattr(self.synapses, self.synapse_name)(
            in_features, out_features, kernel_size, stride, padding, dilation, groups, weight_scale, weight_norm
        )
        super().__init__(neuron_params, synapse, pre_hook_fx, delay, delay_shift, count_log)

    def describe(self) -> exchange.Layer:
        return describe.kernel(self, self.layer)


class Conv(_KernelBlock):
    """Convolutional neurons.

    Parameters
    ----------
    neuron_params, delay, delay_shift, count_log
        As in `SpikingBlock`.
    in_features, out_features, kernel_size, stride, padding, dilation, groups, weight_scale, weight_norm, pre_hook_fx
        As in `synapse.Conv`.
    """

    synapse_name, layer = "Conv", exchange.Conv


class ConvT(_KernelBlock):
    """Transposed-convolutional neurons; parameters as in `Conv`."""

    synapse_name, layer = "ConvTranspose", exchange.ConvTranspose


class _WindowBlock(SynapticBlock):
    """A block whose synapse is a fixed window."""

    _mixes_channels = False

    synapse_name: str
    layer: type[exchange.Kernel]

    def __init__(
        self,
        neuron_params: Mapping[str, Any],
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        weight_scale: float = 1,
        weight_norm: bool = False,
        pre_hook_fx: Hook | None = None,
        delay: bool = False,
        delay_shift: bool | None = None,
        count_log: bool = False,
    ) -> None:
        synapse = getattr(self.synapses, self.synapse_name)(
            kernel_size, stride, padding, dilation, weight_scale, weight_norm
        )
        # a window sums what is there: a norm between it and the threshold would undo that
        params = {**neuron_params, "norm": None}
        super().__init__(params, synapse, pre_hook_fx, delay, delay_shift, count_log)

    def describe(self) -> exchange.Layer:
        return describe.kernel(self, self.layer)


class Pool(_WindowBlock):
    """Neurons that sum windows of each channel; the neuron has no norm.

    Parameters
    ----------
    neuron_params, delay, delay_shift, count_log
        As in `SpikingBlock`.
    kernel_size, stride, padding, dilation, weight_scale, weight_norm, pre_hook_fx
        As in `synapse.Pool`.
    """

    synapse_name, layer = "Pool", exchange.Pool


class Unpool(_WindowBlock):
    """Neurons that copy each input over a window; parameters as in `Pool`, the neuron has no norm."""

    synapse_name, layer = "Unpool", exchange.Unpool
