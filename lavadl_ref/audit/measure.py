"""Head-room, messages and operations of a network over a run without widths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from lavadl_kernels import neurons
from lavadl_kernels.engine import deployed
from lavadl_kernels.ops import integer_synapse as synapse
from numpy.typing import NDArray

from lavadl_ref.audit.lava_neurons import lava_neuron
from lavadl_ref.audit.report import HeadRoom
from lavadl_ref.deployed import deployment, reference
from lavadl_ref.deployed.reference import LayerRun, Run
from lavadl_ref.deployed.weighted_sums import weighted_sums
from lavadl_ref.deployed.work import Work, counted
from lavadl_ref.exchange import Dense, Flatten, Input, Kernel, Layer, Network, Recurrent

Integers = NDArray[np.int64]
Array = NDArray[Any]

WIDE = (1 << 31) - 1
DELAY_LIMIT = 63  # of Lava's synapses


def free_bits(low: int, high: int, smallest: int, largest: int) -> int | None:
    """Bits by which `smallest` and `largest` may be shifted left within `low` and `high`; None if both are 0."""
    ends = [(largest, high)] * (largest > 0) + [(-smallest, -low)] * (smallest < 0)
    return min((_free(value, limit) for value, limit in ends), default=None)


def _free(value: int, limit: int) -> int:
    shift = limit.bit_length() - value.bit_length()
    while value > (limit << -shift if shift < 0 else limit >> shift):
        shift -= 1
    return shift


def head_room(quantity: str, low: int, high: int, *values: Any) -> Iterator[HeadRoom]:
    """The head-room of a quantity that fits within [low, high]; nothing if there are no values.

    Parameters
    ----------
    quantity : str
        Its name.
    low, high : int
        The smallest and the largest integer that fits.
    *values : array_like of int
        All that it was, of any shape; None for what a layer does not have.
    """
    arrays = [np.asarray(value) for value in values if value is not None and np.size(value)]
    if not arrays:
        return
    smallest, largest = int(min(a.min() for a in arrays)), int(max(a.max() for a in arrays))
    yield HeadRoom(quantity, low, high, smallest, largest, free_bits(low, high, smallest, largest))


def constants(layer: Layer) -> Iterator[HeadRoom]:
    """Head-room of the integers of the file: weights, biases, thresholds, delays."""
    names = ("weight", "weight_imag", "weight_rec", "weight_rec_imag")
    if isinstance(layer, (Dense, Kernel)):
        yield from head_room("weight", -256, 254, *(getattr(layer, name, None) for name in names))
    held = lava_neuron(layer.neuron)
    if not isinstance(layer, Input):
        limit = held.bias_limit
        yield from head_room("bias", -limit, limit - 1, getattr(layer, "bias", None), getattr(layer, "bias_imag", None))
        yield from head_room("input bias", -WIDE - 1, WIDE, getattr(layer, "input_bias", None))
    if layer.neuron is not None:
        high = WIDE >> held.threshold_shift
        yield from head_room("threshold", 0, high, layer.neuron.parameters.get("threshold"))
    yield from head_room("delay", 0, DELAY_LIMIT, layer.delay)


def layers(
    network: Network, x: Array, run: Run, resets: Sequence[NDArray[np.bool_]] | None = None
) -> Iterator[tuple[tuple[HeadRoom, ...], Work | None]]:
    """Head-room of the sums and states of each layer, and its work.

    Parameters
    ----------
    network : Network
        What ran.
    x : ndarray
        Its input, (\\*shape, T).
    run : Run
        Without widths, everything recorded.
    resets : sequence of ndarray, optional
        For each layer (T,) bool, the steps before which its neurons went to rest, see `reference.Network.resets`; none
        by default.
    """
    arriving = np.moveaxis(x, -1, 0)[:, None]
    incoming = deployment.incoming_bits(network.layers)
    never = [np.zeros(x.shape[-1], np.bool_)] * len(network.layers)
    for layer, ran, bits, reset in zip(network.layers, run.layers, incoming, resets or never, strict=True):
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
        record = deployment.record_of(layer)
        limits = {} if record is None else {name: record.limit(name) for name in record.states}
        for name, limit in limits.items():
            values = np.moveaxis(getattr(ran, name), -1, 0)[:, None]
            found += head_room(name, *limit, values, _before_reset(layer, bits, name, ran, sums, reset))
        yield tuple(found), counted(layer, arriving, sent).work
        arriving = reference.delayed(layer, sent)


def _totals(layer: Layer, incoming: int, arriving: Array, sent: Array) -> tuple[Integers, ...]:
    """Weighted sums (T, 1, \\*shape), those of the feedback included."""
    sums = weighted_sums(layer, arriving)
    if not isinstance(layer, Recurrent):
        return sums
    made = deployment.deploy(layer, incoming)
    before = np.concatenate([np.zeros_like(sent[:1]), sent[:-1]])[:, 0].astype(np.int64)
    return tuple(
        (part << made.sum_shift) + synapse.dense(before, np.ascontiguousarray(back.T))[:, None]
        for part, back in zip(sums, made.feedback, strict=True)
    )


def _before_reset(
    layer: Layer, incoming: int, name: str, ran: LayerRun, sums: tuple[Integers, ...], reset: NDArray[np.bool_]
) -> Integers | None:
    """Values of a state where a spike set it back, as they were before; None for states that stay.

    A graded spike carries such a value. So every step of the run is taken once more by graded neurons: each from the
    recorded state before it, and side by side, as if the steps were samples of one step each.
    """
    neuron = layer.neuron
    assert neuron is not None and ran.spikes is not None
    record = neurons.family(neuron.type)
    if name != record.carried or name not in record.resets:
        return None
    steps = ran.spikes.shape[-1]
    made = deployment.deploy(layer, incoming, batch=steps)
    lanes = steps * layer.size
    state = made.rest.copy()
    for row, kept in zip(state, made.states, strict=True):
        before = row.reshape(steps, layer.size)
        before[1:] = np.where(reset[1:, None], before[1:], _time_first(getattr(ran, kept))[:-1].reshape(steps - 1, -1))
    total = [np.ascontiguousarray(part).reshape(1, lanes) for part in sums]
    # an input layer drives the real part alone
    total += [np.zeros((1, lanes), np.int64)] * (len(made.bias) - len(total))
    value = np.empty((1, lanes), np.int64)
    synapses = deployed.Synapses(
        tuple(total), made.bias, made.up, tuple(np.zeros((0, 0), np.int64) for _ in made.feedback)
    )
    profile = deployed.Profile(start=0, loihi=False, graded=True, bits=made.bits)
    filled = deployed.Filled(value, np.empty((len(state), 0, lanes), np.int64), np.empty(lanes, np.int64))
    deployed.run(made.neuron, synapses, state, made.rest, np.zeros(1, np.bool_), profile, filled)
    return value[0][_time_first(ran.spikes).reshape(-1) != 0]


def _time_first(values: Array | None) -> Integers:
    """(\\*shape, T) as (T, 1, \\*shape)."""
    assert values is not None
    return np.moveaxis(values, -1, 0)[:, None].astype(np.int64)
