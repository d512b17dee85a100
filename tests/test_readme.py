"""The README and the page on usage: their examples run as they stand there, and their figures are those measured."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import lavadl_ref
from tests import PATIENCE
from tests.support.tree import ROOT

README = ROOT / "README.md"
USAGE = ROOT / "docs" / "usage.md"
MEASURED = ROOT / "docs" / "benchmarks.md"
PAGES = pytest.mark.parametrize("page", [README, USAGE], ids=lambda page: page.stem)


def _examples(page: Path) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)


def _printed(script: str, folder: Path) -> str:
    """The output of a script that runs in `folder`, where warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=folder, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_of_the_readme_trains_and_proves(tmp_path):
    pytest.importorskip("torch")
    (script,) = _examples(README)
    exact, proved = _printed(f"import torch\ntorch.manual_seed(0)\n{script}", tmp_path).splitlines()
    assert f"print(verify.trained(net.eval(), spikes).exact)  # {exact}: " in script
    assert f'print(proof.prove("digits.net"))  # {proved}\n' in script


@pytest.mark.lava
def test_examples_of_the_usage_page_run_in_order(tmp_path):
    pytest.importorskip("torch")
    from lavadl_ref.netx import lava_support

    if not lava_support.available()[0]:
        pytest.skip(lava_support.available()[1])
    blocks = _examples(USAGE)
    assert len(blocks) == 5
    # the Lava process is a second program: it may be the first thing that imports Lava
    for script in ("\n".join(blocks[:3]), blocks[4], blocks[3]):
        printed = _printed(script, tmp_path)
    assert "Dense + LIF" in printed or "DelayDense + LIF" in printed


def test_the_readme_is_read_in_minutes():
    assert len(README.read_bytes()) <= 6000


# -- figures ------------------------------------------------------------------------------------


@PAGES
def test_no_figure_is_left_open(page):
    assert not re.search(r"@[A-Z]+@", page.read_text())


def _rows(text: str) -> list[tuple[str, ...]]:
    """The first five cells of each row of the tables in a Markdown text."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in row[:5]) for row in rows]


def test_every_speed_in_the_table_is_the_one_that_was_measured():
    _, _, behind = README.read_text().partition("## How fast")
    quoted = _rows(behind.partition("\n## ")[0])
    measured = set(_rows(MEASURED.read_text()))
    assert len(quoted) > 5
    assert [row for row in quoted if row not in measured] == []


def test_ratios_in_the_text_are_those_that_were_measured():
    measured = _rows(MEASURED.read_text())
    ours, _, there = next(row[1:4] for row in measured if row[0].startswith("N-MNIST-like") and "training" in row[0])
    steps = {row[1]: float(row[4]) for row in measured if row[0] == "N-MNIST shapes: training step"}
    scan = steps.pop("JAX, compiled scan of CUBA")
    others = f"{min(steps.values())} to {max(steps.values())} times that"
    assert f"| {float(ours):.0f} ms | {there} times that | {others} |" in README.read_text()

    oxford, tiny = (round(float(row[3])) for row in measured if row[0].endswith(", Lava's runtime"))
    text = " ".join(USAGE.read_text().split())
    assert scan < min(steps.values())
    assert f"is {scan} times as fast as the fastest of them, a compiled JAX scan" in text
    assert f"({oxford} and {tiny} times as fast per step on two networks)" in text


# -- links, commands, versions ------------------------------------------------------------------


def _anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub derives them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@PAGES
def test_every_link_of_a_page_has_a_target(page):
    for link in re.findall(r"\]\((?!http)([^)]+)\)", page.read_text()):
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        assert file.exists(), link
        assert not anchor or anchor in _anchors(file), link


def test_every_command_stands_in_the_table_of_commands():
    typer = pytest.importorskip("typer")
    from lavadl_ref.cli.main import app

    _, _, behind = USAGE.read_text().partition("## Commands")
    listed = set(re.findall(r"^\| `lavadl-ref ([a-z-]+)", behind.partition("\n## ")[0], flags=re.MULTILINE))
    assert listed == set(typer.main.get_command(app).commands)


def test_the_citation_and_the_list_of_changes_name_the_version():
    version = lavadl_ref.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## [{version}] - " in (ROOT / "CHANGELOG.md").read_text()
