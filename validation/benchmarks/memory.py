"""Memory of a training step above that of the built network, each side in a process of its own.

    python -m validation.benchmarks.memory ours|lava-dl [quick]

prints one such number in MB.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from validation.benchmarks.results import Part, Row, Settings, ratio_columns

ROOT = Path(__file__).resolve().parents[2]


def status(key: str) -> float:
    """An entry of this process's status, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key + ":"))


def extra(side: str, quick: bool) -> float:
    """MB that two steps of the N-MNIST network take at most, above what the process had before."""
    import torch

    import lavadl_ref.slayer
    from tests.support import upstream
    from validation.benchmarks import workloads

    job = workloads.nmnist(upstream.load() if side == "lava-dl" else lavadl_ref.slayer, quick)
    # a small step first: code is loaded, nothing large has been allocated and freed
    job.net.train()
    out = job.net(job.x[:1, :, :4])
    torch.autograd.backward(out.sum())
    job.net.zero_grad(set_to_none=True)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is now what is there
    before = status("VmRSS")
    job.train()
    job.train()
    return status("VmHWM") - before


def child(module: str, *arguments: str, env: dict[str, str] | None = None, timeout: float = 900) -> str:
    """The standard output of a module of the benchmarks in a process of its own.

    Raises
    ------
    ImportError
        If it ends with an error.
    """
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"validation.benchmarks.{module}", *arguments],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if run.returncode:
        last = run.stderr.strip().splitlines()[-1:]
        raise ImportError(f"validation.benchmarks.{module} {' '.join(arguments)} failed: {' '.join(last)}")
    return run.stdout.strip().splitlines()[-1]


def rows(settings: Settings) -> Iterator[Row]:
    """One row.

    Raises
    ------
    ImportError
        If lava-dl is not installed.
    """
    options = (["quick"] if settings.quick else []) + [f"threads={settings.threads}"]
    pairs = []
    for _ in range(1 if settings.quick else min(3, settings.rounds)):
        pairs.append(tuple(float(child("memory", side, *options)) for side in ("ours", "lava-dl")))
    ours, theirs = (sorted(side)[len(side) // 2] for side in zip(*pairs, strict=True))
    ratios = [b / max(a, 0.1) for a, b in pairs]
    yield {
        "name": "N-MNIST-like training step, batch 32, T 300, 5% input",
        "ours": ours,
        "theirs": theirs,
        "times": theirs / max(ours, 0.1),
        "pairs": [min(ratios), max(ratios)],
    }


PART = Part(
    "memory",
    "Memory",
    "This table gives the largest resident memory during two training steps, minus that of the built network "
    "before them. Each side runs in a separate process.",
    ratio_columns("lava-dl", "MB", 0),
    rows,
)

if __name__ == "__main__":
    import lavadl_kernels
    import torch

    for argument in sys.argv[2:]:
        if argument.startswith("threads="):
            torch.set_num_threads(int(argument.partition("=")[2]))
    lavadl_kernels.set_num_threads(torch.get_num_threads())
    print(extra(sys.argv[1], "quick" in sys.argv))
