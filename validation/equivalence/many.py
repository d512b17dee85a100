"""Random networks of all families on every path: ``python -m validation.equivalence.many --networks 1000``.

Each network, of 1 to 5 layers with whatever a trained network can have, runs through the plain-Python oracle,
the reference run, slayer and Lava's own process models (in this process); every message of every layer at every
step is compared, every state at every step with the oracle, and every last state with Lava.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from lavadl_ref import verify
from lavadl_ref.deployed import reference
from lavadl_ref.netx import lava_support
from tests.support import generate

ROOT = Path(__file__).resolve().parents[2]
CHUNK = 25  #: networks after which a part tells how far it is


@dataclass
class Agreement:
    """Counts of the comparisons, and the differences."""

    networks: Counter[str] = field(default_factory=Counter)  #: by pair of paths
    integers: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)  #: path and reason
    layers: Counter[str] = field(default_factory=Counter)  #: kinds and families of the layers
    differences: list[str] = field(default_factory=list)

    def add(self, pair: str, integers: int) -> None:
        """Count one network of which so many integers are equal."""
        self.networks[pair] += 1
        self.integers[pair] += integers

    def update(self, other: Agreement) -> None:
        """Add what `other` found."""
        for mine, theirs in (
            (self.networks, other.networks),
            (self.integers, other.integers),
            (self.skipped, other.skipped),
            (self.layers, other.layers),
        ):
            mine.update(theirs)
        self.differences += other.differences

    def __str__(self) -> str:
        lines = [f"{'paths':<24}{'networks':>10}{'integers':>14}"]
        lines += [f"{pair:<24}{self.networks[pair]:>10}{self.integers[pair]:>14,}" for pair in sorted(self.networks)]
        lines += [f"skipped {count}: {reason}" for reason, count in self.skipped.most_common()]
        lines += [f"different: {text}" for text in self.differences]
        return "\n".join(lines)


def compare(seed: int, found: Agreement, *, slayer: bool, lava: bool) -> None:
    """Run network number `seed` on all paths and enter into `found` how they compare."""
    case = generate.case(seed, families=generate.ALL_FAMILIES, trained=True)
    found.layers.update(layer.kind for layer in case.network.layers)
    found.layers.update(layer.neuron.type for layer in case.network.layers if layer.neuron is not None)
    run = reference.Network(case.network, **case.options).run(case.inputs, record=reference.RECORDABLE)
    _with_oracle(seed, case, run, found)
    if lava:
        report = verify.verify(case.network, case.inputs, slayer=False, in_process=True, timeout=600, **case.options)
        _enter(seed, case, "Lava", report, found)
    if slayer:
        report = verify.verify(case.network, case.inputs, lava=False, **case.options)
        _enter(seed, case, "slayer", report, found)


def _with_oracle(seed: int, case: generate.Case, run: reference.Run, found: Agreement) -> None:
    records, output = generate.oracle(case)
    count = output.size
    for position, (record, ran) in enumerate(zip(records, run.layers, strict=True)):
        for name, values in record.items():
            if name == "exceeded":
                found.differences.append(f"network {seed} ({case.label}): layer {position} leaves a width")
                continue
            count += values.size
            if not np.array_equal(getattr(ran, name), values):
                found.differences.append(f"network {seed} ({case.label}): {name} of layer {position}, oracle")
    if run.exceeded or not np.array_equal(run.output, output):
        found.differences.append(f"network {seed} ({case.label}): output or widths, oracle")
    found.add("oracle = reference", count)


def _enter(seed: int, case: generate.Case, path: str, report: verify.Report, found: Agreement) -> None:
    found.differences += [f"network {seed} ({case.label}): {path}: {d}" for d in report.divergences]
    for reason in report.skipped.values():
        found.skipped[f"{path}: {reason}"] += 1
    if not report.skipped:
        found.add(f"{path} = reference", report.compared)


def run_part(seeds: range, *, slayer: bool, lava: bool) -> Iterator[Agreement]:
    """Compare the networks of `seeds`, a chunk at a time."""
    for begin in range(0, len(seeds), CHUNK):
        found = Agreement()
        for seed in seeds[begin : begin + CHUNK]:
            compare(seed, found, slayer=slayer, lava=lava)
        yield found


def run(networks: int, first: int = 0, jobs: int = 2, show: bool = False, timeout: float = 3600) -> Agreement:
    """Compare `networks` random networks in `jobs` processes.

    Raises
    ------
    RuntimeError
        If a process fails or does not finish in time.
    """
    edges = [first + networks * i // jobs for i in range(jobs + 1)]
    command = [sys.executable, "-m", "validation.equivalence.many", "--part"]
    parts = [
        subprocess.Popen([*command, str(low), str(high)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for low, high in pairwise(edges)
    ]
    total, ended, deadline = Agreement(), 0, time.monotonic() + timeout
    try:
        for part in parts:
            assert part.stdout is not None
            for line in part.stdout:
                fields = json.loads(line)
                done = Agreement(*(Counter(fields[name]) for name in _COUNTERS), fields["differences"])
                total.update(done)
                if show:
                    print(f"\r{total.networks['oracle = reference']} of {networks} networks", end="", file=sys.stderr)
                if time.monotonic() > deadline:
                    raise RuntimeError(f"not finished within {timeout:g} s")
            ended += part.wait() == 0
    finally:
        for part in parts:
            part.kill()
            part.wait()
            if part.stdout is not None:
                part.stdout.close()
    if show:
        print(file=sys.stderr)
    if ended != len(parts):
        raise RuntimeError(f"{len(parts) - ended} of {len(parts)} processes failed")
    return total


_COUNTERS = ("networks", "integers", "skipped", "layers")


def _paths() -> dict[str, bool]:
    """The paths, and whether each can run here."""
    try:
        import torch

        torch.set_num_threads(1)
    except ImportError:
        return {"slayer": False, "lava": lava_support.available()[0]}
    return {"slayer": True, "lava": lava_support.available()[0]}


def main() -> int:
    """0 if every path that can run here agreed in every network."""
    parser = argparse.ArgumentParser(prog="python -m validation.equivalence.many", description=__doc__)
    parser.add_argument("--networks", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="number of the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--part", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part is not None:
        for found in run_part(range(*arguments.part), **_paths()):
            fields = {name: dict(getattr(found, name)) for name in _COUNTERS}
            print(json.dumps({**fields, "differences": found.differences}), flush=True)
        return 0
    total = run(arguments.networks, arguments.first, arguments.jobs, show=sys.stderr.isatty())
    print(total)
    return 1 if total.differences else 0


if __name__ == "__main__":
    sys.exit(main())
