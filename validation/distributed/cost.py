"""The cost of larger networks on more processes: ``python -m validation.distributed.cost docs/scaling.md``.

Measures on one thread what a training step is made of, checks the sum against a step of a network, and writes the
figures into the section of the page that is generated; without a page it prints them.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import optimize

from lavadl_ref import slayer
from validation.distributed import train

BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
LATENCY = 50e-6  #: seconds of one message between machines, assumed
NETWORKS = (train.SIZES, (2312, 4096, 4096, 10), (16384, 16384, 16384, 1000))
#: Sizes, samples, steps and rate of the steps that the constants are fitted to.
FITTED = [
    (sizes, samples, 100, rate)
    for sizes in ((512, 512, 64), (1024, 256, 256), (64, 64, 64))
    for samples in (4, 16)
    for rate in (0.0, 0.05, 0.25)
]
#: One that is not among them.
CHECKED = (train.SIZES, 8, 100, 0.05)
GIGABITS = (1, 10, 100)
PROCESSES = (2, 8, 64)


@dataclass(frozen=True)
class Costs:
    """Of one thread, for a training step: forward, backward, optimiser."""

    neuron: float  #: seconds of a neuron, for one step of one sample
    connection: float  #: seconds of a weight, for one step of one sample, whether there is an event or not
    event: float  #: seconds more of a weight that an event goes through
    weight: float  #: seconds of a weight, once a training step
    layer: float  #: seconds of a layer, once a training step
    kept: float  #: bytes that a neuron keeps for backward, for one step of one sample

    def seconds(self, sizes: tuple[int, ...], samples: int, steps: int, rates: tuple[float, ...]) -> float:
        """One training step of fully connected layers; `rates` is the part of each layer's inputs that are events."""
        constants = (self.neuron, self.connection, self.event, self.weight, self.layer)
        return sum(c * amount for c, amount in zip(constants, amounts(sizes, samples, steps, rates), strict=True))


def amounts(sizes: tuple[int, ...], samples: int, steps: int, rates: tuple[float, ...]) -> tuple[float, ...]:
    """The amount of everything that `Costs` has a constant for."""
    weights = [a * b for a, b in pairwise(sizes)]
    events = sum(w * rate for w, rate in zip(weights, rates, strict=True))
    runs = samples * steps
    return runs * sum(sizes[1:]), runs * sum(weights), runs * events, sum(weights), len(weights)


def fastest(job: Callable[[], object], seconds: float) -> float:
    """The fastest of as many runs as fit into `seconds`, and of at least three."""
    best, began, runs = math.inf, time.perf_counter(), 0
    while runs < 4 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        job()
        if runs:  # the first may compile
            best = min(best, time.perf_counter() - start)
        runs += 1
    return best


def one_step(sizes: tuple[int, ...], samples: int, steps: int, rate: float, seconds: float) -> tuple[float, ...]:
    """Measured seconds of a training step, and the rates of its layers' inputs."""
    net = train.network(sizes)
    x, wanted = train.batch(0, samples, steps, sizes, rate)
    rates, y = [], x
    with torch.no_grad():
        for block in net:
            rates.append(y.mean().item())
            y = block(y)
    adam = torch.optim.Adam(net.parameters(), lr=1e-9)  # rates stay what they are

    def step() -> None:
        adam.zero_grad()
        train.loss_of(net, x, wanted).backward()
        adam.step()

    return fastest(step, seconds), *rates


def measure(seconds: float = 1.0) -> Costs:
    """The constants that fit the steps of `FITTED`, each measured for about `seconds` on one thread, in proportion."""
    rows = []
    for sizes, samples, steps, rate in FITTED:
        took, *rates = one_step(sizes, samples, steps, rate, seconds)
        rows.append([amount / took for amount in amounts(sizes, samples, steps, tuple(rates))])
    found, _ = optimize.nnls(np.array(rows), np.ones(len(rows)))
    return Costs(*found.tolist(), kept=kept_for_backward())


def kept_for_backward() -> float:
    """Bytes that are kept of a neuron's step: in torch's tensors, and in arrays that kernels left."""
    neuron = slayer.neuron.cuba.Neuron(**train.NEURON)
    x = torch.zeros(100, 4, 512).permute(1, 2, 0).requires_grad_()  # as a synapse hands it on
    function: Any = neuron(x).grad_fn
    tensors = sum(tensor.nbytes for tensor in function.saved_tensors)
    arrays = sum(part.nbytes for part in (*function.own, *function.run) if isinstance(part, np.ndarray))
    return float(tensors + arrays) / x.numel()


