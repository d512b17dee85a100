"""While kernels are compiled a terminal says so; nothing else does."""

import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from lavadl_kernels import _notice

from tests import PATIENCE

SCRIPT = """
import sys
import numpy as np

class Terminal:
    closed = False
    def write(self, text): print(repr(text))
    def flush(self): pass
    def isatty(self): return {terminal}

from lavadl_kernels import delay
sys.stderr = Terminal()
delay.forward(np.ones((3, 2), np.float32), np.array([0, 1]))
"""


@pytest.fixture
def stream(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(_notice, "sys", SimpleNamespace(stderr=stream))
    return stream


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


def test_what_else_is_compiled_is_not_shown(stream):
    notice = _notice.Notice()
    notice.on_start(compiling(object()))
    notice.on_end(compiling(object()))
    assert stream.getvalue() == ""
    assert notice.done == 0


@pytest.mark.parametrize("how", ["no terminal", "closed", "none"])
def test_silent_without_a_terminal(stream, monkeypatch, how):
    if how == "no terminal":
        monkeypatch.setattr(stream, "isatty", lambda: False)
    elif how == "closed":
        stream.close()
    else:
        monkeypatch.setattr(_notice.sys, "stderr", None)
    _notice.Notice().show("compiling")
    if how == "no terminal":
        assert stream.getvalue() == ""


@pytest.mark.parametrize("terminal", [False, True])
def test_once_per_installation(tmp_path, terminal):
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
