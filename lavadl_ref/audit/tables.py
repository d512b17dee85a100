"""The tables that ``lavadl-ref audit`` prints."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from lavadl_ref.audit.report import Audit, Work

COLOURS = {"loads": "green", "alters": "yellow", "refuses": "red"}


def tables(title: str, audit: Audit) -> Iterator[Table]:
    """Layers, head-room and work of an audit."""
    yield _layers(title, audit)
    yield _head_room(audit)
    if audit.totals is not None:
        yield _work(audit)


def _layers(title: str, audit: Audit) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("layer", "type", "shape", "family", "options", "becomes", "lava-dl's netx"):
        table.add_column(column, overflow="fold")
    for layer in audit.layers:
        outcome = f"[{COLOURS[layer.upstream]}]{layer.upstream}[/]"
        texts = "; ".join(
            finding.text if finding.outcome == layer.upstream else f"{finding.outcome}: {finding.text}"
            for finding in layer.findings
        )
        table.add_row(
            str(layer.position),
            layer.kind,
            _shape(layer.shape),
            layer.family or "-",
            ", ".join(layer.options) or "-",
            layer.becomes,
            f"{outcome}: {texts}" if texts else outcome,
        )
    return table


def _head_room(audit: Audit) -> Table:
    table = Table(title="head-room: bits that are free above the largest integer met", title_justify="left")
    for column in ("layer", "quantity", "fits", "met", "bits free"):
        table.add_column(column, justify="left" if column == "quantity" else "right")
    for layer in audit.layers:
        for room in layer.head_room:
            free = "-" if room.free is None else str(room.free)
            if room.free is not None and room.free < 0:
                free = f"[red]{free}[/]"
            table.add_row(
                str(layer.position),
                room.quantity,
                f"{room.low}..{room.high}",
                f"{room.smallest}..{room.largest}",
                free,
            )
    return table


def _work(audit: Audit) -> Table:
    table = Table(title=f"work per step, means over {audit.steps} steps", title_justify="left")
    for column in ("layer", "type", "shape", "neurons", "events", "synops", "MACs if dense"):
        table.add_column(column, justify="left" if column in ("type", "shape") else "right")
    if audit.outside is not None:
        table.add_row("-", "outside", "-", *_figures(audit.outside))
    for layer in audit.layers:
        if layer.work is not None:
            table.add_row(str(layer.position), layer.kind, _shape(layer.shape), *_figures(layer.work))
    table.add_section()
    assert audit.totals is not None
    totals = audit.totals
    table.add_row("all", "", "", *_figures(totals))
    ratios = [
        "-" if ratio is None else f"{ratio:.2f}x less" for ratio in (totals.events_ratio, totals.operations_ratio)
    ]
    table.add_row("", "", "", "", *ratios, "")
    return table


def _figures(work: Work) -> tuple[str, ...]:
    return f"{work.neurons:,}", f"{work.events:,.2f}", f"{work.operations:,.2f}", f"{work.macs:,}"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
