"""The block for each layer of a ``.net`` file, with the file's weights and parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from lavadl_kernels import neurons as kernels
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref.slayer import block
from lavadl_ref.slayer.block._block import Block, Output
from lavadl_ref.slayer.block._family import family_of, missing
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from lavadl_ref.slayer.neuron.sigma_delta import identity, named_activation

# Decays until the file's own take their place, which are not always those of a period.
_PLACEHOLDERS = {"sin_decay": ("period", 8.0), "cos_decay": ("decay", 0.5)}


class _Sized:
    """Pooling to the height and width that a file says, which need not count a last window past the edge."""

    size: tuple[int, ...]

    def forward(self, x: Tensor) -> Output:
        """Spikes (N, C, H, W, T) of at most that many windows."""
        height, width = self.size
        z = self.synapse(x)  # type: ignore[attr-defined]
        parts = tuple(part[:, :, :height, :width] for part in (z if isinstance(z, tuple) else (z,)))
        result: Output = self._fire(parts if len(parts) > 1 else parts[0])  # type: ignore[attr-defined]
        return result


def rebuilt(
    position: int,
    layer: exchange.Layer,
    before: tuple[int, ...],
    persistent: bool,
    weight_norm: bool,
    count_log: bool,
) -> Block:
    """The block for `layer`, which is behind one of the shape `before`."""
    reason = _lacking(layer)
    if reason is not None:
        raise NotImplementedError(f"layer {position} ({layer.kind}) {reason}")
    if isinstance(layer, exchange.Flatten):
        return block.cuba.Flatten(count_log)
    if isinstance(layer, exchange.Average):
        return block.cuba.Average(layer.size, count_log)
    if isinstance(layer, exchange.TimeDecimation):
        return block.cuba.TimeDecimation(layer.factor, count_log)
    if isinstance(layer, (exchange.Dense, exchange.Kernel)):
        filled: Block = _fill(_synaptic(layer, before, persistent, count_log), layer, weight_norm)
        return filled
    assert isinstance(layer, exchange.Input)
    gains = {"weight": layer.weight / 64, "bias": layer.bias / 64}
    params = None if layer.neuron is None else _params(layer, persistent)
    kind: Any = block.cuba.Input if layer.neuron is None else family_of(layer.neuron.type).block("Input")
    built: Block = kind(params, **gains, delay_shift=layer.shifts, count_log=count_log)
    _give_parameters(built, layer)
    return built


def _lacking(layer: exchange.Layer) -> str | None:
    """The property of `layer` that no block of slayer has, None if they have all."""
    neuron, plain = layer.neuron, type(layer) is exchange.Dense
    if neuron is None:
        bare = isinstance(layer, _SYNAPTIC) and not plain
        return "has no neurons: slayer has no block for that" if bare else None
    row = missing(neuron.type)
    if row is not None:
        return f"cannot be made: {row}"
    if any(_exponents(neuron)):
        if isinstance(layer, (exchange.Input, exchange.Pool, exchange.Unpool)):
            return "has a weight exponent: slayer's block for it has no norm"
        if isinstance(layer, exchange.Recurrent):
            return "has a weight exponent: slayer has no norm that scales in feedback"
    summed = bool(neuron.parameters.get("sigma_output"))
    if summed and not plain:
        return "sends its sums: slayer has a block for that with dense synapses only"
    if summed and getattr(layer, "bias", None) is not None:
        return "sends its sums and has a bias: slayer's block for that has none"
    if plain and (summed or exchange.never_fires(neuron)) and layer.delay is not None:
        return "is read out and has axonal delays: slayer's blocks for that have none"
    return None


def _synaptic(
    layer: exchange.Dense | exchange.Kernel, before: tuple[int, ...], persistent: bool, count_log: bool
) -> Any:
    """The block for `layer`, still with weights of its own."""
    neuron = layer.neuron
    constant: dict[str, Any] = {"input_bias": _constant(layer) is not None}
    if neuron is None:
        assert isinstance(layer, exchange.Dense)
        bare = {"threshold": 1, "current_decay": 0.0, "voltage_decay": 0.0}
        return block.cuba.Affine(bare, *_sizes(layer, before), dynamics=False, count_log=count_log, **constant)
    blocks = family_of(neuron.type)
    params = _params(layer, persistent)
    shift: dict[str, Any] = {"delay": layer.delay is not None, "delay_shift": layer.shifts, "count_log": count_log}
    if isinstance(layer, exchange.Dense):
        sizes = _sizes(layer, before)
        if isinstance(layer, exchange.Recurrent):
            return blocks.block("Recurrent")(params, *sizes, **shift, **constant)
        if neuron.parameters.get("sigma_output"):
            return blocks.block("Output")(params, *sizes, count_log=count_log)
        if exchange.never_fires(neuron):
            return blocks.block("Affine")(params, *sizes, count_log=count_log, **constant)
        return blocks.block("Dense")(params, *sizes, **shift, **constant)
    window = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    channels, per_group = layer.weight.shape[:2]
    grouped = {"groups": layer.groups, **shift, **constant}
    if isinstance(layer, exchange.Conv):
        return blocks.block("Conv")(params, per_group * layer.groups, channels, *window, **grouped)
    if isinstance(layer, exchange.ConvTranspose):
        return blocks.block("ConvT")(params, channels, per_group * layer.groups, *window, **grouped)
    if isinstance(layer, exchange.Pool):
        sized = type("Pool", (_Sized, blocks.block("Pool")), {"size": layer.shape[1:], "__module__": blocks.module})
        return sized(params, *window, **shift)
    return blocks.block("Unpool")(params, *window, **shift)


def _constant(layer: exchange.Dense | exchange.Kernel) -> Any:
    """The constant of the weighted sums, (C,) in 1/64, that no norm gives; None for none.

    A layer without neurons has no norm.
    """
    return layer.bias if layer.neuron is None else layer.input_bias


def _sizes(layer: exchange.Dense, before: tuple[int, ...]) -> tuple[Any, int]:
    """Inputs and outputs of a dense block; a frame before it that nothing has flattened as (x, y, z)."""
    outputs, inputs = layer.weight.shape
    return (before[::-1] if len(before) == 3 and math.prod(before) == inputs else inputs), outputs


def _params(layer: exchange.Layer, persistent: bool) -> dict[str, Any]:
    """Arguments of the layer's neuron; decays, and what may differ between channels, follow in `_give_parameters`."""
    neuron = layer.neuron
    assert neuron is not None
    params: dict[str, Any] = {"persistent_state": persistent}
    if _sends_changes(neuron):
        params.update(threshold=1.0, activation=identity)
        if neuron.parameters.get("activation") is not None:
            params["activation"] = named_activation(neuron["activation"])
        params["cum_error"] = bool(neuron.parameters.get("cum_error"))
    else:
        params["graded_spike"] = bool(neuron.parameters.get("graded_spike"))
    constants = () if _sends_changes(neuron) else kernels.FAMILIES[neuron.type].constants
    for field in exchange.FAMILIES[neuron.type].fields:
        if field.name in constants:
            params[field.name] = neuron[field.name] / 64
        elif field.per_channel and field.name != "threshold":
            name, value = _PLACEHOLDERS.get(field.name, (field.name, 0.0))
            params[name] = value
    if any(_exponents(neuron)):
        params["norm"] = WgtScaleBatchNorm
    elif getattr(layer, "bias", None) is not None and isinstance(layer, _SYNAPTIC) and not _sends_changes(neuron):
        params["norm"] = MeanOnlyBatchNorm
    return params


