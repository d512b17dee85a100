"""A line on the terminal while kernels are compiled, which happens once per installation.

Nothing is written where standard error is not a terminal, nor when kernels come from the cache on disk.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from numba.core import event

TEXT = "compiling kernels, once per installation"


class Notice(event.Listener):
    """Shows which kernel is being compiled, and clears its line when that is done.

    Parameters
    ----------
    total : int
        How many there are to compile, if that is known.
    """

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self.done = 0
        self.seconds = 0.0
        self._kernels: dict[int, str] = {}
        self._begun = 0.0

    def watch(self, compiled: Any, name: str) -> None:
        """Take a compiled function for a kernel; other functions are not shown."""
        self._kernels[id(compiled)] = name

    def _name(self, event: Any) -> str | None:
        return self._kernels.get(id(event.data.get("dispatcher")))

    def on_start(self, event: Any) -> None:
        """Show the kernel."""
        name = self._name(event)
        if name is not None:
            self._begun = time.monotonic()
            of = f" of {self.total}" if self.total else ""
            self.show(f"{TEXT}: {self.done + 1}{of}, {name} ({self.seconds:.0f} s)")

    def on_end(self, event: Any) -> None:
        """Clear the line."""
        if self._name(event) is not None:
            self.done += 1
            self.seconds += time.monotonic() - self._begun
            self.show("")

    def show(self, text: str) -> None:
        """Replace the line on the terminal, if there is one."""
        stream = sys.stderr
        if stream is not None and not stream.closed and stream.isatty():
            stream.write(f"\r\x1b[K{text}")
            stream.flush()


NOTICE = Notice()
event.register("numba:compile", NOTICE)
