"""The examples of the README run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import PATIENCE

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.lava
def test_examples_run_in_order(tmp_path):
    pytest.importorskip("torch")
    from lavadl_ref.netx import lava_support

    if not lava_support.available()[0]:
        pytest.skip(lava_support.available()[1])
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) == 4
    # the Lava process is a second program: it may be the first thing that imports Lava
    for script in ("\n".join(blocks[:2]), blocks[3], blocks[2]):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
    assert "Dense + LIF" in done.stdout or "DelayDense + LIF" in done.stdout


def test_no_figure_is_left_open():
    assert not re.search(r"@[A-Z]+@", README.read_text())


def _rows(text: str) -> list[tuple[str, ...]]:
    """The first five cells of each row of the tables in a Markdown text."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in row[:5]) for row in rows]


def test_every_speed_in_the_table_is_the_one_that_was_measured():
    _, _, behind = README.read_text().partition("## How fast")
    quoted = _rows(behind.partition("\n## ")[0])
    measured = set(_rows((README.parent / "docs" / "benchmarks.md").read_text()))
    assert len(quoted) > 20
    assert [row for row in quoted if row not in measured] == []


def test_every_link_of_the_readme_has_a_target():
    for target in re.findall(r"\]\((?!http)([^)#]+)", README.read_text()):
        assert (README.parent / target).exists(), target
