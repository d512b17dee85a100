"""Head-room, events and operations to the last integer, and the command that prints them."""

from __future__ import annotations

import json
import sysconfig
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from lavadl_kernels import neurons
from typer.testing import CliRunner

from lavadl_ref import exchange
from lavadl_ref.audit import OUTCOMES, Finding, audit, upstream
from lavadl_ref.audit.lava_neurons import loaded_as
from lavadl_ref.audit.measure import free_bits
from lavadl_ref.cli import main as cli
from lavadl_ref.deployed import reference
from lavadl_ref.deployed.fan_out import fan_out, feedback_fan_out
from lavadl_ref.deployed.weighted_sums import weighted_sums
from lavadl_ref.exchange import Average, Flatten, Input, Network, Neuron, TimeDecimation
from lavadl_ref.exchange.describe import Conv, ConvTranspose, Dense, Pool, Recurrent, Unpool
from tests.support import generate

FORGETFUL = Neuron("CUBA", {"current_decay": 4096, "voltage_decay": 4096, "threshold": 5})
#: Spikes at steps 1 and 2 in the first layer, at step 2 in the second.
SMALL = Network(
    (
        Dense(shape=(2,), weight=np.array([[4, -6, 8], [2, 10, -20]]), neuron=FORGETFUL),
        Dense(shape=(1,), weight=np.array([[6, -4]]), neuron=FORGETFUL, delay=np.array([3])),
    )
)
INPUT = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [1, 0, 0, 1]])


def run(*arguments):
    """The command in this process, its streams apart."""
    return CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(cli.app, [str(a) for a in arguments])


@pytest.fixture
def file(tmp_path):
    exchange.write(tmp_path / "small.net", SMALL)
    np.save(tmp_path / "x.npy", INPUT)
    return tmp_path / "small.net"


def room(found, position):
    """Ends met and bits free by quantity."""
    return {r.quantity: (r.smallest, r.largest, r.free) for r in found.layers[position].head_room}


# -- head-room ----------------------------------------------------------------------------------


def test_proved_ranges_stand_beside_what_was_met():
    neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    still = Neuron("CUBA", {"current_decay": 4096, "voltage_decay": 0, "threshold": 2**18 - 1})
    layers = (
        Dense(shape=(1,), weight=np.array([[32, -16]]), neuron=neuron),
        Dense(shape=(1,), weight=np.array([[6]]), neuron=still),
    )
    found = audit(Network(layers), steps=40)
    proved = [{room.quantity: room.proved for room in layer.head_room} for layer in found.layers]
    assert proved[0]["weighted sum"] == (-16, 32)
    assert proved[0]["voltage"] == (-130945, 13149)
    assert proved[1]["voltage"][0] == 0
    assert proved[0]["threshold"] is None
    for layer in found.layers:
        for room in layer.head_room:
            if room.proved is not None:
                low, high = room.proved
                assert low is None or low <= room.smallest
                assert high is None or room.largest <= high


@pytest.mark.parametrize(
    ("low", "high", "smallest", "largest", "free"),
    [
        (-256, 254, 0, 0, None),
        (-256, 254, 0, 254, 0),
        (-256, 254, 0, 127, 1),
        (-256, 254, 0, 128, 0),
        (-256, 254, -256, 0, 0),
        (-256, 254, -128, 127, 1),
        (-256, 254, -257, 1, -1),
        (-256, 254, 0, 255, -1),
        (-256, 254, 0, 511, -2),
        (-256, 254, 1, 1, 7),
        (0, 63, 0, 63, 0),
        (0, 63, 0, 64, -1),
        (-(2**23), 2**23 - 1, -(2**23), 5, 0),
        (-(2**23), 2**23 - 1, 0, 2**23, -1),
        (-(2**23), 2**23 - 1, 0, 2**40, -18),
    ],
)
def test_the_free_bits_of_a_range_are_right(low, high, smallest, largest, free):
    assert free_bits(low, high, smallest, largest) == free
    if free is not None:
        assert largest * 2.0**free <= high
        assert smallest * 2.0**free >= low
        assert largest * 2.0 ** (free + 1) > high or smallest * 2.0 ** (free + 1) < low


