"""A Lava process with its arguments, and the seven processes that a layer can have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Generic, TypeVar

from lavadl_ref.deployed.deployment import UnsupportedLayer, refusal

__all__ = ["ProcessSpec", "Processes", "Shape", "UnsupportedLayer", "refusal"]

Shape = tuple[int, ...]
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class ProcessSpec:
    """A process and the arguments it is constructed with."""

    process: str  #: name of the class
    given: Mapping[str, Any] = field(default_factory=dict)  #: arguments that are there
    made: Mapping[str, Callable[[], Any]] = field(default_factory=dict)  #: makers of arguments that may be large
    own: bool = False  #: whether the class is one of `lavadl_ref.netx.processes`; all others are Lava's

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """All arguments; a description of the network does without them, so large ones are made on demand."""
        return {**self.given, **{name: make() for name, make in self.made.items()}}

    def __str__(self) -> str:
        return f"{self.process} (own)" if self.own else self.process


@dataclass(frozen=True, eq=False, kw_only=True)
class Processes(Generic[T]):
    """The processes of one layer, as specifications or as constructed processes; None where it has no such process."""

    synapse: T | None = None  #: the synapse, its real part where there are two; None for an input layer
    imag_synapse: T | None = None  #: the imaginary part of the synapse
    rec_synapse: T | None = None  #: feedback from the layer's own neurons, its real part where there are two
    rec_imag_synapse: T | None = None  #: the imaginary part of the feedback
    neuron: T | None = None  #: None for a layer of bare sums
    offset: T | None = None  #: own `AddBias` where bare sums have a bias
    delay_line: T | None = None  #: own `DelayLine` where the next synapse cannot hold the layer's delay

    @property
    def held(self) -> dict[str, T | None]:
        """All seven by the names above."""
        return {part.name: getattr(self, part.name) for part in fields(Processes)}

    @property
    def present(self) -> dict[str, T]:
        """The processes that the layer has, by the names above."""
        return {name: process for name, process in self.held.items() if process is not None}

    def map(self, function: Callable[[T], U]) -> Processes[U]:
        """The record of ``function(process)`` of each process that the layer has."""
        return Processes(**{name: function(process) for name, process in self.present.items()})
