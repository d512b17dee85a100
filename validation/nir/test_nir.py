"""Other frameworks, in the environment that has them: ``make validate PEERS=1``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lavadl_ref.nir import SOURCES
from tests.support import PATIENCE
from tests.support.tree import ROOT
from validation.nir import __main__ as command
from validation.nir.frameworks import FRAMEWORKS

PEERS = ROOT / ".venv-peers" / "bin" / "python"


def test_frameworks_read_graphs_and_write_their_own(say):
    if not PEERS.exists():
        pytest.skip("needs the environment of other frameworks: make validate PEERS=1")
    done = subprocess.run(
        [PEERS, "-W", "ignore", "-m", "validation.nir"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    for line in done.stdout.splitlines():
        say(line)
    assert done.returncode == 0, done.stdout + done.stderr
    for framework in FRAMEWORKS:
        for name in ("dense", "bias", "recurrent", "conv"):
            assert f"{framework.name}: reads {name}: 0 of " in done.stdout


def test_the_command_says_that_no_framework_is_there(monkeypatch, capsys):
    for name in ("nirtorch", *(framework.module for framework in FRAMEWORKS)):
        monkeypatch.setitem(sys.modules, name, None)
    assert command.main() == 2
    assert capsys.readouterr().out.splitlines() == [f"{framework.name}: is not installed" for framework in FRAMEWORKS]


def test_frameworks_bear_the_names_of_sources():
    assert {framework.name for framework in FRAMEWORKS} < set(SOURCES)
