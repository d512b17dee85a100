"""Descriptions of whole ``.net`` files, under this name together with those of layers; and their equality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from lavadl_ref.exchange import layers
from lavadl_ref.exchange.geometry import known_input
from lavadl_ref.exchange.layers import *  # noqa: F403
from lavadl_ref.exchange.layers import Average, Dense, Flatten, Integers, Kernel, Layer, Neuron

__all__ = ["Integers", "Network", "same"]
__all__ += layers.__all__


@dataclass(frozen=True, eq=False)
class Network:
    """The description of a whole file: its layers in order.

    Examples
    --------
    >>> neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    >>> hidden = Dense(shape=(2,), neuron=neuron, weight=np.array([[1, 2, 3], [4, 5, 6]]))
    >>> output = Dense(shape=(1,), neuron=neuron, weight=np.array([[7, 8]]))
    >>> network = Network((hidden, output))
    >>> network.input_shape, network.start_steps
    ((3,), (1, 1))
    """

    layers: tuple[Layer, ...]
    simulation: Mapping[str, int] = field(default_factory=dict)  #: legacy ``/simulation`` entries, unused
    #: (C, H, W) or (N,) of the input; for networks whose layers leave it open.  A file does not hold it.
    stated_input_shape: tuple[int, ...] | None = None

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """Shape of the input without time, (C, H, W) or (N,): as stated, or as it follows from the first layer.

        All layers determine it except two kinds: convolutions and pools with a stride above 1, because the input may
        end anywhere within the last stride, and averages, which do not state the number of neurons that they average.
        For these it is None unless `stated_input_shape` gives it, which a file does not contain. It is also None if no
        input gives the first layer its shape. A flatten layer takes (N,) unless stated otherwise.
        """
        return known_input(self.layers[0]) if self.stated_input_shape is None else self.stated_input_shape

    @property
    def start_steps(self) -> tuple[int, ...]:
        """For each layer, the 0-based step of a deployed run at which slayer's step 0 of that layer falls.

        A deployed synapse passes its input on one step later. If slayer's block shifts its output by one step, the two
        agree and the next layer starts at the same step; otherwise the next layer starts one step later. A network that
        begins with an input layer has no synapse before it and starts at 0; any other starts at 1.
        """
        starts: list[int] = []
        start, shifted = 0, False
        for layer in self.layers:
            if isinstance(layer, (Dense, Kernel)) and not shifted:
                start += 1
            starts.append(start)
            if not isinstance(layer, (Flatten, Average)):
                shifted = layer.shifts
        return tuple(starts)


def same(left: Any, right: Any) -> bool:
    """Tell whether two descriptions agree in type and every field that a file holds.

    Parameters
    ----------
    left, right : Network, Layer, Neuron or a value of one of their fields
        Arrays must agree in dtype, shape and values.

    Returns
    -------
    bool

    Examples
    --------
    >>> same(Flatten(shape=(4,)), Flatten(shape=(4,))), same(Flatten(shape=(4,)), Average(shape=(4,)))
    (True, False)
    """
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and left.dtype == right.dtype and bool(np.array_equal(left, right))
    if type(left) is not type(right):
        return False
    if isinstance(left, Network):
        return dict(left.simulation) == dict(right.simulation) and same(left.layers, right.layers)
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Layer):
        return all(same(getattr(left, entry.name), getattr(right, entry.name)) for entry in fields(left))
    if isinstance(left, Neuron):
        return (
            left.type == right.type
            and left.parameters.keys() == right.parameters.keys()
            and all(same(left[name], right[name]) for name in left.parameters)
        )
    return bool(left == right)
