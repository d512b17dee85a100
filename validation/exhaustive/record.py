"""The record of a run: which blocks of which part are done, kept in a folder, so that a later run goes on from it.

What was found under other sources, other versions or on another processor does not count: a part with such a record
begins anew.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
import torch
from lavadl_kernels.runtime import processor, rounding

from lavadl_ref.exchange import atomic
from validation.exhaustive.checks import DIGEST, Part

FILE = "exhaustive.json"  #: in the folder
#: Features of processors that change compiled code here, by LLVM's names.
FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "neon", "sve")


def setting() -> dict[str, str]:
    """The sources, versions and processor that results hold for."""
    features = [name for name in FEATURES if processor.has(name)]
    way = "rounding toward zero" if rounding.CAN_ROUND_TOWARD_ZERO else "float32 products in two parts"
    return {
        "sources": DIGEST,
        "processor": f"{platform.machine()} with {', '.join(features) or 'no features'}; {way}",
        "Python": platform.python_version(),
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "numpy": np.__version__,
        "torch": torch.__version__,
    }


@dataclass
class Progress:
    """The progress of a part."""

    setting: dict[str, str]
    blocks: int
    done: list[list[int]] = field(default_factory=list)  #: ranges of blocks: [first, behind the last]
    compared: int = 0
    seconds: float = 0.0  #: of all runs together
    threads: int = 0  #: of the last run
    finished: str = ""  #: the day on which it was finished, UTC

    def numbers(self) -> set[int]:
        """The blocks that are done."""
        return {number for first, last in self.done for number in range(first, last)}

    def add(self, numbers: Iterable[int]) -> None:
        """Add blocks to those that are done."""
        self.done = ranges(self.numbers().union(numbers))


def ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Numbers as ranges.

    >>> ranges([5, 1, 2])
    [[1, 3], [5, 6]]
    """
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number:
            found[-1][1] += 1
        else:
            found.append([number, number + 1])
    return found


class Record:
    """The progress of all parts, in a folder.

    Parameters
    ----------
    folder : path
        It is made when the record is kept for the first time.

    Raises
    ------
    ValueError
        If the folder has a record that is none of this program.
    OSError
        If it is no folder, or the record cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(f"the file {folder}")
        self._file = folder / FILE
        self._parts: dict[str, Progress] = {}
        if self._file.exists():
            self._parts = _read(self._file)
        self._setting = setting()

    def of(self, part: Part) -> Progress:
        """The progress of a part, from its beginning if what is there holds for another setting."""
        found = self._parts.get(part.name)
        if found is None or self.outdated(part):
            found = self._parts[part.name] = Progress(self._setting, part.blocks)
        return found

    def outdated(self, part: Part) -> list[str]:
        """The names of what was another when the part was checked; empty also if it was not."""
        found = self._parts.get(part.name)
        if found is None:
            return []
        other = [name for name, value in self._setting.items() if found.setting.get(name) != value]
        return other + ["blocks"] * (found.blocks != part.blocks)

    def keep(self) -> None:
        """Write the record, completely or not at all.

        Raises
        ------
        OSError
            If the folder cannot be made, or the record not written.
        """
        self._file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({name: asdict(progress) for name, progress in self._parts.items()}, indent=1)
        atomic.write_bytes(self._file, text.encode() + b"\n")


def _read(file: Path) -> dict[str, Progress]:
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        found = {name: Progress(**progress) for name, progress in content.items()}
        for progress in found.values():
            progress.numbers()
            progress.setting.items()
            float(progress.seconds), int(progress.compared)
        return found
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} must be a record of this program, got {error}") from error
