"""The command ``lavadl-ref export-c``: what it writes, what it prints, and how it ends."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from lavadl_ref import exchange, port
from lavadl_ref.cli import main as cli
from lavadl_ref.exchange import Conv, Dense, Input, Network, Neuron

CUBA = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})


def run(*arguments):
    """The command in this process, lines as wide as they need."""
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(cli.app, ["export-c", *map(str, arguments)])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.net"
    layers = (Input(shape=(6,), neuron=CUBA), Dense(shape=(5,), weight=np.full((5, 6), 20), neuron=CUBA))
    exchange.write(path, Network(layers))
    return path


@pytest.fixture
def open_file(tmp_path):
    """A file that leaves the shape of its input open."""
    path = tmp_path / "open.net"
    layer = Conv(shape=(1, 2, 2), weight=np.full((1, 1, 2, 2), 20), stride=(2, 2), neuron=CUBA)
    exchange.write(path, Network((layer,)))
    return path


def test_the_command_writes_what_the_function_writes(file, tmp_path):
    options = ("--name", "mine", "--reset-interval", 9, "--reset-offset", 2, "--time-base", "lava", "--spike-exp", 4)
    result = run(file, tmp_path / "out", *options, "--input-bias")
    assert result.exit_code == 0, result.stderr
    named = {"name": "mine", "reset_interval": 9, "reset_offset": 2, "time_base": "lava", "spike_exp": 4}
    _, files = port.sources(file, input_bias=True, **named)
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == files
    assert result.stdout.splitlines()[-1] == f"wrote mine.h, mine.c, main.c and Makefile to {tmp_path / 'out'}"


def test_the_command_shows_sizes_and_writes_nothing(file, tmp_path):
    before = sorted(tmp_path.iterdir())
    result = run(file, "--sizes")
    assert result.exit_code == 0
    assert sorted(tmp_path.iterdir()) == before
    cells = [line.strip("│ ").split("│") for line in result.stdout.splitlines() if line.startswith("│")]
    assert [tuple(cell.strip() for cell in row) for row in cells] == list(port.sizes(file).rows)


def test_the_command_takes_the_shape_of_an_open_input(open_file, tmp_path):
    refused = run(open_file, "--sizes")
    assert refused.exit_code == 2
    assert "(--input-shape C,H,W)" in refused.stderr
    assert run(open_file, "--sizes", "--input-shape", "1,5,5").exit_code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "export-c needs either a folder or --sizes, got neither"),
        (("OUT", "--sizes"), "export-c needs either a folder or --sizes, got both"),
        (("--sizes", "--name", "x"), "--name needs a folder, got --sizes"),
        (("OUT", "--reset-offset", "3"), "--reset-offset needs --reset-interval, got it alone"),
        (("OUT", "--name", "1x"), "name must be an identifier of C"),
        (("OUT", "--input-shape", "1,x"), "--input-shape must be C,H,W or N, got 1,x"),
        (("OUT", "--time-base", "x"), "time_base must be one of ('slayer', 'lava'), got 'x'"),
        (("OUT", "--spike-exp", "13"), "spike_exp must be in 0..12, got 13"),
    ],
)
def test_the_command_refuses_what_it_cannot_do_in_one_line(file, tmp_path, options, said):
    result = run(file, *(str(tmp_path / "out") if option == "OUT" else option for option in options))
    (line,) = result.stderr.strip().splitlines()
    assert (result.exit_code, result.stdout) == (2, "")
    assert line.startswith("error: ")
    assert said in line
    assert not (tmp_path / "out").exists()
