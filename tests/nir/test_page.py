"""The page about other frameworks: its commands run as they stand there."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess

import pytest
from typer.testing import CliRunner

from lavadl_ref import exchange
from lavadl_ref.cli import main as cli
from lavadl_ref.nir import SOURCES
from tests.support import PATIENCE
from tests.support.tree import ROOT

pytest.importorskip("nir", reason="needs the package nir")

PAGE = (ROOT / "docs" / "nir.md").read_text()
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)
#: Packages of blocks that `validation.nir` runs.
FRAMEWORKS = {"snntorch", "spikingjelly", "norse"}


@pytest.fixture
def printed(tmp_path, monkeypatch, capsys):
    """The output of all commands of the page, run one after the other in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    found = []
    for language, text in BLOCKS:
        if language == "python" and not set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)) & FRAMEWORKS:
            exec(compile(text, "docs/nir.md", "exec"), {})
            found.append(capsys.readouterr().out)
        for line in text.splitlines() if language == "sh" else ():
            words = shlex.split(line)
            if words[0] == "lavadl-ref":
                done = CliRunner().invoke(cli.app, words[1:])
                assert done.exit_code == 0, (line, done.output)
                found.append(done.output)
            else:
                subprocess.run(words, check=True, timeout=PATIENCE)
    return "".join(found)


def test_the_commands_of_the_page_print_what_it_shows(printed, tmp_path):
    beside = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    shown = [line.strip().removesuffix(", ...)") for line in re.findall(r"^    (.*)$", beside, re.MULTILINE)]
    assert len(shown) == 9
    counted = re.compile(r"[\d.]+% of [\d,]+")  # spikes, of which some may lie right at the threshold
    said = counted.sub("some", printed)
    for line in shown:
        assert counted.sub("some", line) in said, (line, printed)
    assert "graph/dense_1/weight: must agree with the integers" in printed
    assert "layer 1: weight: " in printed
    assert exchange.read(tmp_path / "theirs.net").layers[0].shape == (5,)


def test_the_page_names_every_source():
    named = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE.partition("| `--from` |")[2], re.MULTILINE)
    assert [name.strip("`") for row in named for name in row.split(", ")] == list(SOURCES)


def test_the_blocks_of_frameworks_are_those_that_validation_runs():
    peers = [text for language, text in BLOCKS if "torch" in text and language == "python"]
    assert len(peers) == 3
    assert importlib.util.find_spec("validation.nir") is not None
