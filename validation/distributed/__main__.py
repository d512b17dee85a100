"""``python -m validation.distributed``: one batch on one process and on several, one thread each."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

from validation.distributed import train
from validation.distributed.launch import launch


def main(show: Callable[[str], object] = print) -> None:
    """Print the time of a training step on one process and on several, and their ratio."""
    parser = argparse.ArgumentParser(prog="python -m validation.distributed", description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="of both in turn; the fastest step counts")
    parser.add_argument("--samples", type=int, default=32, help="of a batch, over all processes")
    parser.add_argument("--steps", type=int, default=300, help="of time")
    parser.add_argument("--sizes", type=int, nargs="+", default=train.SIZES)
    arguments = parser.parse_args()
    options = ["--samples", arguments.samples, "--steps", arguments.steps, "--updates", 6, "--sizes", *arguments.sizes]
    best: dict[int, float] = {}
    losses: dict[int, list[float]] = {}
    for _ in range(arguments.rounds):
        for processes in (1, arguments.processes):
            done = json.loads(launch("validation.distributed.train", *options, processes=processes))
            best[processes] = min(best.get(processes, float("inf")), *done["seconds"][1:])
            losses[processes] = done["losses"]
    sizes = "-".join(map(str, arguments.sizes))
    show(f"{sizes}, {arguments.samples} samples, {arguments.steps} steps, one thread a process:")
    for processes, seconds in best.items():
        show(f"{processes} processes: {seconds * 1e3:8.1f} ms a training step, losses {losses[processes]}")
    ratio = best[1] / best[arguments.processes]
    show(
        f"1 -> {arguments.processes} processes: {ratio:.2f} times as fast, efficiency {ratio / arguments.processes:.0%}"
    )


if __name__ == "__main__":
    main()
