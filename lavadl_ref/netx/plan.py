"""What each layer of a network becomes on Lava: process names and their arguments, no Lava needed.

Lava's own process is used wherever it gives exactly the integers of the network's
definition; where it does not, one of `lavadl_ref.netx.processes`.  What neither can
represent is refused here, naming the layer.

Axes are Lava's: (W, H, C), and C last.  The file's are (C, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.describe import Conv, Dense, Flatten, Input, Layer, Network, Neuron
from lavadl_ref.netx.weights import dense_encoding, kernel_weight

TIME_BASES = ("slayer", "lava")
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


@dataclass(frozen=True)
class LayerPlan:
    """One generated layer."""

    position: int  #: index of the layer in the file
    layer: Layer
    input_shape: Shape  #: (W, H, C) or (N,), what the layer receives
    shape: Shape  #: (W, H, C) or (N,), its neurons
    flatten: bool  #: whether (W, H, C) arrives and is read in the file's order C, H, W
    synapse: Choice | None
    neuron: Choice | None
    line: Choice | None  #: delays what leaves the layer, where the next synapse cannot

    @property
    def processes(self) -> str:
        """The processes in the order data passes them."""
        return " + ".join(str(choice) for choice in (self.synapse, self.neuron, self.line) if choice is not None)


@dataclass(frozen=True)
class Options:
    """Arguments of `hdf5.Network` that shape the plan."""

    num_layers: int | None = None
    skip_layers: int = 0
    input_message_bits: int = 0
    input_shape: Shape | None = None
    reset_interval: int | None = None
    reset_offset: int = 0
    sparse_fc_layer: bool = False
    time_base: str = "slayer"

    def __post_init__(self) -> None:
        if self.time_base not in TIME_BASES:
            raise ValueError(f"time_base must be one of {TIME_BASES}, got {self.time_base!r}")
        for name, low in (("num_layers", 1), ("skip_layers", 0), ("reset_interval", 1)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise ValueError(f"{name} must be at least {low}, got {value}")
        if self.reset_offset < 0:
            raise ValueError(f"reset_offset must not be negative, got {self.reset_offset}")
        if not 0 <= self.input_message_bits <= 24:
            raise ValueError(f"input_message_bits must be in 0..24, got {self.input_message_bits}")


def plan(network: Network, options: Options | None = None) -> list[LayerPlan]:
    """Decide for each layer of `network` which processes it becomes.

    Raises
    ------
    UnsupportedLayer
        If a layer has no exact counterpart on Lava; names the layer and why.
    ValueError
        If an option does not fit the network.
    """
    options = options or Options()
    last = len(network.layers) if options.num_layers is None else min(options.num_layers, len(network.layers))
    chosen = [(i, network.layers[i]) for i in range(options.skip_layers, last)]
    kept = [(i, layer) for i, layer in chosen if not _only_shape(i, layer)]
    if not kept:
        raise ValueError(
            f"no layer is left of {len(network.layers)} with num_layers={options.num_layers} "
            f"and skip_layers={options.skip_layers}"
        )
    starts = dict(zip((i for i, _ in chosen), Network(tuple(x for _, x in chosen)).start_steps, strict=True))
    if options.time_base == "lava":
        starts = dict.fromkeys(starts, 0)

    plans: list[LayerPlan] = []
    before = _incoming_shape(network.layers[: kept[0][0]], options)
    delay: NDArray[np.int64] | None = None  # of the previous layer's neurons, left to this layer's synapse
    for index, (position, layer) in enumerate(kept):
        following = kept[index + 1][1] if index + 1 < len(kept) else None
        if layer.neuron is None and following is not None:
            raise _refusal(position, layer, "has no neurons, which only the last layer may do")
        shape = _shape(layer)
        bits = options.input_message_bits if index == 0 else 0
        input_shape, flatten = _received(position, layer, before, index == 0)
        synapse = _synapse(position, layer, input_shape, shape, delay, bits, options.sparse_fc_layer)
        neuron = _neuron(position, layer, shape, starts[position], index, options)
        delay, line = _outgoing_delay(position, layer, following, shape)
        plans.append(LayerPlan(position, layer, input_shape, shape, flatten, synapse, neuron, line))
        before = shape
    return plans


def _refusal(position: int, layer: Layer, reason: str) -> UnsupportedLayer:
    return UnsupportedLayer(f"layer {position} ({layer.kind}) {reason}")


def _only_shape(position: int, layer: Layer) -> bool:
    """Whether the layer generates nothing; refuses what netx does not know."""
    if isinstance(layer, Flatten):
        return True
    if isinstance(layer, Input) and layer.neuron is None:
        if (layer.weight, layer.bias) != (64, 0):
            raise _refusal(
                position, layer, f"has weight {layer.weight} and bias {layer.bias} but no neurons to apply them"
            )
        return True
    if type(layer) not in (Input, Dense, Conv):
        raise _refusal(position, layer, "is not yet available on Lava; input, dense, conv and flatten are")
    return False


def _shape(layer: Layer) -> Shape:
    if isinstance(layer, Dense):
        return (layer.size,)
    return tuple(int(n) for n in layer.shape[::-1])


def _incoming_shape(skipped: Sequence[Layer], options: Options) -> Shape | None:
    """Shape of what enters the first generated layer, as far as it is known before that layer is seen."""
    if options.input_shape is not None:
        return tuple(int(n) for n in options.input_shape)
    known = [layer for layer in skipped if not isinstance(layer, Flatten)]
    return _shape(known[-1]) if known else None


def _received(position: int, layer: Layer, before: Shape | None, first: bool) -> tuple[Shape, bool]:
    """Shape of the layer's input, and whether it has to be flattened on the way."""
    if isinstance(layer, Input):
        if not first:
            raise _refusal(position, layer, "stands behind another layer; an input layer can only be the first")
        return _shape(layer), False
    if isinstance(layer, Dense):
        inputs = int(layer.weight.shape[1])
        if before is not None and int(np.prod(before)) != inputs:
            raise ValueError(f"layer {position} (dense) takes {inputs} inputs, what precedes it has shape {before}")
        # The first layer is fed from outside, where the file's order is the caller's.
        return (inputs,), not first and before is not None and len(before) > 1
    assert isinstance(layer, Conv)
    if before is None:
        raise ValueError(
            f"layer {position} (conv) has an input whose shape the file does not tell: give input_shape=(W, H, C)"
        )
    if len(before) != 3:
        raise ValueError(f"layer {position} (conv) takes (W, H, C), what precedes it has shape {before}")
    channels = int(layer.weight.shape[1]) * layer.groups
    if before[2] != channels:
        raise ValueError(f"layer {position} (conv) takes {channels} channels, what precedes it has shape {before}")
    return before, False


