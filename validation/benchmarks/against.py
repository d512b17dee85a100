"""Measure this checkout next to another one, row by row and in turn, and tell the ratios.

    git worktree add ../before COMMIT
    python -m validation.benchmarks.against ../before --rounds 7

Each checkout runs in a process of its own; the two take turns within each row.  The ratio is the median time of this
checkout over that of the other: 1.03 is three per cent slower.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Job = Callable[[], Any]


def jobs() -> dict[str, Callable[[], dict[str, Job]]]:
    """Groups of rows by name; each group makes its jobs when it is asked for them."""
    import lavadl_ref.slayer as slayer
    from validation.benchmarks import networks, neurons

    def of_neurons(family: str, layout: str) -> dict[str, Job]:
        import torch

        x = torch.randn(32, 512, 300, generator=torch.Generator().manual_seed(0)) * 0.5
        passes = neurons.passes(slayer, family, neurons.time_major(x) if layout == "time-major" else x)
        where = f"{family}, {layout}"
        return {f"{where}: forward": passes.forward, f"{where}: forward + backward": passes.both}

    def of_network(make: Any, inference: bool) -> dict[str, Job]:
        made = make(slayer, False)
        found: dict[str, Job] = {f"{made.name}: training step": made.train}
        if inference:
            found[f"{made.name}: inference"] = made.infer
            found[f"{made.name}: inference, one sample"] = partial(made.infer, 1)
        return found

    def of_reference() -> dict[str, Job]:
        from validation.benchmarks import deployed

        case = deployed.dense(500, 3000)
        network = deployed.reference.Network(case.network)
        return {"reference, 200-256-200 CUBA, T 3000": partial(network.run, case.long_inputs, record=("spikes",))}

    groups: dict[str, Callable[[], dict[str, Job]]] = {"cuba, N C T": partial(of_neurons, "cuba", "N C T contiguous")}
    groups |= {family: partial(of_neurons, family, "time-major") for family in neurons.FAMILIES}
    groups |= {make.__name__: partial(of_network, make, inference) for make, inference in networks.WORKLOADS.items()}
    return {**groups, "reference": of_reference}


def serve() -> None:
    """Answer one request a line: make a group of rows, or run one of them and tell its median milliseconds."""
    import statistics

    import lavadl_ref

    every, made = jobs(), {}
    print(json.dumps([str(Path(lavadl_ref.__file__).parents[1]), list(every)]), flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        if "make" in ask:
            made = every[ask["make"]]()
            answer: Any = list(made)
        else:
            job, took = made[ask["run"]], []
            for _ in range(ask["times"]):
                began = time.perf_counter()
                job()
                took.append((time.perf_counter() - began) * 1e3)
            answer = statistics.median(took)
        print(json.dumps(answer), flush=True)


class Checkout:
    """A process that runs the jobs of one checkout."""

    def __init__(self, root: Path, cache: str) -> None:
        search = os.pathsep.join([str(root), str(root / "kernels")])
        environment = {**os.environ, "PYTHONPATH": search, "NUMBA_CACHE_DIR": cache}
        # run by path: the other checkout need not have this file; its own packages come first
        code = (
            f"import runpy, sys; sys.argv = ['against', '--serve']; runpy.run_path({__file__!r}, run_name='__main__')"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        try:
            found, self.groups = self._answer()
        except BaseException:
            self.end()
            raise
        if Path(found) != root:
            self.end()
            raise RuntimeError(f"the process of {root} must import the package from there, got {found}")

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of a checkout must answer, got its end with status {self.process.wait()}")
        return json.loads(line)

    def ask(self, **what: Any) -> Any:
        """Send a request and wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def rows(this: Checkout, other: Checkout, rounds: int, only: list[str]) -> Iterator[tuple[str, float, float, float]]:
    """Give name, milliseconds here and there, and the median ratio of the rounds, for each row."""
    import statistics

    for group in this.groups:
        if group not in other.groups or (only and group not in only):
            continue
        this_rows, other_rows = this.ask(make=group), other.ask(make=group)
        for name, beside in zip(this_rows, other_rows, strict=True):
            for _ in range(2):  # compilation and caches
                cost = max(this.ask(run=name, times=1), other.ask(run=beside, times=1))
            times = max(1, min(30, round(120 / max(cost, 1e-3))))
            found = []
            for turn in range(rounds):
                pair = [0.0, 0.0]
                for side in (0, 1) if turn % 2 else (1, 0):  # neither is always first
                    pair[side] = (this, other)[side].ask(run=(name, beside)[side], times=times)
                found.append(pair)
            here, there = (statistics.median(pair[side] for pair in found) for side in (0, 1))
            yield name, here, there, statistics.median(pair[0] / pair[1] for pair in found)


def main() -> None:
    """Print a line for each row, and how many are more than three per cent slower."""
    parser = argparse.ArgumentParser(prog="python -m validation.benchmarks.against", description=__doc__)
    parser.add_argument("other", type=Path, nargs="?", help="a checkout of another commit")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", action="append", default=[], help="a group of rows; may be given again")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.serve:
        serve()
        return
    if wanted.other is None:
        parser.error("other must be a checkout, got none")
    with tempfile.TemporaryDirectory() as caches:
        this, other = Checkout(ROOT, f"{caches}/this"), Checkout(wanted.other.resolve(), f"{caches}/other")
        try:
            slower = []
            print(f"{'row':64}  {'here ms':>9}  {'there ms':>9}  ratio")
            for name, here, there, ratio in rows(this, other, wanted.rounds, wanted.only):
                print(f"{name:64}  {here:9.3f}  {there:9.3f}  {ratio:5.3f}", flush=True)
                if ratio > 1.03:
                    slower.append(name)
            print(f"{len(slower)} rows more than 3 % slower: {', '.join(slower) or 'none'}")
        finally:
            this.end()
            other.end()


if __name__ == "__main__":
    main()
