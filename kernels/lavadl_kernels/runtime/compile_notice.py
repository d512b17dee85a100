"""A message while kernels are compiled, which happens once per installation.

On a terminal, the message is a line with the name of the kernel being compiled, which is cleared afterwards.  If
standard error is not a terminal, a process writes one line once compilation has taken some seconds and continues.
Nothing is written if kernels come from the cache on disk, by child processes, or if the program has replaced its
standard error.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from contextlib import suppress
from typing import Any

from lavadl_kernels.runtime import private

TEXT = "compiling kernels, once per installation"
_STANDARD_ERROR = 2  # as a file descriptor
#: Seconds of compilation before a line is written that stays, for example in a log: one small kernel is not worth it.
PATIENCE = 2.0


_event = private.part("numba.core.event", "notice")
_Listener: Any = object if _event is None else _event.Listener


class Notice(_Listener):
    """A listener to Numba's compiler that shows the kernel being compiled, and clears the line when it is done.

    Parameters
    ----------
    total : int, optional
        The number of kernels to compile, if it is known.
    """

    def __init__(self, total: int | None = None) -> None:
        self.total = total
        self.done = 0
        self.seconds = 0.0
        self._kernels: dict[int, str] = {}
        self._begun = 0.0
        self._process = os.getpid()
        self._told = False
        self.silent = False  #: whether to show nothing, for callers that report the compilation themselves

    def watch(self, compiled: Any, name: str) -> None:
        """Register a compiled function as a kernel; other functions are not shown."""
        self._kernels[id(compiled)] = name

    def _name(self, event: Any) -> str | None:
        return self._kernels.get(id(event.data.get("dispatcher")))

    def on_start(self, event: Any) -> None:
        """Show the kernel whose compilation starts."""
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
        """Replace the line on the terminal; without a terminal, write once that kernels are compiled."""
        if self.silent:
            return
        stream = sys.stderr
        # A full disk or a closed pipe must not end the run.
        with suppress(OSError, ValueError, AttributeError):
            if stream.isatty():
                stream.write(f"\r\x1b[K{text}")
                stream.flush()
            elif text and self._is_time() and stream.fileno() == _STANDARD_ERROR:
                self._told = True
                # Bypass the stream: it would buffer text that it cannot write, and fail at exit.
                os.write(_STANDARD_ERROR, f"{TEXT}: this may take some minutes\n".encode())

    def _is_time(self) -> bool:
        child = os.getpid() != self._process or multiprocessing.parent_process() is not None
        return self.seconds >= PATIENCE and not self._told and not child


NOTICE = Notice()
if _event is not None:
    _event.register("numba:compile", NOTICE)
