"""Ranges of every number of a deployed network that no run with inputs of a domain can leave.

A layer's weighted sums are bounded by its positive weights times the largest messages plus its negative weights times
the smallest, and its neurons by their family's bounds (`lavadl_kernels.neurons.Family.reach`). The resulting messages
are the input of the next layer; the output of a recurrent layer is also part of its own input, and is iterated until it
no longer grows.

All ranges are those of the integers without widths. If all ranges of a layer lie within the device's widths, the device
computes the same integers; otherwise, the next layer is bounded for every message that 32 bits can hold.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from lavadl_kernels.fixed_point import WRAPPED32
from lavadl_kernels.neurons._reach import UNBOUNDED, Drive, Range, Reach, plus, scaled, within
from numpy.typing import NDArray

from lavadl_ref._arguments import whole
from lavadl_ref.deployed import deployment
from lavadl_ref.deployed.weighted_sums import weighted_sums
from lavadl_ref.exchange import Average, Dense, Flatten, Input, Kernel, Layer, Recurrent

Integers = NDArray[np.int64]

KINDS = ("binary", "graded", "bias")
ROUNDS = 8  #: of what a recurrent layer feeds back, before larger ranges are tried
DOUBLINGS = 12  #: of these


@dataclass(frozen=True)
class Domain:
    """The inputs for which a bound holds: any value within a range at each step and neuron.

    Parameters
    ----------
    kind : {'binary', 'graded', 'bias'}
        Spikes, 0 or 1; integers from `low` to `high` as `reference.Network.run` takes them; or a picture that is
        constant over the whole run, as `reference.Network.run` takes its `bias`. For an input layer with neurons, a
        spike stands for its gain plus offset, and no spike for its offset alone.
    low, high : int
        Smallest and largest integer, of at most 32 bits; only for graded input and bias.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    """

    kind: str = "binary"
    low: int = 0
    high: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind of a domain must be one of {KINDS}, got {self.kind!r}")
        low = whole("low", self.low, -(2**31), 2**31 - 1)
        high = whole("high", self.high, -(2**31), 2**31 - 1)
        if low > high:
            raise ValueError(f"low must be at most high, got {low} and {high}")
        if self.kind == "binary" and (low, high) != (0, 1):
            raise ValueError(f"low and high must be left out with a binary domain, got {low} and {high}")

    def __str__(self) -> str:
        return self.kind if self.kind == "binary" else f"{self.kind} {self.low} to {self.high}"


class Sent(NamedTuple):
    """Messages that leave a layer, or enter the first."""

    message: Range  #: of a step, (M,)
    total: Range | None  #: of their sum since a reset; None where it is their number times `message`
    late: bool = False  #: whether axonal delays let messages arrive after a reset that were sent before it


@dataclass(frozen=True, eq=False)
class Quantity:
    """A number of a layer: its range for each lane, and what the device's width leaves as it is."""

    range: Range  #: (M,) each
    low: int  #: least integer that fits
    high: int  #: largest one

    @property
    def fits(self) -> bool:
        """True if no lane can leave the width."""
        return self.smallest >= self.low and self.largest <= self.high

    @property
    def smallest(self) -> int:
        """The least number of any lane, `-UNBOUNDED` for no end."""
        return int(self.range.low.min(initial=0))

    @property
    def largest(self) -> int:
        """The largest number of any lane, `UNBOUNDED` for no end."""
        return int(self.range.high.max(initial=0))

    @property
    def ends(self) -> tuple[int | None, int | None]:
        """The least and the largest number; None for no end."""
        low, high = self.smallest, self.largest
        return None if low <= -UNBOUNDED else low, None if high >= UNBOUNDED else high


@dataclass(frozen=True, eq=False)
class LayerReach:
    """The ranges of a layer."""

    quantities: dict[str, Quantity]  #: weighted sum, input, states and messages, by name
    arriving: Sent  #: what the layer receives
    leaving: Sent  #: what it sends

    @property
    def fits(self) -> bool:
        """True if no number of the layer can leave its width."""
        return all(quantity.fits for quantity in self.quantities.values())