_SYNAPTIC = (exchange.Dense, exchange.Kernel)


def _sends_changes(neuron: exchange.Neuron) -> bool:
    return exchange.FAMILIES[neuron.type].sends_changes


def _exponents(neuron: exchange.Neuron) -> tuple[int, int]:
    return neuron.parameters.get("weight_exp") or 0, neuron.parameters.get("weight_exp_imag") or 0


def _fill(built: Any, layer: exchange.Dense | exchange.Kernel, weight_norm: bool) -> Any:
    """Give `built` the file's weights, parameters, delays and biases."""
    given = _constant(layer)
    constant = None if given is None else torch.tensor(given, dtype=torch.float32) / 64
    if isinstance(layer, exchange.Recurrent):
        _give_weights(built.input_synapse, (layer.weight, layer.weight_imag), weight_norm)
        _give_weights(built.recurrent_synapse, (layer.weight_rec, layer.weight_rec_imag), weight_norm)
        if constant is not None:
            built.input_synapse.bias.data = constant
    else:
        _give_weights(built.synapse, (layer.weight, layer.weight_imag), weight_norm)
        if constant is not None:
            built.synapse.bias.data = constant
    if layer.delay is not None:
        built.delay.delay.data = torch.tensor(layer.delay, dtype=torch.float32)
        built.delay.max_delay = max(built.delay.max_delay, int(layer.delay.max(initial=0)))
        built.delay.init = True
    _give_parameters(built, layer)
    if layer.neuron is not None:
        _give_biases(built.neuron, layer)
    return built


def _give_weights(synapse: Any, weights: tuple[Any, ...], weight_norm: bool) -> None:
    for part, weight in zip((synapse.real, synapse.imag) if synapse.complex else (synapse,), weights, strict=False):
        part.weight.data = torch.tensor(weight, dtype=torch.float32).reshape(part.shape) / 64
        if not torch.equal(part.hooked_weight, part.weight):
            part.pre_hook_fx = None
    if weight_norm:
        synapse.enable_weight_norm()


def _give_parameters(built: Any, layer: exchange.Layer) -> None:
    """Give the neurons of `built` the file's decays, integers as they are, and thresholds of their own."""
    neuron = layer.neuron
    if neuron is None:
        return
    if _sends_changes(neuron):
        if neuron.parameters.get("threshold") is not None:
            mantissas = np.atleast_1d(neuron["threshold"])
            built.neuron.delta.threshold.data = torch.tensor(mantissas, dtype=torch.float32) / 64
        return
    for field in exchange.FAMILIES[neuron.type].fields:
        if field.per_channel:
            values = np.atleast_1d(neuron[field.name])
            getattr(built.neuron, field.name).data = torch.tensor(values, dtype=torch.float32)


def _give_biases(module: Any, layer: Any) -> None:
    """Put biases and exponents of `layer` into the norms, and the bias of sigma-delta neurons in its own place."""
    if _sends_changes(layer.neuron) and module.norm is None:
        if layer.bias is not None:
            module.set_bias(torch.tensor(layer.bias, dtype=torch.float32) / 64)
        return
    norms = (module.real_norm, module.imag_norm) if module.complex else (module.norm,)
    biases = (layer.bias, layer.bias_imag)
    for norm, bias, exponent in zip(norms, biases, _exponents(layer.neuron), strict=False):
        if norm is None:
            continue
        if bias is not None:
            norm.running_mean = -torch.tensor(bias, dtype=torch.float32) / 64
            norm.num_features = len(bias)
            if not torch.equal(norm.pre_hook_fx(norm.running_mean), norm.running_mean):
                norm.pre_hook_fx = None
        if isinstance(norm, WgtScaleBatchNorm):
            # a variance well inside those that round up to this exponent
            norm.weight_exp_bits = max(norm.weight_exp_bits, abs(exponent))
            norm.running_var = torch.tensor([0.75 * 4.0**exponent])
