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
    """An input of the domain on which the reference run leaves a width of the device."""

    inputs: (
        Integers  #: (\\*shape, T), or of a domain of constant pictures (\\*shape), as `reference.Network.run` takes it
    )
    steps: int  #: of the run
    neuron: tuple[int, ...]  #: the first of the layer to leave a width, in the layer's shape
    step: int  #: where it does


@dataclass(frozen=True)
class Bound:
    """The proved range of one number of a layer, and its verdict."""

    quantity: str
    low: int  #: least integer that fits the device's width
    high: int  #: largest one
    smallest: int | None  #: no input of the domain makes the number smaller; None for no such bound
    largest: int | None  #: nor larger
    free: int | None  #: bits by which all values may still be shifted left, negative where they do not fit; None: all 0
    verdict: str  #: one of `VERDICTS`
    neuron: tuple[int, ...]  #: the one with the widest range
    #: the smallest and the largest number that the search for a witness met; None where none was needed
    met: tuple[int, int] | None = None
    witness: Witness | None = None  #: of an excess


@dataclass(frozen=True)
class LayerProof:
    """The bounds of a layer."""

    position: int
    kind: str
    shape: tuple[int, ...]  #: (C, H, W) or (N,)
    family: str | None  #: of its neurons
    bounds: tuple[Bound, ...]
    advice: tuple[str, ...] = ()  #: what would make it hold

    @property
    def verdict(self) -> str:
        """The worst of its bounds."""
        return worst(bound.verdict for bound in self.bounds)


@dataclass(frozen=True)
class Proof:
    """The bounds of a network, for all inputs of a domain."""

    domain: str
    steps: int | None  #: most steps of a run; None for any number
    reset_interval: int | None
    layers: tuple[LayerProof, ...]
    tried: int = 0  #: inputs that the search for witnesses ran

    @property
    def verdict(self) -> str:
        """The worst of the layers: `proved` if no input of the domain leaves any width."""
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
