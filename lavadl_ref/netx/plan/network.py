"""The processes that each layer of a network becomes on Lava, as names and arguments; no Lava is needed.

Axes are Lava's: (W, H, C), and C last.  The file's are (C, H, W).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from lavadl_ref._arguments import brief, described, whole
from lavadl_ref._cost import check_processes
from lavadl_ref.deployed.deployment import (
    SPIKE_EXP,
    check_supported,
    fires_at_rest,
    incoming_bits,
    message_bits,
    refusal,
    states_of,
)
from lavadl_ref.exchange.describe import (
    Average,
    ConvTranspose,
    Dense,
    Flatten,
    Input,
    Layer,
    Network,
    TimeDecimation,
    Unpool,
)
from lavadl_ref.exchange.errors import ExchangeError
from lavadl_ref.exchange.geometry import check_link
from lavadl_ref.netx.plan.neuron_context import NeuronContext
from lavadl_ref.netx.plan.neurons import neuron_spec
from lavadl_ref.netx.plan.process_spec import Processes, ProcessSpec, Shape
from lavadl_ref.netx.plan.synapses import SIGMA_DELTA_BITS, declared_bits, delay_spec, synapses

TIME_BASES = ("slayer", "lava")


@dataclass(frozen=True)
class LayerPlan:
    """One generated layer."""

    position: int  #: index of the layer in the file
    layer: Layer
    input_shape: Shape  #: (W, H, C) or (N,) of the input
    shape: Shape  #: (W, H, C) or (N,), its neurons
    flatten: bool  #: whether (W, H, C) arrives and is read in the file's order C, H, W
    outgoing: int  #: fractional bits of the messages that leave the layer
    specs: Processes[ProcessSpec]  #: the processes, each as its class and arguments
    start: int  #: the first step, from 0, at which the layer does not rest
    biased: bool  #: whether anything constant is added to the input

    @property
    def synapse(self) -> ProcessSpec | None:
        """The synapse, its real part where there are two; None for an input layer."""
        return self.specs.synapse

    @property
    def neuron(self) -> ProcessSpec | None:
        """The neurons; None for a layer of bare sums."""
        return self.specs.neuron

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the neurons' states; () without neurons."""
        return states_of(self.layer)

    @property
    def acts_early(self) -> bool:
        """Tell whether the layer would act by itself in steps in which it rests."""
        return self.start > 0 and (self.biased or fires_at_rest(self.layer))

    @property
    def processes(self) -> str:
        """The processes in the order data passes them."""
        return " + ".join(self._named())

    def _named(self) -> Iterator[str]:
        specs = self.specs
        pairs = (
            (specs.synapse, specs.imag_synapse, ""),
            (specs.rec_synapse, specs.rec_imag_synapse, " (feedback)"),
        )
        for real, imag, role in pairs:
            if real is not None:
                yield f"{'' if imag is None else '2 '}{real}{role}"
        yield from (str(spec) for spec in (specs.neuron, specs.offset, specs.delay_line) if spec is not None)


@dataclass(frozen=True)
class Options:
    """Arguments of `hdf5.Network` that shape the plan."""

    num_layers: int | None = None
    skip_layers: int = 0
    input_message_bits: int = 0
    input_shape: Shape | None = None
    reset_interval: int | None = None
    reset_offset: int = 0
    spike_exp: int = SPIKE_EXP
    sparse_fc_layer: bool = False
    time_base: str = "slayer"

    def __post_init__(self) -> None:
        if self.time_base not in TIME_BASES:
            raise ValueError(f"time_base must be one of {TIME_BASES}, got {self.time_base!r}")
        for name, low in (("num_layers", 1), ("reset_interval", 1)):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), low)
        whole("skip_layers", self.skip_layers, 0)
        whole("reset_offset", self.reset_offset, 0)
        whole("input_message_bits", self.input_message_bits, 0, 24)
        whole("spike_exp", self.spike_exp, 0, 12)
        if self.input_shape is not None:
            if not isinstance(self.input_shape, Iterable):
                raise TypeError(f"input_shape must be (W, H, C) or (N,), got {brief(self.input_shape)}")
            for extent in self.input_shape:
                whole("input_shape", extent, 1)

    def reset(self, index: int) -> dict[str, int] | None:
        """Arguments of the reset of generated layer `index`, or None if there is none."""
        if self.reset_interval is None:
            return None
        return {"reset_interval": self.reset_interval, "reset_offset": self.reset_offset + 1 + index}


class TimeBaseWarning(UserWarning):
    """A network starts differently from Lava-DL, and no time base was chosen explicitly."""


def waiting(plans: Sequence[LayerPlan]) -> list[int]:
    """Positions of layers that Lava-DL lets act before their data can arrive, and that rest here until then."""
    return [entry.position for entry in plans if entry.acts_early]


def load(net_config: str | PathLike[str] | Network) -> Network:
    """The description itself, or the one read from a file."""
    return described(net_config)