def test_the_head_room_of_a_network_is_right():
    found = audit(SMALL, INPUT)
    assert room(found, 0) == {
        "weight": (-20, 10, 3),
        "threshold": (5, 5, 22),
        "weighted sum": (-18, 12, 26),
        "current": (-18 * 64, 12 * 64, 12),
        "voltage": (-18 * 64, 12 * 64, 12),  # reset to 0 where it was 12 * 64
    }
    assert room(found, 1) == {
        "weight": (-4, 6, 5),
        "threshold": (5, 5, 22),
        "delay": (3, 3, 4),
        "weighted sum": (-4, 6, 28),
        "current": (-4 * 64, 6 * 64, 14),
        "voltage": (-4 * 64, 6 * 64, 14),
    }


@pytest.mark.parametrize("seed", range(30))
def test_values_before_a_reset_are_found(seed):
    """Graded neurons send them; of neurons that spike, the audit works them out."""
    rng = np.random.default_rng(seed)
    outputs, inputs = 5, 7
    weight, bias = 2 * rng.integers(-30, 60, (2, outputs, inputs)), rng.integers(-60, 90, (2, outputs))
    exponent = {"weight_exp": int(rng.integers(-2, 3))}
    if seed % 2:
        neuron = Neuron("RF_IZHIKEVICH", {"sin_decay": 2000, "cos_decay": 3300, "threshold": 90, **exponent})
        layer = Dense(
            shape=(5,), weight=weight[0], weight_imag=weight[1], bias=bias[0], bias_imag=bias[1], neuron=neuron
        )
    else:
        decays = {"current_decay": 900, "voltage_decay": rng.integers(100, 900, outputs)}
        neuron = Neuron("CUBA", {**decays, "threshold": 90, **exponent})
        layer = Dense(shape=(5,), weight=weight[0], bias=bias[0], neuron=neuron)
    x = (rng.random((inputs, 60)) < 0.3).astype(np.int64)
    graded = replace(layer, neuron=Neuron(neuron.type, {**neuron.parameters, "graded_spike": True}))
    ran = reference.Network(Network((graded,))).run(x, record=reference.RECORDABLE).layers[0]
    name = "imag" if seed % 2 else "voltage"
    assert ran.spikes.any()
    seen = np.concatenate([ran.states[name].ravel(), ran.spikes.ravel()])
    assert room(audit(Network((layer,)), x), 0)[name][:2] == (seen.min(), seen.max())


def test_values_before_a_reset_include_feedback():
    """Two resonators that drive each other: the second runs past its threshold by what the first feeds back."""
    one = np.array([[64, 0], [0, 64]])
    back = np.array([[0, 0], [200, 0]])
    layer = Recurrent(
        shape=(2,), weight=0 * one, weight_imag=one, weight_rec=0 * one, weight_rec_imag=back,
        neuron=Neuron("RF_IZHIKEVICH", {"sin_decay": 0, "cos_decay": 0, "threshold": 50}),
    )  # fmt: skip
    x = np.zeros((2, 5), np.int64)
    x[0, 0] = 1
    found = audit(Network((layer,)), x)
    assert room(found, 0)["weighted sum"][:2] == (0, 200)
    assert room(found, 0)["imag"][:2] == (0, 200 * 64)
    assert found.layers[0].work.events == 2 / 5
    assert found.layers[0].work.operations == (1 * 2 * 2 + 2 * 2 * 2) / 5
    assert found.layers[0].work.macs == 2 * 2 * 2 + 2 * 2 * 2


def test_the_missing_bits_are_reported():
    never = Neuron("CUBA", {"threshold": 2**18 - 1, "current_decay": 0, "voltage_decay": 4096})
    network = Network((Dense(shape=(2,), weight=np.full((2, 64), -256), neuron=never),))
    found = audit(network, np.ones((64, 30), np.int64))
    assert room(found, 0)["current"] == (-29 * 64 * 256 * 64, 0, -2)
    assert room(found, 0)["weight"][2] == 0
    assert len(found.exceeded) == 1
    assert "step 8" in found.exceeded[0]


