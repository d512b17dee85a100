"""Conversion of blocks to the descriptions that a ``.net`` file contains."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref.slayer.axon import Delay
from lavadl_ref.slayer.block._block import SpikingBlock
from lavadl_ref.slayer.block._saturation import described, look_at
from lavadl_ref.slayer.neuron.base import Neuron
from lavadl_ref.slayer.neuron.spiking import Neuron as SpikingNeuron
from lavadl_ref.slayer.synapse.complex import ComplexLayer
from lavadl_ref.slayer.synapse.dense import GenericLayer

Arrays = dict[str, Any]  #: int64 arrays by the names of description fields


def integers(values: Tensor, what: str) -> NDArray[np.int64]:
    """`values`, of any shape, as int64 integers of the same shape.

    Raises
    ------
    ValueError
        If a value is not finite, or not whole: the block was not quantised.
    """
    array: NDArray[np.float64] = values.detach().double().numpy()
    if not np.isfinite(array).all():
        raise ValueError(f"{what} is not finite and cannot be exported: the training has diverged")
    whole = np.rint(array)
    if not np.array_equal(array, whole):
        raise ValueError(
            f"{what} is not quantised to 1/64 and cannot be exported exactly: give the block a quantiser as pre_hook_fx"
        )
    result: NDArray[np.int64] = whole.astype(np.int64)
    return result


def _scale(module: Any) -> int:
    """Integers of a file per unit of a weight or bias of this neuron's."""
    return int(module.w_scale) if isinstance(module, Neuron) else 64


def _parts_of(synapse: Any) -> tuple[GenericLayer, ...]:
    """The synapse, or the real and the imaginary one.

    Raises
    ------
    TypeError
        If it is not one of `slayer.synapse`.
    """
    parts = (synapse.real, synapse.imag) if isinstance(synapse, ComplexLayer) else (synapse,)
    for part in parts:
        if not isinstance(part, GenericLayer):
            raise TypeError(f"to be exported, a synapse must be one of slayer.synapse, got {type(part).__name__}")
    return parts


def weight(synapse: Any, scale: int = 64) -> Arrays:
    """The applied weight as integers of 1 / scale, its time axis dropped; both parts of a complex one."""
    _parts_of(synapse)
    applied = synapse.hooked_weight
    parts = zip(("weight", "weight_imag"), applied if synapse.complex else (applied,), strict=False)
    return {name: integers(part.detach() * scale, "weight").squeeze(-1) for name, part in parts}


def matrix(synapse: Any, scale: int = 64) -> Arrays:
    """The applied weight as one row for each output."""
    return {name: values.reshape(synapse.out_channels, -1) for name, values in weight(synapse, scale).items()}


def _value(value: Any) -> Any:
    if isinstance(value, (bool, str)):
        return value
    return np.asarray(value, np.int64) if np.ndim(value) else int(value)


def neuron(module: Neuron, spikes: bool = True) -> exchange.Neuron:
    """A neuron's device parameters under this package's names.

    Raises
    ------
    TypeError
        If it is not one of `slayer.neuron`.
    """
    if not isinstance(module, Neuron):
        raise TypeError(f"to be exported, a neuron must be one of slayer.neuron, got {type(module).__name__}")
    scale = getattr(module, "scale", 64)
    if scale != 64 and (module.graded_spike or not spikes):
        raise ValueError(
            f"values that leave a layer have a fixed unit in a file, that of scale 64: {module.__class__.__module__} "
            f"with scale {scale} can be exported with binary spikes only"
        )
    params = dict(module.device_params)
    family = exchange.family(params.pop("type"))
    for key, norm in (
        ("weight_exp", module.real_norm if module.complex else module.norm),
        ("weight_exp_imag", module.imag_norm),
    ):
        exponent = getattr(norm, "weight_exp", None)
        if exponent is not None:
            params[key] = int(exponent.item())
    values = {field.name: _value(params[field.key]) for field in family.fields if field.key in params}
    absent = {field.name: field.default for field in family.fields if field.key not in params}
    described = exchange.Neuron(family.type, {**values, **absent})
    return described if spikes else exchange.silenced(described)


