"""Deployment of the layers of a ``.net`` file: kernel parameters, scales, and the layers that cannot run.

Only this module turns a description into integers on the scale of the kernels, for the reference run and for the Lava
processes of this package. Scales are counted in fractional bits: a message of e bits is an integer in units of 2**-e,
and a weighted sum of such messages an integer in units of 2**-(6 + e), since weights are integers in units of 1/64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from lavadl_kernels.fixed_point import STATE_BITS, WEIGHT_BITS, WEIGHT_ONE
from lavadl_kernels.neurons import FAMILIES, Family
from numpy.typing import ArrayLike, NDArray

from lavadl_ref import exchange
from lavadl_ref.deployed.families import family_of
from lavadl_ref.exchange import Average, Conv, Flatten, Input, Layer, Neuron, Pool, Recurrent, TimeDecimation

Integers = NDArray[np.int64]

GRADED_BITS = STATE_BITS  #: fractional bits of a graded spike
SPIKE_EXP = 6  #: default of `spike_exp`: sigma-delta messages have 6 + spike_exp fractional bits
EXPONENT_LIMIT = 16  #: largest magnitude of a weight exponent that runs
ACTIVATIONS = ("relu", "identity")

_EXPONENTS = ("weight_exp", "weight_exp_imag")

#: Families whose neurons spike where a state equals the threshold: with a threshold of 0, at rest.
FIRES_AT_EQUALITY = frozenset(name for name, record in FAMILIES.items() if record.spikes_at_equality)


def record_of(layer: Layer) -> Family | None:
    """Look up the kernels' record of a layer's neurons; None for a layer without neurons.

    It differs from the family's record if an input layer or a readout layer has other neurons.
    """
    if layer.neuron is None:
        return None
    record = family_of(layer.neuron.type)
    if record.as_output is not None and is_sigma_output(layer):
        return record.as_output
    if record.as_input is not None and isinstance(layer, Input):
        return record.as_input
    return record


def sends_changes(neuron: Neuron | None) -> bool:
    """Tell whether messages are the changes of a value instead of spikes; False without neurons."""
    return neuron is not None and exchange.FAMILIES[neuron.type].sends_changes


def fires_at_rest(layer: Layer) -> bool:
    """Tell whether a layer's neurons spike without any input: a state of 0 reaches their threshold."""
    record = record_of(layer)
    if layer.neuron is None or record is None:
        return False
    return record.spikes_at_equality and bool(layer.neuron["threshold"] == 0)


class UnsupportedLayer(NotImplementedError):
    """A layer has no exact integer dynamics; the message gives the layer and the reason."""


def refusal(position: int, layer: Layer, reason: str) -> UnsupportedLayer:
    """Create the error for a layer that cannot run."""
    return UnsupportedLayer(f"layer {position} ({layer.kind}) {reason}")


def is_sigma_output(layer: Layer) -> bool:
    """Tell whether the layer sends its sum."""
    return layer.neuron is not None and bool(layer.neuron.parameters.get("sigma_output"))


def states_of(layer: Layer) -> tuple[str, ...]:
    """Names of the states of the layer's neurons, in the order of the kernel's rows; () without neurons."""
    record = record_of(layer)
    return () if record is None else record.states


def parts_of(layer: Layer) -> int:
    """1, or 2 where the layer's neurons have a real and an imaginary input."""
    record = record_of(layer)
    return 1 if record is None else len(record.inputs)


def sum_bits(layer: Layer) -> int:
    """Width of the layer's weighted sums on the device: Lava's convolution has 24 bits, its other synapses 32."""
    return 24 if isinstance(layer, (Conv, Pool)) else 32


def is_graded(layer: Layer) -> bool:
    """Tell whether the layer's neurons send values instead of ones."""
    neuron = layer.neuron
    return neuron is not None and (sends_changes(neuron) or bool(neuron.parameters.get("graded_spike")))


