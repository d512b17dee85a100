"""A page in a browser without a window."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import PATIENCE

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


def browse(page: Path, folder: Path, output: str, *flags: str) -> tuple[str, bytes]:
    """Open a page, with `folder` for what the browser writes: lines of the page's console, and the bytes of `output`.

    `output` is an option of Chromium that names a file, such as ``--screenshot=out.png``.
    """
    usual = ("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={folder}/p")
    done = subprocess.run(
        [str(CHROMIUM), *usual, *flags, output, page.as_uri()],
        cwd=folder, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return "\n".join(console), (folder / output.partition("=")[2]).read_bytes()
