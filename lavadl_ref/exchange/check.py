"""The checks of a description: each layer on its own, its neurons, weights and windows, and the layers as a chain.

The reader checks what it has read, the writer what it is about to write, with these same
functions, so a file that can be written can be read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from lavadl_ref.exchange import layers, layout
from lavadl_ref.exchange.describe import Network
from lavadl_ref.exchange.errors import ExchangeError, within
from lavadl_ref.exchange.families import FAMILIES, Field
from lavadl_ref.exchange.geometry import check_link, known_input, smallest_input

_WEIGHTS = (layout.WEIGHT_LOW, layout.WEIGHT_HIGH)
_BIASES = (-layout.BIAS_LIMIT, layout.BIAS_LIMIT - 1)


def check(network: Network) -> None:
    """Raise unless `network` is legal as a whole.

    Raises
    ------
    ExchangeError
        Naming the layer and the field, what was found and what was expected.
    """
    count = len(network.layers)
    if not 1 <= count <= layout.LAYER_LIMIT:
        raise ExchangeError(f"layer: must have 1 to {layout.LAYER_LIMIT} layers, got {count}")
    previous: layers.Layer | None = None
    for index, layer in enumerate(network.layers):
        with within(f"layer {index}"):
            check_layer(layer)
            check_link(layer, previous)
        previous = layer
    if network.stated_input_shape is not None:
        with within("stated_input_shape"):
            _check_stated(network.stated_input_shape, network.layers[0])
    for key, value in network.simulation.items():
        if key not in layout.SIMULATION_KEYS:
            raise ExchangeError(f"simulation/{key}: unknown key; known are {_listed(layout.SIMULATION_KEYS)}")
        _check_integer(f"simulation/{key}", value, -(2**31), 2**31)


def check_layer(layer: layers.Layer) -> None:
    """Raise unless `layer` is legal by itself: types, ranges, and lengths that must agree.

    Raises
    ------
    ExchangeError
        Naming the field, what was found and what was expected.
    """
    if layers.LAYERS.get(getattr(layer, "kind", "")) is not type(layer):
        raise ExchangeError(f"type: must be one of {_listed(layers.LAYERS)}, got {type(layer).__name__}")
    keys = layout.LAYER_KEYS[layer.kind]
    _check_shape(layer)
    if layer.neuron is not None:
        if "neuron" not in keys:
            raise ExchangeError(f"neuron: must be absent in a layer of type {layer.kind!r}")
        check_neuron(layer.neuron, layer.shape[0])
    elif isinstance(layer, layers.Recurrent):
        raise ExchangeError("neuron: missing; feedback needs neurons")
    if layer.delay is not None:
        if "delay" not in keys:
            raise ExchangeError(f"delay: must be absent in a layer of type {layer.kind!r}")
        _check_array("delay", layer.delay, (layer.channels,), 0, layout.DELAY_LIMIT)
    if layer.delay_shift is not None:
        if layer.neuron is None:
            raise ExchangeError("delayShift: must be absent in a layer without neurons")
        if not isinstance(layer.delay_shift, (bool, np.bool_)):
            raise ExchangeError(f"delayShift: must be a bool, got {layer.delay_shift!r}")
    if isinstance(layer, layers.Input):
        _check_integer("weight", layer.weight, *_WEIGHTS)
        _check_integer("bias", layer.bias, *_BIASES)
    elif isinstance(layer, layers.TimeDecimation):
        _check_integer("factor", layer.factor, 1, layout.WINDOW_LIMIT)
    elif isinstance(layer, (layers.Dense, layers.Kernel)):
        _check_synapse(layer)
        taken = smallest_input(layer)
        if math.prod(max(extent, 0) for extent in taken) > layout.NEURON_LIMIT:
            raise ExchangeError(f"must have an input of at most {layout.NEURON_LIMIT} neurons, got {taken}")


def check_neuron(neuron: layers.Neuron, channels: int) -> None:
    """Raise unless `neuron` names a family and has its parameters, in range, for `channels` channels.

    Raises
    ------
    ExchangeError
        Naming the parameter by its key in the file.
    """
    if neuron.type not in FAMILIES:
        raise ExchangeError(f"neuron/type: must be one of {_listed(FAMILIES)}, got {neuron.type!r}")
    fields = FAMILIES[neuron.type].fields
    unknown = set(neuron.parameters) - {field.name for field in fields}
    if unknown:
        known = _listed(field.name for field in fields)
        raise ExchangeError(f"neuron: {neuron.type} has no parameter {_listed(unknown)}; it has {known}")
    for field in fields:
        value = neuron.parameters.get(field.name)
        if value is not None:
            _check_field(f"neuron/{field.key}", field, value, channels)
        elif field.required:
            raise ExchangeError(f"neuron/{field.key}: missing; {neuron.type} neurons need it")
    for field in reversed(fields):  # where both are absent, SDNN's threshold is named and not its activation
        absent = field.needed_unless and neuron.parameters.get(field.name) is None
        if absent and not neuron.parameters.get(field.needed_unless):
            raise ExchangeError(
                f"neuron/{field.key}: missing; {neuron.type} neurons need it unless {field.needed_unless} is true"
            )


def _check_stated(shape: tuple[int, ...], first: layers.Layer) -> None:
    given, known = layers.Input(shape=shape), known_input(first)
    _check_shape(given)
    if known is None or isinstance(first, layers.Flatten):
        check_link(first, given)
    elif shape != known:
        raise ExchangeError(f"must be {known}, which layer 0 ({first.kind}) takes, got {shape}")


def _check_shape(layer: layers.Layer) -> None:
    shape, ranks = layer.shape, layout.RANKS[layer.kind]
    if not isinstance(shape, tuple) or len(shape) not in ranks:
        wanted = " or ".join({1: "(N,)", 3: "(C, H, W)"}[rank] for rank in ranks)
        raise ExchangeError(f"shape: must be {wanted}, got {shape}")
    for extent in shape:
        _check_integer("shape", extent, 1, layout.NEURON_LIMIT)
    if math.prod(shape) > layout.NEURON_LIMIT:
        raise ExchangeError(f"shape: must have at most {layout.NEURON_LIMIT} neurons, got {shape}")


def _check_field(place: str, field: Field, value: Any, channels: int) -> None:
    if field.kind == "bool":
        if not isinstance(value, (bool, np.bool_)):
            raise ExchangeError(f"{place}: must be a bool, got {value!r}")
    elif field.kind == "str":
        if not isinstance(value, str) or not value.isidentifier() or not value.isascii():
            raise ExchangeError(f"{place}: must be a name, got {value!r}")
        if len(value) > layout.NAME_LIMIT:
            raise ExchangeError(f"{place}: must have at most {layout.NAME_LIMIT} characters, got {len(value)}")
    elif field.per_channel and isinstance(value, np.ndarray):
        if channels == 1:
            raise ExchangeError(f"{place}: must be an integer, as there is one channel, got an array {value.shape}")
        _check_array(place, value, (channels,), field.low, field.high)
    else:
        _check_integer(place, value, field.low, field.high)


def _check_synapse(layer: layers.Dense | layers.Kernel) -> None:
    """Raise unless weights, biases and windows are legal by themselves and for the layer's neurons.

    Families with complex input have a real and an imaginary part of everything, the others
    of nothing.

    Raises
    ------
    ExchangeError
        Naming the field by its key in the file, what was found and what was expected.
    """
    outputs = layer.shape[0]
    if isinstance(layer, layers.Dense):
        expected: tuple[int | None, ...] = (outputs, None)
    else:
        _check_window(layer)
        if isinstance(layer, (layers.Pool, layers.Unpool)):
            expected = (1, 1, None, None)
        elif isinstance(layer, layers.ConvTranspose):
            expected = (None, outputs // layer.groups, None, None)
        else:
            expected = (outputs, None, None, None)
    _check_parts(layer, "weight", (layer.weight, layer.weight_imag), expected, _WEIGHTS)
    if isinstance(layer, layers.Recurrent):
        _check_feedback(layer)
    if isinstance(layer, layers.Kernel):
        _check_kernel(layer)
    if layer.bias is not None or layer.bias_imag is not None:
        if isinstance(layer, (layers.Pool, layers.Unpool)):
            raise ExchangeError(f"bias: must be absent in a layer of type {layer.kind!r}")
        _check_parts(layer, "bias", (layer.bias, layer.bias_imag), (outputs,), _BIASES)
    if layer.input_bias is not None:
        _check_input_bias(layer, outputs)


def _check_parts(
    layer: layers.Layer,
    key: str,
    parts: tuple[Any, Any],
    shape: tuple[int | None, ...],
    limits: tuple[int, int],
) -> None:
    """Check a real array, or the two parts of a complex one, whichever the layer's neurons ask for."""
    real, imag = parts
    if layer.neuron is None or not FAMILIES[layer.neuron.type].complex_input:
        if imag is not None:
            why = "a layer without neurons has" if layer.neuron is None else f"{layer.neuron.type} neurons have"
            raise ExchangeError(f"{key}/imag: must be absent; {why} real input")
        _check_array(key, real, shape, *limits)
        return
    for part, values in (("real", real), ("imag", imag)):
        if values is None:
            raise ExchangeError(f"{key}/{part}: missing; {layer.neuron.type} neurons have complex input")
    _check_array(f"{key}/real", real, shape, *limits)
    _check_array(f"{key}/imag", imag, real.shape, *limits)


