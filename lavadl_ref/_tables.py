"""The tables that the command ``lavadl-ref`` prints; those of its audit are in `lavadl_ref.audit.tables`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lavadl_ref.exchange import Network, Neuron
    from lavadl_ref.verify import Report


def paths(title: str, report: Report) -> Table:
    """Each layer of a comparison, and how it went on each path."""
    names = sorted({path for result in report.layers for path in result.paths}, reverse=True)
    table = Table(title=title, title_justify="left")
    for column in ("layer", "type", "neurons", "spikes", *(f"{path} = reference" for path in names)):
        table.add_column(column, justify="right" if column in ("layer", "neurons", "spikes") else "left")
    for result in report.layers:
        cells = [str(result.position), result.layer.kind, "x".join(map(str, result.layer.shape)), f"{result.spikes:,}"]
        for path in names:
            comparison = result.paths.get(path)
            cells.append("-" if comparison is None else f"{comparison} ({comparison.compared:,} integers)")
        table.add_row(*cells)
    return table


def layers(title: str, network: Network, processes: Mapping[int, str]) -> Table:
    """Each layer of a file, its ranges, and the Lava processes it becomes."""
    table = Table(title=title, title_justify="left")
    for column in ("layer", "type", "shape", "weights (1/64)", "bias (1/64)", "delay", "starts", "on Lava"):
        table.add_column(column)
    for position, (layer, start) in enumerate(zip(network.layers, network.start_steps, strict=True)):
        table.add_row(
            str(position),
            layer.kind,
            "x".join(map(str, layer.shape)),
            _ranges(layer, weight="", weight_imag="i", weight_rec=" back", weight_rec_imag="i back"),
            _ranges(layer, bias="", bias_imag="i", input_bias=" to input"),
            _range(layer.delay),
            str(start),
            processes[position],
        )
    return table


def neurons(network: Network) -> Table:
    """The neurons of each layer that has any."""
    table = Table(title="neurons: integers of the file", title_justify="left")
    for column in ("layer", "family", "parameters"):
        table.add_column(column)
    for position, layer in enumerate(network.layers):
        if layer.neuron is not None:
            table.add_row(str(position), layer.neuron.type, _parameters(layer.neuron))
    return table


def damage(report: Any) -> Table:
    """What came of each kind of damage in a `lavadl_ref.testing.fuzz` report."""
    from lavadl_ref.testing.fuzz import FAILURES, SURVIVED

    found = [name for name in (*SURVIVED, *FAILURES) if any(counts[name] for counts in report.counts.values())]
    table = Table("damage", title=f"{len(report.outcomes)} files, seed {report.seed}", title_justify="left")
    for name in found:
        table.add_column(name, justify="right")
    for kind, counts in report.counts.items():
        table.add_row(kind, *(str(counts[name]) for name in found))
    table.add_section()
    table.add_row("all", *(str(sum(counts[name] for counts in report.counts.values())) for name in found))
    return table


def _range(values: Any) -> str:
    if values is None or np.size(values) == 0:
        return "-"
    low, high = int(np.min(values)), int(np.max(values))
    return str(low) if low == high else f"{low}..{high}"


def _ranges(layer: Any, **units: str) -> str:
    """The ranges of those arrays of `layer` that are there, each with what follows it."""
    found = {name: getattr(layer, name, None) for name in units}
    return ", ".join(_range(value) + units[name] for name, value in found.items() if value is not None) or "-"


def _parameters(neuron: Neuron) -> str:
    """The parameters that are not their family's defaults."""
    from lavadl_ref.exchange import FAMILIES

    usual = {field.name: field.default for field in FAMILIES[neuron.type].fields if not field.required}
    parts = []
    for name, value in neuron.parameters.items():
        whole = isinstance(value, (bool, str, int)) or value is None
        if name in usual and (value is None or (whole and value == usual[name])):
            continue
        unit = {"threshold": 64, "threshold_step": 64}.get(name, 4096 if name.endswith("_decay") else None)
        text = str(value) if isinstance(value, (bool, str)) or value is None else _range(value)
        if unit and ".." not in text:
            text += f" ({int(text) / unit:.4g})"
        parts.append(f"{name} {text}")
    return ", ".join(parts)
