"""The result of a comparison."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Found:
    """The objects that were compared, and their differences."""

    counts: dict[str, int] = field(default_factory=dict)  #: by kind
    differences: dict[str, str] = field(default_factory=dict)  #: what is missing or other, by kind and name
    refused: dict[str, str] = field(default_factory=dict)  #: the error that assigning an absent attribute raises

    compared: list[str] = field(default_factory=list)  #: names of the attributes

    def note(self, kind: str, name: str, problem: str | None) -> None:
        """Count one comparison, and keep what it came to."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind == "attribute":
            self.compared.append(name)
        if problem is not None:
            self.differences[f"{kind} {name}"] = problem
