"""Growth of the cost with steps, samples, width and activity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

import lavadl_ref.slayer
from validation.benchmarks import workloads
from validation.benchmarks.measure import Timed, interleaved, once
from validation.benchmarks.neurons import FAMILIES, time_major
from validation.benchmarks.results import Column, Part, Row, Settings

Point = dict[str, float]  #: samples, width, steps, density

START: Point = {"samples": 16, "width": 256, "steps": 100, "density": 0.05}
VARIED: dict[str, list[float]] = {
    "steps": [50, 100, 200, 400],
    "samples": [8, 16, 32, 64],
    "width": [128, 256, 512, 1024],
    "density": [0.005, 0.01, 0.02, 0.05, 0.1],
}
SMALL: Point = {"samples": 2, "width": 16, "steps": 6, "density": 0.2}


def passes(module: torch.nn.Module, x: Tensor) -> tuple[Timed, Timed]:
    """Forward, and forward with backward into the parameters and, of neurons, the input."""
    with torch.no_grad():
        gradient = torch.ones_like(module(x[:1])[..., :1]).expand(x.shape[0], -1, x.shape[-1])
        gradient = time_major(gradient.clone())

    def forward() -> None:
        with torch.no_grad():
            module(x)

    def both() -> None:
        module(x).backward(gradient)
        x.grad = None

    return partial(once, forward), partial(once, both)


def neuron(point: Point) -> tuple[Timed, Timed]:
    """CUBA neurons on dense input."""
    shape = (int(point["samples"]), int(point["width"]), int(point["steps"]))
    x = time_major(torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.5)
    return passes(lavadl_ref.slayer.neuron.cuba.Neuron(**FAMILIES["cuba"]), x.requires_grad_())


def dense(point: Point) -> tuple[Timed, Timed]:
    """A CUBA block as wide as its input, on spikes."""
    width = int(point["width"])
    x = workloads.spikes((int(point["samples"]), width, int(point["steps"])), point["density"])
    torch.manual_seed(0)
    return passes(lavadl_ref.slayer.block.cuba.Dense(dict(FAMILIES["cuba"]), width, width), time_major(x))


def rows(settings: Settings) -> Iterator[Row]:
    """A row for each module, pass and quantity that is varied."""
    start = SMALL if settings.quick else START
    modules: dict[str, tuple[Callable[[Point], tuple[Timed, Timed]], list[str]]] = {
        "cuba neuron": (neuron, ["steps", "samples", "width"]),
        "cuba.Dense": (dense, list(VARIED)),
    }
    for name, (make, quantities) in modules.items():
        for quantity in quantities:
            values = [start[quantity] * f for f in (1, 2)] if settings.quick else VARIED[quantity]
            jobs = [make({**start, quantity: value}) for value in values]
            for which, what in enumerate(("forward", "forward + backward")):
                found = interleaved([job[which] for job in jobs], settings.rounds)
                ms = [found.median(i) for i in range(len(values))]
                slope = float(np.polyfit(np.log(values), np.log(ms), 1)[0])
                yield {
                    "name": f"{name}: {what}",
                    "quantity": quantity,
                    "values": values,
                    "ms": ms,
                    "slope": slope,
                    "text": ", ".join(f"{value:g}: {time:.2f}" for value, time in zip(values, ms, strict=True)),
                    "others": found.others,
                }


PART = Part(
    "slopes",
    "Growth",
    "The slope is that of a straight line fitted to the logarithm of the time over the logarithm of the quantity: 1 is "
    f"linear growth, 0 none. The other quantities stay at {START['samples']:g} samples, width {START['width']:g}, "
    f"{START['steps']:g} steps and {START['density']:.0%} input spikes; the block is as wide as its input.",
    (
        Column("name", "workload", "{}"),
        Column("quantity", "against", "{}"),
        Column("slope", "slope"),
        Column("text", "ms", "{}", 60),
    ),
    rows,
)
