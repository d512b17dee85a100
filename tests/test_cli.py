"""Every command: what it prints, how it ends, and that it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import psutil
from typer.testing import CliRunner

from lavadl_ref import _ending, exchange
from lavadl_ref.cli import doctor
from lavadl_ref.cli import main as cli
from lavadl_ref.deployed import reference
from lavadl_ref.exchange import Conv, Dense, Flatten, Network, Neuron, Pool
from lavadl_ref.netx import lava_support
from lavadl_ref.netx.run import runtime
from tests import PATIENCE
from tests.support.waiting import until, wait_for_actors

USABLE, WHY = lava_support.available()
COMMANDS = [
    *("demo", "verify", "inspect", "audit", "prove", "certify", "doctor", "vectors", "export-c", "nir", "fuzz"),
    "warm",
]
CUBA = Neuron("CUBA", {"threshold": 120, "current_decay": 1000, "voltage_decay": np.array([300, 0, 4096, 55, 9])})
SHARED = Neuron("CUBA", {"threshold": 90, "current_decay": 4096, "voltage_decay": 300})
SCALED = Neuron("CUBA", {**SHARED.parameters, "weight_exp": 1})


def network():
    rng = np.random.default_rng(0)
    first = Dense(
        shape=(5,), neuron=CUBA, weight=2 * rng.integers(-20, 50, (5, 6)), delay=np.array([0, 3, 1, 2, 0])
    )  # fmt: skip
    return Network((first, Dense(shape=(4,), neuron=SHARED, weight=2 * rng.integers(-20, 50, (4, 5)))))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.net"
    exchange.write(path, network())
    return path


def run(*arguments):
    """The command in this process, its streams apart, lines as wide as they need."""
    return CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(cli.app, [str(a) for a in arguments])


def assert_refused(result, *words):
    """Status 2 and one clear line."""
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


# -- help ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Example: lavadl-ref {command}" in result.stdout


def test_help_lists_the_commands():
    result = run("--help")
    assert result.exit_code == 0
    assert all(command in result.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_the_help_are_understood(command, monkeypatch, tmp_path, file):
    """Every option they name exists: only the file is missing."""
    monkeypatch.chdir(tmp_path)
    words = run(command, "--help").stdout.rpartition("Example: lavadl-ref ")[2].split("\n")[0].split()
    if command in ("verify", "inspect", "export-c"):
        assert_refused(run(*words), "digits.net")
    else:
        assert run(*words, "--help").exit_code == 0


# -- verify -------------------------------------------------------------------------------------


def test_the_command_verify_runs_without_lava(file):
    result = run("verify", file, "--steps", 40, "--no-lava")
    assert result.exit_code == 0
    assert result.stdout.count("exact") == 2
    assert "slayer = reference" in result.stdout
    assert "exact (200 integers)" in result.stdout
    assert "exact (160 integers)" in result.stdout
    assert "steps per second: reference" in result.stdout


@pytest.mark.lava
@pytest.mark.skipif(not USABLE, reason=WHY)
def test_the_command_verify_compares_all_paths(file, tmp_path):
    x = (np.random.default_rng(0).random((6, 30)) < 0.4).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    result = run("verify", file, "--input", tmp_path / "x.npy")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("exact") == 4
    assert f"exact ({5 * 30 + 10} integers)" in result.stdout
    assert "30 steps" in " ".join(result.stdout.split())  # a long path breaks the line


def test_verify_says_what_was_not_compared(tmp_path):
    pool = Pool(shape=(1, 2, 2), weight=np.full((1, 1, 2, 2), 64), stride=(2, 2), neuron=SCALED)
    exchange.write(tmp_path / "pool.net", Network((pool,)))
    result = run("verify", tmp_path / "pool.net", "--steps", 20, "--in-process")
    assert result.exit_code == (0 if USABLE else 1)
    assert "slayer: not compared: layer 0 (pool) has a weight exponent" in result.stdout


def test_keys_that_are_not_used_are_named_in_a_note(file):
    import h5py

    with h5py.File(file, "r+") as opened:
        opened["layer/0/neuron/theta"] = 1600
    result = run("verify", file, "--no-lava")
    assert result.exit_code == 0
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("note: ")
    assert line.endswith("theta in layers 0")


def test_verify_reports_widths(tmp_path):
    never = Neuron("CUBA", {"threshold": 2**18 - 1, "current_decay": 0, "voltage_decay": 4096})
    exchange.write(tmp_path / "x.net", Network((Dense(shape=(2,), weight=np.full((2, 64), -256), neuron=never),)))
    np.save(tmp_path / "x.npy", np.ones((64, 30), np.int64))
    result = run("verify", tmp_path / "x.net", "--input", tmp_path / "x.npy", "--no-lava")
    assert "width: layer 0, neuron (0,), step 8: a sum or state left its width (2 neurons in all)" in result.stdout


def test_a_difference_is_status_1_and_shown(file, monkeypatch):
    original = reference.Network.run

    def wrong(self, *arguments, **options):
        result = original(self, *arguments, **options)
        if result.output.shape[-1] == 40:
            result.layers[1].spikes[2, 17] ^= 1
        return result

    monkeypatch.setattr(reference.Network, "run", wrong)
    result = run("verify", file, "--steps", 40, "--no-lava")
    assert result.exit_code == 1
    assert "differs (160 integers)" in result.stdout
    assert "first divergence: layer 1, neuron (2,), step 17: spikes reference" in result.stdout
    assert "step 18: reference current" in result.stdout


def test_nothing_to_compare_is_status_5(file):
    result = run("verify", file, "--no-lava", "--no-slayer")
    assert result.exit_code == 5
    assert "nothing was compared" in result.stdout


def test_a_failing_lava_is_status_3(file, monkeypatch):
    def fail(*_, **__):
        raise runtime.LavaTimeout("network of 2 layers did not finish within 5 s on Lava")

    monkeypatch.setattr(lava_support, "available", lambda: (True, ""))
    monkeypatch.setattr(runtime, "run", fail)
    result = run("verify", file, "--no-slayer")
    assert result.exit_code == 3
    assert result.stderr == "error: network of 2 layers did not finish within 5 s on Lava\n"


def test_resets_are_passed_on(file, monkeypatch):
    result = run("verify", file, "--steps", 40, "--no-lava", "--reset-interval", 8, "--reset-offset", 3)
    assert "slayer: not compared: resets with offset 3 do not begin with the data" in result.stdout


# -- inspect and doctor -------------------------------------------------------------------------


def test_the_command_inspect_lists_the_layers(file):
    result = run("inspect", file)
    assert result.exit_code == 0
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in result.stdout.splitlines()]
    weight = [(int(x.weight.min()), int(x.weight.max())) for x in network().layers]
    assert ["0", "dense", "5", "{}..{}".format(*weight[0]), "-", "0..3", "1", "Dense + LIF"] in rows
    assert ["1", "dense", "4", "{}..{}".format(*weight[1]), "-", "-", "1", "DelayDense + LIF"] in rows
    assert "current_decay 1000 (0.2441), voltage_decay 0..4096, threshold 120 (1.875)" in result.stdout


def test_the_command_inspect_takes_a_file_that_begins_with_a_convolution(tmp_path):
    conv = Conv(shape=(2, 3, 4), weight=np.full((2, 1, 2, 2), 40), neuron=SHARED, bias=np.array([9, -30]))
    last = Dense(shape=(3,), weight=np.full((3, 24), 2), neuron=SHARED)
    exchange.write(tmp_path / "x.net", Network((conv, Flatten(shape=(24,)), last)))
    result = run("inspect", tmp_path / "x.net")
    assert result.exit_code == 0
    assert "2x3x4" in result.stdout
    assert "-30..9" in result.stdout
    assert "Conv + " in result.stdout


def test_inspect_says_what_lava_cannot_run(tmp_path):
    exchange.write(tmp_path / "x.net", Network((exchange.TimeDecimation(shape=(3,), factor=2),)))
    result = run("inspect", tmp_path / "x.net")
    assert result.exit_code == 0
    assert "not available on Lava: layer 0 (time_decimation)" in result.stdout


def test_inspect_shows_both_parts_and_feedback(tmp_path):
    one = np.full((2, 2), 2)
    rotation = {"sin_decay": 700, "cos_decay": 3000, "threshold": np.int64(64)}
    resonators = exchange.Recurrent(
        shape=(2,), weight=one, weight_imag=-one, weight_rec=2 * one, weight_rec_imag=-2 * one,
        bias=np.array([3, 4]), bias_imag=np.array([5, 5]), neuron=exchange.Neuron("RF_PHASE", rotation),
    )  # fmt: skip
    channels = {"activation": "relu", "threshold": np.array([6, 7])}
    changes = exchange.Dense(shape=(2,), weight=one, neuron=exchange.Neuron("SDNN", channels))
    exchange.write(tmp_path / "a.net", exchange.Network((resonators, changes)))
    out = run("inspect", tmp_path / "a.net").stdout
    assert "2, -2i, 4 back, -4i back" in out
    assert "3..4, 5i" in out
    assert "threshold 6..7" in out


def test_the_command_inspect_takes_a_recorded_network(data):
    result = run("inspect", data / "pilotnet_lif" / "network.net")
    assert result.exit_code == 0
    assert "3x66x200" in result.stdout


def test_the_command_doctor_prints_its_findings():
    result = run("doctor", "--no-run")
    assert result.exit_code in (0, 1)
    assert "numpy" in result.stdout
    assert result.stderr == ""


def test_the_command_doctor_says_what_to_type(monkeypatch):
    finding = doctor.report(run_lava=False)[0]
    missing = type(finding)(name="lava-nc", ok=False, value="missing", advice="pip install it")
    monkeypatch.setattr(doctor, "report", lambda run_lava: [finding, missing])
    result = run("doctor")
    assert result.exit_code == 1
    assert "lava-nc: pip install it" in result.stdout


# -- bad files and arguments --------------------------------------------------------------------


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_bad_files_are_refused_by_the_commands(command, file, tmp_path):
    missing, other, cut = tmp_path / "missing.net", tmp_path / "other.net", tmp_path / "cut.net"
    other.write_bytes(b"not a network at all")
    cut.write_bytes(file.read_bytes()[:-700])
    assert_refused(run(command, missing), "missing.net", "No such file")
    assert_refused(run(command, other), "other.net", "must be an HDF5 file")
    assert_refused(run(command, cut), "cut.net", "cut short")
    assert_refused(run(command, tmp_path), "directory")


BAD_INPUT = {
    "fractions": (np.full((6, 9), 0.5), "must be whole numbers, got 0.5"),
    "infinity": (np.full((6, 9), np.inf), "must be whole numbers, got inf"),
    "not a number": (np.full((6, 9), np.nan), "must be whole numbers, got nan"),
    "text": (np.full((6, 9), "1"), "must be a .npy file of integers, got <U1"),
    "objects": (np.full((6, 9), None), "must be a .npy file of integers, got objects"),
    "too many neurons": (np.zeros((7, 9), int), "shape (6, T), one sample without a batch axis, got (7, 9)"),
    "batch": (np.zeros((2, 6, 9), int), "shape (6, T), one sample without a batch axis, got (2, 6, 9)"),
    "one number": (np.int64(3), "got ()"),
    "no steps": (np.zeros((6, 0), int), "at least one step on its last axis, got shape (6, 0)"),
    "large": (np.full((6, 9), 2**40), "must fit in 32 bits"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_refused_by_the_commands(name, file, tmp_path):
    values, message = BAD_INPUT[name]
    np.save(tmp_path / "x.npy", values)
    assert_refused(run("verify", file, "--no-lava", "--steps", 5, "--input", tmp_path / "x.npy"), message[:30])
    assert_refused(run("verify", file, "--no-lava", "--input", tmp_path / "x.npy"), message)


def test_an_input_file_that_is_no_array_is_refused(file, tmp_path):
    path = tmp_path / "x.npy"
    assert_refused(run("verify", file, "--input", path), "No such file", "x.npy")
    np.save(path, np.zeros((6, 9), int))
    whole = path.read_bytes()
    for content in (b"", b"1 0 1", whole[:-9], whole[:40], whole.replace(b"(6, 9)", b"(6, 9,")):
        path.write_bytes(content)
        assert_refused(run("verify", file, "--input", path), "x.npy must be a .npy file of integers")
    np.savez(tmp_path / "x.npz", x=np.zeros((6, 9), int))
    assert_refused(run("verify", file, "--input", tmp_path / "x.npz"), "got an archive (.npz); save the one array")


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify"],
        ["inspect"],
        ["verify", "x.net", "--steps", "0"],
        ["verify", "x.net", "--steps", "many"],
        ["verify", "x.net", "--reset-interval", "0"],
        ["verify", "x.net", "--nothing"],
        ["demo", "--epochs", "0"],
        ["demo", "--samples", "361"],
        ["nothing"],
    ],
)
def test_bad_arguments_are_refused_by_the_commands(arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage: " in result.stderr
    assert "Traceback" not in result.stderr


def test_timeout_must_be_positive(file):
    if not USABLE:
        pytest.skip(WHY)
    assert_refused(run("verify", file, "--timeout", -3, "--no-slayer"), "timeout must be positive, got -3")


def test_the_demo_says_where_nothing_can_be_written(tmp_path):
    (tmp_path / "taken").write_text("")
    assert_refused(run("demo", "--epochs", 1, "--samples", 1, "--no-lava", "--out", tmp_path / "taken"), "taken")


# -- as a program -------------------------------------------------------------------------------


def test_the_installed_program_ends_with_one_line(tmp_path):
    """The installed entry point: one line, no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "lavadl_ref.cli.main", "inspect", "missing.net"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "error: missing.net: cannot be opened: No such file or directory\n"


@pytest.mark.lava
@pytest.mark.skipif(not USABLE, reason=WHY)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_leaves_nothing(number, file):
    with tempfile.TemporaryDirectory() as folder:  # short, as Lava puts a socket inside
        caller = subprocess.Popen(
            [sys.executable, "-m", "lavadl_ref.cli.main", "verify", str(file), "--no-slayer", "--steps", "200000"],
            env={**os.environ, "TMPDIR": folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            family = wait_for_actors(caller)
            (noted,) = Path(folder).glob("lavadl-ref-*/segments")
            segments = noted.read_text().split()
            assert any((_ending.SHARED_MEMORY / name).exists() for name in segments)
            caller.send_signal(number)
            out, errors = caller.communicate(timeout=PATIENCE)
            assert caller.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
            assert out == ""
            assert "Traceback" not in errors
            _, left = psutil.wait_procs(family, timeout=PATIENCE)
            assert [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
            until(lambda: not any((_ending.SHARED_MEMORY / name).exists() for name in segments))
            assert list(Path(folder).iterdir()) == []
        finally:
            caller.kill()
            caller.wait()