def test_the_head_room_of_sigma_delta_is_right():
    """Sums of messages of 1/4096 with weights of 1/64; the threshold is 20 bits below its state."""
    changes = Neuron("SDNN", {"activation": "relu", "threshold": 16})
    first = Input(shape=(2,), neuron=changes)
    network = Network((first, Dense(shape=(1,), weight=np.array([[64, -32]]), neuron=changes, bias=np.array([3]))))
    found = audit(network, np.array([[64, 64, 64], [0, 0, 128]]))
    assert room(found, 0)["activation"] == (0, 128 << 12, 31 - 20)
    assert room(found, 1)["weighted sum"] == (0, 64 * 4096, 31 - 19)
    assert room(found, 1)["sigma"] == (0, 64 * 4096, 31 - 19)
    assert room(found, 1)["activation"] == (0, 67 * 4096, 31 - 19)
    assert room(found, 1)["bias"] == (3, 3, 17)
    assert [layer.work.events for layer in found.layers] == [2 / 3, 1 / 3]
    assert found.outside is None


# -- events and operations ----------------------------------------------------------------------


def test_the_work_of_a_network_is_counted():
    found = audit(SMALL, INPUT)
    assert asdict(found.outside) == {"neurons": 3, "events": 6 / 4, "operations": 0.0, "macs": 0}
    assert asdict(found.layers[0].work) == {"neurons": 2, "events": 2 / 4, "operations": 6 * 2 / 4, "macs": 6}
    assert asdict(found.layers[1].work) == {"neurons": 1, "events": 1 / 4, "operations": 2 * 1 / 4, "macs": 2}
    assert asdict(found.totals) == {
        "neurons": 6, "events": 2.25, "operations": 3.5, "macs": 8,
        "events_ratio": 6 / 2.25, "operations_ratio": 8 / 3.5,
    }  # fmt: skip


def test_silence_costs_no_operations():
    totals = audit(SMALL, 0 * INPUT).totals
    assert (totals.events, totals.operations, totals.macs) == (0, 0, 8)
    assert totals.events_ratio is totals.operations_ratio is None


@pytest.mark.parametrize("seed", range(60))
def test_the_fan_out_of_a_layer_is_the_number_of_its_synapses(seed):
    """A message of 1 through weights of 1 adds 1 for every synapse it passes."""
    layers = generate.case(seed).network.layers
    shape = layers[0].shape
    for layer in layers:
        if isinstance(layer, (Conv, ConvTranspose, Pool, Unpool)) and layer is not layers[0]:
            ones = replace(layer, weight=np.ones_like(layer.weight))
            size = int(np.prod(shape))
            impulses = np.eye(size, dtype=np.int64).reshape(1, size, *shape)
            silent = np.zeros_like(impulses)
            sums = weighted_sums(ones, np.concatenate([impulses, silent]))[0][1]
            np.testing.assert_array_equal(fan_out(layer, shape).ravel(), sums.reshape(size, -1).sum(1))
        shape = layer.shape


def test_the_fan_out_of_layers_without_weights_is_right():
    real = Dense(shape=(3,), weight=np.zeros((3, 2), np.int64))
    assert fan_out(real, (2,)).tolist() == [3, 3]
    assert fan_out(replace(real, weight_imag=real.weight), (2,)).tolist() == [6, 6]
    assert fan_out(Average(shape=(1,)), (4,)).tolist() == [0] * 4
    assert feedback_fan_out(real) == 0
    assert feedback_fan_out(Recurrent(shape=(3,), weight=real.weight, weight_rec=np.zeros((3, 3)))) == 3


