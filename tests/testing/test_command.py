"""``lavadl-ref vectors``: what it prints and how it ends."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lavadl_ref.cli import main as cli
from tests import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = shlex.join([sys.executable, "-m", "tests.support.foreign"])
PATIENTLY = ("--timeout", PATIENCE)


def run(*arguments):
    return CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(cli.app, ["vectors", *map(str, arguments)])


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_command_writes_vectors(tmp_path):
    result = run(tmp_path / "out", "--family", "RF_PHASE", "--family", "CUBA")
    assert result.exit_code == 0
    assert result.stdout.strip() == f"wrote 38 cases below {tmp_path / 'out'}"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "CUBA",
        "RF_PHASE",
        "SHA256SUMS",
        "index.json",
    ]


def test_an_exact_program_passes_the_check():
    result = run("--check", FOREIGN, *PATIENTLY, "--family", "SDNN", "--widths", "loihi")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("10 of 10 cases exact, ")


def test_the_place_where_a_program_differs_is_told():
    result = run("--check", f"{FOREIGN} equality", *PATIENTLY, "--family", "CUBA")
    assert result.exit_code == 1
    assert "first divergence: CUBA/ties-slayer: voltage at step 1, lane 0: expected " in result.stdout
    assert result.stdout.splitlines()[-1].startswith("14 of 20 cases exact, ")


def test_a_program_that_ends_without_an_answer_is_told():
    result = run("--check", f"{sys.executable} -c 0", *PATIENTLY, "--family", "CUBA")
    assert result.exit_code == 1
    assert "stopped: CUBA/usual-slayer: the program ended without an answer, exit status 0" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "vectors needs either a folder or --check CMD, got neither"),
        (("out", "--check", "cat"), "vectors needs either a folder or --check CMD, got both"),
        (("--check", "cat", "--family", "LIF"), "family must be some of CUBA, "),
        (("--check", "cat", "--timeout", "0"), "timeout must be positive, got 0"),
        (("out", "--text"), "--text needs --check, got a folder"),
        (("--check", "cat", "--level", "4"), "level must be in 1..3, got 4"),
        (("--check", "cat", "--suite", "2"), "suite must be in 1..1, got 2"),
        (("--check", "cat", "--level", "3"), "text must be true for levels 2 and 3, got false (--text)"),
        (("--check", "'"), "No closing quotation"),
        (("README.md/x",), "Not a directory"),
    ],
)
def test_bad_arguments_of_the_command_are_refused(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
