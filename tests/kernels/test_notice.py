"""While kernels are compiled a terminal says so all the time, and another standard error once, after some seconds."""

import errno
import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from lavadl_kernels.runtime import compile_notice as _notice

from tests import PATIENCE

SCRIPT = """
import sys
import numpy as np

class Terminal:
    closed = False
    def write(self, text): print(repr(text))
    def flush(self): pass
    def isatty(self): return {terminal}

from lavadl_kernels.ops import delay
sys.stderr = Terminal()
delay.forward(np.ones((3, 2), np.float32), np.array([0, 1]))
"""


@pytest.fixture
def stream(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(_notice, "sys", SimpleNamespace(stderr=stream))
    return stream


@pytest.fixture
def standard_error(stream, monkeypatch):
    """Standard error without a terminal; what was written to it, in order."""
    written = []
    monkeypatch.setattr(stream, "isatty", lambda: False)
    monkeypatch.setattr(stream, "fileno", lambda: 2)
    monkeypatch.setattr(_notice.os, "write", lambda *arguments: written.append(arguments))
    return written


def compile_for(notice, *seconds):
    """Let kernels be compiled that take as many seconds."""
    kernel = object()
    notice.watch(kernel, "cuba._forward")
    for each in seconds:
        notice.on_start(compiling(kernel))
        notice.seconds += each
        notice.on_end(compiling(kernel))


def compiling(kernel):
    return SimpleNamespace(data={"dispatcher": kernel})


def test_each_kernel_is_named_and_the_line_is_cleared(stream):
    notice, kernels = _notice.Notice(total=9), [object(), object()]
    for number, kernel in enumerate(kernels):
        notice.watch(kernel, f"cuba._{number}")
        notice.on_start(compiling(kernel))
        notice.on_end(compiling(kernel))
    clear = "\r\x1b[K"
    assert stream.getvalue() == (
        f"{clear}{_notice.TEXT}: 1 of 9, cuba._0 (0 s){clear}{clear}{_notice.TEXT}: 2 of 9, cuba._1 (0 s){clear}"
    )


def test_other_compiled_functions_are_not_shown(stream):
    notice = _notice.Notice()
    notice.on_start(compiling(object()))
    notice.on_end(compiling(object()))
    assert stream.getvalue() == ""
    assert notice.done == 0


def test_the_notice_without_a_terminal_is_one_line(standard_error):
    notice = _notice.Notice()
    compile_for(notice, 0.5, 0.5)
    compile_for(notice, 2 * _notice.PATIENCE)
    assert standard_error == []  # nothing is compiled any more
    compile_for(notice, 1, 1)
    assert standard_error == [(2, f"{_notice.TEXT}: this may take some minutes\n".encode())]


@pytest.mark.parametrize("child", ["forked", "of multiprocessing"])
def test_children_are_silent_while_they_compile(standard_error, monkeypatch, child):
    notice = _notice.Notice()
    if child == "forked":
        monkeypatch.setattr(_notice.os, "getpid", lambda: 0)
    else:
        monkeypatch.setattr(_notice.multiprocessing, "parent_process", object)
    compile_for(notice, 2 * _notice.PATIENCE, 1)
    assert standard_error == []


@pytest.mark.parametrize("how", ["captured", "closed", "none", "a file without a number"])
def test_the_notice_is_silent_unless_it_is_wanted(standard_error, stream, monkeypatch, how):
    if how == "captured":
        monkeypatch.setattr(stream, "fileno", lambda: 7)
    elif how == "closed":
        closed = io.StringIO()
        closed.close()
        monkeypatch.setattr(_notice.sys, "stderr", closed)
    elif how == "none":
        monkeypatch.setattr(_notice.sys, "stderr", None)
    else:
        monkeypatch.setattr(stream, "fileno", io.StringIO().fileno)
    compile_for(_notice.Notice(), 2 * _notice.PATIENCE, 1)
    assert standard_error == []
    assert stream.getvalue() == ""


@pytest.mark.parametrize("terminal", [False, True])
def test_a_standard_error_that_takes_nothing_does_no_harm(standard_error, stream, monkeypatch, terminal):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_notice.os, "write", full)
    monkeypatch.setattr(stream, "write", full)
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    compile_for(_notice.Notice(), 2 * _notice.PATIENCE, 1)


@pytest.mark.parametrize("terminal", [False, True])
def test_kernels_are_compiled_once_per_installation(tmp_path, terminal):
    def said():
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(terminal=terminal)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True, text=True, timeout=PATIENCE, check=True,
        )  # fmt: skip
        return done.stdout

    first = said()
    assert ("compiling kernels" in first) == terminal
    assert ("1, delay._shift" in first) == terminal
    assert said() == ""