def _synapse(
    position: int,
    layer: Layer,
    input_shape: Shape,
    shape: Shape,
    delay: NDArray[np.int64] | None,
    message_bits: int,
    sparse: bool,
) -> Choice | None:
    if isinstance(layer, Input):
        return None
    if isinstance(layer, Dense):
        if layer.weight_imag is not None:
            raise _refusal(position, layer, "has complex weights, which are not yet available on Lava")
        encoding = dense_encoding(layer.weight)
        if encoding is None:
            raise _refusal(
                position, layer, f"has weights that no Lava synapse holds exactly: {_unfit(layer.weight)}"
            )
        arguments = {**encoding, "num_message_bits": message_bits}
        if delay is None:
            return Choice("Sparse" if sparse else "Dense", arguments)
        arguments["delays"] = np.broadcast_to(delay, layer.weight.shape).astype(int)
        arguments["max_delay"] = int(delay.max())
        return Choice("DelaySparse" if sparse else "DelayDense", arguments)
    assert isinstance(layer, Conv)
    if layer.weight_imag is not None:
        raise _refusal(position, layer, "has complex weights, which are not yet available on Lava")
    reach = int(np.abs(layer.weight).reshape(layer.weight.shape[0], -1).sum(axis=1).max(initial=0))
    if reach >= 2**23:
        raise _refusal(position, layer, f"sums weights up to {reach}, Lava's convolution holds less than {2**23}")
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


def _neuron(
    position: int, layer: Layer, shape: Shape, start: int, index: int, options: Options
) -> Choice | None:
    bias = getattr(layer, "bias", None) if not isinstance(layer, Input) else None
    if layer.neuron is None:
        if bias is not None and np.any(bias):
            raise _refusal(position, layer, "has a bias but no neurons to add it")
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
    resets = options.reset_interval is not None
    reset = {"reset_interval": options.reset_interval, "reset_offset": options.reset_offset + 1 + index}
    held_back = start > 0 and bool(bias.any())
    fits = bool((bias >= -LAVA_BIAS_LIMIT).all() and (bias < LAVA_BIAS_LIMIT).all())
    if fits and not held_back:
        return Choice("LIFReset", {**common, **reset}) if resets else Choice("LIF", common)
    if fits and not resets and not _spikes_from_bias(common, start):
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
    return Choice("GatedLIF", {**arguments, **(reset if resets else {})})


def _check_neuron(position: int, layer: Layer, neuron: Neuron) -> None:
    if neuron.type != "CUBA":
        raise _refusal(position, layer, f"has {neuron.type} neurons, which are not yet available on Lava; CUBA is")
    if neuron.parameters.get("graded_spike", False):
        raise _refusal(position, layer, "has graded spikes, which are not yet available on Lava")
    if neuron.parameters.get("weight_exp", 0) != 0:
        raise _refusal(
            position,
            layer,
            f"has weight_exp {neuron.parameters['weight_exp']}; Lava's neurons have no such scale, only 0 runs",
        )
    if neuron.parameters.get("refractory_delay", 1) != 1:
        raise _refusal(
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


def _outgoing_delay(
    position: int, layer: Layer, following: Layer | None, shape: Shape
) -> tuple[NDArray[np.int64] | None, Choice | None]:
    """Axonal delay for the next synapse's columns, or a delay line where that synapse cannot hold it."""
    if layer.delay is None or not np.any(layer.delay):
        return None, None
    if np.min(layer.delay) < 0:
        raise _refusal(position, layer, f"has a negative delay, {int(np.min(layer.delay))}")
    per_channel = np.broadcast_to(np.asarray(layer.delay, np.int64), (shape[-1],))
    if isinstance(following, Dense) and per_channel.max() <= LAVA_DELAY_LIMIT:
        return np.repeat(per_channel, int(np.prod(shape[:-1]))), None
    return None, Choice("DelayLine", {"shape": shape, "delays": np.broadcast_to(per_channel, shape)})