def _norm_bias(norm: Any, channels: int, scale: int) -> NDArray[np.int64] | None:
    if norm is None:
        return None
    offset = norm.bias.detach()
    whole = integers(offset if norm.pre_hook_fx is not None else offset * scale, "bias of the norm")
    return np.broadcast_to(whole, (channels,)).copy()


def bias(module: Neuron | None, channels: int) -> Arrays:
    """The constant that the neuron adds for each channel: its norm's mean, and the bias that was set; (C,) in 1/64."""
    if module is None:
        return {}
    if module.complex:
        if module.real_norm is None:
            return {}
        norms = {"bias": module.real_norm, "bias_imag": module.imag_norm}
        return {name: _norm_bias(norm, channels, _scale(module)) for name, norm in norms.items()}
    value = _norm_bias(module.norm, channels, _scale(module))
    if getattr(module, "bias_is_set", False):
        constant: Any = module.quantised_bias
        # the file's bias is added before the norm divides
        scale = 2.0 ** int(getattr(module.norm, "weight_exp", torch.zeros(1)).item())
        whole = np.broadcast_to(integers(constant.detach() * 64 * scale, "bias"), (channels,))
        value = whole.copy() if value is None else value + whole
    return {} if value is None else {"bias": value}


def _constants(synapse: Any, scale: int) -> Arrays:
    """The constants that a synapse's biases add to its sums in each step, (C,) in 1 / scale; none where all are 0."""
    found: Arrays = {}
    for name, part in zip(("bias", "bias_imag"), _parts_of(synapse), strict=False):
        given = part.hooked_bias
        values = torch.zeros(part.out_channels) if given is None else given.detach()
        found[name] = integers(values * scale, "bias of the synapse")
    return found if any(values.any() for values in found.values()) else {}


def _sum(*arrays: Arrays) -> Arrays:
    """Biases that act in one place, added."""
    total: Arrays = {}
    for array in arrays:
        for name, values in array.items():
            total[name] = total[name] + values if name in total else values
    return total


def _behind_current(module: Any) -> bool:
    """Tell whether a bias of the file acts on the voltage and not on what the neurons receive."""
    return isinstance(module, SpikingNeuron) and module.kernel.bias_at_state


def _at_input(block: SpikingBlock, constants: Arrays) -> Arrays:
    """Constants that the neurons receive, under the name that a file has for them."""
    if constants and _behind_current(block.neuron):
        return {"input_bias": constants["bias"]}
    return constants


def _received(block: SpikingBlock, synapse: Any) -> Arrays:
    """`_constants` under the name that a file has for them.

    Raises
    ------
    ValueError
        If it has none.
    """
    found = _constants(synapse, _scale(block.neuron))
    if not found or block.neuron is None:
        return found
    if not isinstance(block.neuron, SpikingNeuron):
        raise ValueError(
            "a synapse's bias is added to the sum of sigma-delta neurons in every step, which a file cannot store: use "
            "neuron.set_bias, which is added once"
        )
    return found if _passes_at_once(block) else _at_input(block, found)


def _passes_at_once(block: Any) -> bool:
    """Tell whether a bias of the current that nobody asked for by `input_bias` is one of the voltage, too.

    A current that keeps nothing is what arrives: then Lava-DL, which has no ``inputBias``, reads the ``bias``.
    """
    neuron = block.neuron
    if getattr(block, "input_bias", False) or not _behind_current(neuron) or not hasattr(neuron, "cx_current_decay"):
        return False
    return bool(np.all(neuron.cx_current_decay == neuron.p_scale))


