"""Whether a description is legal: each layer on its own, and the layers as a chain.

The reader checks what it has read, the writer what it is about to write, with these same
functions, so a file that can be written can be read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lavadl_ref.exchange import layout
from lavadl_ref.exchange.describe import (
    LAYERS,
    ConvTranspose,
    Dense,
    Input,
    Kernel,
    Layer,
    Network,
    Neuron,
    Pool,
    Recurrent,
    TimeDecimation,
    Unpool,
)
from lavadl_ref.exchange.errors import ExchangeError, within
from lavadl_ref.exchange.families import FAMILIES, Field
from lavadl_ref.exchange.geometry import check_link


def check(network: Network) -> None:
    """Raise unless `network` is legal as a whole.

    Raises
    ------
    ExchangeError
        Naming the layer and the field, what was found and what was expected.
    """
    count = len(network.layers)
    if not 1 <= count <= layout.LAYER_LIMIT:
        raise ExchangeError(f"layer: expected 1 to {layout.LAYER_LIMIT} layers, found {count}")
    previous: Layer | None = None
    for index, layer in enumerate(network.layers):
        with within(f"layer {index}"):
            check_layer(layer)
            check_link(layer, previous)
        previous = layer
    for key, value in network.simulation.items():
        with within(f"simulation/{key}"):
            if key not in layout.SIMULATION_KEYS:
                raise ExchangeError(f"unknown key; known are {_listed(layout.SIMULATION_KEYS)}")
            check_integer(value, -(2**31), 2**31)


def check_layer(layer: Layer) -> None:
    """Raise unless `layer` is legal by itself: types, ranges, and lengths that must agree.

    Raises
    ------
    ExchangeError
        Naming the field, what was found and what was expected.
    """
    if LAYERS.get(getattr(layer, "kind", "")) is not type(layer):
        raise ExchangeError(f"type: expected one of {_listed(LAYERS)}, found {type(layer).__name__}")
    keys = layout.LAYER_KEYS[layer.kind]
    _check_shape(layer)
    if layer.neuron is not None:
        if "neuron" not in keys:
            raise ExchangeError(f"neuron: expected none in a layer of type {layer.kind!r}")
        check_neuron(layer.neuron, layer.channels)
    elif isinstance(layer, Recurrent):
        raise ExchangeError("neuron: missing; feedback needs neurons")
    if layer.delay is not None:
        if "delay" not in keys:
            raise ExchangeError(f"delay: expected none in a layer of type {layer.kind!r}")
        _check_array("delay", layer.delay, (layer.channels,), 0, layout.DELAY_LIMIT)
    if layer.delay_shift is not None:
        if layer.neuron is None:
            raise ExchangeError("delayShift: expected none in a layer without neurons")
        if not isinstance(layer.delay_shift, (bool, np.bool_)):
            raise ExchangeError(f"delayShift: expected a bool, found {layer.delay_shift!r}")
    if isinstance(layer, Input):
        with within("weight"):
            check_integer(layer.weight, layout.WEIGHT_LOW, layout.WEIGHT_HIGH)
        with within("bias"):
            check_integer(layer.bias, -layout.BIAS_LIMIT, layout.BIAS_LIMIT - 1)
    elif isinstance(layer, TimeDecimation):
        with within("factor"):
            check_integer(layer.factor, 1, layout.WINDOW_LIMIT)
    elif isinstance(layer, (Dense, Kernel)):
        _check_synapse(layer)


def check_neuron(neuron: Neuron, channels: int) -> None:
    """Raise unless `neuron` names a family and has its parameters, in range, for `channels` channels.

    Raises
    ------
    ExchangeError
        Naming the parameter by its key in the file.
    """
    if neuron.type not in FAMILIES:
        raise ExchangeError(f"neuron/type: expected one of {_listed(FAMILIES)}, found {neuron.type!r}")
    fields = FAMILIES[neuron.type].fields
    unknown = set(neuron.parameters) - {field.name for field in fields}
    if unknown:
        known = _listed(field.name for field in fields)
        raise ExchangeError(f"neuron: {neuron.type} has no parameter {_listed(unknown)}; it has {known}")
    for field in fields:
        value = neuron.parameters.get(field.name)
        with within(f"neuron/{field.key}"):
            if value is not None:
                _check_field(field, value, channels)
            elif field.required:
                raise ExchangeError(f"missing; {neuron.type} neurons need it")
    if neuron.type == "SDNN" and not neuron.parameters.get("sigma_output"):
        if neuron.parameters.get("threshold") is None:
            raise ExchangeError("neuron/vThMant: missing; SDNN neurons need it unless sigma_output is true")
        if neuron.parameters.get("activation") is None:
            raise ExchangeError("neuron/activation: missing; SDNN neurons need it unless sigma_output is true")


def check_integer(value: Any, low: int, high: int) -> None:
    """Raise unless `value` is a whole number within [low, high]."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ExchangeError(f"expected an integer, found {value!r}")
    if not low <= value <= high:
        raise ExchangeError(f"expected {_range(low, high)}, found {value}")


def _check_shape(layer: Layer) -> None:
    shape, ranks = layer.shape, layout.RANKS[layer.kind]
    with within("shape"):
        if not isinstance(shape, tuple) or len(shape) not in ranks:
            wanted = " or ".join({1: "(N,)", 3: "(C, H, W)"}[rank] for rank in ranks)
            raise ExchangeError(f"expected {wanted}, found {shape}")
        for extent in shape:
            check_integer(extent, 1, layout.NEURON_LIMIT)
        if layer.size > layout.NEURON_LIMIT:
            raise ExchangeError(f"expected at most {layout.NEURON_LIMIT} neurons, found {shape}")


