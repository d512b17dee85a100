"""Online learning: an update at every step, a pass with one every 16 steps, and the memory of long recordings.

    python -m validation.benchmarks.online pieces|whole|slayer RULE STEPS [quick] [threads=N]

prints the memory and the time of one pass over so many steps as JSON.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lavadl_ref.slayer
from lavadl_ref.online import Learner
from tests.support import upstream
from validation.benchmarks import stepwise, workloads
from validation.benchmarks.measure import Job, Timed, compare, compare_timed, once
from validation.benchmarks.memory import child, status
from validation.benchmarks.results import Column, Part, Row, Settings, ratio_row

RULES = ("local", "spatial")  #: that are measured
EVERY = 16  #: steps between two updates
#: What is trained of the network, by whether it is the whole recipe.
TRAINED = {False: "weights", True: "weights, decays and delays"}


@dataclass(frozen=True)
class Sizes:
    """Numbers of steps."""

    each: int  #: of the samples in which each step has an update
    lengths: tuple[int, int]  #: of the recordings whose memory is compared
    long: int  #: of the longest recording
    piece: int  #: of a recording that are there at once


FULL, SMALL = Sizes(50, (1_000, 20_000), 200_000, 100), Sizes(3, (8, 32), 64, 8)


def sizes(quick: bool) -> Sizes:
    """The sizes of a measurement, or those that only show that it runs."""
    return SMALL if quick else FULL


def labels_of(samples: int) -> Tensor:
    """The classes (N,) of samples."""
    return torch.arange(samples) % workloads.CLASSES


def gently(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """An optimizer for an update at every step: at the rate of one a sample layers fall silent within a pass."""
    for group in optimizer.param_groups:
        group["lr"] = 1e-4
    return optimizer


def learner_of(job: workloads.Workload, rule: str, every: int | None) -> Learner:
    """A learner of a workload's network, with the workload's optimizer."""
    job.net.train()
    if every == 1:
        gently(job.optimizer)
    return Learner(job.net, functional.cross_entropy, job.optimizer, rule, every, classes=workloads.CLASSES)


def beside_lava_dl(quick: bool, rule: str, steps: int) -> tuple[Learner, stepwise.Stepwise, Tensor]:
    """A learner and the loop on lava-dl's blocks, of the same weights and readouts, and their input (N, C, T).

    Both networks are without delays, dropout and trained decays: lava-dl's delays and dropout see whole samples.
    """
    own = workloads.nmnist(lavadl_ref.slayer, quick, whole=False)
    other = workloads.nmnist(upstream.load(), quick, whole=False)
    other.net.load_state_dict(own.net.state_dict())
    x = own.x[..., :steps].contiguous()
    learner = learner_of(own, rule, 1)
    learner(x[..., :1])  # readouts are drawn at the first input
    matrices = [learner.matrices[key].detach() for key in sorted(learner.matrices)]
    blocks: Any = other.net
    return learner, stepwise.Stepwise(list(blocks), gently(other.optimizer), rule, matrices), x


def per_step(job: Job, steps: int) -> Timed:
    """`job` as one that tells milliseconds for each of its steps."""
    return lambda: once(job) / steps


def each_step(settings: Settings) -> Iterator[Row]:
    """An update at every step, next to the loop on lava-dl's blocks."""
    steps = sizes(settings.quick).each
    for rule in RULES:
        learner, loop, x = beside_lava_dl(settings.quick, rule, steps)
        labels = labels_of(x.shape[0])
        all_of_it = learner_of(workloads.nmnist(lavadl_ref.slayer, settings.quick), rule, 1)
        theirs = per_step(partial(loop.learn, x, labels), steps)
        for who, what in zip((learner, all_of_it), TRAINED.values(), strict=True):
            name = f"{shapes(x)}, {rule}: update at every step, of {what}"
            ours = per_step(partial(who.learn, x, labels), steps)
            found = compare_timed(name, ours, theirs, settings.rounds)
            yield ratio_row(found, beside="loop on lava-dl's blocks", unit="ms a step")


