"""Blocks with neurons, for any family: input, dense, convolutional and pooling.

A class here keeps the arguments of its parts; `block._family` makes the parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lavadl_ref.slayer.block._block import Output, SpikingBlock, SynapticBlock
from lavadl_ref.slayer.neuron.base import Neuron
from lavadl_ref.slayer.synapse.layer import Hook, Size
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.quantize import clipped, grid_of


def _same(x: Tensor, **options: Any) -> Tensor:
    return x


def _overwrites(z: Tensor, one: Tensor) -> bool:
    """Tell whether `z`, (N, ..., T), can hold its product or sum with `one` number: nothing is recorded of either."""
    return (
        one.numel() == 1 and one.ndim < z.ndim and one.dtype is z.dtype and not (z.requires_grad or one.requires_grad)
    )


class AbstractInput(SpikingBlock):
    """Neurons driven by the network's input: q(weight) * q(x) + q(bias), with q = `pre_hook_fx`.

    Resonators take it as their real input; sigma-delta neurons send its changes, without sum and activation.

    Parameters
    ----------
    neuron_params : mapping, optional
        Arguments of the neuron; without them the block only scales.
    weight, bias : float, optional
        Gain and offset, trained.
    delay_shift, count_log
        As in `SpikingBlock`.

    Attributes
    ----------
    pre_hook_fx : callable
        What input, gain and offset pass before use; the neuron's 8-bit quantiser unless assigned, and without neurons
        the identity.
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
            start = None if value is None else torch.nn.Parameter(torch.tensor([_validate.number(value, name)]))
            self.register_parameter(name, start)
        self.synapse_params = None
        self.pre_hook_fx: Hook = _same

    def _complete(self) -> None:
        super()._complete()
        if self.neuron is not None:
            self.pre_hook_fx = self.neuron.quantize_8bit

    @property
    def input_shape(self) -> torch.Size | None:
        """The same as `shape`."""
        return self.shape

    @input_shape.setter
    def input_shape(self, value: torch.Size | None) -> None:
        self.shape = value

    def _hooked_input(self, x: Tensor) -> tuple[Tensor, bool]:
        """q(x), and whether nobody else holds it."""
        _validate.tensor(x, "input of an Input block", 3, "(N, C, ..., T)")
        if isinstance(self.neuron, Neuron) and x.is_floating_point() and x.dtype != torch.float32:
            raise TypeError(f"input of an Input block must be float32, or whole numbers, got {x.dtype}")
        if x.device.type != "cpu":
            raise TypeError(f"input of an Input block must be on the CPU, got {x.device}: call .cpu() first")
        hook = self.pre_hook_fx
        # a bound method is made at each access: equal, but not the same
        eight_bits = isinstance(self.neuron, Neuron) and hook == self.neuron.quantize_8bit
        z = self.neuron.quantized_input(x) if eight_bits else hook(x)
        # a quantiser of the user's may return its argument, or a tensor that it keeps
        own = eight_bits and grid_of(hook) is not None and type(self.neuron).quantized_input is Neuron.quantized_input
        return z, own

    def _scaled(self, x: Tensor) -> Tensor:
        """The input of the neurons."""
        z, own = self._hooked_input(x)
        hook, weight, bias = self.pre_hook_fx, self.weight, self.bias
        if weight is not None:
            gain = hook(weight)
            z = z.mul_(gain) if own and _overwrites(z, gain) else z * gain
        if bias is not None:
            offset = hook(bias)
            z = z.add_(offset) if own and _overwrites(z, offset) else z + offset
        return z

    def _beyond(self) -> dict[str, Tensor]:
        """By name, where gain and offset are beyond what the quantiser gives."""
        given = {"weight": self.weight, "bias": self.bias}
        return {name: clipped(self.pre_hook_fx, value) for name, value in given.items() if value is not None}

    def forward(self, x: Tensor) -> Output:
        """Spikes of `x` (N, C, ..., T)."""
        z = self._scaled(x)
        if self.neuron is not None:
            if self._walks_through() and not self.neuron.complex:
                return self._fire(z)
            return self.sent(self.neuron.driven(z) if isinstance(self.neuron, Neuron) else self.neuron(z))
        self.shape = x.shape[1:-1]
        return self._counted(self._shifted(z))


