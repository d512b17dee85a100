"""The command that writes and reads graphs."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from lavadl_ref import exchange
from lavadl_ref.cli import main as cli
from lavadl_ref.exchange import Dense, Network, Neuron, Pool

pytest.importorskip("nir", reason="needs the package nir")

CUBA = Neuron("CUBA", {"threshold": 90, "current_decay": 4096, "voltage_decay": 4096})
NETWORK = Network((Dense(shape=(3,), weight=np.arange(12).reshape(3, 4) * 20, neuron=CUBA),))
POOL = Network((Pool(shape=(1, 2, 2), weight=np.full((1, 1, 2, 2), 60), neuron=CUBA, stride=(2, 2)),))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    exchange.write("x.net", NETWORK)
    exchange.write("pool.net", POOL)

    def command(*words):
        done = CliRunner().invoke(cli.app, ["nir", *words])
        return done.exit_code, done.output

    return command


def test_the_command_writes_a_graph_and_reads_it(run):
    status, said = run("x.net", "x.nir")
    assert status == 0
    assert said.startswith("same parameters, different spikes")
    assert "0.00% of " in said
    status, said = run("x.nir", "y.net")
    assert (status, said.splitlines()[-1]) == (0, "wrote y.net")
    assert said.startswith("lossless")
    assert exchange.digest(exchange.read("y.net")) == exchange.digest(NETWORK)


def test_a_shape_that_the_file_leaves_open_is_an_option(run):
    assert run("pool.net", "x.nir")[0] == 2
    assert run("pool.net", "x.nir", "--input-shape", "1,4,4")[0] == 0
    assert run("x.nir", "y.net")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("x.net", "y.net"), "OUT must end in .nir, as FILE is a .net file, got y.net"),
        (("x.nir", "y.nir"), "OUT must end in .net, as FILE is a graph, got y.nir"),
        (("x.net", "y.nir", "--from", "nir"), "--from must be left out for a .net file, got x.net"),
        (("x.nir", "y.net", "--opaque"), "--opaque must be left out for a .nir file, got x.nir"),
        (("x.net", "y.nir", "--dt", "0"), "dt must be positive, got 0"),
        (("none.nir", "y.net"), "none.nir: cannot be opened: No such file or directory"),
    ],
)
def test_a_wrong_argument_is_refused(run, words, said):
    assert run("x.net", "x.nir")[0] == 0
    assert run(*words) == (2, f"error: {said}\n")


def test_a_graph_of_others_needs_its_source(run):
    import nir

    each = np.ones(3)
    node = nir.LIF(tau=1e-3 * each, r=10 * each, v_leak=0 * each, v_threshold=each, v_reset=0 * each)
    nir.write("x.nir", nir.NIRGraph.from_list(nir.Linear(np.eye(3) / 3), node))
    status, said = run("x.nir", "y.net")
    assert (status, said.startswith("error: source must be named")) == (2, True)
    status, said = run("x.nir", "y.net", "--from", "spikingjelly")
    assert status == 0
    assert "layer 0: voltage_decay: 3 of 3 rounded" in said
