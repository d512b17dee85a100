"""Messages and synaptic operations of the layers of a network: how they are counted, in an audit and in training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.deployed.fan_out import fan_out, feedback_fan_out
from lavadl_ref.exchange import Layer

Array = NDArray[Any]


@dataclass(frozen=True)
class Work:
    """Messages and synaptic operations of one layer, means over the steps of the run."""

    neurons: int  #: activations that a dense network computes per step
    events: float  #: messages other than 0 that left the layer per step
    operations: float  #: events that entered the layer times the synapses they pass, per step
    macs: int  #: multiplications of a dense network of the same shape per step: every synapse once


@dataclass(frozen=True)
class Totals(Work):
    """Sums over a network, and how many times less than dense it works; None where nothing happened."""

    events_ratio: float | None  #: neurons / events
    operations_ratio: float | None  #: macs / operations


@dataclass(frozen=True)
class Counted:
    """Messages and synaptic operations of one layer, counted over a number of steps."""

    neurons: int
    events: int  #: messages other than 0 that left the layer
    operations: int  #: events that entered the layer times the synapses they pass
    macs: int  #: of a dense network of the same shape, per step
    steps: int  #: of all samples

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.neurons,
            self.events + other.events,
            self.operations + other.operations,
            self.macs,
            self.steps + other.steps,
        )

    @property
    def work(self) -> Work:
        """The means over the steps."""
        return Work(self.neurons, self.events / self.steps, self.operations / self.steps, self.macs)


def counted(layer: Layer, arriving: Array, sent: Array) -> Counted:
    """Count the work of a layer.

    Parameters
    ----------
    layer : Layer
        Any but a flatten layer.
    arriving : ndarray
        (T, B, \\*shape) messages that enter it, on the clock of the deployed network.
    sent : ndarray
        (T, B, \\*shape) messages that leave its neurons at each step.
    """
    synapses, back = fan_out(layer, arriving.shape[2:]), feedback_fan_out(layer)
    met, left = np.count_nonzero(arriving, axis=(0, 1)), int(np.count_nonzero(sent))
    operations = int((met * synapses).sum()) + left * back
    steps = sent.shape[0] * sent.shape[1]
    return Counted(layer.size, left, operations, int(synapses.sum()) + layer.size * back, steps)


def counted_outside(x: Array) -> Counted:
    """Count the messages that enter a network, (T, B, \\*shape), which no neuron of it sends."""
    return Counted(x[0, 0].size, int(np.count_nonzero(x)), 0, 0, x.shape[0] * x.shape[1])


def totals(work: Iterable[Work | None]) -> Totals:
    """Sums over layers, those without work left out."""
    done = [entry for entry in work if entry is not None]
    neurons, macs = sum(entry.neurons for entry in done), sum(entry.macs for entry in done)
    events, operations = sum(entry.events for entry in done), sum(entry.operations for entry in done)
    return Totals(
        neurons,
        events,
        operations,
        macs,
        neurons / events if events else None,
        macs / operations if operations else None,
    )
