"""A dialogue with another program: one line to its standard input, one line back, within a time limit."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from lavadl_ref import _ending
from lavadl_ref._arguments import brief, positive

LINE_LIMIT = 2**20  #: bytes of an answer: no case has as many
ERROR_LIMIT = 2**26  #: bytes that the program may write to its standard error in all, so that it cannot flood for ever
TAIL = 2000  #: bytes of what it wrote there that are kept, the last ones, and shown
#: Reads that empty a pipe of the largest size that Linux grants any process, if nobody fills it meanwhile.
_PIPE_READS = 32


class DialogueError(RuntimeError):
    """The other program did not start, ended, took too long, or answered something that is not a line."""


def _words(command: str | Sequence[str]) -> list[str]:
    """A command and its arguments."""
    if isinstance(command, str):
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise ValueError(f"command {brief(command)} cannot be split: {error}") from None
    elif isinstance(command, Sequence) and all(isinstance(word, str) for word in command):
        words = list(command)
    else:
        raise TypeError(f"command must be a str or a sequence of str, got {brief(command)}")
    if not words:
        raise ValueError(f"command must not be empty, got {brief(command)}")
    return words


class Dialogue:
    """A program that is asked line by line; a context manager that ends it.

    Memory is bounded whatever the program writes: an answer by `LINE_LIMIT`, and of its standard error `TAIL` bytes
    are kept.

    Parameters
    ----------
    command : str or sequence of str
        Split like a shell would, but run without one.
    timeout : float
        Seconds for one question and its answer.

    Raises
    ------
    DialogueError
        If the program cannot be started.
    TypeError, ValueError
        If `command` is no text or texts, empty, or has an open quote; if `timeout` is not positive.
    """

    def __init__(self, command: str | Sequence[str], timeout: float) -> None:
        words = _words(command)
        if os.name != "posix":
            raise DialogueError(f"cannot run {shlex.join(words)}: this system does not tell which pipes are ready")
        self._timeout = positive("timeout", timeout)
        self._received = bytearray()
        self._tail, self._written = bytearray(), 0  # to its standard error
        try:
            # a session of its own, so that what it starts can be ended with it
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                bufsize=0,
            )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise DialogueError(f"cannot run {shlex.join(words)}: {why}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin, self._stdout, self._stderr = self._process.stdin, self._process.stdout, self._process.stderr
        self._errors_end = False
        for pipe in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(pipe.fileno(), False)

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, line: str, answers: int = 1) -> str:
        """Send `line` and return the line, or so many lines, that come back, both without their ends.

        Raises
        ------
        DialogueError
            If there is no answer in time, the program ended, or it writes too much.
        """
        # A second line of the last answer that comes later than this is taken for the next answer.
        with contextlib.suppress(BlockingIOError):
            self._received += os.read(self._stdout.fileno(), 65536)
        if self._received:
            raise DialogueError(f"answers must be one line each, got another: {bytes(self._received[:60])!r}")
        deadline = time.monotonic() + self._timeout
        outgoing = memoryview(f"{line}\n".encode())
        end = -1  # of the answer
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdin, selectors.EVENT_WRITE)
            selector.register(self._stdout, selectors.EVENT_READ)
            if not self._errors_end:
                selector.register(self._stderr, selectors.EVENT_READ)
            while outgoing or end < 0:
                left = deadline - time.monotonic()
                # a program that writes all the time is always ready, so the clock is asked too
                ready = [key.fileobj for key, _ in selector.select(left)] if left > 0 else []
                if not ready:
                    raise DialogueError(self._told(f"no answer within {self._timeout:g} s"))
                if self._stderr in ready:
                    self._hear()
                    if self._errors_end:
                        selector.unregister(self._stderr)
                    if self._written > ERROR_LIMIT:
                        raise DialogueError(
                            self._told(f"the program wrote more than {ERROR_LIMIT:,} bytes to its standard error")
                        )
                if self._stdin in ready:
                    outgoing = outgoing[self._send(outgoing) :]
                    if not outgoing:
                        selector.unregister(self._stdin)
                if self._stdout in ready:
                    self._receive()
                if end < 0:
                    end = self._end_of(answers)
        answer = bytes(self._received[:end])
        del self._received[: end + 1]
        try:
            return answer.decode()
        except UnicodeDecodeError:
            raise DialogueError(self._told(f"the answer must be a line of text, got {answer[:40]!r}")) from None

    def close(self) -> None:
        """Tell the program that nothing more comes; kill it and what it started unless it ends soon."""
        self._stdin.close()
        self._ended(min(1.0, self._timeout))
        # the process has not been waited for, so that no other group can have its number yet
        _ending.kill_group(self._process)
        self._process.wait()
        self._stdout.close()
        self._stderr.close()

    def _ended(self, seconds: float) -> Any:
        """The exit status of the program, which stays a zombie; None if it has not ended after `seconds`."""
        deadline = time.monotonic() + seconds
        options = os.WEXITED | os.WNOWAIT | os.WNOHANG
        while (found := os.waitid(os.P_PID, self._process.pid, options)) is None and time.monotonic() < deadline:
            # a program whose pipe is full waits until somebody reads it
            if not self._hear():
                time.sleep(0.005)
        return found

    def _hear(self) -> bool:
        """Read from its standard error what has come, up to a limit; tell whether there was any."""
        try:
            data = os.read(self._stderr.fileno(), 65536)
        except BlockingIOError:
            return False
        self._errors_end = not data
        self._written += len(data)
        self._tail = (self._tail + data)[-TAIL:]
        return bool(data)

    def _send(self, data: memoryview) -> int:
        try:
            return os.write(self._stdin.fileno(), data[:65536])
        except BrokenPipeError:
            raise DialogueError(self._told(self._ending())) from None

    def _receive(self) -> None:
        """Read what has come."""
        data = os.read(self._stdout.fileno(), 65536)
        if not data:
            raise DialogueError(self._told(self._ending()))
        self._received += data
        if len(self._received) > LINE_LIMIT:
            raise DialogueError(self._told(f"the answer must be at most {LINE_LIMIT:,} bytes long, got more"))

    def _end_of(self, lines: int) -> int:
        """The position at which the last of so many lines ends, or -1."""
        if self._received.count(b"\n") < lines:
            return -1
        end = -1
        for _ in range(lines):
            end = self._received.find(b"\n", end + 1)
        return end

    def _ending(self) -> str:
        found = self._ended(1.0)
        if found is None:
            return "the program closed its input or output"
        how = "exit status" if found.si_code == os.CLD_EXITED else "signal"
        return f"the program ended without an answer, {how} {found.si_status}"

    def _told(self, message: str) -> str:
        """`message` and the end of what the program wrote to its standard error."""
        for _ in range(_PIPE_READS):
            if not self._hear():
                break
        text = self._tail.decode(errors="replace").strip()
        return f"{message}; it wrote: {text}" if text else message
