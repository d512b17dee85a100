"""The commands that take many files: each prints what it prints alone, and none stops the others."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from lavadl_ref import exchange
from lavadl_ref.cli import _many
from lavadl_ref.cli import main as cli
from lavadl_ref.exchange import Dense, Network, Neuron
from tests import PATIENCE
from tests.support.waiting import until

#: The reference alone, which needs neither torch nor Lava: status 5.
ALONE = ["verify", "--no-slayer", "--no-lava", "--steps", "20"]


def write(path, size=4, weight=20):
    neuron = Neuron("CUBA", {"threshold": 90, "current_decay": 4096, "voltage_decay": 300})
    exchange.write(path, Network((Dense(shape=(size,), neuron=neuron, weight=np.full((size, 6), weight)),)))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of work, with two networks and a file that is none."""
    monkeypatch.chdir(tmp_path)
    write("a.net")
    write("b.net", 7)
    (tmp_path / "bad.net").write_text("no network")
    return tmp_path


def run(*arguments):
    return CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"}).invoke(cli.app, [str(a) for a in arguments])


def untimed(text):
    """`text` without the speeds, which differ from run to run."""
    return re.sub(r"(?<=reference )[0-9,]+$", "", text, flags=re.M)


@pytest.mark.usefixtures("folder")
def test_many_files_print_what_each_prints_alone():
    names = ["b.net", "a.net", "b.net"]
    together = run(*ALONE, *names, "--jobs", 2)
    alone = [run(*ALONE, name) for name in names]
    assert [one.exit_code for one in alone] == [5, 5, 5]
    assert together.exit_code == 5
    assert untimed(together.stdout) == untimed("".join(one.stdout for one in alone))
    assert together.stderr == ""


@pytest.mark.usefixtures("folder")
def test_a_bad_file_does_not_stop_the_others():
    result = run("audit", "--steps", 20, "a.net", "bad.net", "missing.net", "b.net")
    assert result.exit_code == 2
    assert result.stdout == run("audit", "--steps", 20, "a.net").stdout + run("audit", "--steps", 20, "b.net").stdout
    assert result.stderr == run("audit", "bad.net").stderr + run("audit", "missing.net").stderr
    assert result.stderr.count("error: ") == 2


@pytest.mark.usefixtures("folder")
def test_json_of_many_files_is_a_list():
    options = ["--input", "graded", "--json"]
    result = run("prove", "a.net", "bad.net", "b.net", "-3", "3", *options)
    first, second, third = json.loads(result.stdout)
    assert result.exit_code == max(first["status"], 2)
    alone = run("prove", "a.net", "-3", "3", *options)
    assert first == {"file": "a.net", "status": alone.exit_code, **json.loads(alone.stdout)}
    assert second == {"file": "bad.net", "status": 2, "error": "bad.net: must be an HDF5 file, got other data"}
    assert (third["file"], third["layers"][0]["shape"]) == ("b.net", [7])
    one, two = json.loads(run(*ALONE, "a.net", "b.net", "--json").stdout)
    assert (one["status"], one["steps"], one["exact"], one["compared"]) == (5, 20, False, 0)
    assert (two["layers"][0]["kind"], two["layers"][0]["shape"]) == ("dense", [7])
    assert list(json.loads(run(*ALONE, "b.net", "--json").stdout)) == list(two)[2:]


@pytest.mark.usefixtures("folder")
def test_a_mistake_in_the_options_is_told_once():
    for arguments, said in (
        (["verify", "--input", "x.npy"], "x.npy: No such file"),
        (["prove", "--witness", "x.npy"], "--witness needs one FILE, got 2"),
        (["prove", "--input", "graded"], "--input graded must have two integers"),
        (["prove", "--jsn"], "no option is called so, got --jsn"),
    ):
        result = run(arguments[0], "a.net", "b.net", *arguments[1:])
        assert (result.exit_code, result.stdout) == (2, "")
        (line,) = result.stderr.splitlines()
        assert said in line


@pytest.mark.parametrize(
    ("words", "files", "ends"),
    [
        (["a"], ["a"], []),
        (["a", "-3", "5"], ["a"], [-3, 5]),
        (["a", "7", "b", "0", "3"], ["a", "7", "b"], [0, 3]),
        (["1", "2", "3"], ["1"], [2, 3]),
    ],
)
def test_integers_behind_the_files_are_the_range(words, files, ends):
    assert cli._files_and_ends(words) == (files, ends)


def test_the_exit_status_of_many_is_the_most_severe():
    for order in ([0, 5, 4, 2, 3, 1], [0, 5, 4, 2, 3], [0, 5, 4, 2], [0, 5, 4], [0, 5], [0]):
        assert _many.most_severe(order) == order[-1]
        assert _many.most_severe(order[::-1]) == order[-1]


def test_a_process_that_ends_early_costs_one_file(tmp_path):
    paths = [str(tmp_path / f"{n}.net") for n in range(3)]
    for path in paths:
        write(path)
    options = {"slayer": False, "lava": False, "steps": 50_000}
    outcomes = _many.run(_many.Command("verify", [], options, {}), paths, 1, lambda: cli._bar("verify"))
    first = next(outcomes)
    (worker,) = (p for p in psutil.Process().children() if "lavadl_ref.cli._many_worker" in p.cmdline())
    worker.kill()
    second, third = outcomes
    assert (first.status, second.status, third.status) == (5, 3, 5)
    assert second.err == f"error: {paths[1]}: the process that worked on it ended by SIGKILL\n"
    assert third.file == paths[2]
    assert third.out.startswith(paths[2][:20])
    assert not [p for p in psutil.Process().children() if "lavadl_ref.cli._many_worker" in p.cmdline()]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_many_files_that_are_stopped_leave_no_process(folder, number):
    # so many steps that it is still at work when the signal comes
    program = ["-m", "lavadl_ref.cli", *ALONE[:3], "--steps", "3000000", "a.net", "b.net", "--jobs", "2"]
    caller = subprocess.Popen([sys.executable, *program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: len(psutil.Process(caller.pid).children()) == 2)
        workers = psutil.Process(caller.pid).children()
        caller.send_signal(number)
        out, _ = caller.communicate(timeout=PATIENCE)
        assert (caller.returncode, out) == (128 + number, "")
        _, left = psutil.wait_procs(workers, timeout=PATIENCE)
        assert left == []
    finally:
        caller.kill()
        caller.wait()
