"""From blocks to the descriptions that a ``.net`` file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref.slayer.neuron.base import Neuron

if TYPE_CHECKING:
    from lavadl_ref.slayer.block import base

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


def weight(synapse: Any) -> NDArray[np.int64]:
    """The applied weight as integers of 1/64, its time axis dropped."""
    return integers(synapse.hooked_weight.detach() * 64, "weight").squeeze(-1)


def neuron(module: Neuron, spikes: bool = True) -> exchange.Neuron:
    """A neuron's device parameters under this package's names."""
    params = dict(module.device_params)
    if not spikes:
        params["vThMant"] = NEVER_MANTISSA
    family = exchange.family(params.pop("type"))
    exponent = getattr(module.norm, "weight_exp", None)
    if exponent is not None:
        params["weight_exp"] = int(exponent.item())
    values: dict[str, Any] = {}
    for field in family.fields:
        if field.key in params:
            value = params[field.key]
            values[field.name] = value if isinstance(value, (bool, str)) or np.ndim(value) else int(value)
        else:
            values[field.name] = field.default
    return exchange.Neuron(family.type, values)


def _bias(module: Neuron | None) -> NDArray[np.int64] | None:
    if module is None or module.norm is None:
        return None
    bias = module.norm.bias.detach()
    return integers(bias if module.norm.pre_hook_fx is not None else bias * 64, "bias of the norm")


def _common(block: base.SpikingBlock) -> dict[str, Any]:
    delay = block.delay
    return {
        "shape": block._known_shape(),
        "neuron": None if block.neuron is None else neuron(block.neuron),
        "delay": None if delay is None else delay.steps(block._known_shape()[0]),
        "delay_shift": None if block.neuron is None else block.delay_shift,
    }


def input(block: base.Input) -> exchange.Input:
    """An input block; its one gain and one offset.

    Raises
    ------
    ValueError
        If the neuron has a norm, for which the format has no place in an input layer.
    """
    if block.neuron is not None and block.neuron.norm is not None:
        raise ValueError("an input block with a norm cannot be exported exactly: give its neuron no norm")
    values: dict[str, Any] = {}
    for name in ("weight", "bias"):
        parameter = getattr(block, name)
        if parameter is not None:
            values[name] = int(integers(block._quantised(parameter) * 64, f"input {name}")[0])
    return exchange.Input(**_common(block), **values)


def dense(block: base.Dense) -> exchange.Dense:
    """A dense block."""
    return exchange.Dense(
        **_with_units(block, block.synapse.out_channels),
        weight=_matrix(block.synapse),
        bias=_bias(block.neuron),
    )


def affine(block: base.Affine) -> exchange.Dense:
    """An affine block: neurons that never spike, or none."""
    common = _with_units(block, block.synapse.out_channels)
    if not block.dynamics:
        return exchange.Dense(shape=common["shape"], weight=_matrix(block.synapse))
    assert block.neuron is not None
    silent = {**common, "neuron": neuron(block.neuron, spikes=False)}
    return exchange.Dense(**silent, weight=_matrix(block.synapse), bias=_bias(block.neuron))


def _matrix(synapse: Any) -> NDArray[np.int64]:
    return weight(synapse).reshape(synapse.out_channels, -1)


def _with_units(block: base.SpikingBlock, units: int) -> dict[str, Any]:
    return {**_common(block), "shape": (units,)}


def kernel(block: Any, layer: type[exchange.Kernel]) -> exchange.Kernel:
    """A convolutional or pooling block."""
    synapse = block.synapse
    return layer(
        **_common(block),
        weight=weight(synapse),
        bias=_bias(block.neuron),
        stride=synapse.stride[:2],
        padding=synapse.padding[:2],
        dilation=synapse.dilation[:2],
        groups=synapse.groups,
    )
