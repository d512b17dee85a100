"""The proof of a network: its verdicts, witnesses that are replayed, advice that holds, and the command."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from lavadl_kernels import FAMILIES
from typer.testing import CliRunner

from lavadl_ref import exchange
from lavadl_ref.cli import main as cli
from lavadl_ref.deployed import reference
from lavadl_ref.deployed.weighted_sums import weighted_sums
from lavadl_ref.exchange import Conv, ConvTranspose, Dense, Input, Network, Neuron, Pool, Unpool
from lavadl_ref.proof import EXCEEDED, OPEN, PROVED, Domain, prove
from lavadl_ref.proof.pull_back import pull_back
from tests.support.tree import ROOT

NEVER = (2**18 - 1) * 64  #: the threshold of neurons that are read out, on the scale of voltages
STILL = {"current_decay": 4096, "voltage_decay": 0, "threshold": 2**18 - 1}
SMALL = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
RESONATOR = Neuron("RF_PHASE", {"sin_decay": 2000, "cos_decay": 3560, "threshold": 2**17})


def dense(weight, neuron, **more):
    weight = np.array(weight)
    return Network((Dense(shape=(len(weight),), weight=weight, neuron=neuron, **more),))


def bound(found, quantity, layer=0):
    return next(entry for entry in found.layers[layer].bounds if entry.quantity == quantity)


def run(*arguments):
    return CliRunner(env={"COLUMNS": "300", "NO_COLOR": "1"}).invoke(cli.app, ["prove", *map(str, arguments)])


def test_a_network_within_its_widths_is_proved():
    found = prove(dense([[32, -16]], SMALL))
    assert found.verdict == PROVED
    assert found.tried == 0
    assert [entry.quantity for entry in found.layers[0].bounds] == ["weighted sum", "input", "current", "voltage"]
    assert (bound(found, "weighted sum").smallest, bound(found, "weighted sum").largest) == (-16, 32)


def replayed(network, witness, **options):
    return reference.Network(network, **options).run(witness.inputs).exceeded


def test_an_excess_has_a_witness_that_leaves_the_width():
    network = dense([[100, -3]], Neuron("CUBA", STILL))
    found = prove(network)
    voltage = bound(found, "voltage")
    assert (found.verdict, voltage.verdict) == (EXCEEDED, EXCEEDED)
    assert (voltage.smallest, voltage.largest) == (None, NEVER + 6400)  # one more step below a threshold out of reach
    (excess,) = replayed(network, voltage.witness)
    assert (excess.neuron, excess.step) == (voltage.witness.neuron, voltage.witness.step)
    assert set(np.unique(voltage.witness.inputs)) <= {0, 1}


@pytest.mark.parametrize("angle", [0.4, 1.1])
def test_a_resonator_is_driven_by_the_pattern_of_its_impulse_response(angle):
    radius = 4090
    turn = {"sin_decay": int(radius * np.sin(angle)), "cos_decay": int(radius * np.cos(angle))}
    neuron = Neuron("RF_PHASE", {**turn, "threshold": 2**17})
    weights = {"weight": np.array([[90, -70, 20]]), "weight_imag": np.array([[-40, 60, 90]])}
    network = Network((Dense(shape=(1,), neuron=neuron, **weights),))
    found = prove(network, Domain("graded", -4, 4))
    assert found.verdict == EXCEEDED
    assert replayed(network, bound(found, "real").witness)
    # the bound takes the two parts of the input as independent, which costs up to the square root of 2
    loose = bound(found, "real")
    assert loose.met[1] > 0.7 * loose.largest


def test_a_later_layer_is_driven_through_those_below():
    first = dense(2 * np.eye(3, dtype=int) * 60, SMALL).layers[0]
    second = Dense(shape=(1,), weight=np.array([[90, -100, 90]]), neuron=Neuron("CUBA", STILL))
    found = prove(Network((first, second)))
    assert [layer.verdict for layer in found.layers] == [PROVED, EXCEEDED]
    assert replayed(Network((first, second)), bound(found, "voltage", 1).witness)


def test_nothing_is_claimed_without_a_search():
    found = prove(dense([[100, -3]], Neuron("CUBA", STILL)), tries=0)
    assert (found.verdict, bound(found, "voltage").verdict) == (OPEN, OPEN)
    assert bound(found, "voltage").witness is None


def test_steps_and_resets_end_what_grows():
    network = dense([[100, -3]], Neuron("CUBA", STILL))
    assert prove(network, steps=1000).verdict == PROVED
    assert prove(network, reset_interval=1000, reset_offset=1).verdict == PROVED
    assert prove(network, steps=1311, tries=0).verdict == OPEN


def test_a_picture_that_stays_is_a_domain():
    first = Input(shape=(2,), neuron=Neuron("CUBA", STILL))
    network = Network((first, dense([[32, -16]], SMALL).layers[0]))
    found = prove(network, Domain("bias", 0, 50))
    held = bound(found, "voltage").witness
    assert held.inputs.shape == (2,)
    run = reference.Network(network).run(bias=held.inputs, steps=held.steps)
    assert [entry.layer for entry in run.exceeded] == [0]


def test_every_witness_lies_in_its_domain():
    found = prove(dense([[100, 3]], Neuron("CUBA", STILL)), Domain("graded", 2, 5))
    assert found.verdict == EXCEEDED
    inputs = bound(found, "voltage").witness.inputs
    assert 2 <= inputs.min() <= inputs.max() <= 5


def applied(network, line):
    """The network with the change that a line of advice names, and the options of its proof."""
    layer = network.layers[0]
    words = line.replace(",", "").split()
    if words[0] == "divide":
        shift = int(words[-1]).bit_length() - 1
        less = Neuron(layer.neuron.type, {**layer.neuron.parameters, "threshold": layer.neuron["threshold"] >> shift})
        return Network(
            (replace(layer, weight=np.sign(layer.weight) * (np.abs(layer.weight) >> shift), neuron=less),)
        ), {}
    if words[0] == "run":
        return network, {"steps": int(words[3])}
    name, value = "_".join(words[: words.index("at")]), int(words[words.index("at") + 2])
    return Network((replace(layer, neuron=Neuron(layer.neuron.type, {**layer.neuron.parameters, name: value})),)), {}


@pytest.mark.parametrize(
    "network",
    [
        dense([[100, -3], [5, 5]], Neuron("CUBA", STILL)),
        dense([[120, 100], [-7, 9]], Neuron("CUBA", {**STILL, "voltage_decay": 1, "current_decay": 20})),
        dense([[120, 100]], Neuron("ALIF", {"current_decay": 2, "voltage_decay": 9, "threshold": 2000,
              "threshold_step": 90, "threshold_decay": 4, "refractory_decay": 4})),
    ],
)  # fmt: skip
def test_advice_holds_and_is_the_least_that_does(network):
    found = prove(network, tries=0)
    lines = found.layers[0].advice
    assert len(lines) >= 2
    for line in lines:
        changed, options = applied(network, line)
        assert prove(changed, tries=0, **options).verdict == PROVED, line
    steps = next(int(line.split()[3]) for line in lines if line.startswith("run"))
    assert prove(network, steps=steps + 1, tries=0).verdict == OPEN


def test_an_empty_list_of_advice_is_said():
    neuron = Neuron("CUBA", {**STILL, "weight_exp": -16})
    found = prove(dense([[100_000, 100]], neuron), tries=0)
    said = "no change of weights, one parameter, or the number of steps by itself makes it hold"
    assert found.layers[0].advice == (said,)


WINDOW = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Dense(shape=(3,), weight=np.arange(15).reshape(3, 5) - 7), (5,)),
        (Conv(shape=(4, 3, 3), weight=np.arange(48).reshape(4, 2, 3, 2) - 20, groups=2, **WINDOW), (4, 5, 5)),
        (ConvTranspose(shape=(4, 9, 7), weight=np.arange(48).reshape(4, 2, 3, 2) - 20, groups=2, **WINDOW), (4, 5, 5)),
        (Pool(shape=(2, 3, 3), weight=np.full((1, 1, 2, 2), 3), stride=(2, 2)), (2, 6, 6)),
        (Unpool(shape=(2, 6, 6), weight=np.full((1, 1, 2, 2), 3), stride=(2, 2)), (2, 3, 3)),
    ],
)
def test_pulling_back_is_the_transpose_of_the_weighted_sums(layer, shape):
    rng = np.random.default_rng(0)
    x, wanted = rng.integers(-9, 10, shape), rng.integers(-9, 10, layer.shape)
    sums = weighted_sums(layer, np.stack([x, x])[:, None])[0][1, 0]
    pulled = pull_back(layer, wanted.astype(float), shape)
    assert (pulled * x).sum() == (wanted * sums.reshape(layer.shape)).sum()


# -- the command


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.net"
    exchange.write(path, dense([[32, -16]], SMALL))
    return path


@pytest.fixture
def beyond(tmp_path):
    path = tmp_path / "beyond.net"
    exchange.write(path, dense([[100, -3]], Neuron("CUBA", STILL)))
    return path


def test_the_command_prove_says_what_is_proved(file):
    result = run(file)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith("proved for binary input over any number of steps\n")
    assert "-16 to 32" in result.stdout


def test_exit_statuses_tell_the_verdicts_apart(beyond):
    assert run(beyond).exit_code == cli.DIFFERENT
    assert run(beyond, "--tries", 0).exit_code == cli.OPEN
    assert run(beyond, "--steps", 1000).exit_code == 0
    assert run(beyond, "--input", "graded").exit_code == cli.BAD_INPUT


def test_the_range_of_the_input_may_be_negative(file):
    result = run(file, "--input", "graded", -3, 2)
    assert result.exit_code == 0, result.stderr
    assert "-128 to 112" in result.stdout
    assert "graded -3 to 2 input" in result.stdout


def test_a_witness_is_written_and_found_by_verify(beyond, tmp_path):
    path = tmp_path / "witness.npy"
    assert f"wrote {path}" in run(beyond, "--witness", path).stdout
    assert reference.Network(beyond).run(np.load(path)).exceeded
    said = CliRunner().invoke(cli.app, ["verify", str(beyond), "--input", str(path), "--no-lava", "--no-slayer"]).output
    assert "width: layer 0, neuron (0,)" in said


def test_no_witness_is_written_where_there_is_none(file, tmp_path):
    path = tmp_path / "witness.npy"
    assert "was not written: no input exceeds a width" in run(file, "--witness", path).stdout
    assert not path.exists()


def test_json_has_all_but_the_inputs_of_witnesses(beyond):
    found = json.loads(run(beyond, "--json").stdout)
    assert found["verdict"] == EXCEEDED
    (voltage,) = [entry for entry in found["layers"][0]["bounds"] if entry["quantity"] == "voltage"]
    assert voltage["smallest"] is None
    assert set(voltage["witness"]) == {"steps", "neuron", "step"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--input", "graded", 1), "--input graded must have two integers, LO HI, after it, got 1"),
        (("--input", "binary", 0, 1), "--input binary must have no range, got 2"),
        (("--input", "spikes", 0, 1), "kind of a domain must be one of"),
        (("--input", "graded", 3, 1), "low must be at most high, got 3 and 1"),
        (("--input", "bias", 0, 1), "domain of a bias must have an input layer with neurons first, got a dense layer"),
    ],
)
def test_bad_arguments_of_prove_are_refused(file, arguments, said):
    result = run(file, *arguments)
    assert result.exit_code == cli.BAD_INPUT
    assert said in result.stderr


def test_every_number_of_a_network_that_cannot_run_is_refused(tmp_path):
    late = Neuron("SDNN", {"activation": "tanh", "threshold": 3})
    with pytest.raises(NotImplementedError, match="activation"):
        prove(dense([[1, 1]], late))


def test_the_page_of_proofs_shows_what_its_example_prints(capsys):
    text = (ROOT / "docs" / "proof.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(compile(block, "docs/proof.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "proved for graded -3 to 2 input over any number of steps"
    assert said[0] in block
    assert said[1] == "weighted sum -128 112 24"


def test_a_family_without_a_row_of_bounds_is_open(monkeypatch):
    record = FAMILIES["CUBA"]
    monkeypatch.setitem(FAMILIES, "CUBA", replace(record, reach=None))
    found = prove(dense([[32, -16]], SMALL), tries=2)
    assert bound(found, "weighted sum").verdict == PROVED
    assert (bound(found, "voltage").verdict, bound(found, "voltage").largest) == (OPEN, None)
