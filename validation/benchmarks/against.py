"""Measure this checkout next to another one, row by row and in turn, and tell the ratios.

    git worktree add ../before COMMIT
    python -m validation.benchmarks.against ../before --rounds 7
    python -m validation.benchmarks --only against --before ../before       as a table, for the page

Each checkout runs in a process of its own; the two take turns within each row.  Both run the workloads of this
checkout on their own packages.  The ratio is the median time of this checkout over that of the other: 1.03 is three per
cent slower.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from validation.benchmarks import measure
from validation.benchmarks.results import Part, Row, Settings, ratio_columns, ratio_row

ROOT = Path(__file__).resolve().parents[2]
Job = Callable[[], Any]  #: may return its own time in milliseconds


def jobs(quick: bool) -> dict[str, Callable[[], dict[str, Job]]]:
    """Groups of rows by name; each group makes its jobs when it is asked for them."""
    import lavadl_ref.slayer as slayer
    from validation.benchmarks import networks, neurons

    def of_neurons(family: str, layout: str) -> dict[str, Job]:
        import torch

        shape = (2, 32, 12) if quick else (32, 512, 300)
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.5
        passes = neurons.passes(slayer, family, neurons.time_major(x) if layout == "time-major" else x)
        where = f"{family}, {layout}"
        return {
            f"{where}: forward": passes.forward,
            f"{where}: forward + backward": passes.both,
            f"{where}: backward alone": passes.backward,
        }

    def of_network(make: Any, inference: bool) -> dict[str, Job]:
        made = make(slayer, quick)
        found: dict[str, Job] = {f"{made.name}: training step": made.train}
        if inference:
            found[f"{made.name}: inference"] = made.infer
            found[f"{made.name}: inference, one sample"] = partial(made.infer, 1)
        return found

    def of_rates() -> dict[str, Job]:
        from validation.benchmarks import workloads

        own = [workloads.ann_and_plain(slayer, quick, weight_norm, True)[0] for weight_norm in (False, True)]
        return {f"{made.name}: training step": made.train for made in own}

    def of_detection() -> dict[str, Job]:
        from lavadl_ref.slayer import obd
        from validation.benchmarks import detection

        found: dict[str, Job] = {}
        for count, size, steps, scene in detection.QUICK if quick else detection.SHAPES:
            trained = detection.Trained.of(obd, detection.clips(count, size, steps, scene))
            found[f"YOLO-KP, {count}x3x{size}x{size}, T {steps}, {scene} scene: training step"] = trained.train
        return found

    def of_reference() -> dict[str, Job]:
        from validation.benchmarks import deployed

        small = deployed.dense(500, 3000)
        network = deployed.reference.Network(small.network)
        wide, x = _wide(1000 if quick else 1_000_000, 10)
        large = deployed.reference.Network(wide)
        return {
            "reference, 200-256-200 CUBA, T 3000": partial(network.run, small.long_inputs, record=("spikes",)),
            f"reference, {wide.layers[0].shape[0]:,} CUBA neurons of 8 inputs, T 10": partial(large.run, x, record=()),
        }

    def of_start() -> dict[str, Job]:
        found = {"first step, kernels on disk": partial(_first_step, os.environ["NUMBA_CACHE_DIR"])}
        return found if quick else {**found, "first step, nothing compiled": partial(_first_step, None)}

    groups: dict[str, Callable[[], dict[str, Job]]] = {"cuba, N C T": partial(of_neurons, "cuba", "N C T contiguous")}
    groups |= {family: partial(of_neurons, family, "time-major") for family in neurons.FAMILIES}
    groups |= {make.__name__: partial(of_network, make, inference) for make, inference in networks.WORKLOADS.items()}
    others = {"rates": of_rates, "detection": of_detection, "reference": of_reference, "start": of_start}
    return {**groups, **others}


def _wide(neurons: int, steps: int) -> tuple[Any, Any]:
    """A network of one layer of neurons, each with 8 inputs, and what enters it."""
    import numpy as np

    from lavadl_ref.exchange import Dense, Network, Neuron

    rng = np.random.default_rng(0)
    neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    layer = Dense(shape=(neurons,), weight=2 * rng.integers(-16, 17, (neurons, 8)), neuron=neuron)
    return Network((layer,)), (rng.random((8, steps)) < 0.25).astype(np.int64)


def _first_step(cache: str | None) -> float:
    """Milliseconds to the end of the first training step after torch is imported, in a process of its own."""
    with tempfile.TemporaryDirectory() as fresh:
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "validation.benchmarks.start", "ours"],
            env={**os.environ, "NUMBA_CACHE_DIR": cache or fresh}, capture_output=True, text=True, check=True,
        )  # fmt: skip
    took = json.loads(run.stdout.splitlines()[-1])
    return 1e3 * float(took["slayer"] + took["first"])


#: Rows that take so long that they are run once a round and never to warm up.
ONCE = ("first step, nothing compiled",)


def serve(threads: int | None, quick: bool) -> None:
    """Answer one request a line: make a group of rows, or run one of them and tell its median milliseconds."""
    import lavadl_kernels
    import torch

    import lavadl_ref

    if threads is not None:
        torch.set_num_threads(threads)
    lavadl_kernels.set_num_threads(torch.get_num_threads())
    every: dict[str, Any] = jobs(quick)
    made: dict[str, Job] = {}
    print(json.dumps([str(Path(lavadl_ref.__file__).resolve().parents[1]), list(every)]), flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        if "make" in ask:
            made = every[ask["make"]]()
            answer: Any = list(made)
        else:
            job, took = made[ask["run"]], []
            for _ in range(ask["times"]):
                began = time.perf_counter()
                own = job()
                took.append(own if isinstance(own, float) else (time.perf_counter() - began) * 1e3)
            answer = statistics.median(took)
        print(json.dumps(answer), flush=True)


class Checkout:
    """A process that runs the jobs of one checkout: the workloads of this one, and the packages of that."""

    def __init__(self, root: Path, folder: Path, threads: int | None = None, quick: bool = False) -> None:
        folder.mkdir()
        packages = {"lavadl_ref": root, "lavadl_kernels": root / "kernels", "validation": ROOT, "tests": ROOT}
        for name, where in packages.items():
            (folder / name).symlink_to(where / name)
        # kernels stay compiled for the next time: compiling all of them takes minutes
        cache = ROOT / ".benchmarks" / f"kernels-{zlib.crc32(str(root).encode()):08x}"
        environment = {**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(cache)}
        options = [f"--threads={threads}"] * (threads is not None) + ["--quick"] * quick
        self.process = subprocess.Popen(
            [sys.executable, "-m", "validation.benchmarks.against", "--serve", *options],
            cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
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


class Pair(NamedTuple):
    """A row: milliseconds of both checkouts in each round."""

    name: str
    ms: list[tuple[float, float]]  #: here and there
    others: float = 0.0  #: as in `measure.Rounds`

    @property
    def here(self) -> float:
        """The median here."""
        return statistics.median(here for here, _ in self.ms)

    @property
    def there(self) -> float:
        """The median there."""
        return statistics.median(there for _, there in self.ms)

    @property
    def ratio(self) -> float:
        """The median, over rounds, of the time here to that there."""
        return statistics.median(here / there for here, there in self.ms)


def pairs(this: Checkout, other: Checkout, rounds: int, only: list[str]) -> Iterator[Pair]:
    """Give each row of the groups that both have, measured in turn."""
    for group in this.groups:
        if group not in other.groups or (only and group not in only):
            continue
        this_rows, other_rows = this.ask(make=group), other.ask(make=group)
        for name in [name for name in this_rows if name in other_rows]:
            cost, turns = 0.0, 1 if name in ONCE else rounds
            for _ in range(0 if name in ONCE else 2):  # compilation and caches
                cost = max(this.ask(run=name, times=1), other.ask(run=name, times=1))
            times = 1 if name in ONCE else max(1, min(30, round(measure.ENOUGH / max(cost, 1e-3))))
            found, before = [], measure.used()
            for turn in range(turns):
                pair = [0.0, 0.0]
                for side in (0, 1) if turn % 2 else (1, 0):  # neither is always first
                    pair[side] = (this, other)[side].ask(run=name, times=times)
                found.append((pair[0], pair[1]))
            yield Pair(name, found, measure.others(before))


def measured(
    other: Path, rounds: int, only: list[str], threads: int | None = None, quick: bool = False
) -> Iterator[Pair]:
    """Give all rows of this checkout and another, in processes that end with the last."""
    with tempfile.TemporaryDirectory() as folder:
        beside = Checkout(other.resolve(), Path(folder, "other"), threads, quick)
        try:
            this = Checkout(ROOT, Path(folder, "this"), threads, quick)
            try:
                yield from pairs(this, beside, rounds, only)
            finally:
                this.end()
        finally:
            beside.end()


def rows(settings: Settings) -> Iterator[Row]:
    """All rows, for the page.

    Raises
    ------
    ImportError
        If no checkout of another version is named.
    """
    if settings.before is None:
        raise ImportError("--before must name a checkout of another version, got none")
    for found in measured(settings.before, settings.rounds, [], settings.threads, settings.quick):
        rounds = measure.Rounds([tuple(pair) for pair in found.ms], found.others)
        yield ratio_row(measure.ratio(found.name, rounds))


PART = Part(
    "against",
    "Next to the version before",
    "This version and another one run in two processes that take turns, with the same workloads. The time of a "
    "first step is measured from the end of `import torch`, in a separate process.",
    ratio_columns("before", digits=3),
    rows,
    optional=True,
)


def main() -> None:
    """Print a line for each row, and how many are more than three per cent slower."""
    parser = argparse.ArgumentParser(prog="python -m validation.benchmarks.against", description=__doc__)
    parser.add_argument("other", type=Path, nargs="?", help="a checkout of another commit")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", action="append", default=[], help="a group of rows; may be given again")
    parser.add_argument("--threads", type=int, help="threads of torch and of the kernels")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, not how fast")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.serve:
        serve(wanted.threads, wanted.quick)
        return
    if wanted.other is None:
        parser.error("other must be a checkout, got none")
    slower = []
    print(f"{'row':74}  {'here ms':>9}  {'there ms':>9}  ratio")
    for found in measured(wanted.other, wanted.rounds, wanted.only, wanted.threads, wanted.quick):
        name = found.name + " *" * (found.others > measure.SHARE)
        print(f"{name:74}  {found.here:9.3f}  {found.there:9.3f}  {found.ratio:5.3f}", flush=True)
        if found.ratio > 1.03:
            slower.append(found.name)
    print(f"{len(slower)} rows more than 3 % slower: {', '.join(slower) or 'none'}")


if __name__ == "__main__":
    main()