def _check_field(field: Field, value: Any, channels: int) -> None:
    if field.kind == "bool":
        if not isinstance(value, (bool, np.bool_)):
            raise ExchangeError(f"expected a bool, found {value!r}")
    elif field.kind == "str":
        if not isinstance(value, str) or not value.isidentifier() or not value.isascii():
            raise ExchangeError(f"expected a name, found {value!r}")
        if len(value) > layout.NAME_LIMIT:
            raise ExchangeError(f"expected at most {layout.NAME_LIMIT} characters, found {len(value)}")
    elif field.per_channel and isinstance(value, np.ndarray):
        if channels == 1:
            raise ExchangeError(f"expected an integer, as there is one channel, found an array {value.shape}")
        _check_values(value, (channels,), field.low, field.high)
    else:
        check_integer(value, field.low, field.high)


def _check_synapse(layer: Dense | Kernel) -> None:
    outputs = layer.channels
    complex_input = layer.neuron is not None and FAMILIES[layer.neuron.type].complex_input
    if isinstance(layer, Dense):
        expected: tuple[int | None, ...] = (outputs, None)
    else:
        _check_window(layer)
        if isinstance(layer, (Pool, Unpool)):
            expected = (1, 1, None, None)
        elif isinstance(layer, ConvTranspose):
            expected = (None, outputs // layer.groups, None, None)
        else:
            expected = (outputs, None, None, None)
    for key, weight in _weights(layer, complex_input):
        _check_array(key, weight, expected, layout.WEIGHT_LOW, layout.WEIGHT_HIGH)
    if layer.weight_imag is not None and layer.weight_imag.shape != layer.weight.shape:
        raise ExchangeError(f"weight/imag: expected shape {layer.weight.shape}, found {layer.weight_imag.shape}")
    if isinstance(layer, Recurrent):
        _check_array("weight_rec", layer.weight_rec, (outputs, outputs), layout.WEIGHT_LOW, layout.WEIGHT_HIGH)
    if isinstance(layer, Kernel):
        _check_kernel(layer)
    if layer.bias is not None:
        if complex_input:
            raise ExchangeError("bias: expected none where the input is complex")
        if isinstance(layer, (Pool, Unpool)):
            raise ExchangeError(f"bias: expected none in a layer of type {layer.kind!r}")
        _check_array("bias", layer.bias, (outputs,), -layout.BIAS_LIMIT, layout.BIAS_LIMIT - 1)


def _weights(layer: Dense | Kernel, complex_input: bool) -> list[tuple[str, Any]]:
    """The weight arrays by their keys, once it is clear that they are the right ones."""
    if layer.weight_imag is None:
        if complex_input:
            raise ExchangeError(f"weight/imag: missing; {_family(layer)} neurons have complex input")
        return [("weight", layer.weight)]
    if not complex_input:
        raise ExchangeError(f"weight/imag: expected none; {_family(layer)} neurons have real input")
    if isinstance(layer, Recurrent):
        raise ExchangeError("weight/imag: expected none; feedback has real weights only")
    return [("weight/real", layer.weight), ("weight/imag", layer.weight_imag)]


def _family(layer: Layer) -> str:
    return "no" if layer.neuron is None else layer.neuron.type


def _check_window(layer: Kernel) -> None:
    for key, pair, low in (
        ("stride", layer.stride, 1),
        ("padding", layer.padding, 0),
        ("dilation", layer.dilation, 1),
    ):
        with within(key):
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise ExchangeError(f"expected (height, width), found {pair!r}")
            for value in pair:
                check_integer(value, low, layout.WINDOW_LIMIT)
    with within("groups"):
        check_integer(layer.groups, 1, layout.WINDOW_LIMIT)
        if isinstance(layer, (Pool, Unpool)) and layer.groups != 1:
            raise ExchangeError(f"expected 1 in a layer of type {layer.kind!r}, found {layer.groups}")
        if layer.channels % layer.groups:
            raise ExchangeError(f"expected a divisor of {layer.channels} channels, found {layer.groups}")


def _check_kernel(layer: Kernel) -> None:
    for extent in layer.kernel_size:
        with within("kernelSize"):
            check_integer(extent, 1, layout.WINDOW_LIMIT)
    if isinstance(layer, ConvTranspose) and layer.weight.shape[0] % layer.groups:
        raise ExchangeError(
            f"groups: expected a divisor of {layer.weight.shape[0]} input channels, found {layer.groups}"
        )


def _check_array(key: str, values: Any, shape: tuple[int | None, ...], low: int, high: int) -> None:
    with within(key):
        _check_values(values, shape, low, high)


def _check_values(values: Any, shape: tuple[int | None, ...], low: int, high: int) -> None:
    """`shape` may hold None for an axis of any length but 0."""
    if not isinstance(values, np.ndarray) or values.dtype != np.int64:
        found = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise ExchangeError(f"expected an int64 array, found {found}")
    fits = values.ndim == len(shape) and all(
        found == wanted or (wanted is None and found > 0) for found, wanted in zip(values.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if extent is None else str(extent) for extent in shape)
        raise ExchangeError(f"expected shape ({wanted}{',' if len(shape) == 1 else ''}), found {values.shape}")
    for extreme in (values.min(), values.max()):
        if not low <= extreme <= high:
            raise ExchangeError(f"expected {_range(low, high)}, found {extreme}")


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"integers in [{low}, {high}]"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
