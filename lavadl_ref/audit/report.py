"""The findings of an audit, as plain values: `dataclasses.asdict` gives the JSON of the command."""

from __future__ import annotations

from dataclasses import dataclass

from lavadl_ref.deployed.work import Totals, Work

LOADS, ALTERS, REFUSES = OUTCOMES = ("loads", "alters", "refuses")  #: from good to bad


@dataclass(frozen=True)
class Finding:
    """One thing that lava-dl's netx does with a layer."""

    outcome: str  #: one of `OUTCOMES`; "loads" for what only has to be known
    text: str


@dataclass(frozen=True)
class HeadRoom:
    """Distance of a quantity from the ends of the width in which Lava's processes hold it."""

    quantity: str
    low: int  #: smallest integer that fits
    high: int  #: largest integer that fits
    smallest: int  #: met
    largest: int  #: met
    free: int | None  #: bits by which all values may still be shifted left, negative where they do not fit; None: all 0
    #: what no input within the range of this run's leaves, over any number of steps, None for no such end; of the
    #: constants of a file, and where nothing is proved, None
    proved: tuple[int | None, int | None] | None = None


@dataclass(frozen=True)
class LayerAudit:
    """Everything that an audit finds of one layer of the file."""

    position: int
    kind: str
    shape: tuple[int, ...]  #: (C, H, W) or (N,)
    family: str | None  #: of its neurons
    becomes: str  #: Lava processes, or "-"
    options: tuple[str, ...]  #: what is set besides shape, weights and the family's own parameters
    upstream: str  #: one of `OUTCOMES`: what lava-dl's netx does with it, the worst of the findings
    findings: tuple[Finding, ...]
    head_room: tuple[HeadRoom, ...]
    work: Work | None  #: None where the network was not run, and for flatten layers


@dataclass(frozen=True)
class Audit:
    """Everything that an audit finds of a network."""

    layers: tuple[LayerAudit, ...]
    upstream: str  #: the worst of the layers
    lava: str | None  #: why this package cannot bring it to Lava, None if it can
    reference: str | None  #: why it was not run, None if it was
    steps: int
    random: str | None  #: what the input was if it was random
    outside: Work | None  #: what enters a network that does not begin with an input layer
    totals: Totals | None
    exceeded: tuple[str, ...]  #: where sums or states left the device's widths