def _paired(block: SpikingBlock, constant: NDArray[np.int64]) -> Arrays:
    """A constant that the neurons receive, of complex ones in the part that fires them."""
    if not constant.any():
        return {}
    if not block.neuron.complex:
        return {"bias": constant}
    silent = np.zeros_like(constant)
    return {name: constant if i == block.neuron.fires_on else silent for i, name in enumerate(("bias", "bias_imag"))}


def _common(block: SpikingBlock, shape: tuple[int, ...]) -> dict[str, Any]:
    if block.delay is not None and not isinstance(block.delay, Delay):
        raise TypeError(f"to be exported, a delay must be slayer.axon.Delay, got {type(block.delay).__name__}")
    if isinstance(block.neuron, Neuron):
        block.neuron.settle(shape[0])  # what is written is what the next input meets
    return {
        "shape": shape,
        "neuron": None if block.neuron is None else neuron(block.neuron),
        "delay": None if block.delay is None else block.delay.steps(shape[0]),
        "delay_shift": None if block.neuron is None else block.delay_shift,
    }


def _begin(block: Any) -> None:
    """Prepare the description of a block with a synapse."""
    block._link()
    look_at(block)


def flatten(block: Any) -> exchange.Flatten:
    """A flatten block."""
    return exchange.Flatten(shape=block._known_shape()[:1])


def average(block: Any) -> exchange.Average:
    """An average block."""
    return exchange.Average(shape=block._known_shape()[:1])


def time_decimation(block: Any) -> exchange.TimeDecimation:
    """A block that averages over bins of steps."""
    return exchange.TimeDecimation(shape=block._known_shape(), factor=block.factor)


def input(block: Any) -> exchange.Input:
    """An input block; its one gain and one offset.

    Raises
    ------
    ValueError
        If the neuron has a norm, for which the format has no place in an input layer.
    """
    look_at(block)
    module = block.neuron
    if module is not None and (module.norm is not None or module.real_norm is not None):
        raise ValueError("an input block with a norm cannot be exported exactly: give its neuron no norm")
    if _scale(module) != 64:
        raise ValueError(
            f"the input of a file has a fixed unit, 1/64: an input block needs scale 64, got {_scale(module)}"
        )
    values: dict[str, Any] = {}
    for name in ("weight", "bias"):
        parameter = getattr(block, name)
        if parameter is not None:
            values[name] = int(integers(block.pre_hook_fx(parameter) * 64, f"input {name}")[0])
    return exchange.Input(**_common(block, block._known_shape()), **values)


def network(blocks: Iterable[Any]) -> exchange.Network:
    """Combine consecutive blocks into a network that `exchange.write` takes.

    Parameters
    ----------
    blocks : iterable of block
        The blocks in order; any object with a method ``describe`` is accepted.

    Raises
    ------
    RuntimeError
        If the blocks have not received an input yet, so that their shapes are not known.
    ValueError
        If a parameter is not finite, or cannot be stored in a file.

    Warns
    -----
    SaturationWarning
        Once, if parameters exceed the range of a file.
    """
    return exchange.Network(described(blocks))


def dense(block: Any) -> exchange.Dense | exchange.Kernel:
    """A dense block; on frames larger than its weights, a convolution."""
    if math.prod(block.shape[1:] if block.shape is not None else ()) != 1:
        return kernel(block, exchange.Conv)
    _begin(block)
    weights = matrix(block.synapse, _scale(block.neuron))
    return exchange.Dense(**_with_units(block, block.synapse), **weights, **_bias(block, block.synapse))


def affine(block: Any) -> exchange.Dense:
    """An affine block: neurons that never spike, or none."""
    _begin(block)
    common = _with_units(block, block.synapse)
    if not block.dynamics:
        # of complex sums the imaginary part is read
        name = "_imag" if block.synapse.complex else ""
        constant = _constants(block.synapse, 64).get(f"bias{name}")
        return exchange.Dense(shape=common["shape"], weight=matrix(block.synapse)[f"weight{name}"], bias=constant)
    silent = {**common, "neuron": neuron(block.neuron, spikes=False)}
    return exchange.Dense(**silent, **matrix(block.synapse), **_bias(block, block.synapse))


