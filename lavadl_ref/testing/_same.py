"""Equality of descriptions."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from lavadl_ref.exchange import Layer, Network, Neuron


def same(left: Any, right: Any) -> bool:
    """Whether two descriptions agree in type and every field that a file holds."""
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and left.dtype == right.dtype and bool(np.array_equal(left, right))
    if type(left) is not type(right):
        return False
    if isinstance(left, Network):
        return dict(left.simulation) == dict(right.simulation) and same(left.layers, right.layers)
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Layer):
        return all(same(getattr(left, field.name), getattr(right, field.name)) for field in fields(left))
    if isinstance(left, Neuron):
        return (
            left.type == right.type
            and left.parameters.keys() == right.parameters.keys()
            and all(same(left[name], right[name]) for name in left.parameters)
        )
    return bool(left == right)
