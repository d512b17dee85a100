"""A Lava process and its arguments, and which processes are this package's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lavadl_ref.deployment import UnsupportedLayer, refusal

__all__ = ["OWN", "Choice", "Shape", "UnsupportedLayer", "refusal"]

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
class Choice:
    """A process and the arguments it is constructed with."""

    process: str  #: class name; those in `OWN` are this package's, the rest Lava's
    arguments: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.process} (own)" if self.process in OWN else self.process
