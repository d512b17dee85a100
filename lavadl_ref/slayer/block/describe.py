"""From blocks to the descriptions that a ``.net`` file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref.slayer.neuron.base import Neuron
from lavadl_ref.slayer.neuron.spiking import Neuron as SpikingNeuron

if TYPE_CHECKING:
    from lavadl_ref.slayer.block import base, synaptic
    from lavadl_ref.slayer.block.recurrent import KWTA, Recurrent

Arrays = dict[str, Any]  #: int64 arrays by the names of description fields

NEVER_MANTISSA = (1 << 18) - 1  #: threshold of a neuron that is read out and never spikes


def integers(values: Tensor, what: str) -> NDArray[np.int64]:
    """`values` as integers.

    Raises
    ------
    ValueError
        If a value is not whole: the block was not quantised.
    """
    array = values.detach().double().numpy()
    whole = np.rint(array)
    if not np.array_equal(array, whole):
        raise ValueError(
            f"{what} is not quantised to 1/64 and cannot be exported exactly: give the block a quantiser as pre_hook_fx"
        )
    return whole.astype(np.int64)


def _scale(module: Neuron | None) -> int:
    """Integers of a file per unit of a weight or bias of this neuron's."""
    return 64 if module is None else int(module.w_scale)


def weight(synapse: Any, scale: int = 64) -> Arrays:
    """The applied weight as integers of 1 / scale, its time axis dropped; both parts of a complex one."""
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
    """A neuron's device parameters under this package's names."""
    scale = getattr(module, "scale", 64)
    if scale != 64 and (module.graded_spike or not spikes):
        raise ValueError(
            f"values that leave a layer have a fixed unit in a file, that of scale 64: {module.__class__.__module__} "
            f"with scale {scale} can be exported with binary spikes only"
        )
    params = dict(module.device_params)
    if not spikes:
        params["vThMant"] = NEVER_MANTISSA
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
    return exchange.Neuron(family.type, {**values, **absent})


def _norm_bias(norm: Any, channels: int, scale: int) -> NDArray[np.int64] | None:
    if norm is None:
        return None
    offset = norm.bias.detach()
    whole = integers(offset if norm.pre_hook_fx is not None else offset * scale, "bias of the norm")
    return np.broadcast_to(whole, (channels,)).copy()


def bias(module: Neuron | None, channels: int) -> Arrays:
    """What the neuron adds for each channel: its norm's mean, and the bias that was set; (C,) in 1/64."""
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


def _common(block: base.SpikingBlock, shape: tuple[int, ...]) -> dict[str, Any]:
    if block.neuron is not None:
        block.neuron.settle(shape[0])  # what is written is what the next input meets
    return {
        "shape": shape,
        "neuron": None if block.neuron is None else neuron(block.neuron),
        "delay": None if block.delay is None else block.delay.steps(shape[0]),
        "delay_shift": None if block.neuron is None else block.delay_shift,
    }


def input(block: synaptic.Input) -> exchange.Input:
    """An input block; its one gain and one offset.

    Raises
    ------
    ValueError
        If the neuron has a norm, for which the format has no place in an input layer.
    """
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
            values[name] = int(integers(block._quantised(parameter) * 64, f"input {name}")[0])
    return exchange.Input(**_common(block, block._known_shape()), **values)


def dense(block: synaptic.Dense) -> exchange.Dense:
    """A dense block."""
    weights = matrix(block.synapse, _scale(block.neuron))
    return exchange.Dense(**_with_units(block, block.synapse), **weights, **_bias(block, block.synapse))


def affine(block: synaptic.Affine) -> exchange.Dense:
    """An affine block: neurons that never spike, or none."""
    common = _with_units(block, block.synapse)
    if not block.dynamics:
        weights = matrix(block.synapse)
        # of complex sums the imaginary part is read
        return exchange.Dense(
            shape=common["shape"], weight=weights["weight_imag" if block.synapse.complex else "weight"]
        )
    assert block.neuron is not None
    silent = {**common, "neuron": neuron(block.neuron, spikes=False)}
    return exchange.Dense(**silent, **matrix(block.synapse), **_bias(block, block.synapse))


def output(block: Any) -> exchange.Dense:
    """An output block: sums that are read."""
    summing = exchange.Neuron("SDNN", {"activation": None, "threshold": None, "sigma_output": True})
    common = {**_with_units(block, block.synapse), "neuron": summing}
    return exchange.Dense(**common, **matrix(block.synapse))


def recurrent(block: Recurrent) -> exchange.Recurrent:
    """A recurrent block."""
    scale = _scale(block.neuron)
    feedback: Arrays = {_FEEDBACK[name]: values for name, values in matrix(block.recurrent_synapse, scale).items()}
    synapse = block.input_synapse
    described = {**_with_units(block, synapse), **matrix(synapse, scale), **feedback, **_bias(block, synapse)}
    if block.input_bias is not None:
        described["input_bias"] = integers(block.input_bias * scale, "constant input")
    return exchange.Recurrent(**described)


def kwta(block: KWTA) -> exchange.Recurrent:
    """A block of neurons that compete: feedback of fixed form, and one constant that all of them receive."""
    module, synapse = block.neuron, block.synapse
    assert isinstance(module, SpikingNeuron)
    scale = _scale(module)
    common: dict[str, Any] = {**_with_units(block, synapse), **matrix(synapse, scale)}
    units = synapse.out_channels
    constant = np.full(units, integers(block.offset * scale, "constant input")[0])
    matrices: Arrays = {"weight_rec": integers(block.feedback * scale, "feedback")}
    added = _bias(block, synapse)
    if module.complex:
        # the part that fires them hears the others and the constant
        parts = ("weight_rec", "weight_rec_imag"), ("bias", "bias_imag")
        silent = np.zeros((units, units), np.int64)
        matrices = {name: matrices["weight_rec"] if i == module.fires_on else silent for i, name in enumerate(parts[0])}
        nothing = np.zeros(units, np.int64)
        added = {
            name: added.get(name, nothing) + (constant if i == module.fires_on else 0)
            for i, name in enumerate(parts[1])
        }
    elif module.family == "CUBA":
        # its bias acts on the voltage
        return exchange.Recurrent(**common, **matrices, **added, input_bias=constant if constant.any() else None)
    else:
        added = {"bias": added.get("bias", np.zeros(units, np.int64)) + constant}
    return exchange.Recurrent(**common, **matrices, **(added if _any(added) else {}))


def _any(added: Arrays) -> bool:
    return any(values.any() for values in added.values())


_FEEDBACK = {"weight": "weight_rec", "weight_imag": "weight_rec_imag"}


def _with_units(block: base.SpikingBlock, synapse: Any) -> dict[str, Any]:
    return _common(block, (synapse.out_channels,))


def _bias(block: base.SpikingBlock, synapse: Any) -> Arrays:
    return bias(block.neuron, synapse.out_channels)


def kernel(block: Any, layer: type[exchange.Kernel]) -> exchange.Kernel:
    """A convolutional or pooling block."""
    synapse = block.synapse
    return layer(
        **_common(block, block._known_shape()),
        **weight(synapse, _scale(block.neuron)),
        **bias(block.neuron, block._known_shape()[0]),
        stride=synapse.stride[:2],
        padding=synapse.padding[:2],
        dilation=synapse.dilation[:2],
        groups=synapse.groups,
    )
