"""The page about RTL: its commands run as they stand there, and its test bench where there is a simulator."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.support import PATIENCE, c_programs
from tests.support.tree import ROOT

DOCS = ROOT / "docs"
PAGE = (DOCS / "rtl.md").read_text()
BLOCKS = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)
COMPILER = pytest.mark.skipif(not c_programs.COMPILERS, reason=c_programs.NO_COMPILER)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A function that runs a block of the page in the folder of all of them."""
    place = tmp_path_factory.mktemp("rtl")
    tools = place / "tools"
    tools.mkdir()
    script = tools / "lavadl-ref"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lavadl_ref.cli.main "$@"\n')
    script.chmod(0o755)
    (tools / "cc").symlink_to(shutil.which(c_programs.COMPILERS[0]))
    paths = [str(ROOT), str(ROOT / "kernels"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "DOCS": str(DOCS),
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "CC": c_programs.COMPILERS[0],
    }

    def block(language, text):
        command = ["sh", "-e", "-c", text] if language == "sh" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, (text, done.stdout, done.stderr)
        return done.stdout

    block.place = place
    return block


@COMPILER
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_commands_about_rtl_end_with_equal_integers(run):
    for package in ("torch", "sklearn", "matplotlib"):
        pytest.importorskip(package)
    said = [run(*block) for block in BLOCKS]
    assert [language for language, _ in BLOCKS] == ["sh"] * 6 + ["python"] + ["sh"] * 2
    assert said[2].startswith("20 of 20 cases exact, ")
    expected = (run.place / "digits-case" / "expected.txt").read_text()
    assert len(expected.splitlines()) == 16
    assert "1" in expected


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="needs the simulator iverilog")
def test_the_test_bench_in_systemverilog_finds_no_difference(run):
    run("sh", "lavadl-ref vectors benches --family CUBA --widths loihi")
    cases = sorted((run.place / "benches" / "CUBA").iterdir())
    assert len(cases) == 10
    for case in cases:
        said = run("sh", f"cd {case} && iverilog -g2012 -I . -o bench {DOCS}/cuba.sv && vvp bench")
        assert said.startswith("0 of "), case.name