def message_bits(layer: Layer, incoming: int, spike_exp: int = SPIKE_EXP) -> int:
    """Fractional bits of the output of `layer`, which receives messages of `incoming` bits."""
    if isinstance(layer, (Flatten, Average, TimeDecimation)) or (isinstance(layer, Input) and layer.neuron is None):
        return incoming
    if layer.neuron is None:
        return WEIGHT_BITS + incoming
    if sends_changes(layer.neuron):
        return STATE_BITS + spike_exp if is_sigma_output(layer) else WEIGHT_BITS + spike_exp
    return GRADED_BITS if is_graded(layer) else 0


def input_bits(layers: Sequence[Layer], spike_exp: int = SPIKE_EXP) -> int:
    """Fractional bits of the input of a network.

    An input layer with neurons takes its current in units of 1/64, a synapse of sigma-delta neurons takes their
    messages, and any other synapse takes spikes or whole numbers.
    """
    first = next((layer for layer in layers if not isinstance(layer, Flatten)), None)
    if isinstance(first, Input) and first.neuron is not None:
        return WEIGHT_BITS
    neuron = next((layer.neuron for layer in layers if layer.neuron is not None), None)
    return WEIGHT_BITS + spike_exp if sends_changes(neuron) else 0


def incoming_bits(layers: Sequence[Layer], spike_exp: int = SPIKE_EXP) -> tuple[int, ...]:
    """For each layer, the fractional bits of its input."""
    bits, found = input_bits(layers, spike_exp), []
    for layer in layers:
        found.append(bits)
        bits = message_bits(layer, bits, spike_exp)
    return tuple(found)