def dense_synapse(
    in_neurons: Size, out_neurons: int, weight_scale: float, weight_norm: bool, pre_hook_fx: Hook | None
) -> dict[str, Any]:
    """Arguments of a dense synapse."""
    return {
        "in_neurons": in_neurons,
        "out_neurons": out_neurons,
        "weight_scale": weight_scale,
        "weight_norm": weight_norm,
        "pre_hook_fx": pre_hook_fx,
    }


class AbstractAffine(SynapticBlock):
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
        If True, also return an event rate.
    input_bias : bool
        As in `SynapticBlock`.
    """

    synapse_name = "Dense"

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
        input_bias: bool = False,
    ) -> None:
        synapse = dense_synapse(in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx)
        super().__init__(neuron_params, synapse, False, False, count_log, mask, input_bias)
        self.dynamics = _validate.flag(dynamics, "dynamics")

    @staticmethod
    def _neuron_arguments(neuron_class: type[Neuron], neuron_params: Mapping[str, Any]) -> Mapping[str, Any]:
        return neuron_class.silenced(neuron_params)

    def forward(self, x: Tensor) -> Output:
        """Values or weighted sums (N, out, T)."""
        self._link()
        z: Any = self.synapse(x)
        if self.dynamics:
            z = self.neuron.dynamics(z)[getattr(self.neuron, "read_at", 1)]
        elif isinstance(z, tuple):
            z = z[1]
        self.shape = z.shape[1:-1]
        return self._counted(z)


class AbstractDense(SynapticBlock):
    """Fully connected neurons.

    Parameters
    ----------
    neuron_params, delay, delay_shift, count_log
        As in `SpikingBlock`.
    in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx
        As in `synapse.Dense`; `pre_hook_fx` is the neuron's 8-bit quantiser if not
        given, and None by keyword is no quantiser.
    mask : Tensor, optional
        Factor of the weights, (out, in) or the weight's own shape.
    input_bias : bool
        As in `SynapticBlock`.
    """

    synapse_name = "Dense"

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
        input_bias: bool = False,
    ) -> None:
        synapse = dense_synapse(in_neurons, out_neurons, weight_scale, weight_norm, pre_hook_fx)
        super().__init__(neuron_params, synapse, delay, delay_shift, count_log, mask, input_bias)


class _KernelBlock(SynapticBlock):
    """A block whose synapse is a convolution."""

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
        input_bias: bool = False,
    ) -> None:
        synapse = {
            "in_features": in_features,
            "out_features": out_features,
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "weight_scale": weight_scale,
            "weight_norm": weight_norm,
            "pre_hook_fx": pre_hook_fx,
        }
        super().__init__(neuron_params, synapse, delay, delay_shift, count_log, input_bias=input_bias)


class AbstractConv(_KernelBlock):
    """Convolutional neurons.

    Parameters
    ----------
    neuron_params, delay, delay_shift, count_log
        As in `SpikingBlock`.
    in_features, out_features, kernel_size, stride, padding, dilation, groups, weight_scale, weight_norm, pre_hook_fx
        As in `synapse.Conv`.
    input_bias : bool
        As in `SynapticBlock`.
    """

    synapse_name = "Conv"


class AbstractConvT(_KernelBlock):
    """Transposed-convolutional neurons; parameters as in `Conv`."""

    synapse_name = "ConvTranspose"


class _WindowBlock(SynapticBlock):
    """A block whose synapse is a fixed window."""

    _mixes_channels = False

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
        synapse = {
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "weight_scale": weight_scale,
            "weight_norm": weight_norm,
            "pre_hook_fx": pre_hook_fx,
        }
        # a window sums what is there: a norm between it and the threshold would undo that
        given = _validate.mapping(neuron_params, "neuron_params")
        params = None if given is None else {**given, "norm": None}
        super().__init__(params, synapse, delay, delay_shift, count_log)


class AbstractPool(_WindowBlock):
    """Neurons that sum windows of each channel; the neuron has no norm.

    Parameters
    ----------
    neuron_params, delay, delay_shift, count_log
        As in `SpikingBlock`.
    kernel_size, stride, padding, dilation, weight_scale, weight_norm, pre_hook_fx
        As in `synapse.Pool`.
    """

    synapse_name = "Pool"


class AbstractUnpool(_WindowBlock):
    """Neurons that copy each input over a window; parameters as in `Pool`, the neuron has no norm."""

    synapse_name = "Unpool"
