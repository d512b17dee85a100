"""The outcome of an import: what was rounded, by how much, and which spikes differ for it."""

from __future__ import annotations

from dataclasses import dataclass

from lavadl_ref.exchange import Network


@dataclass(frozen=True)
class Rounded:
    """The rounding of one parameter of one layer."""

    layer: int  #: position in the network
    name: str  #: of the parameter, as `lavadl_ref.exchange` calls it
    count: int  #: numbers that changed
    of: int  #: numbers in all
    largest: float  #: the largest change, as a share of the largest magnitude; of a decay, of 1

    def __str__(self) -> str:
        return (
            f"layer {self.layer}: {self.name}: {self.count} of {self.of} rounded, by at most {self.largest:.2g} of "
            f"{'1' if self.name.endswith('decay') else 'the largest'}"
        )


@dataclass(frozen=True)
class Differing:
    """The spikes of one layer in both runs."""

    layer: int  #: position in the network
    differing: int  #: spikes of one run that the other does not have
    spikes: int  #: spikes of either run

    @property
    def share(self) -> float:
        """The share of the spikes of either run that the other does not have."""
        return self.differing / max(self.spikes, 1)


@dataclass(frozen=True)
class Difference:
    """The spikes of a graph in floating point and those of the integers, for the same random input."""

    layers: tuple[Differing, ...]  #: those with neurons that spike, in the order of the network
    steps: int  #: steps of each sample
    samples: int  #: independent samples
    rate: float  #: share of the inputs that are 1 at a step

    @property
    def spikes(self) -> int:
        """Spikes of either run, over all layers."""
        return sum(layer.spikes for layer in self.layers)

    @property
    def share(self) -> float:
        """The share of the spikes of either run that the other does not have, over all layers."""
        return sum(layer.differing for layer in self.layers) / max(self.spikes, 1)

    def __str__(self) -> str:
        return (
            f"{self.share:.2%} of {self.spikes:,} spikes differ between the graph in floating point and the integers "
            f"({self.samples} samples of {self.steps} steps, inputs random at a rate of {self.rate:g})"
        )


@dataclass(frozen=True)
class Report:
    """The outcome of an import."""

    lossless: bool  #: whether the network is the one that was exported, bit by bit
    source: str  #: whose conventions the nodes were taken to have
    dt: float  #: seconds of a step
    rounded: tuple[Rounded, ...] = ()  #: what was rounded; parameters that were not are not listed
    notes: tuple[str, ...] = ()  #: what else a user must know
    difference: Difference | None = None  #: None where nothing was measured

    def __str__(self) -> str:
        if self.lossless:
            return "lossless: the network is the one that was exported; its digest agrees, and so does every node"
        lines = [f"imported by the conventions of {self.source}, with steps of {self.dt:g} s"]
        lines += map(str, self.rounded) if self.rounded else ["no parameter was rounded"]
        lines += self.notes
        if self.difference is not None:
            lines.append(str(self.difference))
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Imported:
    """A network that was read from a graph, and the report on it."""

    network: Network
    report: Report
