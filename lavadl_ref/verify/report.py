"""The results of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref import exchange
from lavadl_ref.deployed import reference
from lavadl_ref.exchange import Layer

Array = NDArray[Any]
AROUND = 2  #: steps shown on either side of a divergence


@dataclass(frozen=True)
class Divergence:
    """The first place where a backend differs from the reference."""

    layer: int  #: position in the file
    neuron: tuple[int, ...]  #: index within the layer's shape
    step: int  #: 0-based, deployed time base
    what: str  #: spikes, weighted, or the name of a state
    expected: int  #: the reference's value
    found: int  #: the backend's value
    sample: int = 0  #: index in a batch
    count: int = 1  #: number of differing values
    around: tuple[str, ...] = ()  #: states of the neuron near the step, one line per step

    def __str__(self) -> str:
        where = f"layer {self.layer}, neuron {self.neuron}, step {self.step}"
        where += f", sample {self.sample}" if self.sample else ""
        head = f"{where}: {self.what} reference {self.expected}, found {self.found} ({self.count} differ)"
        return "\n".join([head, *self.around])


@dataclass(frozen=True)
class Comparison:
    """The comparison of one layer on one backend with the reference."""

    compared: int  #: integers compared
    divergence: Divergence | None = None

    @property
    def exact(self) -> bool:
        """True if all integers were equal."""
        return self.divergence is None

    def __str__(self) -> str:
        return "exact" if self.exact else "differs"


@dataclass
class LayerResult:
    """One layer of the file."""

    position: int
    layer: Layer
    spikes: int = 0  #: spikes, or messages that are not 0, in the reference run
    paths: dict[str, Comparison] = field(default_factory=dict)  #: by backend: slayer, lava


@dataclass
class Report:
    """The outcome of `verify` or `trained`."""

    layers: list[LayerResult]
    steps: int
    samples: int = 1
    seconds: dict[str, float] = field(default_factory=dict)  #: run time by backend
    skipped: dict[str, str] = field(default_factory=dict)  #: backends that could not run, and why
    exceeded: tuple[reference.Exceeded, ...] = ()
    run: reference.Run | None = None
    random: str | None = None  #: what the input is if it is random, None if it was given

    @property
    def divergences(self) -> list[Divergence]:
        """The first divergence of every layer and backend that has one."""
        found = (c.divergence for result in self.layers for c in result.paths.values())
        return [d for d in found if d is not None]

    @property
    def exact(self) -> bool:
        """True if every backend that ran gave the reference's integers, and at least one ran."""
        return not self.divergences and any(result.paths for result in self.layers)

    @property
    def compared(self) -> int:
        """Number of integers compared."""
        return sum(c.compared for result in self.layers for c in result.paths.values())

    def as_dict(self) -> dict[str, Any]:
        """Everything but the arrays of the run, as plain values for JSON."""
        layers = [
            {
                "position": result.position,
                "kind": result.layer.kind,
                "shape": result.layer.shape,
                "spikes": result.spikes,
                "paths": {name: {"exact": c.exact, **asdict(c)} for name, c in result.paths.items()},
            }
            for result in self.layers
        ]
        return {
            "exact": self.exact,
            "compared": self.compared,
            "steps": self.steps,
            "samples": self.samples,
            "random": self.random,
            "layers": layers,
            "seconds": self.seconds,
            "skipped": self.skipped,
            "exceeded": [asdict(beyond) for beyond in self.exceeded],
        }


def new_report(network: exchange.Network, run: reference.Run, steps: int, samples: int = 1) -> Report:
    """A report of a reference run with which nothing has been compared yet."""
    layers = [
        LayerResult(i, layer, 0 if ran.spikes is None else int(np.count_nonzero(ran.spikes)))
        for i, (layer, ran) in enumerate(zip(network.layers, run.layers, strict=True))
    ]
    return Report(layers, steps, samples, exceeded=run.exceeded, run=run)


def first_difference(expected: Array, found: Array) -> tuple[tuple[int, ...] | None, int]:
    """Index of the earliest difference, and the number of all.

    Parameters
    ----------
    expected, found : ndarray
        (..., T), of the same shape.
    """
    different = np.argwhere(expected != found)
    if not len(different):
        return None, 0
    return tuple(int(i) for i in different[np.argmin(different[:, -1])]), len(different)


def states_near(
    ran: reference.LayerRun,
    sample: int,
    neuron: tuple[int, ...],
    step: int,
    other: Mapping[int, Mapping[str, int]] | None = None,
) -> tuple[str, ...]:
    """States of one neuron near `step`, of the reference and of the backend that differs where they are known."""
    if not ran.states:
        return ()
    some = next(iter(ran.states.values()))
    one = {name: a[sample] if some.ndim == len(neuron) + 2 else a for name, a in ran.states.items()}
    lines = []
    for n in range(max(step - AROUND, 0), min(step + AROUND + 1, some.shape[-1])):
        line = f"  step {n}: reference " + _listed({name: a[neuron][n] for name, a in one.items()})
        if other and n in other:
            line += "; found " + _listed(other[n])
        lines.append(line)
    return tuple(lines)


def _listed(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