@dataclass(frozen=True)
class Setting:
    """The inputs and the length of the runs that bounds hold for."""

    domain: Domain = Domain()
    steps: int | None = None  #: most steps of a run; None for any number
    reset_interval: int | None = None
    spike_exp: int = deployment.SPIKE_EXP

    @property
    def horizon(self) -> int | None:
        """Most steps since the start or a reset; None for any number."""
        known = [value for value in (self.steps, self.reset_interval) if value is not None]
        return min(known, default=None)


def network_reach(
    layers: Sequence[Layer],
    shape: tuple[int, ...],
    setting: Setting,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[LayerReach]:
    """The ranges of every layer of a network.

    Parameters
    ----------
    layers : sequence of Layer
        Accepted by `deployment.check_supported`.
    shape : tuple of int
        Of the input, without time.
    setting : Setting
        Domain and length.
    progress : callable, optional
        Called with the number of layers done, of all layers, and the layer at hand.

    Returns
    -------
    list of LayerReach

    Raises
    ------
    ValueError
        If the domain is not one of the network's first layer.
    """
    sent = _entering(layers[0], shape, setting)
    incoming = deployment.incoming_bits(layers, setting.spike_exp)
    found = []
    for i, (layer, bits) in enumerate(zip(layers, incoming, strict=True)):
        if progress is not None:
            progress(i, len(layers), f"layer {i}, {layer.kind}")
        found.append(layer_reach(layer, bits, shape, sent, setting))
        sent, shape = found[-1].leaving, layer.shape
    return found


def _entering(first: Layer, shape: tuple[int, ...], setting: Setting) -> Sent:
    """The messages that enter the first layer."""
    domain = setting.domain
    driven = isinstance(first, Input) and first.neuron is not None
    if domain.kind == "bias":
        if not driven:
            raise ValueError(f"domain of a bias must have an input layer with neurons first, got a {first.kind} layer")
        if deployment.sends_changes(first.neuron):
            raise ValueError("domain must be graded for an input layer that sends changes, got a bias")
        low, high = 0, 0
    else:
        low, high = ends_of(domain, first)
    size = math.prod(shape)
    return Sent(within(np.full(size, low), np.full(size, high)), None)


def ends_of(domain: Domain, first: Layer) -> tuple[int, int]:
    """The least and the largest integer of a domain, as `reference.Network.run` takes them for this first layer."""
    if domain.kind == "binary" and isinstance(first, Input) and first.neuron is not None:
        ends = int(first.bias), int(first.weight) + int(first.bias)
        return min(ends), max(ends)
    return domain.low, domain.high


def layer_reach(layer: Layer, bits: int, shape: tuple[int, ...], arriving: Sent, setting: Setting) -> LayerReach:
    """The ranges of one layer.

    Parameters
    ----------
    layer : Layer
        The layer.
    bits : int
        Fractional bits of what it receives, see `deployment.incoming_bits`.
    shape : tuple of int
        Of what it receives, without time.
    arriving : Sent
        What it receives.
    setting : Setting
        Domain and length.
    """
    if isinstance(layer, Flatten):
        return LayerReach({}, arriving, arriving)
    total = _received(arriving, setting, aligned=not arriving.late)
    sums, totals = _sums(layer, shape, arriving.message), _sums(layer, shape, total)
    if layer.neuron is None:
        return _bare(layer, bits, arriving, sums[0], setting)
    found, parts, reach = _fed_back(layer, bits, sums, totals, setting)
    record = deployment.record_of(layer)
    assert record is not None
    quantities = {}
    if isinstance(layer, (Dense, Kernel)):
        half = 1 << (deployment.sum_bits(layer) - 1)
        quantities["weighted sum"] = Quantity(_either(parts), -half, half - 1)
    quantities["input"] = Quantity(_either(found.inputs), -(2**31), 2**31 - 1)
    for name in record.states:
        quantities[name] = Quantity(reach.states[name], *record.limit(name))
    for name, numbers in reach.between.items():
        quantities[name] = Quantity(numbers, *WRAPPED32)
    message, total_sent = _message(layer, reach)
    if deployment.is_graded(layer):
        quantities["message"] = Quantity(message, *WRAPPED32)
    if not all(quantity.fits for quantity in quantities.values()):
        # what the device sends then is another number, of which only the width is known
        widest = within(*WRAPPED32) if deployment.is_graded(layer) else within(np.zeros(layer.size), 1)
        message, total_sent = _either([message, widest]), None
    late = layer.delay is not None and bool(np.any(layer.delay))
    return LayerReach(quantities, arriving, Sent(message, total_sent, late))


def _message(layer: Layer, reach: Reach) -> tuple[Range, Range | None]:
    """The range of what a layer's neurons send, and of its sum."""
    fires = np.asarray(reach.fires)
    if not deployment.is_graded(layer):
        return within(0, fires.astype(np.int64)), None
    sent = within(np.where(fires, reach.value.low, 0), np.where(fires, reach.value.high, 0))
    return sent, reach.total


def _received(sent: Sent, setting: Setting, aligned: bool) -> Range:
    """The range of the sum of all messages since the receiver's last reset."""
    steps = setting.horizon
    if steps is None:
        many = within(np.where(sent.message.low < 0, -UNBOUNDED, 0), np.where(sent.message.high > 0, UNBOUNDED, 0))
    else:
        many = within(sent.message.low * float(steps), sent.message.high * float(steps))
    if sent.total is None:
        return many
    total = sent.total
    if setting.reset_interval is not None and not aligned:
        # the sender was reset in between: the end of one sum, less where it began, and the beginning of the next
        turned = within(-total.high, -total.low)
        total = plus(plus(total, total), turned)
    return within(np.maximum(total.low, many.low), np.minimum(total.high, many.high))


def _either(ranges: Sequence[Range]) -> Range:
    """The range that holds all of these."""
    low, high = ranges[0]
    for other in ranges[1:]:
        low, high = np.minimum(low, other.low), np.maximum(high, other.high)
    return within(low, high)


def _sums(layer: Layer, shape: tuple[int, ...], x: Range) -> tuple[Range, ...]:
    """The ranges of a layer's weighted sums, real and where there is one imaginary, (M,) each."""
    low, high = (np.broadcast_to(side, math.prod(shape)).reshape(shape) for side in x)
    if not isinstance(layer, (Dense, Kernel, Average)):
        return (within(low.reshape(-1), high.reshape(-1)),)
    beyond = min(UNBOUNDED, 2**62 // _most(layer))  # sums of what lies below stay within 64 bits
    endless = np.stack([high >= beyond, low <= -beyond]).astype(np.int64)
    held = np.stack([np.where(endless[0], 0, high), np.where(endless[1], 0, low)])
    up, down = _signed_sums(layer, held)
    far_up, far_down = _signed_sums(layer, endless) if endless.any() else (None, None)
    found = []
    for part, (plus_sums, minus_sums) in enumerate(zip(up, down, strict=True)):
        top, bottom = plus_sums[0] + minus_sums[1], plus_sums[1] + minus_sums[0]
        if far_up is not None and far_down is not None:
            top = np.where(far_up[part][0] - far_down[part][1] > 0, UNBOUNDED, top)
            bottom = np.where(far_up[part][1] - far_down[part][0] > 0, -UNBOUNDED, bottom)
        found.append(within(bottom, top))
    return tuple(found)


def _most(layer: Layer) -> int:
    """A bound on the sum of a neuron's weights in magnitude, at least 1."""
    if isinstance(layer, Average):
        return 1 << 20
    weights = [w for name in ("weight", "weight_imag") if (w := getattr(layer, name, None)) is not None]
    axes = (1,) if isinstance(layer, Dense) else None
    return max(1, *(int(np.abs(w).sum(axis=axes, dtype=np.float64).max(initial=0)) for w in weights))


def _signed_sums(layer: Layer, frames: Integers) -> tuple[list[Integers], list[Integers]]:
    """For each part the sums (2, M) of two frames (2, \\*shape) by the positive weights, and by the negative ones."""
    x = np.stack([frames, np.zeros_like(frames)])  # a synapse hands on what it received one step earlier
    if isinstance(layer, Average):
        sums = [part[0].reshape(2, -1) for part in weighted_sums(layer, x)]
        return sums, [np.zeros_like(part) for part in sums]
    assert isinstance(layer, (Dense, Kernel))
    both = []
    for pick in (np.maximum, np.minimum):
        weights = {
            name: pick(value, 0) for name in ("weight", "weight_imag") if (value := getattr(layer, name)) is not None
        }
        picked: Layer = dataclasses.replace(layer, **weights)
        both.append([part[1].reshape(2, -1) for part in weighted_sums(picked, x)])
    return both[0], both[1]


def _bare(layer: Layer, bits: int, arriving: Sent, sums: Range, setting: Setting) -> LayerReach:
    """The ranges of a layer without neurons."""
    half = 1 << (deployment.sum_bits(layer) - 1)
    quantities = {"weighted sum": Quantity(sums, -half, half - 1)}
    bias = getattr(layer, "bias", None)
    if bias is not None and not isinstance(layer, Input):
        own = _lanes(bias, layer) << bits
        sums = plus(sums, Range(own, own))
        quantities["message"] = Quantity(sums, -(2**31), 2**31 - 1)
    return LayerReach(quantities, arriving, Sent(sums, None))


def _lanes(values: Any, layer: Layer) -> Integers:
    """One value, or one per channel, for every lane."""
    array = np.asarray(values, np.int64)
    if array.ndim == 1:
        array = array.reshape(-1, *[1] * (len(layer.shape) - 1))
    return np.broadcast_to(array, layer.shape).reshape(-1)


def _fed_back(
    layer: Layer, bits: int, sums: tuple[Range, ...], totals: tuple[Range, ...], setting: Setting
) -> tuple[Drive, list[Range], Reach]:
    """The drive of a layer's neurons, their weighted sums, and their ranges, with all that the layer itself sends."""
    one = _Layer(layer, bits, sums, totals, setting)
    if not isinstance(layer, Recurrent):
        return one.reach(None)
    nothing = within(np.zeros(layer.size), 0)
    sent = Sent(nothing, nothing)
    rounds = ROUNDS if setting.steps is None else max(ROUNDS, min(setting.steps, 8 * ROUNDS))
    for _ in range(rounds):
        larger = one.union(sent, one.sends(sent))
        if one.holds(sent, larger):
            return one.reach(sent)
        sent = larger
    if setting.steps is not None and setting.steps <= rounds:
        return one.reach(sent)  # a message of step n is one of those after n rounds
    for _ in range(DOUBLINGS):
        sent = one.doubled(sent)
        if one.holds(sent, one.sends(sent)):
            for _ in range(ROUNDS):  # what a range leads to is then itself one that holds
                sent = one.sends(sent)
            return one.reach(sent)
    endless = within(np.full(layer.size, -UNBOUNDED), UNBOUNDED)
    return one.reach(Sent(endless, endless))


@dataclass(frozen=True, eq=False)
class _Layer:
    """A layer with neurons, and the ranges of its weighted sums without feedback."""

    layer: Layer
    bits: int
    sums: tuple[Range, ...]
    totals: tuple[Range, ...]
    setting: Setting

    def reach(self, fed: Sent | None) -> tuple[Drive, list[Range], Reach]:
        """The drive of the neurons, their sums and their ranges, where they send themselves `fed`."""
        layer, setting = self.layer, self.setting
        record = deployment.record_of(layer)
        assert record is not None
        low, high = (self._deployed(side) for side in (setting.domain.low, setting.domain.high))
        parts = list(self.sums)
        total = self.totals[0]
        if len(parts) < len(record.inputs):  # an input layer drives the real part alone
            parts.append(within(np.zeros(1), 0))
        if low.sum_shift:
            parts = [scaled(part, low.sum_shift) for part in parts]
            total = scaled(total, low.sum_shift)
        if fed is not None:
            back = [Dense(shape=layer.shape, weight=np.ascontiguousarray(weight.T)) for weight in low.feedback]
            parts = [
                plus(part, _sums(made, layer.shape, fed.message)[0]) for part, made in zip(parts, back, strict=True)
            ]
            total = plus(total, _sums(back[0], layer.shape, _received(fed, setting, aligned=False))[0])
        inputs = []
        for part, below, above, up in zip(parts, low.bias, high.bias, low.up.tolist(), strict=True):
            inputs.append(scaled(plus(part, Range(below, above)), up))
        drive = Drive(
            tuple(inputs),
            scaled(total, int(low.up[0])),
            Range(_state_bias(record, low.neuron), _state_bias(record, high.neuron)),
            setting.horizon,
            self._granularity(record, low),
        )
        if record.reach is None:
            endless = within(np.full(layer.size, -UNBOUNDED), UNBOUNDED)
            always = np.ones(layer.size, np.bool_)
            return drive, parts, Reach(dict.fromkeys(record.states, endless), {}, endless, always)
        return drive, parts, record.reach(low.neuron, drive)

    def _deployed(self, bias: int) -> deployment.Deployment:
        """The layer's neurons, with this constant input where the domain is one of such."""
        constant = isinstance(self.layer, Input) and self.setting.domain.kind == "bias"
        given = np.full(self.layer.shape, bias) if constant else None
        return deployment.deploy(self.layer, self.bits, bias=given, spike_exp=self.setting.spike_exp, shared=True)

    def _granularity(self, record: Any, made: deployment.Deployment) -> int:
        """A power of two of which every input and bias of the neurons is a multiple."""
        if isinstance(self.layer, Input):
            weights = [np.ones(1, np.int64)]
        else:
            names = ("weight", "weight_imag")
            weights = [
                np.asarray(w) << made.sum_shift for name in names if (w := getattr(self.layer, name)) is not None
            ]
        numbers = [*weights, *made.feedback, made.bias]
        lowest = min(_lowest_bit(array) << max(int(made.up[0]), 0) for array in numbers)
        return min(lowest, _lowest_bit(_state_bias(record, made.neuron)))

    def sends(self, fed: Sent) -> Sent:
        """The messages of the layer where it sends itself `fed`."""
        return Sent(*_message(self.layer, self.reach(fed)[2]))

    def union(self, left: Sent, right: Sent) -> Sent:
        """The messages of both; a total that is not known is that of the messages."""
        message = _either([left.message, right.message])
        if right.total is None:
            return Sent(message, None)
        return Sent(message, right.total if left.total is None else _either([left.total, right.total]))

    def holds(self, outer: Sent, inner: Sent) -> bool:
        """Tell whether `outer` holds `inner`."""
        if not _inside(inner.message, outer.message):
            return False
        if outer.total is None or inner.total is None:
            return outer.total is None or not np.any(inner.message.largest)
        return _inside(inner.total, outer.total)

    def doubled(self, sent: Sent) -> Sent:
        """Twice the ranges."""
        return Sent(scaled(sent.message, 1), None if sent.total is None else scaled(sent.total, 1))


def _inside(inner: Range, outer: Range) -> bool:
    return bool(np.all(inner.low >= outer.low) and np.all(inner.high <= outer.high))


def _state_bias(record: Any, neuron: Any) -> Any:
    """The bias that acts on a state, on its scale; 0 for none."""
    if "bias" in record.rows:
        return neuron.decay[record.rows.index("bias")]
    return getattr(neuron, "bias", np.zeros(1, np.int64))


def _lowest_bit(values: Any) -> int:
    """The largest power of two of which all values are multiples; `UNBOUNDED` where all are 0."""
    found = int(np.bitwise_or.reduce(np.abs(np.asarray(values, np.int64)), axis=None)) if np.size(values) else 0
    return found & -found or UNBOUNDED


__all__ = ["KINDS", "Domain", "LayerReach", "Quantity", "Sent", "Setting", "ends_of", "layer_reach", "network_reach"]
