"""Backends of synapses, by the level of instructions that libraries and kernels may use, each in a process of its own.

    python -m validation.benchmarks.backends ROUNDS THREADS [quick]

prints the rows of one level, the one that its environment says, as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

from validation.benchmarks.memory import child
from validation.benchmarks.results import Column, Part, Row, Settings

AUTO = "auto"
PLAIN = "gemm"  #: what every backend is held against


@dataclass(frozen=True)
class Level:
    """A level of instructions."""

    name: str
    needs: str  #: the flag of a processor that has it, "" if all do
    environment: dict[str, str] = field(default_factory=dict)


def _limited(isa: str, needs: str, vectors: str, kernels: str) -> Level:
    """A level that torch, its libraries and the kernels are kept to."""
    environment = {
        "ONEDNN_MAX_CPU_ISA": isa,
        "MKL_ENABLE_INSTRUCTIONS": vectors.upper(),
        "ATEN_CPU_CAPABILITY": vectors,
        "NUMBA_CPU_NAME": kernels,
        "NUMBA_CPU_FEATURES": "",
    }
    return Level(isa, needs, environment)


LEVELS = (
    _limited("AVX2", "avx2", "avx2", "x86-64-v3"),
    _limited("AVX512_CORE", "avx512vl", "avx512", "x86-64-v4"),
    _limited("AVX512_CORE_VNNI", "avx512_vnni", "avx512", "x86-64-v4"),
    Level("all that there is", ""),
)


def flags() -> set[str]:
    """The features of this processor, by the names of the operating system; empty where it tells none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.partition(":")[2].split()}


def taken(net: Any) -> list[str]:
    """The backends that the synapses of a network took last, of forward and of backward."""
    found = [synapse.taken for synapse in net.modules() if getattr(synapse, "taken", None) is not None]
    return sorted({way for one in found for way in (one.forward, one.backward) if way})


def here(rounds: int, quick: bool) -> list[Row]:
    """The rows of the level of this process."""
    import lavadl_ref.slayer as slayer
    from lavadl_ref.slayer._bridge import paths
    from validation.benchmarks import workloads
    from validation.benchmarks.measure import interleaved, once

    def pinned(backend: Any, job: Any) -> None:
        with slayer.synapse.path(backend):
            job()

    rows: list[Row] = []
    for make in (workloads.nmnist, workloads.pilotnet_cuba):
        made = make(slayer, quick)
        for what, job in (("training step", made.train), ("inference", made.infer)):
            ways: dict[str, list[str]] = {}
            for backend in get_args(paths.Backend):
                pinned(backend, job)
                ways[backend] = taken(made.net)
            run = [backend for backend in ways if backend in (AUTO, PLAIN) or backend in ways[backend]]
            found = interleaved([partial(once, partial(pinned, backend, job)) for backend in run], rounds)
            for backend, used in ways.items():
                row: Row = {"name": f"{made.name}: {what}", "path": backend, "taken": ", ".join(used)}
                if backend in run:
                    at, plain = run.index(backend), run.index(PLAIN)
                    row |= {
                        "ours": found.median(at),
                        "times": found.median(plain) / found.median(at),
                        "pairs": list(found.pairs(at, plain)),
                        "others": found.others,
                    }
                else:
                    row["taken"] = f"not taken here, but {row['taken'] or 'none'}"
                rows.append(row)
    return rows


def rows(settings: Settings) -> Iterator[Row]:
    """All levels that this processor has."""
    there = flags()
    for level in LEVELS[-1:] if settings.quick else LEVELS:
        if level.needs and level.needs not in there:
            yield {"name": "", "level": level.name, "taken": f"left out: the processor has no {level.needs}"}
            continue
        arguments = [str(settings.rounds), str(settings.threads), *(["quick"] if settings.quick else [])]
        for row in json.loads(child("backends", *arguments, env=level.environment)):
            yield {**row, "level": level.name}


PART = Part(
    "backends",
    "Backends of synapses",
    "This table compares the ways in which synapses compute weighted sums and their gradients, either selected "
    f'by `synapse.path` or chosen automatically ("{AUTO}"), with float32 matrix products ("{PLAIN}"). For each '
    "level, a process restricts torch's libraries and the kernels to the instructions of such a processor. The "
    "last column gives the backends that the synapses used, forward or backward: where a backend does not "
    "apply, another one is used.",
    (
        Column("name", "workload", "{}"),
        Column("level", "instructions", "{}", 18),
        Column("path", "backend", "{}"),
        Column("ours", "ms"),
        Column("times", f"times {PLAIN}", "{:.2f}"),
        Column("pairs", "pairs", "{0[0]:.2f}..{0[1]:.2f}"),
        Column("taken", "taken", "{}", 24),
    ),
    rows,
)

if __name__ == "__main__":
    import lavadl_kernels
    import torch

    torch.set_num_threads(int(sys.argv[2]))
    lavadl_kernels.set_num_threads(torch.get_num_threads())
    print(json.dumps(here(int(sys.argv[1]), "quick" in sys.argv)))