def all_reduce(size: float, processes: int, gigabits: float, latency: float = LATENCY) -> float:
    """Seconds of a ring all-reduce of `size` bytes: each byte travels twice, but for a process's own part."""
    return 2 * (processes - 1) * (size / processes / (gigabits * 1e9 / 8) + latency)


def efficiency(compute: float, reduce: float) -> float:
    """The part of the time that is computed in, if gradients are sent only after all are computed."""
    return compute / (compute + reduce)


def report(costs: Costs, check: tuple[float, float], samples: int, steps: int, rate: float) -> str:
    """The generated section: the constants, how well they add up, and the table."""
    predicted, measured = check
    lines = [
        f"Made by `python -m validation.distributed.cost docs/scaling.md`, torch {torch.__version__}, one thread.",
        "",
        "| constant | measured |",
        "|---|--:|",
        f"| n, a neuron's step | {costs.neuron * 1e9:.2f} ns |",
        f"| c, a connection's step | {costs.connection * 1e12:.2f} ps |",
        f"| e, more for an event through a connection | {costs.event * 1e12:.2f} ps |",
        f"| w, a weight, once | {costs.weight * 1e9:.2f} ns |",
        f"| o, a layer, once | {costs.layer * 1e3:.2f} ms |",
        f"| k, kept for backward of a neuron's step | {costs.kept:.1f} bytes |",
        "",
        f"Fitted to {len(FITTED)} networks. A step of another one, {'-'.join(map(str, CHECKED[0]))} with {CHECKED[1]} "
        f"samples of {CHECKED[2]} steps, takes {measured * 1e3:.0f} ms; by the formula {predicted * 1e3:.0f} ms.",
        "",
        f"Efficiency with {samples} samples a process, {steps} steps, {rate:.0%} of all inputs events, one thread a "
        "process:",
        "",
        f"| network | step | kept | sent | Gbit/s | {' | '.join(f'{p} processes' for p in PROCESSES)} |",
        "|---|--:|--:|--:|--:|" + "--:|" * len(PROCESSES),
    ]
    for sizes in NETWORKS:
        seconds = costs.seconds(sizes, samples, steps, (rate,) * (len(sizes) - 1))
        kept = costs.kept * samples * steps * sum(sizes[1:])
        size = 4 * sum(a * b for a, b in pairwise(sizes))
        for gigabits in GIGABITS:
            parts = [f"{efficiency(seconds, all_reduce(size, p, gigabits)):.0%}" for p in PROCESSES]
            lines.append(
                f"| {'-'.join(map(str, sizes))} | {seconds:.2f} s | {kept / 1e6:.0f} MB | {size / 1e6:.0f} MB | "
                f"{gigabits} | {' | '.join(parts)} |"
            )
    return "\n".join(lines) + "\n"


def checked(costs: Costs, seconds: float = 1.0) -> tuple[float, float]:
    """Seconds of the step of `CHECKED` by the formula, and as measured."""
    sizes, samples, steps, rate = CHECKED
    measured, *rates = one_step(sizes, samples, steps, rate, seconds)
    return costs.seconds(sizes, samples, steps, tuple(rates)), measured


def write(page: Path, section: str) -> None:
    """Replace the generated section of `page`.

    Raises
    ------
    ValueError
        If the page has no such section.
    """
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{page}: expected one section between {BEGIN.strip()} and {END.strip()}")
    head, rest = text.split(BEGIN)
    page.write_text(head + BEGIN + section + END + rest.split(END)[1], encoding="utf-8")


def main(show: Callable[[str], object] = print) -> None:
    """Measure, and write or print the section."""
    parser = argparse.ArgumentParser(prog="python -m validation.distributed.cost", description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path, nargs="?", help="a page with a section to replace")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--samples", type=int, default=32, help="of a process, in the table")
    parser.add_argument("--steps", type=int, default=300, help="of time, in the table")
    parser.add_argument("--rate", type=float, default=0.05, help="part of inputs that are events, in the table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    costs = measure(arguments.seconds)
    check = checked(costs, arguments.seconds)
    section = report(costs, check, arguments.samples, arguments.steps, arguments.rate)
    if arguments.page is None:
        show(section)
    else:
        write(arguments.page, section)


if __name__ == "__main__":
    main()
