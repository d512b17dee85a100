"""The gain by a second thread."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial

import torch

import lavadl_ref.slayer
from tests.support import upstream
from validation.benchmarks import neurons, workloads
from validation.benchmarks.limits import on
from validation.benchmarks.measure import Timed, interleaved, once
from validation.benchmarks.results import Column, Part, Row, Settings


def jobs(slayer: object, quick: bool) -> Iterator[tuple[str, Timed]]:
    """The jobs that are measured, of one side."""
    batch, width, steps = (2, 32, 12) if quick else (32, 512, 300)
    x = torch.randn(batch, width, steps, generator=torch.Generator().manual_seed(0)) * 0.5
    ours = slayer is lavadl_ref.slayer
    cuba = neurons.passes(slayer, "cuba", neurons.time_major(x) if ours else x)  # type: ignore[arg-type]
    yield f"cuba {batch}x{width}xT{steps}: forward", cuba.forward
    yield f"cuba {batch}x{width}xT{steps}: forward + backward", cuba.both
    for make in (workloads.nmnist,) if quick else (workloads.nmnist, workloads.oxford, workloads.pilotnet):
        job = make(slayer, quick)  # type: ignore[arg-type]
        yield f"{job.name}: training step", partial(once, job.train)
        yield f"{job.name}: inference", partial(once, job.infer)


def rows(settings: Settings) -> Iterator[Row]:
    """Each workload on one thread and on all, here and in lava-dl; ImportError where lava-dl is not installed."""
    theirs = upstream.load()
    warnings.filterwarnings("ignore", category=FutureWarning)
    many = max(2, settings.threads)
    for (name, own), (_, other) in zip(
        jobs(lavadl_ref.slayer, settings.quick), jobs(theirs, settings.quick), strict=True
    ):
        found = interleaved([on(1, own), on(many, own), on(1, other), on(many, other)], settings.rounds)
        one, all_, their_one, their_all = (found.median(i) for i in range(4))
        yield {
            "name": name,
            "one": one,
            "all": all_,
            "gain": one / all_,
            "pairs": found.pairs(1, 0),
            "their_gain": their_one / their_all,
            "times_one": their_one / one,
            "threads": many,
            "others": found.others,
        }


PART = Part(
    "threads",
    "Threads",
    "This table gives the gain from one thread to all threads, for torch and the kernels; both settings run in "
    "turn. The last column is the ratio to lava-dl with one thread on both sides.",
    (
        Column("name", "workload", "{}"),
        Column("one", "1 thread, ms"),
        Column("threads", "threads", "{}"),
        Column("all", "all threads, ms"),
        Column("gain", "gain"),
        Column("pairs", "pairs", "{0[0]:.2f}..{0[1]:.2f}"),
        Column("their_gain", "lava-dl's gain"),
        Column("times_one", "times lava-dl on 1 thread", "{:.1f}"),
    ),
    rows,
)