def plan(network: Network, options: Options | None = None) -> list[LayerPlan]:
    """Decide for each layer of `network` which processes it becomes.

    Raises
    ------
    UnsupportedLayer
        If a layer has no exact counterpart on Lava; the message gives the layer and the reason.
    ValueError
        If an option does not fit the network.

    Examples
    --------
    >>> from lavadl_ref.exchange.describe import Neuron
    >>> neuron = {"current_decay": 1024, "voltage_decay": 128, "threshold": 100}
    >>> layer = Dense(shape=(2,), weight=np.array([[2, 4, 6], [8, -2, 0]]), neuron=Neuron("CUBA", neuron))
    >>> (made,) = plan(Network((layer,)))
    >>> made.processes
    'Dense + LIF'
    >>> (made,) = plan(Network((layer,)), Options(reset_interval=10, sparse_fc_layer=True))
    >>> made.processes
    'Sparse + LIFReset'
    """
    options = options or Options()
    last = len(network.layers) if options.num_layers is None else min(options.num_layers, len(network.layers))
    chosen = [(i, network.layers[i]) for i in range(options.skip_layers, last)]
    layers = [layer for _, layer in chosen]
    check_supported(layers, options.skip_layers, options.spike_exp)
    kept = [(i, layer) for i, layer in chosen if not _only_shape(i, layer)]
    if not kept:
        raise ValueError(
            f"no layer is left of {len(network.layers)} with num_layers={options.num_layers} "
            f"and skip_layers={options.skip_layers}"
        )
    positions = [i for i, _ in chosen]
    starts = dict.fromkeys(positions, 0)
    if options.time_base == "slayer":
        starts = dict(zip(positions, Network(tuple(layers)).start_steps, strict=True))
    arriving = dict(zip(positions, incoming_bits(layers, options.spike_exp), strict=True))

    plans: list[LayerPlan] = []
    before = _incoming_shape(network.layers[: kept[0][0]], options)  # shape of the next layer's input, if known
    delay: NDArray[np.int64] | None = None  # of the previous layer's neurons, left to this layer's synapse
    bits = options.input_message_bits
    if not bits and arriving[kept[0][0]]:
        bits = SIGMA_DELTA_BITS  # sigma-delta neurons take no spikes
    for index, (position, layer) in enumerate(kept):
        following = kept[index + 1][1] if index + 1 < len(kept) else None
        shape = _shape(layer)
        incoming = arriving[position]
        input_shape, flatten = _received(position, layer, before, index == 0)
        arrived = synapses(layer, input_shape, delay, bits, options.sparse_fc_layer)
        context = NeuronContext(layer, shape, incoming, starts[position], options.reset(index), options.spike_exp)
        neuron = neuron_spec(context)
        offset = _offset(context) if neuron is None and context.biased else None
        delay, delay_line = delay_spec(position, layer, following, shape)
        specs = replace(arrived, neuron=neuron, offset=offset, delay_line=delay_line)
        outgoing = message_bits(layer, incoming, options.spike_exp)
        plans.append(
            LayerPlan(position, layer, input_shape, shape, flatten, outgoing, specs, starts[position], context.biased)
        )
        before, bits = shape, declared_bits(layer)
    return plans


def check_size(plans: Sequence[LayerPlan]) -> None:
    """Raise a ValueError if the processes would take too much memory: a small file may tell of large layers."""
    check_processes(tuple(entry.layer for entry in plans), plans[0].input_shape[::-1])


def _offset(context: NeuronContext) -> ProcessSpec:
    """The process that adds the bias of a layer without neurons."""
    bias = {"bias": lambda: context.bias() << context.incoming}
    return ProcessSpec("AddBias", {"start": context.start}, bias, own=True)


def _only_shape(position: int, layer: Layer) -> bool:
    """Tell whether the layer generates nothing."""
    if isinstance(layer, Flatten):
        return True
    if isinstance(layer, Input) and layer.neuron is None:
        if (layer.weight, layer.bias) != (64, 0):
            raise refusal(
                position, layer, f"has weight {layer.weight} and bias {layer.bias} but no neurons to apply them"
            )
        return True
    return False


def _shape(layer: Layer) -> Shape:
    return tuple(int(n) for n in layer.shape[::-1])


def _incoming_shape(skipped: Sequence[Layer], options: Options) -> Shape | None:
    """Shape of the first generated layer's input, as far as it is known without looking at that layer."""
    if options.input_shape is not None:
        return tuple(int(n) for n in options.input_shape)
    known = [layer for layer in skipped if not isinstance(layer, (Flatten, TimeDecimation))]
    return _shape(known[-1]) if known else None


def _received(position: int, layer: Layer, before: Shape | None, first: bool) -> tuple[Shape, bool]:
    """Shape of the layer's input, and whether it has to be flattened on the way."""
    name = f"layer {position} ({layer.kind})"
    if isinstance(layer, Input):
        if not first:
            raise refusal(position, layer, "stands behind another layer; an input layer can only be the first")
        return _shape(layer), False
    if before is None and not isinstance(layer, Dense):
        raise ValueError(f"{name} has an input whose shape the file does not determine: give input_shape=(W, H, C)")
    if before is not None:
        try:
            check_link(layer, Input(shape=before[::-1]))
        except ExchangeError as error:
            raise ValueError(f"{name} does not fit what precedes it: {error} (C, H, W)") from None
    if isinstance(layer, (Dense, Average)):
        size = int(layer.weight.shape[1]) if isinstance(layer, Dense) else int(np.prod(before or ()))
        # The first layer is fed from outside, where the file's order is the caller's.
        return (size,), not first and before is not None and len(before) > 1
    assert before is not None
    return before, isinstance(layer, (ConvTranspose, Unpool))
