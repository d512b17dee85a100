"""The end of a tutorial that is interrupted or fails: one line instead of a traceback.

Ctrl-C, SIGTERM and SIGHUP end the program with status 128 + their number, after the function given to `keeping` has
been called. A missing module, or a file that cannot be read or written, ends it with status 1. In a notebook nothing
changes. The tutorials import this module first, so that it also acts while they import the others.
"""

from __future__ import annotations

import builtins
import contextlib
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Whether a notebook runs this. An imported ``ipykernel`` alone does not say so: the tests of the site import it.
NOTEBOOK = hasattr(getattr(builtins, "get_ipython", object)(), "kernel")

#: The function that saves the work in progress, and returns a description of it.
_keep: Callable[[], str] | None = None


@contextlib.contextmanager
def keeping(keep: Callable[[], str]) -> Iterator[None]:
    """Call `keep` if the ``with`` block is interrupted, and print the text that it returns."""
    global _keep
    before, _keep = _keep, keep
    try:
        yield
    except KeyboardInterrupt:  # raised by Python where `install` has not set our handler
        if not NOTEBOOK:
            end(signal.SIGINT)
        _say()
        raise
    finally:
        _keep = before


@contextlib.contextmanager
def telling(checkpoint: Any) -> Iterator[None]:
    """Write a `lavadl_ref.slayer.utils.Checkpoint` if the ``with`` block is interrupted, and say where it stands."""

    def keep() -> str:
        try:
            checkpoint.write()
        except OSError as error:
            return f" {checkpoint.says}; {error.filename}: {error.strerror}"
        return f" {checkpoint.says}; --resume goes on" if checkpoint.says else ""

    with keeping(keep):
        yield


def end(number: int, frame: FrameType | None = None) -> NoReturn:
    """Save the work in progress, print that, and end the program with status 128 + `number`."""
    with _signals_ignored():
        _say()
    raise SystemExit(128 + number)


def _say() -> None:
    global _keep
    keep, _keep = _keep, None
    said = keep() if keep is not None else ""
    print(f"interrupted{said}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """Ignore further signals while the work is saved, which is quick."""
    if NOTEBOOK or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _told(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print one line for an error that the user can mend: a missing module, or a refused file or argument."""
    frames = traceback.extract_tb(trace)
    ours = bool(frames) and "lavadl_ref" in Path(frames[-1].filename).parts
    if not (isinstance(error, (OSError, ImportError)) or (isinstance(error, ValueError) and ours)):
        sys.__excepthook__(kind, error, trace)
        return
    if isinstance(error, ImportError) and not ours:
        said = f"{error}: pip install 'lavadl-ref[pictures]' installs what the tutorials need"
    elif isinstance(error, OSError) and error.filename is not None:
        said = f"{error.filename}: {error.strerror}"
    else:
        said = " ".join(str(error).split())
    here = [frame for frame in frames if Path(frame.filename).parent == Path(__file__).resolve().parent]
    place = f"{Path(here[0].filename).name}:{here[0].lineno}: " if here else ""
    print(f"{place}{said}", file=sys.stderr)


def install() -> None:
    """Handle the signals and uncaught errors of this program."""
    sys.excepthook = _told
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, end)


if not NOTEBOOK:
    install()
