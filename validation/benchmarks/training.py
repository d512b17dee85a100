"""Training: neurons, feedback and the N-MNIST training step next to lava-dl 0.6.0."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

import lavadl_ref.slayer
from validation.benchmarks.measure import Job, Ratio, compare
from validation.conformance import upstream

NEURON: dict[str, Any] = {"threshold": 1.0, "current_decay": 0.25, "voltage_decay": 0.03, "requires_grad": True}
_ADAPTATION: dict[str, Any] = {"threshold_step": 0.1, "threshold_decay": 0.1, "refractory_decay": 0.2}
_ROTATION: dict[str, Any] = {"threshold": 1.0, "period": 12, "decay": 0.1, "requires_grad": True}
# lava-dl's adrf_iz cannot run
FAMILIES: dict[str, dict[str, Any]] = {
    "cuba": NEURON,
    "alif": {**NEURON, **_ADAPTATION},
    "rf": _ROTATION,
    "rf_iz": _ROTATION,
    "adrf": {**_ROTATION, **_ADAPTATION},
    "sigma_delta": {"threshold": 0.1, "activation": torch.nn.functional.relu, "requires_grad": True},
}
# the published N-MNIST recipe
NMNIST: dict[str, Any] = {
    "threshold": 1.25,
    "current_decay": 0.25,
    "voltage_decay": 0.03,
    "tau_grad": 0.03,
    "scale_grad": 3,
    "requires_grad": True,
}


def neuron_jobs(slayer: ModuleType, family: str, x: Tensor) -> tuple[Job, Job]:
    """Forward, and forward with backward, of one family's neurons alone."""
    neuron = getattr(slayer.neuron, family).Neuron(**FAMILIES[family])
    inputs = 2 if neuron.complex else 1
    tracked = [x.clone(memory_format=torch.preserve_format).requires_grad_() for _ in range(inputs)]

    def forward() -> None:
        with torch.no_grad():
            neuron((x, x) if inputs == 2 else x)

    def both() -> None:
        for part in tracked:
            part.grad = None
        neuron(tuple(tracked) if inputs == 2 else tracked[0]).sum().backward()

    return forward, both


def recurrent_job(slayer: ModuleType, spikes: Tensor) -> Job:
    """Forward and backward of a recurrent block; lava-dl's leaves out the way through the membrane."""
    torch.manual_seed(0)
    width = spikes.shape[1]
    block = slayer.block.cuba.Recurrent(dict(NEURON), width, width)

    def both() -> None:
        block(spikes).sum().backward()

    return both


def nmnist_jobs(slayer: ModuleType, x: Tensor, labels: Tensor) -> tuple[Job, Job]:
    """A training step of the 2312-512-512-10 network with weight norm, delays and dropout; and inference."""
    torch.manual_seed(0)
    params = {**NMNIST, "dropout": slayer.neuron.Dropout(p=0.05)}
    dense = slayer.block.cuba.Dense
    net = torch.nn.Sequential(
        dense(params, 34 * 34 * 2, 512, weight_norm=True, delay=True),
        dense(params, 512, 512, weight_norm=True, delay=True),
        dense(params, 512, 10, weight_norm=True),
    )
    net(x)  # delays and shapes appear at the first pass
    error = slayer.loss.SpikeRate(true_rate=0.2, false_rate=0.03, reduction="sum")
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def train() -> None:
        net.train()
        loss = error(net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def infer() -> None:
        net.eval()
        with torch.no_grad():
            net(x)

    return train, infer


def ratios(rounds: int, quick: bool) -> Iterator[Ratio]:
    """All figures, one after the other.

    Raises
    ------
    ImportError
        If lava-dl is not installed.
    """
    theirs = upstream.load()
    warnings.filterwarnings("ignore", category=FutureWarning)  # lava-dl's use of torch's old weight norm
    ours = lavadl_ref.slayer
    batch, width, steps = (4, 64, 30) if quick else (32, 512, 100)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, width, steps, generator=generator) * 0.5
    native = x.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    shape = f"{batch}x{width}xT{steps}"
    for layout, given in (("time-major", native), ("N C T contiguous", x)):
        own, other = neuron_jobs(ours, "cuba", given), neuron_jobs(theirs, "cuba", x)
        yield compare(f"CUBA {shape} forward, {layout}", own[0], other[0], rounds)
        yield compare(f"CUBA {shape} forward + backward, {layout}", own[1], other[1], rounds)
    for family in list(FAMILIES)[1:]:
        own, other = neuron_jobs(ours, family, native), neuron_jobs(theirs, family, x)
        yield compare(f"{family} {shape} forward, time-major", own[0], other[0], rounds)
        yield compare(f"{family} {shape} forward + backward, time-major", own[1], other[1], rounds)
    spikes = (torch.rand(batch, width, steps, generator=generator) < 0.05).float()
    name = f"cuba.Recurrent {width}, batch {batch}, T {steps}: forward + backward"
    yield compare(name, recurrent_job(ours, spikes), recurrent_job(theirs, spikes), rounds)
    steps = 20 if quick else 300
    for density in (0.05, 0.01):
        spikes = (torch.rand(batch, 34 * 34 * 2, steps, generator=generator) < density).float()
        labels = torch.arange(batch) % 10
        own, other = nmnist_jobs(ours, spikes, labels), nmnist_jobs(theirs, spikes, labels)
        where = f"N-MNIST-like, batch {batch}, T {steps}, {density:.0%} input"
        yield compare(f"{where}: training step", own[0], other[0], rounds)
        yield compare(f"{where}: inference", own[1], other[1], rounds)