def _check_feedback(layer: layers.Recurrent) -> None:
    outputs = layer.shape[0]
    assert layer.neuron is not None
    family = FAMILIES[layer.neuron.type]
    if family.sends_changes:
        raise ExchangeError(
            f"neuron/type: must name neurons that spike in a layer of type 'dense_rec', got {family.type}"
        )
    _check_parts(layer, "weight_rec", (layer.weight_rec, layer.weight_rec_imag), (outputs, outputs), _WEIGHTS)


def _check_input_bias(layer: layers.Dense | layers.Kernel, outputs: int) -> None:
    if "inputBias" not in layout.LAYER_KEYS[layer.kind]:
        raise ExchangeError(f"inputBias: must be absent in a layer of type {layer.kind!r}")
    if layer.neuron is None:
        raise ExchangeError("inputBias: must be absent; a layer without neurons has bias in that place")
    family = FAMILIES[layer.neuron.type]
    if not family.takes_input_bias:
        why = "have bias in that place" if family.bias_at_input else "would sum it without end"
        raise ExchangeError(f"inputBias: must be absent; {family.type} neurons {why}")
    _check_array("inputBias", layer.input_bias, (outputs,), *_BIASES)


def _check_window(layer: layers.Kernel) -> None:
    for key, pair, low in (
        ("stride", layer.stride, 1),
        ("padding", layer.padding, 0),
        ("dilation", layer.dilation, 1),
    ):
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ExchangeError(f"{key}: must be (height, width), got {pair!r}")
        for value in pair:
            _check_integer(key, value, low, layout.WINDOW_LIMIT)
    _check_integer("groups", layer.groups, 1, layout.WINDOW_LIMIT)
    if isinstance(layer, (layers.Pool, layers.Unpool)) and layer.groups != 1:
        raise ExchangeError(f"groups: must be 1 in a layer of type {layer.kind!r}, got {layer.groups}")
    if layer.channels % layer.groups:
        raise ExchangeError(f"groups: must be a divisor of {layer.channels} channels, got {layer.groups}")