def output(block: Any) -> exchange.Dense:
    """An output block, whose sums are the result."""
    _begin(block)
    summing = exchange.Neuron(block.neuron.family, {"activation": None, "threshold": None, "sigma_output": True})
    common = {**_with_units(block, block.synapse), "neuron": summing}
    return exchange.Dense(**common, **matrix(block.synapse), **_received(block, block.synapse))


def _fed_back(block: Any, synapse: Any, constants: Arrays) -> dict[str, Any]:
    """The fields that all blocks with feedback have; the neurons receive `constants` in every step."""
    scale = _scale(block.neuron)
    own = _constants(synapse, scale)
    if block.bias is not None:
        given = integers(block.bias.detach().reshape(-1) * scale, "bias of the block")
        own = _sum(own, _paired(block, np.broadcast_to(given, (synapse.out_channels,)).copy()))
    own = _sum(own, constants)
    described = {**_with_units(block, synapse), **matrix(synapse, scale)}
    return {**described, **_sum(bias(block.neuron, synapse.out_channels), _at_input(block, own))}


def recurrent(block: Any) -> exchange.Recurrent:
    """A recurrent block."""
    look_at(block)
    scale = _scale(block.neuron)
    feedback: Arrays = {_FEEDBACK[name]: values for name, values in matrix(block.recurrent_synapse, scale).items()}
    common = _fed_back(block, block.input_synapse, _constants(block.recurrent_synapse, scale))
    return exchange.Recurrent(**common, **feedback)


def kwta(block: Any) -> exchange.Recurrent:
    """A block of competing neurons: feedback of fixed form, and one constant that all neurons receive."""
    look_at(block)
    units, scale = block.synapse.out_channels, _scale(block.neuron)
    constant = np.full(units, integers(block.offset * scale, "constant input")[0])
    values = integers(block.feedback * scale, "feedback")
    matrices: Arrays = {"weight_rec": values}
    if block.neuron.complex:
        # the part that fires them receives what the others send
        names = ("weight_rec", "weight_rec_imag")
        matrices = {name: values if i == block.neuron.fires_on else 0 * values for i, name in enumerate(names)}
    return exchange.Recurrent(**_fed_back(block, block.synapse, _paired(block, constant)), **matrices)


_FEEDBACK = {"weight": "weight_rec", "weight_imag": "weight_rec_imag"}


def _with_units(block: SpikingBlock, synapse: Any) -> dict[str, Any]:
    if block.shape is not None and math.prod(block.shape[1:]) != 1:
        raise ValueError(
            f"a file has no layer for a {type(block).__name__} block whose output has the shape {tuple(block.shape)}: "
            "flatten its input"
        )
    return _common(block, (synapse.out_channels,))


def _bias(block: SpikingBlock, synapse: Any) -> Arrays:
    return _sum(bias(block.neuron, synapse.out_channels), _received(block, synapse))


def kernel(block: Any, layer: type[exchange.Kernel]) -> exchange.Kernel:
    """A convolutional or pooling block.

    Raises
    ------
    ValueError
        If a pooling synapse has a bias, for which a file has no place.
    """
    _begin(block)
    synapse, shape = block.synapse, block._known_shape()
    added = _received(block, synapse)
    if added and layer in (exchange.Pool, exchange.Unpool):
        raise ValueError("a pooling synapse with a bias cannot be exported: a file cannot store it")
    return layer(
        **_common(block, shape),
        **weight(synapse, _scale(block.neuron)),
        **_sum(bias(block.neuron, shape[0]), added),
        stride=synapse.stride[:2],
        padding=synapse.padding[:2],
        dilation=synapse.dilation[:2],
        groups=synapse.groups,
    )
