"""How a tutorial ends before its end: in one line. Imported first, so that this holds while the others are imported.

Ctrl-C, SIGTERM and SIGHUP end the program with status 128 + their number, after `keep` was called; what is missing, or
cannot be read or written, ends it with status 1. Neither shows a traceback. A notebook keeps its own ways.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NOTEBOOK = "ipykernel" in sys.modules

#: What is to be kept of the work that is being done; says where it stands.
_keep: Callable[[], str] | None = None


@contextlib.contextmanager
def keeping(keep: Callable[[], str]) -> Iterator[None]:
    """Call `keep` if the block is interrupted; what it returns is told."""
    global _keep
    before, _keep = _keep, keep
    try:
        yield
    except KeyboardInterrupt:  # where there is no handler of ours
        if not NOTEBOOK:
            end(signal.SIGINT)
        _say()
        raise
    finally:
        _keep = before


def end(number: int, frame: FrameType | None = None) -> NoReturn:
    """Keep what there is to be kept, say so, and end."""
    with _deaf():
        _say()
    raise SystemExit(128 + number)


def _say() -> None:
    global _keep
    keep, _keep = _keep, None
    said = keep() if keep is not None else ""
    print(f"interrupted{said}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Signals are passed over: once is enough, and what is being kept takes no time."""
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
    """One line for what the user can mend: what is missing, or a file or argument that we refuse."""
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
    """Take the signals, and the errors that nobody caught."""
    sys.excepthook = _told
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, end)


if not NOTEBOOK:
    install()
