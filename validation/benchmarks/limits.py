"""The limits of this machine's memory and processors: the copy of an array, and torch's matrix product."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import lavadl_kernels
import torch

from validation.benchmarks.measure import Timed, interleaved, once
from validation.benchmarks.results import Column, Part, Row, Settings


def on(threads: int, timed: Timed) -> Timed:
    """`timed` on that many threads of torch and of the kernels."""

    def run() -> float:
        before = torch.get_num_threads(), lavadl_kernels.get_num_threads()
        torch.set_num_threads(threads)
        lavadl_kernels.set_num_threads(threads)
        try:
            return timed()
        finally:
            torch.set_num_threads(before[0])
            lavadl_kernels.set_num_threads(before[1])

    return run


def rows(settings: Settings) -> Iterator[Row]:
    """Rates on one thread and on all that are used."""
    size, side = (1 << 16, 64) if settings.quick else (32 * 512 * 300, 2048)
    x = torch.rand(size)
    y = torch.empty_like(x).copy_(x)
    a, b, c = (torch.rand(side, side) for _ in range(3))
    copy, product = partial(once, lambda: y.copy_(x)), partial(once, lambda: torch.mm(a, b, out=c))
    for name, job, amount, unit in (
        (f"copy of {4e-6 * size:.1f} MB, read and written", copy, 8e-6 * size, "GB/s"),
        (f"sgemm {side}x{side}x{side}", product, 2e-6 * side**3, "GF/s"),
    ):
        for threads in sorted({1, settings.threads}):
            rounds = interleaved([on(threads, job)], settings.rounds)
            ms = rounds.median(0)
            label = f"{name}, {threads} thread{'s' * (threads > 1)}"
            yield {"name": label, "ours": ms, "rate": amount / ms, "unit": unit, "others": rounds.others}


PART = Part(
    "limits",
    "Limits of the machine",
    "This table gives limits to which the other figures can be compared, measured with torch in the same run.",
    (
        Column("name", "operation", "{}"),
        Column("ours", "ms", "{:.2f}"),
        Column("rate", "rate", "{:.1f}"),
        Column("unit", "unit", "{}"),
    ),
    rows,
)
