"""Seconds from a new process to the first training step, with an empty cache of compiled kernels and a full one.

    python -m validation.benchmarks.start ours|lava-dl

prints the seconds of one process as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator

from validation.benchmarks.memory import child
from validation.benchmarks.results import Column, Part, Row, Settings

KEYS = ("torch", "slayer", "first", "second")


def process(side: str) -> dict[str, float]:
    """The time and memory that this process takes, from importing torch on."""
    took: dict[str, float] = {}

    def lap(key: str, since: float) -> float:
        now = time.perf_counter()
        took[key] = now - since
        return now

    began = time.perf_counter()
    import torch

    began = lap("torch", began)
    if side == "lava-dl":
        from tests.support import upstream

        slayer = upstream.load()
    else:
        import lavadl_ref.slayer as slayer
    began = lap("slayer", began)
    from validation.benchmarks import workloads

    for key in KEYS[2:]:
        began = time.perf_counter()
        if key == "first":
            params = {**workloads.NMNIST, "requires_grad": True}
            dense = slayer.block.cuba.Dense
            net = torch.nn.Sequential(
                dense(params, 64, 64, weight_norm=True, delay=True), dense(params, 64, 10, weight_norm=True)
            )
            error = slayer.loss.SpikeRate(true_rate=0.2, false_rate=0.03)
            optimizer = torch.optim.Adam(net.parameters())
            x, labels = workloads.spikes((8, 64, 32), 0.2), torch.arange(8)
        optimizer.zero_grad()
        error(net(x), labels).backward()
        optimizer.step()
        lap(key, began)
    return took


def rows(settings: Settings) -> Iterator[Row]:
    """Cold and warm, ours, and lava-dl, which compiles nothing that a step of these blocks needs.

    Raises
    ------
    ImportError
        If lava-dl is not installed.
    """
    cold, warm = (1, 1) if settings.quick else (2, max(3, settings.rounds))
    with tempfile.TemporaryDirectory() as folder:
        for name, side, times, fresh in (
            ("ours, cold: no kernel compiled", "ours", cold, True),
            ("ours, warm: kernels on disk", "ours", warm, False),
            ("lava-dl", "lava-dl", warm, False),
        ):
            if settings.quick and fresh:
                continue  # compiling takes longer than a test may
            found = []
            for number in range(times + (not fresh)):
                # cold each time; warm on the cache of a first process, which does not count
                cache = {} if settings.quick else {"NUMBA_CACHE_DIR": f"{folder}/{number if fresh else 'warm'}"}
                found.append(json.loads(child("start", side, env=cache)))
            taken = found if fresh else found[1:]
            yield {"name": name, **{key: statistics.median(one[key] for one in taken) for key in KEYS}}


PART = Part(
    "start",
    "Start",
    "Seconds in a new process: `import torch`, `import lavadl_ref.slayer` (or lava-dl's) after it, and training "
    "steps of a 64-64-10 network with weight norm and delays, 8 samples, T 32.",
    (
        Column("name", "process", "{}"),
        Column("torch", "import torch, s"),
        Column("slayer", "import slayer, s"),
        Column("first", "first step, s"),
        Column("second", "second step, s", "{:.3f}"),
    ),
    rows,
)

if __name__ == "__main__":
    print(json.dumps(process(sys.argv[1])))
