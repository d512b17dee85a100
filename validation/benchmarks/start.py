"""Seconds from a new process to the first training step: nothing compiled, kernels shipped, kernels on disk.

    python -m validation.benchmarks.start ours|lava-dl

prints the seconds of one process as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from validation.benchmarks.memory import child
from validation.benchmarks.results import Column, Part, Row, Settings

KEYS = ("torch", "slayer", "optimizer", "first", "second")
#: The jobs of `warm` that compile what these steps run, so that a benchmark does not compile all kernels.
JOBS = ("cuba: training",)


def process(side: str) -> dict[str, float]:
    """The time that this process takes, from importing torch on.

    The first optimizer of any kind imports `torch._dynamo`, whoever makes it: that is torch's own, and a lap by itself.
    """
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
    import torch._dynamo

    lap("optimizer", began)
    from validation.benchmarks import workloads

    for key in KEYS[3:]:
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


def shipped(folder: Path) -> dict[str, str]:
    """The environment of a process that has a copy of the kernels' package, and in it those for this processor's level.

    Raises
    ------
    ImportError
        If kernels are shipped for no level that this processor is of.
    """
    import lavadl_kernels
    from lavadl_kernels.runtime import cache_folders, processor

    from lavadl_ref.cli import warm

    level = processor.level()
    if level is None:
        raise ImportError("kernels are shipped for no level that this processor is of")
    package = folder / "installed" / "lavadl_kernels"
    sources = Path(str(lavadl_kernels.__file__)).parent
    shutil.copytree(sources, package, ignore=shutil.ignore_patterns("__pycache__"))
    warm.build(cache_folders.shipped(package), level, JOBS)
    return {"PYTHONPATH": os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])}


def rows(settings: Settings) -> Iterator[Row]:
    """Nothing compiled, kernels shipped, kernels on disk, and lava-dl, which compiles nothing that these steps need.

    Raises
    ------
    ImportError
        If lava-dl is not installed.
    """
    cold, warm = (1, 1) if settings.quick else (2, max(3, settings.rounds))
    with tempfile.TemporaryDirectory() as folder:
        for name, side, times, fresh in (
            ("ours, no kernel compiled", "ours", cold, True),
            ("ours, kernels shipped, none on disk", "ours", warm, True),
            ("ours, kernels on disk", "ours", warm, False),
            ("lava-dl", "lava-dl", warm, False),
        ):
            if settings.quick and fresh:
                continue  # compiling takes longer than a test may
            more = shipped(Path(folder)) if "shipped" in name else {}
            found = []
            for number in range(times + (not fresh)):
                # a folder without kernels each time; else that of a first process, which does not count
                which = f"{name} {number}" if fresh else "warm"
                cache = {} if settings.quick else {"NUMBA_CACHE_DIR": f"{folder}/{which}", **more}
                found.append(json.loads(child("start", side, env=cache)))
            taken = found if fresh else found[1:]
            row: Row = {"name": name, **{key: statistics.median(one[key] for one in taken) for key in KEYS}}
            yield {**row, "own": statistics.median(one["slayer"] + one["first"] for one in taken)}


PART = Part(
    "start",
    "Start",
    "This table gives seconds in a new process: for `import torch`; then for `import lavadl_ref.slayer` (or "
    "lava-dl's); for `import torch._dynamo`, which torch runs when the first optimizer is created; and for "
    "training steps of a 64-64-10 network with weight norm and delays, 8 samples, T 32. The sum of slayer and "
    "the first step is the part that is not torch's import.",
    (
        Column("name", "process", "{}"),
        Column("torch", "import torch, s"),
        Column("slayer", "import slayer, s"),
        Column("optimizer", "torch's for an optimizer, s"),
        Column("first", "first step, s"),
        Column("own", "slayer + first step, s"),
        Column("second", "second step, s", "{:.3f}"),
    ),
    rows,
)

if __name__ == "__main__":
    print(json.dumps(process(sys.argv[1])))