def shapes(x: Tensor) -> str:
    """A name of the N-MNIST network with its input (N, C, T)."""
    return f"N-MNIST-like, batch {x.shape[0]}, T {x.shape[-1]}"


def beside_offline(settings: Settings) -> Iterator[Row]:
    """A pass over samples, next to SLAYER's step of the same network and samples."""
    for whole, what in TRAINED.items():
        for rule in RULES:
            for every in (None, EVERY):
                online, offline = (workloads.nmnist(lavadl_ref.slayer, settings.quick, whole=whole) for _ in range(2))
                learn = partial(learner_of(online, rule, every).learn, online.x, labels_of(online.x.shape[0]))
                when = "at the end" if every is None else f"every {every} steps"
                name = f"{shapes(online.x)}, {rule}: update {when}, of {what}"
                found = compare(name, learn, offline.train, settings.rounds)
                yield ratio_row(found, beside="SLAYER, offline", unit="ms", cost=found.ours_ms / found.theirs_ms)


# -- memory -----------------------------------------------------------------------------------


def recording(steps: int, piece: int) -> Iterator[Tensor]:
    """Random spikes (1, C, T) in pieces, each made when it is asked for, with the same steps in all T."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, steps, piece):
        shape = (1, workloads.INPUTS, min(piece, steps - start))
        yield (torch.rand(shape, generator=generator) < 0.05).float()


def passes(kind: str, rule: str, steps: int, quick: bool) -> tuple[Callable[[], object], Callable[[], object]]:
    """A small pass, after which all code is loaded, and the one over so many steps that is measured."""
    piece = sizes(quick).piece
    net = workloads.nmnist_net(lavadl_ref.slayer, quick)
    label = labels_of(1)
    first = next(recording(2 * EVERY, 2 * EVERY))
    with torch.no_grad():
        net(first)  # delays are drawn
    idle, optimizer = torch.optim.SGD(net.parameters(), lr=0.0), torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    if kind == "slayer":
        error = lavadl_ref.slayer.loss.SpikeRate(true_rate=0.2, false_rate=0.03, reduction="sum")
        net.train()

        def job(x: Tensor, by: torch.optim.Optimizer) -> None:
            error(net(x), label).backward()
            by.step()
            by.zero_grad()

        x = torch.cat(list(recording(steps, piece)), dim=-1)
        return partial(job, first, idle), partial(job, x, optimizer)

    def made(by: torch.optim.Optimizer) -> Learner:
        net.train()
        return Learner(net, functional.cross_entropy, by, rule, EVERY, classes=workloads.CLASSES)

    learner = made(optimizer)
    if kind == "whole":
        x = torch.cat(list(recording(steps, piece)), dim=-1)
        return partial(made(idle).learn, first, label), partial(learner.learn, x, label)

    def stream() -> None:
        for x in recording(steps, piece):
            learner.stream(x, label)
        learner.update()

    return partial(made(idle).learn, first, label), stream


def extra(kind: str, rule: str, steps: int, quick: bool) -> dict[str, float]:
    """MB that a pass takes at most, above what the process had before, and the seconds that it takes."""
    small, job = passes(kind, rule, steps, quick)
    small()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is now what is there
    before, began = status("VmRSS"), time.perf_counter()
    job()
    return {"mb": status("VmHWM") - before, "seconds": time.perf_counter() - began}


def apart(settings: Settings, kind: str, rule: str, steps: int) -> dict[str, float]:
    """`extra` in a process of its own: the median of each figure; at tiny sizes in this one, but for the longest.

    A pass over a long recording takes a minute and more, and its memory hardly varies: it is run once.
    """
    options = (["quick"] if settings.quick else []) + [f"threads={settings.threads}"]
    longest = steps == sizes(settings.quick).long
    if settings.quick and not longest:
        return extra(kind, rule, steps, True)
    times = min(3, settings.rounds) if steps == sizes(settings.quick).lengths[0] else 1
    runs = [json.loads(child("online", kind, rule, str(steps), *options, timeout=7200)) for _ in range(times)]
    return {key: sorted(run[key] for run in runs)[times // 2] for key in ("mb", "seconds")}


def memory(settings: Settings) -> Iterator[Row]:
    """The memory of a pass for two lengths, next to SLAYER's; memory and time of a long recording."""
    lengths, long = sizes(settings.quick).lengths, sizes(settings.quick).long
    offline = [apart(settings, "slayer", "-", steps)["mb"] for steps in lengths]
    for rule in RULES:
        for kind, how in (("pieces", "in pieces"), ("whole", "as one tensor")):
            first = 0.0
            for steps, theirs in zip(lengths, offline, strict=True):
                ours = apart(settings, kind, rule, steps)["mb"]
                first = first or ours
                times = theirs / max(ours, 0.1)
                yield {
                    "name": f"N-MNIST-like, batch 1, T {steps:,}, {rule}, input {how}: memory",
                    "beside": "SLAYER, offline",
                    "ours": ours,
                    "theirs": theirs,
                    "unit": "MB",
                    "times": times,
                    "pairs": [times, times],
                    "growth": [ours / max(first, 0.1), theirs / max(offline[0], 0.1)],
                }
    for rule in RULES[-1:]:
        found = apart(settings, "pieces", rule, long)
        for what, key, unit in (("memory", "mb", "MB"), ("time", "seconds", "s")):
            name = f"N-MNIST-like, batch 1, T {long:,}, {rule}, input in pieces: {what}"
            yield {"name": name, "ours": found[key], "unit": unit}