def message_unit(layer: Layer, incoming: int, before: Sequence[int] = (), spike_exp: int = SPIKE_EXP) -> Fraction:
    """Size of one unit of what leaves `layer`, which receives messages of `incoming` bits in the shape `before`."""
    unit = Fraction(1, 2 ** message_bits(layer, incoming, spike_exp))
    return unit / (int(np.prod(before)) // layer.size) if isinstance(layer, Average) else unit


def check_supported(layers: Sequence[Layer], first: int = 0, spike_exp: int = SPIKE_EXP) -> None:
    """Raise unless every layer has exact integer dynamics.

    Parameters
    ----------
    layers : sequence of Layer
        Those that run, in order.
    first : int
        Position of the first of them in the file, for messages.
    spike_exp : int
        Scale of sigma-delta messages, 2**(6 + spike_exp).

    Raises
    ------
    UnsupportedLayer
        Naming the layer and the reason.
    KeyError
        If the kernels have no record of the family of a layer's neurons.
    """
    for index, (layer, incoming) in enumerate(zip(layers, incoming_bits(layers, spike_exp), strict=True)):
        record_of(layer)  # a family without a record is named before anything runs
        reason = _reason(layer, incoming, spike_exp)
        last = all(isinstance(later, Flatten) for later in layers[index + 1 :])
        if reason is None and not last:
            if isinstance(layer, Average):
                reason = "averages, which gives fractions and only the last layer may do"
            elif layer.neuron is None and not isinstance(layer, (Flatten, Input)):
                reason = "has no neurons, which only the last layer may do"
            elif is_sigma_output(layer):
                reason = "sends its sums, which only the last layer may do"
        if reason is not None:
            raise refusal(first + index, layer, reason)


def _reason(layer: Layer, incoming: int, spike_exp: int) -> str | None:
    """The reason for which `layer` by itself cannot run; None if it can."""
    if isinstance(layer, TimeDecimation):
        return "averages over bins of time, which has no step-by-step dynamics: take the means of the output instead"
    neuron = layer.neuron
    if neuron is None:
        return None
    if neuron.parameters.get("refractory_delay", 1) not in (None, 1):
        return f"has refDelay {neuron['refractory_delay']}, only 1 runs"
    exponents = _exponents(neuron)
    if max(map(abs, exponents)) > EXPONENT_LIMIT:
        return f"has a weight exponent of {max(exponents, key=abs)}, at most {EXPONENT_LIMIT} in magnitude runs"
    if not sends_changes(neuron):
        return None
    if isinstance(layer, Input) and exponents[0]:
        return "sends changes of the input and has a weight exponent, which nothing applies"
    if is_sigma_output(layer):
        return "sends its sums and has a weight exponent, which nothing applies" if exponents[0] else None
    activation = neuron.parameters.get("activation")
    if not isinstance(layer, Input):
        if activation not in ACTIVATIONS:
            return f"has the activation {activation!r}, {' and '.join(ACTIVATIONS)} have integers"
        if incoming > WEIGHT_BITS + spike_exp:
            return (
                f"receives messages of {incoming} fractional bits, its sums hold those of {WEIGHT_BITS + spike_exp} "
                f"with spike_exp {spike_exp}"
            )
    largest = int(np.max(neuron["threshold"])) << (WEIGHT_BITS + spike_exp + max(exponents[0], 0))
    if largest >= 2**31:
        return f"has the threshold {np.max(neuron['threshold'])}, which leaves 32 bits on the scale of its states"
    return None


@dataclass(frozen=True, eq=False)
class Deployment:
    """A layer's neurons for `lavadl_kernels.deployed.run`; M lanes, P parts, K states."""

    neuron: Any  #: NamedTuple of the family
    bias: Integers  #: (P, M), or (P, 1) where it is shared
    up: Integers  #: (P,)
    rest: Integers  #: (K, M), or (K, 1) where it is shared
    graded: bool
    bits: int  #: width of the weighted sums
    states: tuple[str, ...]  #: names of the K states
    sum_shift: int  #: bits by which the synapse's sums are shifted left to meet those of the feedback
    feedback: tuple[Integers, ...]  #: for each part the transpose of R on the scale of the sums, (0, 0) for none


def deploy(
    layer: Layer,
    incoming: int,
    *,
    batch: int = 1,
    channels_last: bool = False,
    bias: ArrayLike | None = None,
    spike_exp: int = SPIKE_EXP,
    shared: bool = False,
) -> Deployment:
    """Turn a layer's neurons into parameters of the kernels.

    Parameters
    ----------
    layer : Layer
        With neurons; accepted by `check_supported`.
    incoming : int
        Fractional bits of what it receives, see `incoming_bits`.
    batch : int
        Samples; lanes run over them slowest.
    channels_last : bool
        If True, the lanes of one sample are in the order (W, H, C) instead of the file's (C, H, W).
    bias : array_like of int, optional
        Instead of the layer's own: (\\*shape) in the order of the lanes, 1/64.
    spike_exp : int
        Scale of sigma-delta messages, 2**(6 + spike_exp).
    shared : bool
        If True, decays, bias and rest have one lane instead of M if all lanes are equal.

    Returns
    -------
    Deployment
        With parameters of the family's own class: decays as rows in the order of its record, then its constants.

    Examples
    --------
    >>> from lavadl_ref.exchange import Dense, Neuron
    >>> neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    >>> layer = Dense(shape=(2,), neuron=neuron, weight=np.array([[1, 2, 3], [4, 5, 6]]))
    >>> made = deploy(layer, incoming=0)
    >>> made.states, made.neuron.threshold, made.up.tolist()  # 80 / 64 in 1/4096; from 1/64 to 1/4096
    (('current', 'voltage'), 5120, [6])
    """
    neuron = layer.neuron
    assert neuron is not None

    def lanes(values: Any) -> Integers:
        array = np.asarray(values, np.int64)
        if array.ndim == 0 and shared and not sends_changes(neuron):
            return array.reshape(1)
        if array.ndim == 1:
            axes = [1] * (len(layer.shape) - 1)
            array = array.reshape(*axes, -1) if channels_last else array.reshape(-1, *axes)
        shape = layer.shape[::-1] if channels_last else layer.shape
        return np.ascontiguousarray(np.broadcast_to(array, (batch, *shape))).reshape(-1)

    record = record_of(layer)
    assert record is not None
    given = [0 if value is None else value for value in _biases(layer)]
    own = lanes(given[0]) if bias is None else lanes(np.asarray(bias, np.int64)[None])
    parts = len(record.inputs)
    fed_back = message_bits(layer, incoming, spike_exp) if isinstance(layer, Recurrent) else 0
    # an input layer's current is in 1/64 already, as weighted sums of spikes are
    finest = 0 if isinstance(layer, Input) else max(incoming, fed_back)
    rest = np.zeros((len(record.states), 1 if shared else own.size), np.int64)
    offsets = [np.zeros(1 if shared else own.size, np.int64)] * parts
    up = np.full(parts, STATE_BITS - WEIGHT_BITS - finest, np.int64)
    parameters: Any
    if sends_changes(neuron):
        up += spike_exp
        unit = WEIGHT_BITS + spike_exp
        parameters = _change_parameters(record, neuron, lanes, own << unit, unit)
        if isinstance(layer, Input):
            offsets[0] = own
    else:
        decay = [lanes(neuron[name]) for name in record.decays]
        constants = {name: int(neuron[name]) * WEIGHT_ONE for name in record.constants}
        exponents = _exponents(neuron)[:parts]
        named: dict[str, Any] = {}
        if record.bias_at_state:
            # the bias is added behind the input: the neuron adds it itself, and divides by the exponent there
            decay.append(own * WEIGHT_ONE)
            if "exponent" in _fields_of(record):
                named["exponent"], exponents = exponents[0], [0] * parts
            constant = getattr(layer, "input_bias", None)
            if constant is not None:
                offsets[0] = lanes(constant) << finest
        else:
            offsets[0] = own << finest
            if parts > 1:
                offsets[1] = lanes(given[1]) << finest
        up -= np.array(exponents, np.int64)
        parameters = record.parameters(_stacked(decay), *constants.values(), **named)
        for state, constant in record.rest.items():
            rest[record.states.index(state)] = constants[constant]
    return Deployment(
        parameters,
        _stacked(offsets),
        up,
        rest,
        is_graded(layer),
        sum_bits(layer),
        record.states,
        0 if isinstance(layer, Input) else finest - incoming,
        _feedback(layer, parts, finest - fed_back),
    )


def _stacked(rows: Sequence[Integers]) -> Integers:
    """Rows of lanes as one array; a row of one lane is that of all lanes."""
    return np.stack(np.broadcast_arrays(*rows))


def _exponents(neuron: Neuron) -> list[int]:
    """The exponents of the two parts of a layer's weights, 0 where there is none."""
    return [int(neuron.parameters.get(name) or 0) for name in _EXPONENTS]


def _fields_of(record: Family) -> tuple[str, ...]:
    """Names of the parameters of a family's own class."""
    parameters: Any = record.parameters
    return tuple(parameters._fields)


def _biases(layer: Layer) -> tuple[Any, Any]:
    """Biases of the two parts; the offset of an input layer is part of its input."""
    if isinstance(layer, Input):
        return None, None
    return getattr(layer, "bias", None), getattr(layer, "bias_imag", None)


def _change_parameters(
    record: Family, neuron: Neuron, lanes: Callable[[Any], Integers], bias: Integers, unit: int
) -> Any:
    """Parameters of neurons that send changes: each of their kinds takes those of these that it has a field for."""
    exponent = _exponents(neuron)[0]
    taken = _fields_of(record)
    values: dict[str, Any] = {"bias": bias, "exponent": exponent}
    if "threshold" in taken:  # one that sends its sums has none
        values["threshold"] = lanes(neuron["threshold"]) << (unit + max(exponent, 0))
        values["relu"] = neuron.parameters.get("activation") == "relu"
        values["cum_error"] = bool(neuron.parameters.get("cum_error"))
    return record.parameters(**{name: value for name, value in values.items() if name in taken})


def _feedback(layer: Layer, parts: int, up: int) -> tuple[Integers, ...]:
    if not isinstance(layer, Recurrent):
        return tuple(np.zeros((0, 0), np.int64) for _ in range(parts))
    weights = (layer.weight_rec, layer.weight_rec_imag)[:parts]
    return tuple(np.ascontiguousarray(np.asarray(weight, np.int64).T << up) for weight in weights)


__all__ = [
    "ACTIVATIONS",
    "FIRES_AT_EQUALITY",
    "Deployment",
    "UnsupportedLayer",
    "check_supported",
    "deploy",
    "fires_at_rest",
    "incoming_bits",
    "input_bits",
    "is_graded",
    "is_sigma_output",
    "message_bits",
    "message_unit",
    "parts_of",
    "refusal",
    "states_of",
    "sum_bits",
]
