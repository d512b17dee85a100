"""The page made of results: docs/benchmarks.md and its plots."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from validation.benchmarks.parts import PARTS
from validation.benchmarks.results import Row, Table, busy

_INTRODUCTION = """\
# Speed

`make bench PEERS=1` generates this page, and measures every figure on your machine; do not edit it.

The two sides of a ratio run alternately in one process, after two warm-up rounds. Times are medians over rounds,
"times" is the ratio of the medians, and "pairs" gives the smallest and largest ratio of a round: more than 1 means
faster than the other side. A round is repeated, a limited number of times, if other processes used more than 15% of a
processor during it; if no undisturbed round was possible, the row has a star.
"""
#: Packages that are compared with, whose versions are told.
BESIDE = ("lava-dl", "lava-nc", "spikingjelly", "sinabs", "snntorch", "norse", "jax")
_BLUE, _ORANGE, _GREY = "#3b6ea5", "#d98032", "#888888"


def markdown(part: str, table: Table) -> list[str]:
    """A part as lines of Markdown."""
    topic = PARTS[part]
    lines = [f"## {topic.title}", "", topic.about, ""]
    lines += [f"| {' | '.join(column.head for column in topic.columns)} |"]
    lines += [f"|{'|'.join('---' if i == 0 else '---:' for i in range(len(topic.columns)))}|"]
    for row in table.rows:
        lines.append(f"| {' | '.join(cell.replace('*', chr(92) + '*') for cell in topic.cells(row))} |")
    starred = sum(busy(row) for row in table.rows)
    if starred:
        lines += ["", f"\\* {starred} of {len(table.rows)} rows were measured while other processes were at work."]
    return [*lines, ""]


def write(path: Path, tables: dict[str, Table]) -> None:
    """Write the page, and its plots into the folder beside it that has its name."""
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    plots = draw(folder, tables)
    machines = list(dict.fromkeys(table.machine for table in tables.values()))
    lines = [_INTRODUCTION]
    if len(machines) == 1:
        lines += [f"Measured on {machines[0]}.", ""]
    for part in PARTS:
        if part not in tables:
            continue
        lines += markdown(part, tables[part])
        if len(machines) > 1:
            lines += [f"Measured on {tables[part].machine}.", ""]
        lines += [f"![{PARTS[part].title}]({folder.name}/{plot})\n" for plot in plots.get(part, [])]
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def draw(folder: Path, tables: dict[str, Table]) -> dict[str, list[str]]:
    """Make all plots that `tables` allows; the names of their files by part."""
    import matplotlib

    matplotlib.use("svg")
    # no date, no random names: the same figures give the same files
    matplotlib.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 8})
    plots: dict[str, list[str]] = {}
    for part, plot in {
        "neurons": _bars,
        "networks": _bars,
        "online": _speeds,
        "detection": _bars,
        "peers": _bars,
        "online_peers": _speeds,
        "against": _bars,
        "threads": _threads,
        "slopes": _slopes,
    }.items():
        if part in tables and tables[part].rows:
            figure = plot(tables[part].rows)
            figure.savefig(folder / f"{part}.svg", metadata={"Date": None}, bbox_inches="tight")
            plots[part] = [f"{part}.svg"]
    return plots


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, columns, figsize=(width, height), squeeze=False)
    pyplot.close(figure)
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes[0]


def _bars(rows: list[Row]) -> Any:
    """Ratios with their range, on a logarithmic scale."""
    rows = [row for row in rows if row.get("times") is not None]
    figure, (axis,) = _figure(7, 0.6 + 0.2 * len(rows))
    names = [row["name"] + (f", {row['peer']}" if "peer" in row else "") for row in rows]
    times = [row["times"] for row in rows]
    spread = [
        [max(0.0, row["times"] - row["pairs"][0]) for row in rows],
        [max(0.0, row["pairs"][1] - row["times"]) for row in rows],
    ]
    # from 1, so that what is slower points the other way
    beyond = [ratio - 1 for ratio in times]
    axis.barh(range(len(rows)), beyond, left=1, xerr=spread, color=_BLUE, ecolor=_GREY, error_kw={"linewidth": 0.8})
    axis.set_yticks(range(len(rows)), names)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.axvline(1, color="black", linewidth=0.8)
    axis.axvline(10, color=_ORANGE, linewidth=0.8, linestyle=":")
    axis.set_xlabel("times faster (bars: ratio of medians; lines: smallest and largest pair)")
    return figure


def _speeds(rows: list[Row]) -> Any:
    """As `_bars`, of times and not of memory."""
    return _bars([{**row, "name": f"{row['name']}, next to {row['beside']}"} for row in rows if "ms" in row["unit"]])


def _threads(rows: list[Row]) -> Any:
    """The gain of each side."""
    figure, (axis,) = _figure(7, 0.8 + 0.3 * len(rows))
    for key, label, color, offset in (("gain", "lavadl-ref", _BLUE, -0.2), ("their_gain", "lava-dl", _ORANGE, 0.2)):
        axis.barh([i + offset for i in range(len(rows))], [row[key] for row in rows], 0.38, color=color, label=label)
    axis.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axis.invert_yaxis()
    axis.axvline(1, color="black", linewidth=0.8)
    axis.set_xlabel(f"time on 1 thread / time on {rows[0]['threads']} threads")
    axis.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=2)
    return figure


def _slopes(rows: list[Row]) -> Any:
    """Time against each quantity, both logarithmic."""
    from matplotlib import ticker

    quantities = list(dict.fromkeys(row["quantity"] for row in rows))
    figure, axes = _figure(10, 2.6, len(quantities))
    names = list(dict.fromkeys(row["name"] for row in rows))
    for axis, quantity in zip(axes, quantities, strict=True):
        for row in rows:
            if row["quantity"] == quantity:
                color = f"C{names.index(row['name'])}"
                axis.plot(row["values"], row["ms"], "o-", color=color, markersize=3, linewidth=1, label=row["name"])
        values = next(row["values"] for row in rows if row["quantity"] == quantity)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks(values, [f"{value:g}" for value in values])
        axis.xaxis.set_minor_locator(ticker.NullLocator())
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_formatter(ticker.NullFormatter())
        axis.set_xlabel(quantity)
    axes[0].set_ylabel("ms")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 1.08), ncols=4, frameon=False)
    return figure


def machine() -> str:
    """One line on what the figures are measured with."""
    import platform
    from importlib import metadata

    import lavadl_kernels
    import numba
    import numpy as np
    import torch

    there = {path.metadata["Name"]: path.version for path in metadata.distributions()}
    beside = "".join(f", {name} {there[name]}" for name in BESIDE if name in there)
    return (
        f"{processor()}, {os.cpu_count()} processors, torch {torch.__version__} on {torch.get_num_threads()} "
        f"threads, kernels on {lavadl_kernels.get_num_threads()}, numba {numba.__version__}, "
        f"numpy {np.__version__}, Python {platform.python_version()}{beside}"
    )


def processor() -> str:
    """The processor's name and its widest vectors."""
    import platform

    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    entries = dict(line.partition(":")[::2] for line in reversed(text.splitlines()) if ":" in line)
    found = {key.strip(): value.strip() for key, value in entries.items()}
    flags = found.get("flags", "").split()
    vectors = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "")
    return ", ".join(part for part in (found.get("model name", platform.machine()), vectors) if part)
