"""The tour and the recipes: their Python runs as it stands there, in a folder that holds nothing else."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

from typer.testing import CliRunner

from lavadl_ref.cli import main as cli
from tests import PATIENCE
from tests.support.pages import blocks
from tests.support.tree import ROOT

DOCS = ROOT / "docs"
RECIPES = sorted(path for path in (DOCS / "howto").glob("*.md") if "```python" in path.read_text(encoding="utf-8"))


def run(code, folder, *words):
    """The output of a script that runs in `folder`, where warnings are errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *words],
        cwd=folder, capture_output=True, text=True, timeout=PATIENCE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def command(line):
    """Run a line of a terminal that starts with ``lavadl-ref``; what it prints."""
    first, *words = shlex.split(line)
    assert first == "lavadl-ref"
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, (line, done.output)
    return done.output


def test_the_tour_runs_from_an_empty_folder(tmp_path, monkeypatch):
    code = "\n".join(blocks(DOCS / "tour.md", "python"))
    assert code.count("for epoch in range(20):") == 1
    said = run(code.replace("range(20)", "range(4)"), tmp_path)
    right = re.search(r"^([\d.]+)% of digits", said, re.MULTILINE)
    assert right is not None
    assert float(right[1]) > 80  # 98.6 after all epochs
    assert "110,400 integers compared; all equal: True\n" in said
    assert said.endswith("proved for binary input over 16 steps\n")
    assert (tmp_path / "digit.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.chdir(tmp_path)
    (lines,) = blocks(DOCS / "tour.md", "sh")
    for line in lines.splitlines()[:2]:  # the proof for runs of any length may stay open for what four epochs learn
        command(line)


RUN_ALL = """
import contextlib, io, json, sys
said = {}
for name, code in json.loads(sys.argv[1]).items():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(code, name, "exec"), {"__name__": name})
    said[name] = out.getvalue()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """The output of each recipe, run one after the other in one process: most of its time is that of a start."""
    # the one that replaces modules of Lava-DL is the last
    pages = sorted(RECIPES, key=lambda page: page.stem == "move")
    code = json.dumps({page.stem: "\n".join(blocks(page, "python")) for page in pages})
    return json.loads(run(RUN_ALL, tmp_path_factory.mktemp("recipes"), code))


@pytest.mark.parametrize("page", RECIPES, ids=lambda path: path.stem)
def test_the_code_of_a_recipe_runs_as_it_stands(page, printed, tmp_path, monkeypatch):
    for shown in blocks(page, "text"):
        assert "torchrun" in shown or shown.strip() in printed[page.stem]
    monkeypatch.chdir(tmp_path)
    for lines in blocks(page, "sh"):
        for line in lines.splitlines():
            command(line)


def test_every_recipe_is_listed():
    index = (DOCS / "howto" / "index.md").read_text(encoding="utf-8")
    names = {path.stem for path in (DOCS / "howto").glob("*.md")} - {"index"}
    assert set(re.findall(r"\]\((\w+)\.md\)", index)) == names
    assert len(RECIPES) == len(names)
