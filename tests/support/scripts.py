"""Python programs in interpreters of their own."""

from __future__ import annotations

import subprocess
import sys

from tests.support import PATIENCE


def python(*arguments, **options) -> str:
    """The standard output of a program, which must succeed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE, **options
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout
