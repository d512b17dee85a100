"""The contents of a file as a certificate holds them: layers, parameters, and checksums that tell changes apart."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
from lavadl_kernels.fixed_point import DECAY_ONE, WEIGHT_ONE
from numpy.typing import NDArray

from lavadl_ref import exchange
from lavadl_ref.audit.report import Audit
from lavadl_ref.deployed import deployment
from lavadl_ref.exchange import Layer, Network
from lavadl_ref.exchange.digest import digest

LINES = 4096  #: longest axis of an array whose lines have checksums of their own
IN_WEIGHTS = ("weight", "weight_imag", "weight_rec", "weight_rec_imag", "bias", "bias_imag", "input_bias")


def contents(network: Network, name: str, found: Audit) -> dict[str, Any]:
    """Digest and layers of a file.

    Parameters
    ----------
    network : Network
        What the file says.
    name : str
        Of the file, without folders.
    found : Audit
        Its audit, which has the options of each layer and the processes that it becomes.
    """
    incoming = deployment.incoming_bits(network.layers)
    shape = network.input_shape
    layers = [
        {
            "position": position,
            "kind": layer.kind,
            "shape": list(layer.shape),
            "family": None if layer.neuron is None else layer.neuron.type,
            "options": list(audited.options),
            "start": start,
            "becomes": audited.becomes,
            "parameters": list(_parameters(layer, bits)),
            "arrays": [fingerprint(title, values) for title, values in arrays(layer)],
        }
        for position, (layer, bits, start, audited) in enumerate(
            zip(network.layers, incoming, network.start_steps, found.layers, strict=True)
        )
    ]
    return {
        "name": name,
        "digest": digest(network),
        "input_shape": None if shape is None else list(shape),
        "layers": layers,
    }


def arrays(layer: Layer) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Name and integers of every array of a layer, those of its neurons included."""
    for entry in fields(layer):
        value = getattr(layer, entry.name)
        if isinstance(value, np.ndarray):
            yield entry.name, value
    if layer.neuron is not None:
        for name, value in sorted(layer.neuron.parameters.items()):
            if isinstance(value, np.ndarray):
                yield f"neuron {name}", value


def fingerprint(name: str, values: NDArray[Any]) -> dict[str, Any]:
    """Checksums of an array and of each of its lines, by which a changed number is found without the old ones.

    Parameters
    ----------
    name : str
        Of the array.
    values : ndarray
        Integers of any shape.

    Returns
    -------
    dict
        ``lines`` has for each axis one CRC-32 for each index, or none for an axis longer than `LINES`.
    """
    numbers = np.ascontiguousarray(values, "<i8")
    return {
        "name": name,
        "shape": list(numbers.shape),
        "digest": array_digest(numbers),
        "lines": [_lines(numbers, axis) for axis in range(numbers.ndim)],
    }


def array_digest(values: NDArray[Any]) -> str:
    """SHA-256 of an array of integers of any shape: its shape as Python writes it, then each as eight bytes."""
    numbers = np.ascontiguousarray(values, "<i8")
    found = hashlib.sha256(f"{numbers.shape}\n".encode())
    found.update(numbers.tobytes())
    return found.hexdigest()


def _lines(numbers: NDArray[Any], axis: int) -> list[int]:
    if numbers.shape[axis] > LINES:
        return []
    return [zlib.crc32(np.ascontiguousarray(line).tobytes()) for line in np.moveaxis(numbers, axis, 0)]


def _parameters(layer: Layer, incoming: int) -> Iterator[dict[str, Any]]:
    """The numbers of a layer: integers of the file, units of each, and integers on the chip where they are others."""
    for name in IN_WEIGHTS:
        value = getattr(layer, name, None)
        if value is not None and np.size(value):
            on_chip = value if name.startswith("weight") else None
            yield _parameter(name, value, WEIGHT_ONE, on_chip)
    if layer.delay is not None and layer.delay.size:
        yield _parameter("delay", layer.delay, 1, layer.delay)
    if layer.neuron is None:
        return
    deployed = _deployed(layer, incoming)
    for entry in exchange.FAMILIES[layer.neuron.type].fields:
        value = layer.neuron.parameters.get(entry.name)
        default: Any = entry.default
        if entry.kind != "int" or value is None:
            continue
        if entry.required or not np.array_equal(value, default):
            yield _parameter(entry.name, value, _scale(entry), deployed.get(entry.name))


def _scale(entry: exchange.families.Field) -> int:
    """Integers for each unit of a parameter of neurons."""
    if abs(entry.high) == DECAY_ONE:
        return DECAY_ONE
    return WEIGHT_ONE if entry.name.startswith("threshold") else 1


def _parameter(name: str, value: Any, scale: int, on_chip: Any) -> dict[str, Any]:
    return {
        "name": name,
        "count": int(np.size(value)),
        "integers": _ends(value),
        "scale": scale,
        "chip": None if on_chip is None else _ends(on_chip),
    }


def _ends(value: Any) -> list[int]:
    return [int(np.min(value)), int(np.max(value))]


def _deployed(layer: Layer, incoming: int) -> dict[str, Any]:
    """Parameters of the neurons as the deployed network has them, on the scale of its states."""
    record = deployment.record_of(layer)
    assert record is not None
    made = deployment.deploy(layer, incoming, shared=True).neuron
    rows = dict(zip(record.decays, getattr(made, "decay", ()), strict=False))
    others = {name: value for name, value in made._asdict().items() if name != "decay"}
    return {**rows, **others}
