"""Whether a description is legal: each layer on its own, and the layers as a chain.

The reader checks what it has read, the writer what it is about to write, with these same
functions, so a file that can be written can be read.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lavadl_ref.exchange import layout
from lavadl_ref.exchange.describe import (
    LAYERS,
    Dense,
    Flatten,
    Input,
    Kernel,
    Layer,
    Network,
    Neuron,
    Recurrent,
    TimeDecimation,
)
from lavadl_ref.exchange.errors import ExchangeError, within
from lavadl_ref.exchange.families import FAMILIES, Field
from lavadl_ref.exchange.geometry import check_link, known_input, smallest_input
from lavadl_ref.exchange.synapse import check_synapse
from lavadl_ref.exchange.values import check_array, check_integer, check_values, listed


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
    if network.stated_input_shape is not None:
        with within("stated_input_shape"):
            _check_stated(network.stated_input_shape, network.layers[0])
    for key, value in network.simulation.items():
        with within(f"simulation/{key}"):
            if key not in layout.SIMULATION_KEYS:
                raise ExchangeError(f"unknown key; known are {listed(layout.SIMULATION_KEYS)}")
            check_integer(value, -(2**31), 2**31)


def check_layer(layer: Layer) -> None:
    """Raise unless `layer` is legal by itself: types, ranges, and lengths that must agree.

    Raises
    ------
    ExchangeError
        Naming the field, what was found and what was expected.
    """
    if LAYERS.get(getattr(layer, "kind", "")) is not type(layer):
        raise ExchangeError(f"type: expected one of {listed(LAYERS)}, found {type(layer).__name__}")
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
        check_array("delay", layer.delay, (layer.channels,), 0, layout.DELAY_LIMIT)
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
        check_synapse(layer)
        taken = smallest_input(layer)
        if math.prod(max(extent, 0) for extent in taken) > layout.NEURON_LIMIT:
            raise ExchangeError(f"expected an input of at most {layout.NEURON_LIMIT} neurons, found {taken}")


def check_neuron(neuron: Neuron, channels: int) -> None:
    """Raise unless `neuron` names a family and has its parameters, in range, for `channels` channels.

    Raises
    ------
    ExchangeError
        Naming the parameter by its key in the file.
    """
    if neuron.type not in FAMILIES:
        raise ExchangeError(f"neuron/type: expected one of {listed(FAMILIES)}, found {neuron.type!r}")
    fields = FAMILIES[neuron.type].fields
    unknown = set(neuron.parameters) - {field.name for field in fields}
    if unknown:
        known = listed(field.name for field in fields)
        raise ExchangeError(f"neuron: {neuron.type} has no parameter {listed(unknown)}; it has {known}")
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


def _check_stated(shape: tuple[int, ...], first: Layer) -> None:
    given, known = Input(shape=shape), known_input(first)
    _check_shape(given)
    if known is None or isinstance(first, Flatten):
        check_link(first, given)
    elif shape != known:
        raise ExchangeError(f"expected {known}, which layer 0 ({first.kind}) takes, found {shape}")


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
        check_values(value, (channels,), field.low, field.high)
    else:
        check_integer(value, field.low, field.high)
