"""The tables that ``lavadl-ref audit`` prints."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from lavadl_ref._text import printable
from lavadl_ref.audit.report import Audit, Work
from lavadl_ref.cli._tables import PlainTable

COLOURS = {"loads": "green", "alters": "yellow", "refuses": "red"}


def tables(title: str, audit: Audit) -> Iterator[Table]:
    """Layers, head-room and work of an audit."""
    yield _layers(f"{title}: {audit.steps} steps of {audit.random}" if audit.random else title, audit)
    yield _head_room(audit)
    if audit.totals is not None:
        yield _work(audit)


def _layers(title: str, audit: Audit) -> Table:
    table = PlainTable(title, ("layer", "type", "shape", "family", "options", "becomes", "lava-dl's netx"))
    for layer in audit.layers:
        outcome = (layer.upstream, COLOURS[layer.upstream])
        texts = "; ".join(
            finding.text if finding.outcome == layer.upstream else f"{finding.outcome}: {finding.text}"
            for finding in layer.findings
        )
        table.row(
            str(layer.position),
            layer.kind,
            _shape(layer.shape),
            layer.family or "-",
            ", ".join(layer.options) or "-",
            layer.becomes,
            Text.assemble(outcome, printable(f": {texts}") if texts else ""),
        )
    return table


def _head_room(audit: Audit) -> Table:
    columns = ("layer", "quantity", "fits", "met", "bits free", "proved")
    right = set(columns) - {"quantity"}
    title = "head-room: bits free above the largest integer met; proved for all input in the range of this run's"
    table = PlainTable(title, columns, right)
    for layer in audit.layers:
        for room in layer.head_room:
            lacking = room.free is not None and room.free < 0
            free = Text("-" if room.free is None else str(room.free), style="red" if lacking else "")
            table.row(
                str(layer.position),
                room.quantity,
                f"{room.low}..{room.high}",
                f"{room.smallest}..{room.largest}",
                free,
                "-" if room.proved is None else "..".join("no end" if e is None else str(e) for e in room.proved),
            )
    return table


def _work(audit: Audit) -> Table:
    columns = ("layer", "type", "shape", "neurons", "events", "synops", "MACs if dense")
    right = set(columns) - {"type", "shape"}
    table = PlainTable(f"work per step, means over {audit.steps} steps", columns, right)
    if audit.outside is not None:
        table.row("-", "outside", "-", *_figures(audit.outside))
    for layer in audit.layers:
        if layer.work is not None:
            table.row(str(layer.position), layer.kind, _shape(layer.shape), *_figures(layer.work))
    table.add_section()
    assert audit.totals is not None
    totals = audit.totals
    table.row("all", "", "", *_figures(totals))
    ratios = [
        "-" if ratio is None else f"{ratio:.2f}x less" for ratio in (totals.events_ratio, totals.operations_ratio)
    ]
    table.row("", "", "", "", *ratios, "")
    return table


def _figures(work: Work) -> tuple[str, ...]:
    return f"{work.neurons:,}", f"{work.events:,.2f}", f"{work.operations:,.2f}", f"{work.macs:,}"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
