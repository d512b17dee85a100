"""Whether a layer's weights, biases and windows are legal for its neurons."""

from __future__ import annotations

from typing import Any

from lavadl_ref.exchange import layout
from lavadl_ref.exchange.describe import ConvTranspose, Dense, Kernel, Layer, Pool, Recurrent, Unpool
from lavadl_ref.exchange.errors import ExchangeError, within
from lavadl_ref.exchange.families import FAMILIES
from lavadl_ref.exchange.values import check_array, check_integer

_WEIGHTS = (layout.WEIGHT_LOW, layout.WEIGHT_HIGH)
_BIASES = (-layout.BIAS_LIMIT, layout.BIAS_LIMIT - 1)


def check_synapse(layer: Dense | Kernel) -> None:
    """Raise unless weights, biases and windows are legal by themselves and for the layer's neurons.

    Families with complex input have a real and an imaginary part of everything, the others
    of nothing.

    Raises
    ------
    ExchangeError
        Naming the field by its key in the file, what was found and what was expected.
    """
    outputs = layer.channels
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
    _check_parts(layer, "weight", (layer.weight, layer.weight_imag), expected, _WEIGHTS)
    if isinstance(layer, Recurrent):
        _check_feedback(layer)
    if isinstance(layer, Kernel):
        _check_kernel(layer)
    if layer.bias is not None or layer.bias_imag is not None:
        if isinstance(layer, (Pool, Unpool)):
            raise ExchangeError(f"bias: expected none in a layer of type {layer.kind!r}")
        _check_parts(layer, "bias", (layer.bias, layer.bias_imag), (outputs,), _BIASES)


def _check_parts(
    layer: Layer,
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
            raise ExchangeError(f"{key}/imag: expected none; {why} real input")
        check_array(key, real, shape, *limits)
        return
    for part, values in (("real", real), ("imag", imag)):
        if values is None:
            raise ExchangeError(f"{key}/{part}: missing; {layer.neuron.type} neurons have complex input")
    check_array(f"{key}/real", real, shape, *limits)
    check_array(f"{key}/imag", imag, real.shape, *limits)


def _check_feedback(layer: Recurrent) -> None:
    outputs = layer.channels
    family = "" if layer.neuron is None else layer.neuron.type
    if family == "SDNN":
        raise ExchangeError("neuron/type: expected neurons that spike in a layer of type 'dense_rec', found SDNN")
    _check_parts(layer, "weight_rec", (layer.weight_rec, layer.weight_rec_imag), (outputs, outputs), _WEIGHTS)
    if layer.input_bias is not None:
        if family != "CUBA":
            raise ExchangeError(f"inputBias: expected none; {family} neurons have bias in that place")
        check_array("inputBias", layer.input_bias, (outputs,), *_BIASES)


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
