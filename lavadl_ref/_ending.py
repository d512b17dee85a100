"""Temporary folders, shared memory and processes that must be gone when this process ends, however it ends.

A Python signal handler runs between two instructions of the main thread, which a compiled kernel or a native library
can put off for long.  So a thread waits for the signals too: if the main thread has not unwound after a second, it
removes what is noted here and ends the process.  What a killed process leaves, the next one removes.

Where the system has no locks on files (``fcntl``), nobody can tell what a killed process has left from what another
works in: it stays.  Without POSIX signals Ctrl-C unwinds the main thread as Python lets it, and there is no thread.
"""

from __future__ import annotations

import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None  # type: ignore[assignment]

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
PATIENCE = 1.0  #: seconds that the main thread has to unwind
SHARED_MEMORY = Path("/dev/shm")
SEGMENTS = "segments"  #: the file in a folder that names the shared memory of those who work in it, one a line
_LOCK = ".lock"  # the file in a folder that is locked as long as somebody works in it
_FOLDER = re.compile(r"lavadl-ref-[0-9a-f]{12}")
_SEGMENT = re.compile(r"psm_[0-9a-f]{16}")

Made = TypeVar("Made")


@dataclass(frozen=True)
class Folder:
    """A temporary folder and the descriptor of its lock: a process that inherits the descriptor keeps the folder."""

    path: Path
    lock: int  #: -1 where the system has no locks


@dataclass(eq=False)
class _Watch:
    """The handling of signals while `unwound_by_signals` is in force."""

    usual: dict[int, Any]
    to_the_end: bool = False
    wake: tuple[int, int] = field(default_factory=os.pipe)
    held: int = 0  # more than 0 while the main thread must not be interrupted
    late: int = 0  # the signal that came meanwhile
    unwinding: bool = False

    def handle(self, number: int, frame: FrameType | None = None) -> None:
        """Unwind the main thread, once: a further exception would end what cleans up."""
        if self.to_the_end and number != signal.SIGINT:
            return  # the thread ends the process; an exception that meets a library's native code may abort it
        if self.held:
            self.late = self.late or number
        elif not self.unwinding:
            self.unwinding = True
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def wait(self) -> None:
        """In a thread: end the process where the main thread takes too long; one Ctrl-C may take its time."""
        interrupts, deadline, status = 0, float("inf"), 0
        while True:
            left = None if not status else max(0.0, deadline - time.monotonic())
            if not select.select([self.wake[0]], [], [], left)[0]:
                _end(status)
            for number in os.read(self.wake[0], 64):
                if number == 0:
                    return
                interrupts += number == signal.SIGINT
                if number in self.usual and not status and (number != signal.SIGINT or interrupts > 1):
                    deadline, status = time.monotonic() + PATIENCE * (not self.to_the_end), 128 + number


_watch: _Watch | None = None
_noted: dict[object, Callable[[], None]] = {}
_making = threading.RLock()  # held while something is made and noted; from the end of the process on for ever


@contextmanager
def unwound_by_signals(*, to_the_end: bool = False) -> Iterator[None]:
    """Let SIGTERM, SIGHUP and Ctrl-C unwind the main thread, and end the process where that takes longer than a second.

    SIGTERM and SIGHUP become SystemExit with 128 + their number, Ctrl-C becomes KeyboardInterrupt; for Ctrl-C the time
    begins with the second.  Signals that somebody else handles, or that are ignored, are left alone, and so are all of
    them in another thread or within another such block.

    Parameters
    ----------
    to_the_end : bool
        Whether nothing but the end of the process follows: then SIGTERM, SIGHUP and the second Ctrl-C end it at once,
        without unwinding.
    """
    global _watch
    usual: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    usual = {number: has for number, has in usual.items() if has in (signal.SIG_DFL, signal.default_int_handler)}
    if threading.current_thread() is not threading.main_thread() or _watch is not None or not usual:
        yield
        return
    if os.name != "posix":  # where no thread can wait for a pipe
        yield
        return
    _watch = watch = _Watch(usual, to_the_end)
    os.set_blocking(watch.wake[1], False)
    before = signal.set_wakeup_fd(watch.wake[1], warn_on_full_buffer=False)
    if before != -1:  # an event loop hears of signals; ours are heard of in the main thread alone
        signal.set_wakeup_fd(before)
    thread = threading.Thread(target=watch.wait, name="ending", daemon=True)
    thread.start()
    try:
        for number in usual:
            signal.signal(number, watch.handle)
        yield
    finally:
        if not (to_the_end and watch.unwinding):
            _stand_down(watch, before)
            thread.join()
            for end in watch.wake:
                os.close(end)


def _stand_down(watch: _Watch, wakeup: int) -> None:
    global _watch
    with _uninterrupted():
        for number, has in watch.usual.items():
            signal.signal(number, has)
        if wakeup == -1:
            signal.set_wakeup_fd(-1)
        os.write(watch.wake[1], b"\0")
        _watch = None


def _forget_in_child() -> None:
    """Let a forked process neither report its signals to its parent nor remove what is its parent's."""
    global _watch, _making
    _noted.clear()
    _making = threading.RLock()
    if _watch is not None:
        signal.set_wakeup_fd(-1)
        for number, has in _watch.usual.items():
            signal.signal(number, has)
        _watch = None


