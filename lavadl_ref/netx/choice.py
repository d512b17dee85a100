"""Which Lava process holds a synapse, a neuron or a delay exactly, and with which arguments.

Lava's own process is chosen wherever it gives exactly the integers of the network's
definition; where it does not, one of `lavadl_ref.netx.processes`.  What neither can
represent is refused, naming the layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.describe import Conv, Dense, Input, Layer, Neuron
from lavadl_ref.netx.weights import dense_encoding, kernel_weight

NEVER_AGAIN = 2**31 - 1  # a reset interval that no run reaches
LAVA_DELAY_LIMIT = 63  # DelayDense and DelaySparse have six bits of delay
LAVA_BIAS_LIMIT = 2**15  # LIF holds bias mantissas in 16 bits
OWN = frozenset({"GatedLIF", "DelayLine"})

Shape = tuple[int, ...]


class UnsupportedLayer(NotImplementedError):
    """A layer that netx cannot put on Lava exactly."""


@dataclass(frozen=True)
class Choice:
    """A process and the arguments it is constructed with."""

    process: str  #: class name; those in `OWN` are this package's, the rest Lava's
    arguments: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.process} (own)" if self.process in OWN else self.process


def refusal(position: int, layer: Layer, reason: str) -> UnsupportedLayer:
    """The error for a layer that cannot run."""
    return UnsupportedLayer(f"layer {position} ({layer.kind}) {reason}")


def synapse_choice(
    position: int,
    layer: Layer,
    input_shape: Shape,
    shape: Shape,
    delay: NDArray[np.int64] | None,
    message_bits: int,
    sparse: bool,
) -> Choice | None:
    """The process that multiplies with exactly the layer's weights; None for an input layer.

    Parameters
    ----------
    position : int
        Index of the layer in the file, for messages.
    layer : Layer
        Input, Dense or Conv.
    input_shape, shape : tuple of int
        (W, H, C) or (N,).
    delay : ndarray, optional
        (I,) steps by which each input of a Dense layer arrives late.
    message_bits : int
        0 for binary input.
    sparse : bool
        Whether a Dense layer's weights are held as a sparse matrix.

    Raises
    ------
    UnsupportedLayer
        If no process of Lava holds the weights.
    ValueError
        If a convolution does not turn `input_shape` into `shape`.
    """
    if isinstance(layer, Input):
        return None
    if isinstance(layer, Dense):
        if layer.weight_imag is not None:
            raise refusal(position, layer, "has complex weights, which are not yet available on Lava")
        encoding = dense_encoding(layer.weight)
        if encoding is None:
            raise refusal(position, layer, f"has weights that no Lava synapse holds exactly: {_unfit(layer.weight)}")
        arguments = {**encoding, "num_message_bits": message_bits}
        if delay is None:
            return Choice("Sparse" if sparse else "Dense", arguments)
        arguments["delays"] = np.broadcast_to(delay, layer.weight.shape).astype(int)
        arguments["max_delay"] = int(delay.max())
        return Choice("DelaySparse" if sparse else "DelayDense", arguments)
    assert isinstance(layer, Conv)
    if layer.weight_imag is not None:
        raise refusal(position, layer, "has complex weights, which are not yet available on Lava")
    reach = int(np.abs(layer.weight).reshape(layer.weight.shape[0], -1).sum(axis=1).max(initial=0))
    if reach >= 2**23:
        raise refusal(position, layer, f"sums weights up to {reach}, Lava's convolution holds less than {2**23}")
    expected = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(
            input_shape[:2],
            layer.padding[::-1],
            layer.dilation[::-1],
            layer.kernel_size[::-1],
            layer.stride[::-1],
            strict=True,
        )
    )
    if (*expected, layer.weight.shape[0]) != shape:
        raise ValueError(
            f"layer {position} (conv) turns {input_shape} into {(*expected, layer.weight.shape[0])}, "
            f"the file says {shape} (W, H, C)"
        )
    return Choice(
        "Conv",
        {
            "weight": kernel_weight(layer.weight),
            "input_shape": input_shape,
            "padding": layer.padding[::-1],
            "stride": layer.stride[::-1],
            "dilation": layer.dilation[::-1],
            "groups": int(layer.groups),
            "num_message_bits": message_bits,
        },
    )


def _unfit(weight: NDArray[np.int64]) -> str:
    """Name the weight that stands in the way."""
    outside = np.argwhere((weight < -256) | (weight > 255))
    row, column = outside[0] if len(outside) else np.argwhere(weight % 2 != 0)[0]
    value = int(weight[row, column])
    why = "-256 to 255 are possible" if len(outside) else "odd weights need one sign or magnitudes up to 127"
    return f"weight[{row}, {column}] = {value} ({why})"


def neuron_choice(position: int, layer: Layer, shape: Shape, start: int, reset: dict[str, int] | None) -> Choice | None:
    """The process that updates exactly as the layer's neurons do; None for a layer without.

    `start` is the step at which biases begin to act, `reset` the arguments of a periodic reset.

    Raises
    ------
    UnsupportedLayer
        If the neurons are not binary CUBA neurons, or a bias has no neurons to go to.
    """
    bias = getattr(layer, "bias", None) if not isinstance(layer, Input) else None
    if layer.neuron is None:
        if bias is not None and np.any(bias):
            raise refusal(position, layer, "has a bias but no neurons to add it")
        return None
    _check_neuron(position, layer, layer.neuron)
    parameters = layer.neuron
    bias = np.broadcast_to(np.zeros(1, np.int64) if bias is None else bias, shape).astype(np.int64)
    common = {
        "shape": shape,
        # Lava adds one to the current decay it is given.
        "du": np.asarray(parameters["current_decay"]) - 1,
        "dv": np.asarray(parameters["voltage_decay"]),
        "vth": int(parameters["threshold"]),
        "bias_mant": bias,
        "bias_exp": 6,
    }
    common = {k: v.item() if isinstance(v, np.ndarray) and v.ndim == 0 else v for k, v in common.items()}
    held_back = start > 0 and bool(bias.any())
    fits = bool((bias >= -LAVA_BIAS_LIMIT).all() and (bias < LAVA_BIAS_LIMIT).all())
    if fits and not held_back:
        return Choice("LIF", common) if reset is None else Choice("LIFReset", {**common, **reset})
    if fits and reset is None and not _spikes_from_bias(common, start):
        # One reset when the layer starts wipes out what its bias did before.
        return Choice("LIFReset", {**common, "reset_interval": NEVER_AGAIN, "reset_offset": start + 1})
    arguments = {
        "shape": shape,
        "current_decay": np.broadcast_to(parameters["current_decay"], shape),
        "voltage_decay": np.broadcast_to(parameters["voltage_decay"], shape),
        "threshold": int(parameters["threshold"]),
        "bias": bias,
        "start": start if held_back else 0,
    }
    return Choice("GatedLIF", {**arguments, **(reset or {})})


def _check_neuron(position: int, layer: Layer, neuron: Neuron) -> None:
    if neuron.type != "CUBA":
        raise refusal(position, layer, f"has {neuron.type} neurons, which are not yet available on Lava; CUBA is")
    if neuron.parameters.get("graded_spike", False):
        raise refusal(position, layer, "has graded spikes, which are not yet available on Lava")
    if neuron.parameters.get("weight_exp", 0) != 0:
        raise refusal(
            position,
            layer,
            f"has weight_exp {neuron.parameters['weight_exp']}; Lava's neurons have no such scale, only 0 runs",
        )
    if neuron.parameters.get("refractory_delay", 1) != 1:
        raise refusal(
            position,
            layer,
            f"has refractory_delay {neuron.parameters['refractory_delay']}; Lava's neurons have none, only 1 runs",
        )


def _spikes_from_bias(arguments: dict[str, Any], steps: int) -> bool:
    """Whether bias alone, from rest, makes any neuron spike within `steps` steps."""
    bias = arguments["bias_mant"] << 6
    keep = 4096 - np.asarray(arguments["dv"], np.int64)
    voltage = np.zeros_like(bias)
    for _ in range(steps):
        voltage = np.sign(voltage) * ((np.abs(voltage) * keep) >> 12) + bias
        if (voltage > arguments["vth"] << 6).any():
            return True
    return False


def delay_choice(
    position: int, layer: Layer, following: Layer | None, shape: Shape
) -> tuple[NDArray[np.int64] | None, Choice | None]:
    """Axonal delay for the next synapse's columns, or a delay line where that synapse cannot hold it."""
    if layer.delay is None or not np.any(layer.delay):
        return None, None
    if np.min(layer.delay) < 0:
        raise refusal(position, layer, f"has a negative delay, {int(np.min(layer.delay))}")
    per_channel = np.broadcast_to(np.asarray(layer.delay, np.int64), (shape[-1],))
    if isinstance(following, Dense) and per_channel.max() <= LAVA_DELAY_LIMIT:
        return np.repeat(per_channel, int(np.prod(shape[:-1]))), None
    return None, Choice("DelayLine", {"shape": shape, "delays": np.broadcast_to(per_channel, shape)})
