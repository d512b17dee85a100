"""The layers and networks of which golden cases are made."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from lavadl_kernels.fixed_point import WEIGHT_ONE
from lavadl_kernels.neurons import FAMILIES
from numpy.typing import NDArray

from lavadl_ref import exchange
from lavadl_ref.exchange import (
    Average,
    Conv,
    ConvTranspose,
    Dense,
    Flatten,
    Input,
    Kernel,
    Layer,
    Neuron,
    Pool,
    Recurrent,
    Unpool,
)
from lavadl_ref.testing.vectors.cases import WIDTHS
from lavadl_ref.testing.vectors.definitions import DEFINITIONS
from lavadl_ref.testing.vectors.networks import NetworkCase
from lavadl_ref.testing.vectors.recipes import Lane

Integers = NDArray[np.int64]
STEPS, CHUNKS = 24, (1, 7, 16)


class Designer:
    """Draws the parts of one case.

    Parameters
    ----------
    name : str
        Of the case, which all numbers follow from.
    ease : int
        How many times smaller than usual thresholds are: in few steps, and in layers behind layers, spikes shall be
        seen, but not at every step, where what a spike resets does not show.
    """

    def __init__(self, name: str, ease: int = 8) -> None:
        self.random = random.Random(name)
        self.ease = ease

    def integers(self, shape: tuple[int, ...], low: int, high: int) -> Integers:
        """Integers of [low, high]."""
        drawn = [self.random.randint(low, high) for _ in range(int(np.prod(shape)))]
        return np.array(drawn, np.int64).reshape(shape)

    def spikes(self, size: int, rate: float = 0.3) -> Integers:
        """Zeros and ones, (STEPS, size)."""
        drawn = [int(self.random.random() < rate) for _ in range(STEPS * size)]
        return np.array(drawn, np.int64).reshape(STEPS, size)

    def messages(self, family: str | None, size: int) -> Integers:
        """The messages that neurons of a family receive: spikes, or changes in 1/4096."""
        sent = self.spikes(size)
        changes = family is not None and FAMILIES[family].sends_messages
        return sent * self.integers(sent.shape, -(2**12), 2**13) if changes else sent

    def neuron(self, family: str, channels: int = 0, **changed: Any) -> Neuron:
        """Neurons of usual parameters; `channels` have decays of their own, 0: all have the same."""
        lanes = [Lane(family, self.random) for _ in range(max(channels, 1))]
        definition, record = DEFINITIONS[family], FAMILIES[family]
        parameters: dict[str, Any] = {}
        for name in record.decays:
            values = np.array([lane.parameters[name] for lane in lanes], np.int64)
            parameters[name] = values if channels else int(values[0])
        for name in record.constants:
            parameters[name] = lanes[0].parameters[name] // (definition.parameters[name] // WEIGHT_ONE) // self.ease
        if record.sends_messages:
            parameters |= {"activation": self.random.choice(("relu", "identity")), "cum_error": False}
        return Neuron(family, {**parameters, **changed})

    def dense(self, family: str, outputs: int, inputs: int, **more: Any) -> Dense:
        """A layer of the kind of `more`: ``weight_rec`` or others."""
        kind, given = more.pop("kind", Dense), {"neuron": self.neuron(family), **more}
        given |= self.parts(family, "weight", lambda: self.weights((outputs, inputs)))
        if kind is Recurrent:
            given |= self.parts(family, "weight_rec", lambda: self.integers((outputs, outputs), -90, 60))
        made: Dense = kind(shape=(outputs,), **given)
        return made

    def window(self, kind: type[Kernel], family: str, shape: tuple[int, ...], **more: Any) -> Kernel:
        """A layer with a kernel of the shape that the case says, (C, H, W) neurons."""
        given = {"neuron": self.neuron(family), **more}
        size = given.pop("kernel")
        return kind(shape=shape, **given, **self.parts(family, "weight", lambda: self.weights(size)))

    def biases(self, family: str, channels: int) -> dict[str, Any]:
        """Biases, real and imaginary where the family has both."""
        return self.parts(family, "bias", lambda: self.integers((channels,), -30, 40))

    def weights(self, shape: tuple[int, ...]) -> Integers:
        """Weights of which few spikes bring a neuron to its threshold."""
        return self.integers(shape, -120, 254)

    def parts(self, family: str, name: str, make: Callable[[], Integers]) -> dict[str, Any]:
        """An array that `make` draws, of any shape, by its name; and one for the imaginary part where there is one."""
        names = (name, f"{name}_imag") if FAMILIES[family].complex else (name,)
        return {part: make() for part in names}


def _of_each_kind() -> Iterator[str]:
    """One family each: the first with a real input, the first with a complex one, the first that sends changes."""
    records = [FAMILIES[name] for name in DEFINITIONS]
    for wanted in (
        lambda record: not record.complex and not record.sends_messages,
        lambda record: record.complex,
        lambda record: record.sends_messages,
    ):
        yield from [record.name for record in records if wanted(record)][:1]


def _spiking() -> list[str]:
    return [name for name in DEFINITIONS if not FAMILIES[name].sends_messages]


Design = tuple[str, str, Callable[[Designer], tuple[Layer | Iterable[Layer], Integers, dict[str, Any]]]]

#: Windows: kind, kernel, what enters, and what leaves, (C, H, W), and the rest of the layer.
_WINDOWS: dict[str, tuple[type[Kernel], tuple[int, ...], tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "conv": (
        Conv, (4, 1, 3, 2), (2, 5, 6), (4, 3, 5),
        {"stride": (2, 1), "padding": (1, 1), "dilation": (1, 3), "groups": 2},
    ),
    "convT": (ConvTranspose, (2, 1, 2, 3), (2, 3, 2), (2, 6, 6), {"stride": (2, 3), "groups": 2}),
    "pool": (Pool, (1, 1, 2, 2), (2, 4, 5), (2, 2, 3), {"stride": (2, 2)}),
    "unpool": (Unpool, (1, 1, 2, 3), (2, 2, 2), (2, 4, 6), {"stride": (2, 3)}),
}  # fmt: skip


def _dense_case(family: str) -> Design:
    def make(d: Designer) -> Any:
        return d.dense(family, 5, 6, **d.biases(family, 5)), d.messages(family, 6), {}

    return f"dense-{family}", "a matrix of weights, and a bias from the start step on", make


def _recurrent_case(family: str) -> Design:
    def make(d: Designer) -> Any:
        more = d.biases(family, 5)
        if FAMILIES[family].bias_at_state:
            more["input_bias"] = d.integers((5,), -9, 30)
        return d.dense(family, 5, 4, kind=Recurrent, **more), d.messages(family, 4), {}

    return f"recurrent-{family}", "feedback of what the layer sent one step earlier", make


def _graded_case(family: str, kind: type[Dense]) -> Design:
    def make(d: Designer) -> Any:
        neuron = d.neuron(family, graded_spike=True)
        return d.dense(family, 4, 5, neuron=neuron, kind=kind), d.messages(family, 5), {}

    name = "graded" if kind is Dense else "graded-recurrent"
    return f"{name}-{family}", "spikes that carry the compared value", make


def _window_case(kind: str, family: str) -> Design:
    cls, kernel, source, shape, window = _WINDOWS[kind]

    def make(d: Designer) -> Any:
        biased = d.biases(family, shape[0]) if cls in (Conv, ConvTranspose) else {}
        layer = d.window(cls, family, shape, kernel=kernel, **window, **biased)
        return layer, d.messages(family, int(np.prod(source))), {"input": source}

    return f"{kind}-{family}", "windows that move over height and width", make


def _delay_case(family: str, longest: int) -> Design:
    def make(d: Designer) -> Any:
        delay = d.integers((6,), 0, longest) if longest else np.full(6, 3, np.int64)
        return d.dense(family, 6, 5, delay=delay), d.messages(family, 5), {}

    name = {0: "shared-delay", 5: "delays"}.get(longest, "long-delays")
    return f"{name}-{family}", "what leaves a layer comes later by the delay of its channel", make


def _reset_case(family: str, interval: int, offset: int) -> Design:
    def make(d: Designer) -> Any:
        layer = d.dense(family, 5, 5, delay=d.integers((5,), 0, 2), **d.biases(family, 5))
        return layer, d.messages(family, 5), {"reset_interval": interval, "reset_offset": offset}

    return f"reset-{interval}-{offset}-{family}", "neurons at rest again, messages on their way kept", make


def _channel_case(family: str) -> Design:
    def make(d: Designer) -> Any:
        layer = d.window(Conv, family, (3, 3, 3), kernel=(3, 2, 2, 2), neuron=d.neuron(family, 3))
        return layer, d.messages(family, 32), {"input": (2, 4, 4)}

    return f"channels-{family}", "decays of each channel", make


def _exponent_case(family: str, exponents: tuple[int, int]) -> Design:
    def make(d: Designer) -> Any:
        names = ("weight_exp", "weight_exp_imag")[: len(FAMILIES[family].inputs)]
        neuron = d.neuron(family, **dict(zip(names, exponents, strict=False)))
        return d.dense(family, 4, 5, neuron=neuron, **d.biases(family, 4)), d.messages(family, 5), {}

    return f"exponent{exponents[0]:+d}-{family}", "weights on another scale", make


def _input_case(family: str) -> Design:
    def make(d: Designer) -> Any:
        return Input(shape=(6,), neuron=d.neuron(family)), d.integers((STEPS, 6), -100, 200), {}

    return f"input-{family}", "neurons that a current in 1/64 drives, without a synapse", make


def _wide_case(family: str, kind: type[Dense] | type[Conv]) -> Design:
    def make(d: Designer) -> Any:
        neuron = d.neuron(family)
        if kind is Conv:
            layer: Layer = Conv(
                shape=(2, 3, 3), neuron=neuron, **d.parts(family, "weight", lambda: d.integers((2, 1, 2, 2), -512, 511))
            )
            size, source = 16, {"input": (1, 4, 4)}
        else:
            weights = d.parts(family, "weight", lambda: d.integers((4, 6), -512, 511))
            layer, size, source = Dense(shape=(4,), neuron=neuron, **weights), 6, {}
        top = 2**15 if kind is Conv else 2**23
        return layer, d.spikes(size) * d.integers((STEPS, size), -top, top), source

    name = "wide-sums" if kind is Dense else "wide-windows"
    return f"{name}-{family}", "sums beyond 32 bits, or 24 behind a window, of messages that are numbers", make


def _sums(d: Designer) -> Any:
    layer = Dense(shape=(4,), weight=d.weights((4, 5)), bias=d.integers((4,), -30, 40))
    return layer, d.spikes(5), {}


def _average(d: Designer) -> Any:
    return Average(shape=(3,)), d.spikes(12), {"input": (12,)}


def _sum_output(family: str) -> Design:
    def make(d: Designer) -> Any:
        neuron = Neuron(family, {"sigma_output": True})
        return d.dense(family, 3, 5, neuron=neuron, **d.biases(family, 3)), d.messages(family, 5), {}

    return f"sums-over-time-{family}", "a sum over time that is read out", make


def layer_designs() -> Iterator[Design]:
    """The cases of level 2."""
    plain, *others = _of_each_kind()
    each = (plain, *others)
    changes = [name for name in DEFINITIONS if FAMILIES[name].sends_messages]
    yield from map(_dense_case, DEFINITIONS)
    yield from (_window_case(kind, family) for kind in _WINDOWS for family in each)
    yield from (_channel_case(family) for family in _spiking())
    yield from (_delay_case(family, longest) for family in each for longest in (0, 5))
    yield _delay_case(plain, 70)
    yield from (_reset_case(family, 7, 0) for family in DEFINITIONS)
    yield from (_reset_case(plain, interval, offset) for interval, offset in ((1, 0), (5, 3), (30, 2)))
    yield from map(_recurrent_case, _spiking())
    yield from (_graded_case(family, Dense) for family in _spiking())
    yield from (_graded_case(family, Recurrent) for family in each if family not in changes)
    yield from (_exponent_case(family, exponents) for family in DEFINITIONS for exponents in ((2, -1), (-3, 1)))
    yield from map(_input_case, DEFINITIONS)
    yield from (_wide_case(family, kind) for family in each for kind in (Dense, Conv))
    yield "sums", "weighted sums that are read out without neurons", _sums
    yield "average", "sums over groups of neurons", _average
    yield from map(_sum_output, changes)


# -- networks -------------------------------------------------------------------------------------


def _stack(family: str) -> Design:
    def make(d: Designer) -> Any:
        sizes = (6, 7, 5, 3)
        layers = [
            d.dense(family, outputs, inputs, delay=d.integers((outputs,), 0, 2), **d.biases(family, outputs))
            for inputs, outputs in itertools.pairwise(sizes)
        ]
        return layers, d.messages(family, 6), {"reset_interval": 11, "reset_offset": 1}

    return f"dense-{family}", "three dense layers with delays, biases and resets", make


def _feedback(family: str) -> Design:
    def make(d: Designer) -> Any:
        layers = (
            d.dense(family, 6, 5),
            d.dense(family, 5, 6, kind=Recurrent, delay=d.integers((5,), 0, 3)),
            d.dense(family, 4, 5),
        )
        return layers, d.messages(family, 5), {"reset_interval": 9, "reset_offset": 4}

    return f"recurrent-{family}", "a layer with feedback between two others", make


def _windows(family: str) -> Design:
    def make(d: Designer) -> Any:
        layers = (
            d.window(Conv, family, (3, 5, 5), kernel=(3, 2, 2, 2), **d.biases(family, 3)),
            d.window(Pool, family, (3, 2, 2), kernel=(1, 1, 2, 2), stride=(2, 2)),
            d.window(Unpool, family, (3, 4, 4), kernel=(1, 1, 2, 2), stride=(2, 2)),
            d.window(ConvTranspose, family, (2, 5, 5), kernel=(3, 2, 2, 2)),
            Flatten(shape=(50,)),
            d.dense(family, 3, 50),
        )
        return layers, d.messages(family, 72), {"input": (2, 6, 6)}

    return f"windows-{family}", "convolution, pool, unpool and transposed convolution in front of a dense layer", make


def _mixed(d: Designer) -> Any:
    sizes, layers = [6, 5, 4, 5, 4, 5, 4, 3], []
    for family, inputs, outputs in zip(_spiking(), sizes, sizes[1:], strict=False):
        shift = d.random.random() < 0.5
        layers.append(d.dense(family, outputs, inputs, delay_shift=shift, **d.biases(family, outputs)))
    return layers, d.spikes(6, 0.5), {}


def _time(base: str) -> Callable[[Designer], Any]:
    def make(d: Designer) -> Any:
        plain, *_ = _of_each_kind()
        layers = [d.dense(plain, 4, inputs, delay_shift=False, bias=d.integers((4,), 10, 40)) for inputs in (5, 4, 4)]
        return layers, d.spikes(5, 0.1), {"time_base": base}

    return make


def _messages(family: str, exponent: int) -> Design:
    def make(d: Designer) -> Any:
        silent = {"threshold": 2, "cum_error": True}
        layers = (
            Input(shape=(1, 4, 4), neuron=d.neuron(family, threshold=1)),
            d.window(Conv, family, (2, 3, 3), kernel=(2, 1, 2, 2), neuron=d.neuron(family, **silent)),
            Flatten(shape=(18,)),
            d.dense(family, 5, 18, neuron=d.neuron(family, weight_exp=1), **d.biases(family, 5)),
            d.dense(family, 3, 5, neuron=Neuron(family, {"sigma_output": True})),
        )
        held = d.integers((STEPS // 4, 16), -40, 60).repeat(4, axis=0)
        return layers, held, {"spike_exp": exponent}

    return f"messages-{exponent}-{family}", "changes of a picture through a network, summed at its end", make


def _driven(family: str) -> Design:
    def make(d: Designer) -> Any:
        layers = (Input(shape=(5,), neuron=d.neuron(family)), d.dense(family, 4, 5), d.dense(family, 3, 4))
        # a phase comes round once in several steps, and what decays shows at a second spike
        return layers, d.integers((STEPS, 5), -60, 160), {"reset_interval": 12 if FAMILIES[family].by_phase else 6}

    return f"input-{family}", "an input layer, and resets that go through the network", make


def _averaged(d: Designer) -> Any:
    plain, *_ = _of_each_kind()
    return (d.dense(plain, 9, 6), d.dense(plain, 6, 9), Average(shape=(2,))), d.spikes(6, 0.5), {}


def _read_out(d: Designer) -> Any:
    plain, *_ = _of_each_kind()
    bare = Dense(shape=(3,), weight=d.weights((3, 6)), bias=d.integers((3,), -30, 40))
    return (d.dense(plain, 6, 5, neuron=d.neuron(plain, graded_spike=True)), bare), d.spikes(5), {}


def network_designs() -> Iterator[Design]:
    """The cases of level 3."""
    each = tuple(_of_each_kind())
    changes = [name for name in DEFINITIONS if FAMILIES[name].sends_messages]
    yield from map(_stack, DEFINITIONS)
    yield from map(_feedback, _spiking())
    yield from map(_windows, each)
    yield from map(_driven, [name for name in DEFINITIONS if name not in changes])
    yield from (_messages(family, exponent) for family in changes for exponent in (6, 3))
    yield "mixed", "a layer of each family of spiking neurons, with and without a shift in training", _mixed
    yield "start-slayer", "layers that rest until their start step", _time("slayer")
    yield "start-lava", "layers whose biases act from the first step on", _time("lava")
    yield "average", "an average of groups at the end", _averaged
    yield "sums", "graded spikes, weighed and read out without neurons", _read_out


#: Attempt and `Designer.ease` of networks whose first draw would not notice that a reset or a decay is missing, as
#: their neurons spike at every step or once: `validation/mutation/networks.py` looks at all networks.
_TELLING = {
    "dense-CUBA": (0, 2),
    "dense-ALIF": (0, 4),
    "dense-RF_IZHIKEVICH": (0, 4),
    "dense-ADRF_PHASE": (7, 2),
    "recurrent-CUBA": (0, 1),
    "recurrent-RF_IZHIKEVICH": (0, 4),
    "recurrent-ADRF_PHASE": (1, 2),
    "windows-CUBA": (2, 1),
    "input-ALIF": (0, 4),
    "input-ADRF_PHASE": (4, 2),
    "mixed": (27, 1),
    "start-slayer": (0, 4),
    "start-lava": (0, 2),
    "average": (1, 1),
}


def designed(
    level: int, widths: Iterable[str] = WIDTHS, families: Sequence[str] | None = None
) -> Iterator[NetworkCase]:
    """The cases of a level, 2 or 3, each with these widths; of these families alone, if any are given."""
    for design in layer_designs() if level == 2 else network_designs():
        if families is not None and not set(_drawn(level, design, 0).families) <= set(families):
            continue
        drawn = _chosen(level, design)
        yield from (drawn if width == drawn.widths else replace(drawn, widths=width) for width in widths)


def _chosen(level: int, design: Design) -> NetworkCase:
    """The draw of a design that is a case."""
    if level == 3 and design[0] in _TELLING:
        return _drawn(level, design, *_TELLING[design[0]])
    # layers of few neurons may stay silent: the first draw of which enough is seen
    return next(case for attempt in range(99) for case in [_drawn(level, design, attempt)] if _busy(case))


def _drawn(level: int, design: Design, attempt: int, ease: int = 8) -> NetworkCase:
    name, shows, make = design
    layers, inputs, options = make(Designer(f"{level} {name} {attempt}", ease))
    source = options.pop("input", None)
    network = exchange.Network((layers,) if isinstance(layers, Layer) else tuple(layers), {}, source)
    exchange.check(network)
    return NetworkCase(level, name, WIDTHS[0], shows, network, inputs, CHUNKS, options)


def _busy(case: NetworkCase) -> bool:
    """Tell whether enough leaves the network to tell a wrong one from it."""
    output = np.array(case.answer["output"])
    return int(np.count_nonzero(output)) > 0.03 * output.size