if hasattr(os, "register_at_fork"):  # where nothing forks there is none
    os.register_at_fork(after_in_child=_forget_in_child)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put off what a signal does to the main thread until the end of the block."""
    watch = _watch
    if watch is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    watch.held += 1
    try:
        yield
    finally:
        watch.held -= 1
        if watch.late and not watch.held:
            watch.handle(watch.late)


def _end(status: int) -> None:
    """Remove all that is noted and end the process."""
    _making.acquire(timeout=0.3)
    for remove in reversed(list(_noted.values())):
        with suppress(Exception):
            remove()
    if os.isatty(2):
        os.write(2, b"\x1b[?25h\n")  # a progress bar hides the cursor
    os._exit(status)


@contextmanager
def _gone_afterwards(make: Callable[[], Made], remove: Callable[[Made], None]) -> Iterator[Made]:
    """Make something that is removed at the end of the block, or of the process if that comes first."""
    key = object()
    try:
        with _uninterrupted(), _making:
            made = make()
            _noted[key] = lambda: remove(made)
        yield made
    finally:
        with _uninterrupted():
            if key in _noted:
                _noted[key]()
                del _noted[key]


@contextmanager
def session(command: Sequence[str], *, gently: bool = False, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start a program in a process session of its own; afterwards no process of its group is left.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    gently : bool
        Whether it gets SIGTERM first, and half a second to remove what it has made.
    **options
        Further arguments of `subprocess.Popen`.
    """

    def start() -> subprocess.Popen[Any]:
        return subprocess.Popen(command, start_new_session=True, **options)

    with _gone_afterwards(start, _end_session if gently else _kill_session) as child:
        yield child


def _end_session(child: subprocess.Popen[Any]) -> None:
    with suppress(subprocess.TimeoutExpired, OSError):
        child.terminate()
        child.wait(timeout=0.5)
    if child.returncode is None:
        _kill_session(child)


def kill_group(child: subprocess.Popen[Any]) -> None:
    """Kill a program that nobody has waited for, and what it started, where the system keeps them in a group."""
    if hasattr(os, "killpg"):
        os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()


def _kill_session(child: subprocess.Popen[Any]) -> None:
    if child.returncode is not None:  # its number may be another's by now
        return
    kill_group(child)
    child.wait()
    patience = time.monotonic() + 0.5
    while _lives(child.pid) and time.monotonic() < patience:
        time.sleep(0.005)


def _lives(group: int) -> bool:
    """Tell whether a process group has a member that runs; one that only has to be waited for does not."""
    if not hasattr(os, "killpg"):
        return False
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, found = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
            if int(found) == group and state not in "ZX":
                return True
    return False


@contextmanager
def temporary_folder(parent: str | os.PathLike[str] | None = None) -> Iterator[Folder]:
    """Make a folder that is gone afterwards, with the shared memory noted in it.

    If this process is killed, the next one that makes such a folder in the same place removes it, once no process
    that inherited its lock lives any more.

    Parameters
    ----------
    parent : path, optional
        Where it is made; by default where temporary files are.
    """
    place = Path(parent or tempfile.gettempdir())
    remove_left_behind(place)
    folder = None
    try:
        with _gone_afterwards(lambda: _make_folder(place), lambda folder: _remove_folder(folder.path)) as folder:
            yield folder
    finally:
        if folder is not None and folder.lock >= 0:
            os.close(folder.lock)


def remove_left_behind(*places: str | os.PathLike[str]) -> None:
    """Remove the folders that killed processes left in `places`, by default where temporary files are."""
    if fcntl is None:
        return
    for place in places or (tempfile.gettempdir(),):
        with suppress(OSError):
            for entry in os.scandir(place):
                if _FOLDER.fullmatch(entry.name):
                    with suppress(OSError):
                        _remove_if_dead(Path(entry.path))


def _make_folder(parent: Path) -> Folder:
    while True:
        path = parent / f"lavadl-ref-{secrets.token_hex(6)}"
        path.mkdir(mode=0o700)
        if fcntl is None:
            return Folder(path, -1)
        with suppress(FileNotFoundError):  # another process took the folder for one that is left over
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(lock, os.uname().nodename.encode())
            with suppress(OSError):  # a file system without locks, where nobody else can take it either
                fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(lock, path / _LOCK):
                return Folder(path, lock)
            os.close(lock)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _remove_if_dead(path: Path) -> None:
    """Remove a folder of ours whose lock nobody holds; OSError if somebody does."""
    if os.lstat(path).st_uid != os.geteuid():
        return
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        os.rmdir(path)  # killed before it was locked, or after it was emptied
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # locks are seen within one machine, the folder perhaps from others
        if _is_at(lock, path / _LOCK) and os.read(lock, 256) in (b"", os.uname().nodename.encode()):
            _remove_folder(path)
    finally:
        os.close(lock)


def _remove_folder(path: Path) -> None:
    """Remove the shared memory noted in a folder, then what is in it, and its lock last."""
    with suppress(FileNotFoundError):
        for name in (path / SEGMENTS).read_text(errors="replace").split():
            if _SEGMENT.fullmatch(name):
                (SHARED_MEMORY / name).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        while content := [entry for entry in os.scandir(path) if entry.name != _LOCK]:
            for entry in content:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink(missing_ok=True)
        (path / _LOCK).unlink(missing_ok=True)
        path.rmdir()
