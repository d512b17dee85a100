"""The tables that the command ``lavadl-ref`` prints; those of its audit are in `lavadl_ref.audit.tables`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from rich.table import Table
from rich.text import Text

from lavadl_ref._text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lavadl_ref.cli.doctor import Finding
    from lavadl_ref.exchange import Network, Neuron
    from lavadl_ref.port import Sizes
    from lavadl_ref.proof import Proof
    from lavadl_ref.verify import Report


class PlainTable(Table):
    """A table whose strings are printed as they are: no markup, nothing cut off.

    Parameters
    ----------
    title : str
        May be empty.
    columns : iterable of str
        Headers; none are shown if all are empty.
    right : iterable of str
        Those of `columns` that are set to the right.
    """

    def __init__(self, title: str, columns: Iterable[str], right: Iterable[str] = ()) -> None:
        names, right = list(columns), set(right)
        heading = Text(printable(title), style="table.title") if title else None
        super().__init__(title=heading, title_justify="left", show_header=any(names))
        for name in names:
            justify: Literal["right", "left"] = "right" if name in right else "left"
            self.add_column(Text(printable(name)), justify=justify, overflow="fold")

    def row(self, *cells: str | Text) -> None:
        """Add a row; a cell with a colour is a `Text`."""
        self.add_row(*(Text(printable(cell)) if isinstance(cell, str) else cell for cell in cells))


def paths(title: str, report: Report) -> Table:
    """Each layer of a comparison, and its outcome on each backend."""
    names = sorted({path for result in report.layers for path in result.paths}, reverse=True)
    columns = ("layer", "type", "neurons", "spikes", *(f"{path} = reference" for path in names))
    table = PlainTable(title, columns, right=("layer", "neurons", "spikes"))
    for result in report.layers:
        cells = [str(result.position), result.layer.kind, "x".join(map(str, result.layer.shape)), f"{result.spikes:,}"]
        for path in names:
            comparison = result.paths.get(path)
            cells.append("-" if comparison is None else f"{comparison} ({comparison.compared:,} integers)")
        table.row(*cells)
    return table


def sizes(title: str, found: Sizes) -> Table:
    """The flash, the RAM and the work a step that each layer of a file takes as C."""
    table = PlainTable(title, found.columns, right=found.columns[2:])
    for row in found.rows:
        table.row(*row)
    return table


def layers(title: str, network: Network, processes: Mapping[int, str]) -> Table:
    """Each layer of a file, its ranges, and the Lava processes it becomes."""
    columns = ("layer", "type", "shape", "weights (1/64)", "bias (1/64)", "delay", "starts", "on Lava")
    table = PlainTable(title, columns)
    for position, (layer, start) in enumerate(zip(network.layers, network.start_steps, strict=True)):
        table.row(
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
    table = PlainTable("neurons: integers of the file", ("layer", "family", "parameters"))
    for position, layer in enumerate(network.layers):
        if layer.neuron is not None:
            table.row(str(position), layer.neuron.type, _parameters(layer.neuron))
    return table


def findings(found: Iterable[Finding]) -> Table:
    """The findings of `lavadl_ref.cli.doctor.report`."""
    table = PlainTable("", ("", "", ""))
    for finding in found:
        mark = Text("ok", style="green") if finding.ok else Text("no", style="red")
        table.row(mark, finding.name, finding.value)
    return table


def damage(report: Any) -> Table:
    """The outcomes of each kind of damage in a `lavadl_ref.testing.fuzz` report."""
    from lavadl_ref.testing.fuzz import FAILURES, SURVIVED

    found = [name for name in (*SURVIVED, *FAILURES) if any(counts[name] for counts in report.counts.values())]
    costs = ("most MB", "longest s")
    title = f"{len(report.outcomes)} files, seed {report.seed}"
    table = PlainTable(title, ("damage", *found, *costs), right=(*found, *costs))
    for kind, counts in report.counts.items():
        megabytes, seconds = report.worst[kind]
        table.row(kind, *(str(counts[name]) for name in found), f"{megabytes:.0f}", f"{seconds:.3f}")
    table.add_section()
    all_counts = (str(sum(counts[name] for counts in report.counts.values())) for name in found)
    table.row("all", *all_counts, f"{report.largest.megabytes:.0f}", f"{report.slowest.seconds:.3f}")
    return table


STYLES = {"proved": "green", "open": "yellow", "exceeded": "red"}  #: of the verdicts of a proof


def proof(title: str, found: Proof) -> Table:
    """Each number of each layer, the range that is proved of it, and the width of the device."""
    columns = ("layer", "type", "number", "proved range", "width of the device", "free bits", "verdict", "met")
    table = PlainTable(title, columns, right=("layer", "free bits"))
    for layer in found.layers:
        for index, bound in enumerate(layer.bounds):
            name = (str(layer.position), layer.family or layer.kind) if index == 0 else ("", "")
            free = "-" if bound.free is None else str(bound.free)
            verdict = Text(bound.verdict, style=STYLES[bound.verdict])
            met = "" if bound.met is None else f"{bound.met[0]:,} to {bound.met[1]:,}"
            if bound.witness is not None:
                met += f"; exceeds it at step {bound.witness.step}, neuron {bound.witness.neuron}"
            ends = " to ".join("no end" if end is None else f"{end:,}" for end in (bound.smallest, bound.largest))
            table.row(*name, bound.quantity, ends, f"{bound.low:,} to {bound.high:,}", free, verdict, met)
    return table


def _range(values: Any) -> str:
    if values is None or np.size(values) == 0:
        return "-"
    low, high = int(np.min(values)), int(np.max(values))
    return str(low) if low == high else f"{low}..{high}"


def _ranges(layer: Any, **units: str) -> str:
    """The ranges of those arrays of `layer` that it has, each followed by its unit."""
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