def test_a_convolution_with_padding_is_counted_exactly():
    """3 x 3 around 2 x 2: every input meets all 4 windows, of 9 taps each 4 are inside."""
    conv = Conv(shape=(5, 2, 2), weight=np.ones((5, 1, 3, 3), np.int64), padding=(1, 1), neuron=FORGETFUL)
    found = audit(Network((Input(shape=(1, 2, 2), neuron=FORGETFUL), conv)), np.full((1, 2, 2, 3), 60))
    assert found.layers[1].work.macs == 5 * 4 * 4
    assert found.layers[1].work.operations == 5 * 4 * 4


# -- everything else of a layer ------------------------------------------------------------------


def test_the_audit_describes_each_layer():
    found = audit(SMALL, INPUT)
    first, second = found.layers
    assert (first.kind, first.shape, first.family, first.becomes) == ("dense", (2,), "CUBA", "Dense + LIF")
    assert second.becomes == "Dense + LIF + DelayLine (own)"
    assert second.options == ("delay",)
    assert (found.upstream, found.lava, found.reference, found.steps) == ("loads", None, None, 4)


def test_the_worst_finding_is_found():
    assert upstream.worst(()) == "loads"
    findings = [Finding(outcome, "") for outcome in OUTCOMES]
    assert upstream.worst(tuple(findings)) == "refuses"
    assert upstream.worst(tuple(findings[:2])) == "alters"


def test_a_network_that_does_not_run():
    network = Network((*SMALL.layers[:1], TimeDecimation(shape=(2,), factor=2)))
    found = audit(network)
    assert "layer 1 (time_decimation)" in found.reference
    assert "layer 1 (time_decimation)" in found.lava
    assert found.layers[1].upstream == "alters"
    assert set(room(found, 0)) == {"weight", "threshold"}
    assert found.totals is found.outside is found.layers[0].work is None


def test_the_random_input_is_that_of_its_arguments():
    assert audit(SMALL).steps == 64
    assert audit(SMALL, steps=9) == audit(SMALL, steps=9, seed=0)
    assert audit(SMALL, steps=9) != audit(SMALL, steps=9, seed=1)
    assert audit(SMALL, INPUT, steps=2) == audit(SMALL, INPUT[:, :2])


@pytest.mark.parametrize("seed", range(12))
def test_an_audit_of_every_family_is_complete(seed):
    """Nothing is left out, nothing changes a second time, and what did not leave a width has room in it."""
    case = generate.case(seed, steps=20, families=generate.ALL_FAMILIES)
    found = audit(case.network, case.inputs)
    assert found == audit(case.network, case.inputs)
    assert json.loads(json.dumps(asdict(found)))["upstream"] == found.upstream
    for layer, described in zip(found.layers, case.network.layers, strict=True):
        assert (layer.work is None) == isinstance(described, Flatten)
        states = {r.quantity: r for r in layer.head_room if r.quantity in reference.RECORDABLE}
        if not found.exceeded:
            assert all(r.free is None or r.free >= 0 for r in states.values())
        assert bool(states) == (described.neuron is not None)


# -- the command --------------------------------------------------------------------------------


def test_the_help_of_audit_has_an_example():
    result = run("audit", "--help")
    assert result.exit_code == 0
    assert "Example: lavadl-ref audit digits.net --steps 100" in result.stdout


def test_the_audit_shows_its_tables(file, tmp_path):
    result = run("audit", file, "--input", tmp_path / "x.npy")
    assert result.exit_code == 0, result.stderr
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in result.stdout.splitlines()]
    assert ["0", "dense", "2", "CUBA", "-", "Dense + LIF", "loads"] in rows
    assert ["0", "weight", "-256..254", "-20..10", "3", "-"] in rows
    assert ["-", "outside", "-", "3", "1.50", "0.00", "0"] in rows
    assert ["1", "dense", "1", "1", "0.25", "0.50", "2"] in rows
    assert ["all", "", "", "6", "2.25", "3.50", "8"] in rows
    assert ["", "", "", "", "2.67x less", "2.29x less", ""] in rows


