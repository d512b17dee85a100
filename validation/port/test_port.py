"""Networks as C programs beside the reference, and beside what Lava-DL recorded on a Loihi 2 chip.

What the recordings are is said where the reference run reproduces them (`validation.conformance.test_recorded`).
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from lavadl_ref import exchange, port
from lavadl_ref.exchange import Network
from tests.support import c_programs
from validation.conformance._recorded import LAYERS, STEPS, load
from validation.port import __main__ as command
from validation.port import networks

pytestmark = pytest.mark.skipif(not c_programs.COMPILERS, reason=c_programs.NO_COMPILER)
#: Of the random networks; the command takes a thousand.
NETWORKS = min(int(os.environ.get("LAVADL_REF_NETWORKS", 40)), 40)


def test_random_networks_as_c_programs_agree_with_the_reference(compared):
    total = networks.Agreement()
    for found in networks.random_networks(NETWORKS, first=5000):
        total.update(found)
    assert total.differences == []
    compared("C", "reference", total.integers, total.networks)


@pytest.mark.parametrize("name", ["tinynet/tiny.net", "pilotnet_lif/network.net"])
def test_files_as_c_programs_agree_with_the_reference(data, compared, name):
    if not (data / name).is_file():
        pytest.skip(f"{data / name} is absent")
    found = networks.file(data / name)
    assert found.differences == []
    compared("C", "reference", found.integers)


def test_the_command_says_how_many_integers_it_compares(capsys):
    assert command.main(["--networks", "2", "--first", "3", "--jobs", "1", "--no-files"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 networks, ")
    assert "integers equal in C and in the reference" in said


def test_the_command_fails_where_an_integer_differs(capsys, monkeypatch):
    usual = c_programs.expected

    def other(network, inputs, **options):
        found = usual(network, inputs, **options)
        found[""][0, -1] += 1
        return found

    monkeypatch.setattr(c_programs, "expected", other)
    assert command.main(["--networks", "1", "--jobs", "1", "--no-files"]) == 1
    assert "different: network 0" in capsys.readouterr().out


# -- what a chip recorded -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(data):
    place = data / "pilotnet_lif"
    if not (place / "network.net").is_file():
        pytest.skip(f"{place} is absent")
    return place


@pytest.fixture(scope="module")
def shown(folder, tmp_path_factory):
    """The program of pilotnet_lif while a picture drives its input as a bias, reset every 17 steps."""
    place = tmp_path_factory.mktemp("pilotnet")
    port.export(folder / "network.net", place, reset_interval=17, input_bias=True)
    picture = load(folder, "image")
    quiet = np.zeros((picture.size, STEPS), int)
    text = f"bias {' '.join(map(str, picture.reshape(-1).tolist()))}\n{c_programs.steps(quiet)}"
    return c_programs.compiled(place, flags=("-O2",)), text


@pytest.mark.parametrize("position", LAYERS)
def test_the_c_program_gives_every_layer_of_a_recording_on_a_chip(folder, shown, position):
    """Every spike and state; where a neuron spikes, the chip shows the voltage 128 instead of 0."""
    program, text = shown
    kind = "conv" if position < 6 else "dense"
    name = f"layer_{position}_{kind}"
    given = dict(c_programs.traces(c_programs.said(program, text, "trace", f"{name}."), STEPS))
    spikes, u, v = (
        load(folder, LAYERS[position] + suffix).reshape(given[f"{name}.sent"].shape) for suffix in ("", "-u", "-v")
    )
    np.testing.assert_array_equal(given[f"{name}.sent"], spikes)
    np.testing.assert_array_equal(given[f"{name}.current"], u)
    np.testing.assert_array_equal(np.where(spikes, 128, given[f"{name}.voltage"]), v)
    assert spikes.any()


def test_the_c_program_gives_the_output_of_a_recording_on_a_chip(folder, tmp_path):
    """The layers behind the input, driven by the spikes that were recorded of it; reset every 16 steps."""
    x = load(folder, "input-s")
    whole = exchange.read(folder / "network.net")
    network = Network(whole.layers[1:], stated_input_shape=x.shape[:-1])
    port.export(network, tmp_path, reset_interval=16, time_base="lava")
    program = c_programs.compiled(tmp_path, flags=("-O2",))
    x = np.concatenate([x, np.zeros_like(x[..., :1])], axis=-1)
    text = c_programs.said(program, c_programs.steps(x), "trace", "layer_9_dense.")
    given = dict(c_programs.traces(text, x.shape[-1]))
    for name, recorded in (("sent", "s"), ("current", "u"), ("voltage", "v")):
        np.testing.assert_array_equal(given[f"layer_9_dense.{name}"], load(folder, f"fc-3-{recorded}"))
    assert given["layer_9_dense.voltage"].min() == -5376
