"""A certificate as plain values, which is all that its page and a check of it read."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

FORMAT, VERSION = "lavadl-ref certificate", 1


@dataclass(frozen=True, eq=False)
class Certificate:
    """All that `certify` found of a file.

    The attribute ``content`` holds plain values; `as_dict` gives a copy. Apart from ``made`` (time, seconds, versions
    and machine) they are the same for the same file and arguments, as long as the same backends can run.
    """

    content: dict[str, Any]

    @property
    def exact(self) -> bool:
        """True if every backend that ran gave the reference's integers in every comparison, and at least one ran."""
        paths = [path for entry in self.content["comparisons"] for path in entry["paths"].values()]
        return bool(paths) and all(path["exact"] for path in paths)

    @property
    def compared(self) -> int:
        """Number of integers compared."""
        return sum(path["compared"] for entry in self.content["comparisons"] for path in entry["paths"].values())

    @property
    def verdict(self) -> str:
        """Verdict of the proof, one of `lavadl_ref.proof.VERDICTS`."""
        return str(self.content["proof"]["verdict"])

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain values for JSON."""
        return copy.deepcopy(self.content)

    def __str__(self) -> str:
        lines = []
        for entry in self.content["comparisons"]:
            told = f"reference on {entry['input']['told']}, {entry['input']['steps']:,} steps"
            for path, found in entry["paths"].items():
                equal = "=" if found["exact"] else "differs from the"
                lines.append(f"{path} {equal} {told} ({found['compared']:,} integers)")
            lines += [f"{path}: not compared: {reason}" for path, reason in entry["skipped"].items()]
        return "\n".join([*lines, f"widths of the device: {self.content['proof']['told']}"])

    def json(self) -> str:
        """The same as a text in JSON, of ASCII characters."""
        return json.dumps(self.content, indent=1, allow_nan=False) + "\n"

    def html(self) -> str:
        """The same as a page that needs no other file, no network and no script."""
        from lavadl_ref.certify import page

        return page.page(self.content)
