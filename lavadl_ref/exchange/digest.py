"""The digest of a description, by which a reader detects that a file was damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np

from lavadl_ref.exchange.describe import Network
from lavadl_ref.exchange.families import FAMILIES
from lavadl_ref.exchange.layers import Layer


def digest(network: Network) -> str:
    """SHA-256 of a description, 64 hexadecimal digits.

    Two legal descriptions have the same digest if and only if they are the same. Default values are left out, whether a
    file contains them or not, so that future fields do not change existing digests; `stated_input_shape`, which no file
    contains, is left out too.

    Parameters
    ----------
    network : Network
        Legal in the sense of `check`.

    Returns
    -------
    str
        Of the entries in the order of their names, layer by layer: ``layer/0/type=dense`` and a line
        feed for a text; for numbers ``layer/0/weight(3, 4)`` and a line feed, with the shape as Python writes a
        tuple, then each as eight bytes, least significant first.
    """
    found = hashlib.sha256()
    for name, value in _entries(network):
        if isinstance(value, str):
            found.update(f"{name}={value}\n".encode())
        else:
            numbers = np.ascontiguousarray(value, "<i8").reshape(np.shape(value))
            found.update(f"{name}{numbers.shape}\n".encode())
            found.update(numbers.data)
    return found.hexdigest()


def _entries(network: Network) -> Iterator[tuple[str, Any]]:
    for index, layer in enumerate(network.layers):
        for name, value in sorted(_layer(layer)):
            yield f"layer/{index}/{name}", value
    for key in sorted(network.simulation):
        yield f"simulation/{key}", network.simulation[key]


def _layer(layer: Layer) -> Iterator[tuple[str, Any]]:
    """The entries that are not as they are by default."""
    yield "type", layer.kind
    for entry in fields(layer):
        value = getattr(layer, entry.name)
        if entry.name not in ("neuron", "delay_shift") and _differs(value, entry.default):
            yield entry.name, value
    if layer.neuron is not None:
        family = FAMILIES[layer.neuron.type]
        if layer.shifts != family.delay_shift:
            yield "delay_shift", layer.shifts
        yield "neuron/type", family.type
        for field in family.fields:
            value = layer.neuron.parameters.get(field.name)
            if value is not None and _differs(value, field.default):
                yield f"neuron/{field.name}", value


def _differs(value: Any, default: Any) -> bool:
    return isinstance(value, np.ndarray) or bool(value != default)