def _check_kernel(layer: layers.Kernel) -> None:
    for extent in layer.kernel_size:
        _check_integer("kernelSize", extent, 1, layout.WINDOW_LIMIT)
    if isinstance(layer, layers.ConvTranspose) and layer.weight.shape[0] % layer.groups:
        raise ExchangeError(f"groups: must be a divisor of {layer.weight.shape[0]} input channels, got {layer.groups}")


def _check_integer(place: str, value: Any, low: int, high: int) -> None:
    """Raise unless `value` is a whole number within [low, high]; `place` begins the message."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ExchangeError(f"{place}: must be an integer, got {value!r}")
    if not low <= value <= high:
        raise ExchangeError(f"{place}: must be {_range(low, high)}, got {value}")


def _check_array(place: str, values: Any, shape: tuple[int | None, ...], low: int, high: int) -> None:
    """Raise unless `values` is an int64 array of `shape` within [low, high]; `place` begins the message.

    `shape` may hold None for an axis of any length but 0.
    """
    if not isinstance(values, np.ndarray) or values.dtype != np.int64:
        found = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise ExchangeError(f"{place}: must be an int64 array, got {found}")
    fits = values.ndim == len(shape) and all(
        found == wanted or (wanted is None and found > 0) for found, wanted in zip(values.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if extent is None else str(extent) for extent in shape)
        comma = "," if len(shape) == 1 else ""
        raise ExchangeError(f"{place}: must have shape ({wanted}{comma}), got {values.shape}")
    for extreme in (values.min(), values.max()):
        if not low <= extreme <= high:
            raise ExchangeError(f"{place}: must be {_range(low, high)}, got {extreme}")


def _listed(names: Iterable[str]) -> str:
    """`names` in alphabetical order, for a message."""
    return ", ".join(sorted(names))


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"integers in [{low}, {high}]"
