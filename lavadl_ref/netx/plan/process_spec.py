"""A Lava process and its arguments, and which processes are this package's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lavadl_ref.deployed.deployment import UnsupportedLayer, refusal

__all__ = ["OWN", "ProcessSpec", "Shape", "UnsupportedLayer", "refusal"]

#: Processes of `lavadl_ref.netx.processes`; all others are Lava's.
OWN = frozenset(
    {
        "ExactLIF", "ExactALIF", "ExactRF", "ExactRFIZ", "ExactADRF", "ExactADRFIZ",
        "ExactSigmaDelta", "ExactDelta", "ExactSigma", "ExactSparse", "AddBias",
        "GroupSum", "DelayLine",
    }
)  # fmt: skip

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ProcessSpec:
    """A process and the arguments it is constructed with."""

    process: str  #: class name; those in `OWN` are this package's, the rest Lava's
    given: Mapping[str, Any] = field(default_factory=dict)  #: arguments that are there
    made: Mapping[str, Callable[[], Any]] = field(default_factory=dict)  #: what makes those that may be large

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """All of them; a network is described without."""
        return {**self.given, **{name: make() for name, make in self.made.items()}}

    def __str__(self) -> str:
        return f"{self.process} (own)" if self.process in OWN else self.process
