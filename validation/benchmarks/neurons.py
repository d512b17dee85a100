"""Neurons alone: every family next to lava-dl's, and next to a copy of the same memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

import lavadl_ref.slayer
from tests.support import families, upstream
from validation.benchmarks.measure import Timed, interleaved, once, ratio
from validation.benchmarks.results import Column, Part, Row, Settings, alone_row, ratio_columns, ratio_row

MEMBRANE: dict[str, Any] = {"threshold": 1.0, "current_decay": 0.25, "voltage_decay": 0.03, "requires_grad": True}
_ADAPTATION: dict[str, Any] = {"threshold_step": 0.1, "threshold_decay": 0.1, "refractory_decay": 0.2}
_ROTATION: dict[str, Any] = {"threshold": 1.0, "period": 12, "decay": 0.1, "requires_grad": True}
FAMILIES: dict[str, dict[str, Any]] = {
    **{name: family.pick(MEMBRANE, _ROTATION, _ADAPTATION) for name, family in families.SPIKING.items()},
    "sigma_delta": {"threshold": 0.1, "activation": torch.nn.functional.relu, "requires_grad": True},
}
CANNOT_RUN = [name for name, family in families.FAMILIES.items() if not family.runs_in_lava_dl]  #: of lava-dl's

#: Arrays that a pass of CUBA reads or writes, per array that a copy does: forward x -> s; backward x, gs -> gx.
FORWARD, BACKWARD = 1.0, 1.5


def time_major(x: Tensor) -> Tensor:
    """`x` (N, C, T) with time slowest in memory."""
    return x.permute(2, 0, 1).contiguous().permute(1, 2, 0)


@dataclass(frozen=True)
class Passes:
    """A neuron's jobs, which return milliseconds."""

    forward: Timed
    both: Timed  #: forward and backward
    backward: Timed  #: backward alone


def passes(slayer: ModuleType, family: str, x: Tensor) -> Passes:
    """Of one family, with trained parameters, for input `x` and a gradient in the same layout."""
    neuron = getattr(slayer.neuron, family).Neuron(**FAMILIES[family])
    parts = 2 if neuron.complex else 1
    tracked = [x.clone(memory_format=torch.preserve_format).requires_grad_() for _ in range(parts)]
    gradient = torch.ones_like(x, memory_format=torch.preserve_format)

    def run(inputs: list[Tensor]) -> Tensor:
        out: Tensor = neuron(tuple(inputs) if parts == 2 else inputs[0])
        return out

    def forward() -> None:
        with torch.no_grad():
            run([x] * parts)

    def tracked_forward() -> Tensor:
        for part in tracked:
            part.grad = None
        return run(tracked)

    def both() -> None:
        tracked_forward().backward(gradient)

    def backward() -> float:
        out = tracked_forward()
        return once(lambda: out.backward(gradient))

    return Passes(partial(once, forward), partial(once, both), backward)


def rows(settings: Settings) -> Iterator[Row]:
    """All families.

    Raises
    ------
    ImportError
        If lava-dl is not installed.
    """
    theirs, ours = upstream.load(), lavadl_ref.slayer
    batch, width, steps = (2, 32, 12) if settings.quick else (32, 512, 300)
    x = torch.randn(batch, width, steps, generator=torch.Generator().manual_seed(0)) * 0.5
    native = time_major(x)
    shape = f"{batch}x{width}xT{steps}"
    target = torch.empty(x.shape)
    copy = partial(once, lambda: target.copy_(x))
    layouts = [("cuba", "time-major", native), ("cuba", "N C T contiguous", x)]
    for family, layout, given in [*layouts, *((f, "time-major", native) for f in list(FAMILIES)[1:])]:
        where = f"{family} {shape}, {layout}"
        own = passes(ours, family, given)
        if family in CANNOT_RUN:
            yield alone_row(f"{where}: forward", interleaved([own.forward], settings.rounds))
            yield alone_row(f"{where}: forward + backward", interleaved([own.both], settings.rounds))
            continue
        other = passes(theirs, family, x)
        cuba = family == "cuba" and given is native
        for what, mine, beside, arrays in (
            ("forward", own.forward, other.forward, FORWARD),
            ("forward + backward", own.both, other.both, None),
            ("backward alone", own.backward, other.backward, BACKWARD),
        ):
            if what == "backward alone" and not cuba:
                continue
            jobs: list[Timed] = [mine, beside, copy] if cuba and arrays else [mine, beside]
            found = interleaved(jobs, settings.rounds)
            share = arrays * found.median(2) / found.median(0) if cuba and arrays else None
            yield ratio_row(ratio(f"{where}: {what}", found), share=share)


PART = Part(
    "neurons",
    "Neurons",
    "This table compares neurons alone, with trained parameters, with lava-dl's on contiguous N C T tensors, "
    'the layout that suits lava-dl best. "Time-major" is the memory layout that this package\'s synapses pass to '
    "neurons; gradients arrive in the layout of the input. The last column is the time that torch takes to copy "
    "the minimum number of arrays that the pass must read and write, divided by the time of the pass: 100% "
    f"would be the speed of memory. lava-dl's {' and '.join(CANNOT_RUN)} cannot run.",
    (*ratio_columns("lava-dl"), Column("share", "of copy", "{:.0%}")),
    rows,
)