def test_the_audit_prints_json(file, tmp_path):
    result = run("audit", file, "--input", tmp_path / "x.npy", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == json.loads(json.dumps(asdict(audit(SMALL, INPUT))))


def test_the_audit_takes_steps_seed_and_rate(file):
    result = run("audit", file, "--steps", 9, "--seed", 3, "--rate", 0.5, "--json")
    expected = audit(SMALL, steps=9, seed=3, rate=0.5)
    assert json.loads(result.stdout) == json.loads(json.dumps(asdict(expected)))
    assert expected.random == "random spikes, rate 0.5, seed 3"
    assert expected.outside.events > audit(SMALL, steps=9, seed=3, rate=0.1).outside.events


def test_a_random_input_is_in_the_title(file, tmp_path):
    told = "9 steps of random spikes, rate 0.5, seed 3"
    out = run("audit", file, "--steps", 9, "--seed", 3, "--rate", 0.5).stdout
    assert told in " ".join(out.split())  # a long path breaks the line
    assert "steps of random" not in run("audit", file, "--input", tmp_path / "x.npy").stdout
    assert audit(SMALL, INPUT).random is None


def test_what_does_not_run_is_said(tmp_path):
    exchange.write(tmp_path / "x.net", Network((*SMALL.layers[:1], TimeDecimation(shape=(2,), factor=2))))
    result = run("audit", tmp_path / "x.net")
    assert result.exit_code == 0
    assert "alters: left out" in result.stdout
    assert "not run: layer 1 (time_decimation)" in result.stdout
    assert "not available on Lava: layer 1 (time_decimation)" in result.stdout


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((4, 9), int), "shape (3, T)"),
        (np.zeros((2, 3, 9), int), "without a batch axis, got (2, 3, 9)"),
        (np.full((3, 9), 0.5), "must be whole numbers"),
        (np.zeros((3, 0), int), "at least one step on its last axis"),
        (np.int64(3), "got ()"),
    ],
)
def test_bad_input_of_the_audit_is_refused(values, words, file, tmp_path):
    np.save(tmp_path / "y.npy", values)
    result = run("audit", file, "--input", tmp_path / "y.npy")
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_bad_files_and_arguments_of_the_audit_are_refused(tmp_path, file):
    result = run("audit", tmp_path / "missing.net")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "No such file" in result.stderr
    for arguments in (["audit"], ["audit", file, "--steps", 0], ["audit", file, "--seed", -1]):
        assert run(*arguments).exit_code == 2
    with pytest.raises(ValueError, match="steps must be at most 4, which the input has, got 5"):
        audit(SMALL, INPUT, steps=5)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        audit(SMALL, steps=0)


# -- files of Lava-DL ---------------------------------------------------------------------------


def test_the_audit_of_a_recorded_network_is_right(data):
    found = audit(data / "tinynet" / "tiny.net", steps=4)
    assert found.upstream == "loads"
    assert [layer.work.neurons for layer in found.layers] == [768, 864, 36]
    assert [layer.work.macs for layer in found.layers] == [0, 864 * 75, 36 * 600]


def test_the_audit_of_pilotnet_counts_its_neurons():
    """43,117 neurons, as Lava-DL's tutorial counts; of 7,306,062 operations that it estimates 5,071,110 exist."""
    netx = Path(sysconfig.get_paths()["purelib"]) / "tests" / "lava" / "lib" / "dl" / "netx"
    path = netx / "gts" / "pilotnet_sdnn" / "network.net"
    if not path.exists():
        pytest.skip("lava-dl with its tests is not installed")
    found = audit(path, steps=2)
    assert (found.totals.neurons, found.totals.macs) == (43_117, 5_071_110)
    assert found.exceeded == ()
    assert found.layers[1].findings[0].text == "bias acts from step 0, 1 before the layer's first input"


@pytest.mark.parametrize("name", exchange.FAMILIES)
def test_netx_loads_families_without_adaptation_and_resonators_as_such(name):
    record = neurons.FAMILIES[name]
    loaded = loaded_as(Neuron(name, {}))
    if record.without_adaptation is None:
        assert loaded == name
    else:
        assert loaded == (record.without_adaptation.name if record.complex else None)