def rows(settings: Settings) -> Iterator[Row]:
    """An update at every step, a pass next to one offline, and memory.

    Raises
    ------
    ImportError
        If lava-dl is not installed.
    """
    upstream.load()
    warnings.filterwarnings("ignore", category=FutureWarning)  # lava-dl's use of torch's old weight norm
    yield from each_step(settings)
    yield from beside_offline(settings)
    yield from memory(settings)


#: The columns of this part and of its relative with other libraries.
COLUMNS = (
    Column("name", "workload", "{}"),
    Column("beside", "next to", "{}", 23),
    Column("ours", "ours"),
    Column("theirs", "theirs"),
    Column("unit", "unit", "{}"),
    Column("times", "times", "{:.1f}"),
    Column("pairs", "pairs", "{0[0]:.1f}..{0[1]:.1f}"),
)

PART = Part(
    "online",
    "Online learning",
    "`lavadl_ref.online.Learner` trains the N-MNIST network (2312-512-512-10 with weight norm), with torch's "
    "fused Adam on both sides and the cross-entropy of each step. An update at every step is compared with the "
    "same rule on lava-dl's blocks. lava-dl has no such rule, so the comparison loop was written for this "
    "benchmark from the papers (DECOLLE for `local`, OTTT for `spatial`). It calls the blocks one step at a "
    "time, carries the traces in torch, and trains weights only, without delays and dropout, which lava-dl "
    "cannot apply to single steps; in rows where ours trains more, the loop still trains weights only. A pass "
    "with an update every 16 steps, or with one at the end, is compared with one SLAYER step (forward, loss, "
    'backward and Adam) of the same network and samples: "cost" is the ratio of the two times. Memory is that '
    f"of one pass with an update every {EVERY} steps, minus that of the built network, each in a separate "
    f"process; an input that is passed as one tensor exists before and is not counted. In pieces, {FULL.piece:,} "
    'steps of the recording are in memory at once. "Growth" is the memory, ours and SLAYER\'s, relative to that '
    f"for {FULL.lengths[0]:,} steps.",
    (*COLUMNS, Column("cost", "cost"), Column("growth", "growth", "{0[0]:.2f}, {0[1]:.1f}")),
    rows,
)

if __name__ == "__main__":
    import lavadl_kernels

    for argument in sys.argv[4:]:
        if argument.startswith("threads="):
            torch.set_num_threads(int(argument.partition("=")[2]))
    lavadl_kernels.set_num_threads(torch.get_num_threads())
    print(json.dumps(extra(sys.argv[1], sys.argv[2], int(sys.argv[3]), "quick" in sys.argv)))
