"""The findings of a proof, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

PROVED, OPEN, EXCEEDED = VERDICTS = ("proved", "open", "exceeded")  #: from good to bad


@dataclass(frozen=True, eq=False)
class Witness:
    """An input of the domain on which the reference run exceeds a width of the device."""

    inputs: (
        Integers  #: (\\*shape, T), or of a domain of constant pictures (\\*shape), as `reference.Network.run` takes it
    )
    steps: int  #: of the run
    neuron: tuple[int, ...]  #: index, in the layer's shape, of the first neuron that exceeds a width
    step: int  #: the first step at which it does


@dataclass(frozen=True)
class Bound:
    """The proved range of one number of a layer, and its verdict."""

    quantity: str
    low: int  #: least integer that fits the device's width
    high: int  #: largest one
    smallest: int | None  #: lower bound of the number for all inputs of the domain; None if there is none
    largest: int | None  #: upper bound, likewise
    free: int | None  #: bits by which all values may be shifted left, negative if they do not fit; None: all are 0
    verdict: str  #: one of `VERDICTS`
    neuron: tuple[int, ...]  #: index of the neuron with the widest range
    #: smallest and largest value found by the search for a witness; None if no search was needed
    met: tuple[int, int] | None = None
    witness: Witness | None = None  #: an input that exceeds the width, if one was found


@dataclass(frozen=True)
class LayerProof:
    """The bounds of a layer."""

    position: int
    kind: str
    shape: tuple[int, ...]  #: (C, H, W) or (N,)
    family: str | None  #: of its neurons
    bounds: tuple[Bound, ...]
    advice: tuple[str, ...] = ()  #: changes that would make the proof succeed

    @property
    def verdict(self) -> str:
        """The worst verdict among its bounds."""
        return worst(bound.verdict for bound in self.bounds)


@dataclass(frozen=True)
class Proof:
    """The bounds of a network, for all inputs of a domain."""

    domain: str
    steps: int | None  #: maximum steps of a run; None for no limit
    reset_interval: int | None
    layers: tuple[LayerProof, ...]
    tried: int = 0  #: inputs that the search for witnesses ran

    @property
    def verdict(self) -> str:
        """The worst verdict among the layers: `proved` if no input of the domain exceeds any width."""
        return worst(layer.verdict for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Everything but the inputs of witnesses, as plain values for JSON."""
        plain: dict[str, Any] = {"verdict": self.verdict, **asdict(self)}
        for layer, told in zip(self.layers, plain["layers"], strict=True):
            told["verdict"] = layer.verdict
            for bound in told["bounds"]:
                if bound["witness"] is not None:
                    del bound["witness"]["inputs"]
        return plain

    def __str__(self) -> str:
        many = "any number of" if self.steps is None else str(self.steps)
        resets = "" if self.reset_interval is None else f" with resets every {self.reset_interval} steps"
        return f"{self.verdict} for {self.domain} input over {many} steps{resets}"


def worst(verdicts: Any) -> str:
    """The worst of some verdicts, `proved` where there are none."""
    return max(verdicts, key=VERDICTS.index, default=PROVED)
