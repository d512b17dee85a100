"""Head-room, messages and operations of a network over a run without widths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from lavadl_kernels.fixed_point import STATE_BITS, WEIGHT_ONE
from lavadl_kernels.ops import integer_synapse as synapse
from numpy.typing import NDArray

from lavadl_ref.audit.fan_out import fan_out, feedback_fan_out
from lavadl_ref.audit.report import HeadRoom, Work
from lavadl_ref.deployed import deployment, reference
from lavadl_ref.deployed.reference import LayerRun, Run
from lavadl_ref.deployed.weighted_sums import weighted_sums
from lavadl_ref.exchange import Dense, Flatten, Input, Kernel, Layer, Network, Recurrent

Integers = NDArray[np.int64]
Array = NDArray[Any]

NARROW = (1 << 23) - 1  # of 24 bits, which saturate at both ends
WIDE = (1 << 31) - 1
DELAY_LIMIT = 63  # of Lava's synapses
#: Of Lava's LIF, and of 32 after the shift of sigma-delta neurons; other processes have 32.
BIAS_BITS: dict[str | None, int] = {"CUBA": 16, "SDNN": 20}
CURRENT = "current"
NARROW_STATES = frozenset({CURRENT, "voltage", "real", "imag"})


def free_bits(low: int, high: int, smallest: int, largest: int) -> int | None:
    """By how many bits `smallest` and `largest` may be shifted left within `low` and `high`; None if both are 0."""
    ends = [(largest, high)] * (largest > 0) + [(-smallest, -low)] * (smallest < 0)
    return min((_free(value, limit) for value, limit in ends), default=None)


def _free(value: int, limit: int) -> int:
    shift = limit.bit_length() - value.bit_length()
    while value > (limit << -shift if shift < 0 else limit >> shift):
        shift -= 1
    return shift


def head_room(quantity: str, low: int, high: int, *values: Any) -> Iterator[HeadRoom]:
    """An entry, if there are values."""
    arrays = [np.asarray(value) for value in values if value is not None and np.size(value)]
    if not arrays:
        return
    smallest, largest = int(min(a.min() for a in arrays)), int(max(a.max() for a in arrays))
    yield HeadRoom(quantity, low, high, smallest, largest, free_bits(low, high, smallest, largest))


def constants(layer: Layer) -> Iterator[HeadRoom]:
    """Head-room of what the file says: weights, biases, thresholds, delays."""
    names = ("weight", "weight_imag", "weight_rec", "weight_rec_imag")
    if isinstance(layer, (Dense, Kernel)):
        yield from head_room("weight", -256, 254, *(getattr(layer, name, None) for name in names))
    family = None if layer.neuron is None else layer.neuron.type
    if not isinstance(layer, Input):
        limit = 1 << (BIAS_BITS.get(family, 32) - 1)
        yield from head_room("bias", -limit, limit - 1, getattr(layer, "bias", None), getattr(layer, "bias_imag", None))
        yield from head_room("input bias", -WIDE - 1, WIDE, getattr(layer, "input_bias", None))
    if layer.neuron is not None:
        high = WIDE >> (12 if family == "SDNN" else 6)
        yield from head_room("threshold", 0, high, layer.neuron.parameters.get("threshold"))
    yield from head_room("delay", 0, DELAY_LIMIT, layer.delay)


def layers(network: Network, x: Array, run: Run) -> Iterator[tuple[tuple[HeadRoom, ...], Work | None]]:
    """For each layer the head-room of its sums and states, and its work.

    Parameters
    ----------
    network : Network
        What ran.
    x : ndarray
        Its input, (\\*shape, T).
    run : Run
        Without widths, everything recorded.
    """
    arriving = np.moveaxis(x, -1, 0)[:, None]
    incoming = deployment.incoming_bits(network.layers)
    for layer, ran, bits in zip(network.layers, run.layers, incoming, strict=True):
        if isinstance(layer, Flatten):
            arriving = arriving.reshape(*arriving.shape[:2], layer.size)
            yield (), None
            continue
        found: list[HeadRoom] = []
        if layer.neuron is None:
            assert ran.weighted is not None
            sent = np.moveaxis(ran.weighted, -1, 0)[:, None]
            sums = weighted_sums(layer, arriving)
        else:
            assert ran.spikes is not None
            sent = np.moveaxis(ran.spikes, -1, 0)[:, None]
            sums = _totals(layer, bits, arriving, sent)
        if isinstance(layer, (Dense, Kernel)):
            half = 1 << (deployment.sum_bits(layer) - 1)
            found += head_room("weighted sum", -half, half - 1, *sums)
        for name in deployment.states_of(layer):
            values = np.moveaxis(getattr(ran, name), -1, 0)[:, None]
            limit = NARROW if name in NARROW_STATES else WIDE
            low, high = (-limit, limit + 1) if name == CURRENT else (-limit, limit)
            found += head_room(name, low, high, values, _before_reset(layer, bits, name, ran, sums))
        yield tuple(found), _work(layer, arriving, sent)
        arriving = reference.delayed(layer, sent)


def _totals(layer: Layer, incoming: int, arriving: Array, sent: Array) -> tuple[Integers, ...]:
    """Weighted sums (T, 1, \\*shape), what is fed back included."""
    sums = weighted_sums(layer, arriving)
    if not isinstance(layer, Recurrent):
        return sums
    made = deployment.deploy(layer, incoming)
    before = np.concatenate([np.zeros_like(sent[:1]), sent[:-1]])[:, 0].astype(np.int64)
    return tuple(
        (part << made.sum_shift) + synapse.dense(before, np.ascontiguousarray(back.T))[:, None]
        for part, back in zip(sums, made.feedback, strict=True)
    )


def _before_reset(layer: Layer, incoming: int, name: str, ran: LayerRun, sums: tuple[Integers, ...]) -> Integers | None:
    """Values of a state where a spike set it back, as they were before; None for states that stay."""
    neuron = layer.neuron
    assert neuron is not None and ran.spikes is not None
    spikes = np.moveaxis(ran.spikes, -1, 0)[:, None] != 0
    if neuron.type == "CUBA" and name == "voltage":
        bias = 0 if isinstance(layer, Input) else _per_neuron(getattr(layer, "bias", None), layer)
        drive = _scaled(_time_first(ran.current) + bias * WEIGHT_ONE, -(neuron.parameters.get("weight_exp") or 0))
        before = _leak(_earlier(ran.voltage), 4096 - _per_neuron(neuron["voltage_decay"], layer)) + drive
    elif neuron.type == "RF_IZHIKEVICH" and name == "imag":
        made = deployment.deploy(layer, incoming)
        real, imag = _earlier(ran.real), _earlier(ran.imag)
        drive = np.zeros_like(imag)
        if not isinstance(layer, Input):
            drive = _scaled(sums[1] + made.bias[1].reshape(layer.shape), int(made.up[1]))
        sine, cosine = (_per_neuron(neuron[part], layer) for part in ("sin_decay", "cos_decay"))
        before = _leak(real, sine) + _leak(imag, cosine) + drive
    else:
        return None
    return before[spikes]


def _time_first(values: Array | None) -> Integers:
    assert values is not None
    return np.moveaxis(values, -1, 0)[:, None].astype(np.int64)


def _earlier(values: Array | None) -> Integers:
    """(T, 1, \\*shape), one step earlier."""
    now = _time_first(values)
    return np.concatenate([np.zeros_like(now[:1]), now[:-1]])


def _per_neuron(values: Any, layer: Layer) -> Integers:
    array = np.asarray(0 if values is None else values, np.int64)
    return array.reshape(-1, *[1] * (len(layer.shape) - 1)) if array.ndim == 1 else array


def _scaled(values: Integers, bits: int) -> Integers:
    """`values` * 2**bits, truncated toward zero."""
    return values << bits if bits >= 0 else np.sign(values) * (np.abs(values) >> -bits)


def _leak(values: Integers, factor: Integers) -> Integers:
    return _scaled(values * factor, -STATE_BITS)


def events(x: Array) -> float:
    """Messages of (T, ...) other than 0 per step."""
    return int(np.count_nonzero(x)) / len(x)


def _work(layer: Layer, arriving: Array, sent: Array) -> Work:
    synapses, back = fan_out(layer, arriving.shape[2:]), feedback_fan_out(layer)
    met = np.count_nonzero(arriving, axis=(0, 1))
    operations = int((met * synapses).sum()) + int(np.count_nonzero(sent)) * back
    return Work(layer.size, events(sent), operations / len(sent), int(synapses.sum()) + layer.size * back)
