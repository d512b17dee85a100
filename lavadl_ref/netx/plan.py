"""What each layer of a network becomes on Lava: process names and their arguments, no Lava needed.

Axes are Lava's: (W, H, C), and C last.  The file's are (C, H, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.exchange.describe import Conv, Dense, Flatten, Input, Layer, Network
from lavadl_ref.netx.choice import (
    Choice,
    Shape,
    delay_choice,
    neuron_choice,
    refusal,
    synapse_choice,
)

TIME_BASES = ("slayer", "lava")


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

    def reset(self, index: int) -> dict[str, int] | None:
        """Arguments of the reset of generated layer `index`, or None if there is none."""
        if self.reset_interval is None:
            return None
        return {"reset_interval": self.reset_interval, "reset_offset": self.reset_offset + 1 + index}


def load(net_config: str | PathLike[str] | Network) -> Network:
    """The description itself, or the one read from a file."""
    if isinstance(net_config, Network):
        return net_config
    from lavadl_ref.exchange import read

    return read(net_config)


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
            raise refusal(position, layer, "has no neurons, which only the last layer may do")
        shape = _shape(layer)
        bits = options.input_message_bits if index == 0 else 0
        input_shape, flatten = _received(position, layer, before, index == 0)
        synapse = synapse_choice(position, layer, input_shape, shape, delay, bits, options.sparse_fc_layer)
        neuron = neuron_choice(position, layer, shape, starts[position], options.reset(index))
        delay, line = delay_choice(position, layer, following, shape)
        plans.append(LayerPlan(position, layer, input_shape, shape, flatten, synapse, neuron, line))
        before = shape
    return plans


def _only_shape(position: int, layer: Layer) -> bool:
    """Whether the layer generates nothing; refuses what netx does not know."""
    if isinstance(layer, Flatten):
        return True
    if isinstance(layer, Input) and layer.neuron is None:
        if (layer.weight, layer.bias) != (64, 0):
            raise refusal(
                position, layer, f"has weight {layer.weight} and bias {layer.bias} but no neurons to apply them"
            )
        return True
    if type(layer) not in (Input, Dense, Conv):
        raise refusal(position, layer, "is not yet available on Lava; input, dense, conv and flatten are")
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
            raise refusal(position, layer, "stands behind another layer; an input layer can only be the first")
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
