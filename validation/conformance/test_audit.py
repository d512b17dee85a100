"""The statements of `lavadl_ref.audit` on lava-dl's netx, held to an installed lava-dl.

Every file is loaded and run by netx, on Lava's process models in this process: what "loads" gives the integers
of the reference run, what is altered gives others, what is refused raises.
"""

from __future__ import annotations

import importlib
import warnings

import h5py
import numpy as np
import pytest

from lavadl_ref import exchange
from lavadl_ref.audit import audit, netx_weights
from lavadl_ref.deployed import deployment, reference
from lavadl_ref.exchange import Average, Flatten, Input, Network, Neuron, TimeDecimation
from lavadl_ref.exchange.describe import Conv, ConvTranspose, Dense, Pool, Recurrent, Unpool
from lavadl_ref.netx import lava_support
from tests.support import generate, upstream
from tests.support.families import BY_ADAPTATION

pytestmark = [pytest.mark.upstream, pytest.mark.filterwarnings("ignore")]

if not lava_support.available()[0]:
    pytest.skip(lava_support.available()[1], allow_module_level=True)
upstream.slayer()

from lava.proc.io.sink import RingBuffer as Sink  # noqa: E402
from lava.proc.io.source import RingBuffer as Source  # noqa: E402
from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights  # noqa: E402

from lavadl_ref.netx.run.inprocess import Session  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    THEIRS = importlib.import_module("lava.lib.dl.netx.hdf5")
    THEIR_UTILS = importlib.import_module("lava.lib.dl.netx.utils")

STEPS = 120
CUBA = {"current_decay": 1000, "voltage_decay": 300, "threshold": 100}
ADAPTATION = {"threshold_decay": 300, "refractory_decay": 300, "threshold_step": 50}
EXACT = {"sin_decay": 2580, "cos_decay": 3075, "threshold": 60}  #: survives the way through period and decay
INEXACT = {"sin_decay": 3441, "cos_decay": 1987, "threshold": 60}  #: comes out as 3440, 1986
SDNN = {"activation": "relu", "threshold": 6}


def cuba(**more):
    return Neuron("CUBA", {**CUBA, **more})


def rf(kind="RF_PHASE", **more):
    return Neuron(kind, {**EXACT, **more})


def sdnn(**more):
    return Neuron("SDNN", {**SDNN, **more})


def weights(*shape, low=-30, high=50, seed=0):
    return 2 * np.random.default_rng(seed).integers(low, high, shape)


def dense(neuron, outputs=6, inputs=8, seed=0, **more):
    fields = {"weight": weights(outputs, inputs, seed=seed), **more}
    return Dense(shape=(len(fields["weight"]),), neuron=neuron, **fields)


def complex_dense(neuron, **more):
    return dense(neuron, weight_imag=weights(6, 8, seed=1), **more)


def recurrent(inputs=8, **more):
    fields = {"neuron": cuba(), "weight": weights(6, inputs), "weight_rec": weights(6, 6, seed=2), **more}
    return Recurrent(shape=(6,), **fields)


def image(neuron=None, **more):
    return Input(shape=(2, 6, 5), neuron=neuron, **more)


def conv(neuron, **more):
    return Conv(shape=(3, 4, 3), neuron=neuron, **{"weight": weights(3, 2, 3, 3, low=-10, high=16), **more})


FORGETFUL = {"current_decay": 4096, "voltage_decay": 4096}
CHANGES = Input(shape=(8,), neuron=sdnn())
BIAS = np.array([90, -40, 0, 120, 30, 10])
DELAY = np.array([1, 0, 3, 2, 5, 1])
ONES = np.ones((2, 3, 4, 3), np.int64)
MIXED = 255 * np.eye(6, 8, dtype=np.int64)
MIXED[0, 1] = -4

#: Layers of a file, and words of the finding where it does not simply load.
LOADS = {
    "dense": [dense(cuba())],
    "decays per channel": [dense(cuba(current_decay=np.arange(6) * 300, voltage_decay=np.arange(6) * 100 + 9))],
    "odd weights": [dense(cuba(), weight=weights(6, 8) // 2 + 1)],
    "excitatory": [dense(cuba(), weight=np.abs(weights(6, 8)))],
    "delay": [dense(cuba(), delay=DELAY), dense(cuba(), inputs=6)],
    "delays of 0": [dense(cuba(), delay=0 * DELAY), dense(cuba(), inputs=6)],
    "one delay": [dense(cuba(threshold=20), outputs=1, delay=DELAY[:1], weight=np.abs(weights(1, 8)))],
    "feedback with delays of 0 and weights that fill 8 bits": [recurrent(6, delay=0 * DELAY, weight=2 * weights(6, 6))],
    "longest delay": [dense(cuba(), delay=DELAY + 57)],
    "bias where nothing is before the start": [Input(shape=(8,), neuron=cuba()), dense(cuba(), bias=BIAS)],
    "bias that leaves no trace": [dense(cuba(voltage_decay=4096, threshold=130), bias=BIAS)],
    "no shift without bias": [dense(cuba(), delay_shift=False), dense(cuba(), inputs=6)],
    "recurrent": [recurrent()],
    "recurrent without feedback": [recurrent(weight_rec=np.zeros((6, 6), np.int64))],
    "resonators": [complex_dense(rf())],
    "izhikevich": [complex_dense(rf("RF_IZHIKEVICH"))],
    "flatten first": [Flatten(shape=(8,)), dense(cuba())],
    "image without neurons": [image(), conv(cuba())],
    "image with neurons": [image(cuba()), conv(cuba())],
    "gain": [image(cuba(), weight=36, bias=34), conv(cuba())],
    "convolution first": [conv(cuba())],
    "convolution with bias": [image(cuba()), conv(cuba(), bias=np.array([30, -9, 60]))],
    "convolution per channel": [image(cuba()), conv(cuba(current_decay=np.array([9, 800, 4096])))],
    "convolution of large weights": [image(cuba()), conv(cuba(threshold=900), weight=5 * weights(3, 2, 3, 3))],
    "convolution of zeros": [image(cuba()), conv(cuba(), weight=np.zeros((3, 2, 3, 3), np.int64))],
    "groups, stride": [
        image(cuba()),
        Conv(shape=(4, 3, 2), weight=weights(4, 1, 2, 3), neuron=cuba(), stride=(2, 2), groups=2),
    ],
    "convolution to dense": [image(cuba()), conv(cuba()), Flatten(shape=(36,)), dense(cuba(threshold=300), inputs=36)],
    "changes": [CHANGES, dense(sdnn()), dense(sdnn(), inputs=6)],
    "changes with delay": [CHANGES, dense(sdnn(), delay=DELAY), dense(sdnn(), inputs=6)],
    "changes from outside": [dense(sdnn()), dense(sdnn(), inputs=6)],
    "sums": [CHANGES, dense(Neuron("SDNN", {"sigma_output": True}))],
    "changes with a bias below 0": [CHANGES, dense(sdnn(), bias=-np.abs(BIAS))],
}  # fmt: skip
ALTERS = {
    "dense without neurons": ([dense(None)], "gets neurons"),
    "weight exponent": ([dense(cuba(weight_exp=1))], "weight_exp 1 ignored"),
    "weight exponent of changes": ([CHANGES, dense(sdnn(weight_exp=-1))], "weight_exp -1 ignored"),
    "weight exponents of resonators": ([complex_dense(rf(weight_exp_imag=2))], "weight_exp 2 ignored"),
    "graded": ([dense(cuba(graded_spike=True))], "graded spikes become 1"),
    "graded resonators": ([complex_dense(rf(graded_spike=True))], "graded spikes become 1"),
    "early bias": ([dense(cuba(), bias=BIAS)], "bias acts from step 0, 1 before"),
    "early bias below 0": ([dense(cuba(), bias=-10 * np.abs(BIAS))], "bias acts from step 0, 1 before"),
    "early bias of changes": ([CHANGES, dense(sdnn(), bias=BIAS)], "bias acts from step 0, 1 before"),
    "bias and delay": (
        [Input(shape=(8,), neuron=cuba()), dense(cuba(), bias=BIAS, delay=DELAY)],
        "delay acts on the weighted sums",
    ),
    "large bias": ([Input(shape=(8,), neuron=cuba()), dense(cuba(), bias=BIAS + 40000)], "wraps"),
    "large bias of changes": ([CHANGES, dense(sdnn(), bias=BIAS - 2**19)], "wraps"),
    "long delay": ([dense(cuba(threshold=20), delay=DELAY + 60, weight=np.abs(weights(6, 8)))], "becomes 62"),
    "convolution with delay": ([image(cuba()), conv(cuba(), delay=np.array([1, 0, 3]))], "delay ignored"),
    "resonators with delay": ([complex_dense(rf(), delay=DELAY)], "delay ignored"),
    "resonators with bias": ([complex_dense(rf(), bias=BIAS, bias_imag=0 * BIAS)], "bias ignored"),
    "resonators with feedback": (
        [recurrent(neuron=rf(), weight_imag=weights(6, 8, seed=1), weight_rec_imag=weights(6, 6, seed=3))],
        "feedback dropped",
    ),
    "rotation": ([complex_dense(rf(**INEXACT))], "3441, 1987 become 3440, 1986"),
    "rotation per channel": (
        [complex_dense(rf(sin_decay=np.array([2580] + [3441] * 5), cos_decay=np.array([3075] + [1987] * 5)))],
        "(5 of 6 channels)",
    ),
    "threshold 0": ([complex_dense(rf("RF_IZHIKEVICH", threshold=0))], "fires at rest from step 0, 1 before"),
    "adaptive resonators": ([complex_dense(rf("ADRF_PHASE", **ADAPTATION))], "loaded as RF_PHASE"),
    "adaptive izhikevich": (
        [complex_dense(rf(BY_ADAPTATION["resonator"].type, **ADAPTATION))],
        "loaded as RF_IZHIKEVICH",
    ),
    "feedback with delay": (
        [recurrent(6, delay=DELAY, weight=2 * weights(6, 6))],
        "delay acts on the weighted sums and on the feedback",
    ),
    "feedback with delays of 0": ([recurrent(6, delay=0 * DELAY)], "weights 2 times as large"),
    "input bias": ([dense(cuba(), input_bias=BIAS)], "inputBias ignored"),
    "input bias beside feedback": ([recurrent(input_bias=BIAS)], "inputBias ignored"),
    "input bias of a convolution": ([image(cuba()), conv(cuba(), input_bias=BIAS[:3])], "inputBias ignored"),
    "identity": ([CHANGES, dense(sdnn(activation="identity"))], "activation identity becomes relu"),
    "other activations": ([CHANGES, dense(sdnn(activation="tanh"))], "activation tanh becomes relu"),
    "cumulated error": ([CHANGES, dense(sdnn(cum_error=True, threshold=90))], "cum_error ignored"),
    "spikes to changes": ([dense(cuba()), dense(sdnn(), inputs=6)], "a spike counts as a message of 1/4096"),
    "changes to spikes": (
        [CHANGES, dense(sdnn()), dense(cuba(threshold=10), inputs=6)],
        "messages of 1/4096 are taken for whole numbers",
    ),
    "large weights": ([dense(cuba(**FORGETFUL, threshold=300), weight=5 * weights(6, 8))], "weights changed"),
    "large excitatory weights": ([dense(cuba(threshold=300), weight=np.abs(5 * weights(6, 8)))], "weights changed"),
    "255 among mixed": (
        [dense(cuba(**FORGETFUL, threshold=254), weight=MIXED)],
        "6 of 48 weights",
    ),
    "time decimation": ([dense(cuba()), TimeDecimation(shape=(6,), factor=2)], "left out"),
}
REFUSES = {
    "alif": ([dense(Neuron("ALIF", {**CUBA, **ADAPTATION}))], "AttributeError"),
    "pool": ([image(cuba()), Pool(shape=(2, 3, 2), weight=ONES[:1, :1, :2, :2], stride=(2, 2), neuron=cuba())], "pool"),
    "unpool": (
        [image(cuba()), Unpool(shape=(2, 12, 10), weight=ONES[:1, :1, :2, :2], stride=(2, 2), neuron=cuba())],
        "unpool",
    ),
    "transposed": ([image(cuba()), ConvTranspose(shape=(3, 9, 7), weight=ONES, neuron=cuba())], "convT"),
    "average": ([dense(cuba()), Average(shape=(2,))], "average"),
    "zeros": ([dense(cuba(), weight=np.zeros((6, 8), np.int64))], "OverflowError"),
    "recurrent zeros": (
        [recurrent(weight=np.zeros((6, 8), np.int64), weight_rec=np.zeros((6, 6), np.int64))],
        "OverflowError",
    ),
    "complex zeros": ([dense(rf(), weight_imag=np.zeros((6, 8), np.int64))], "OverflowError"),
    "convolution without neurons": ([image(cuba()), conv(None)], "KeyError"),
    "complex convolution": ([image(cuba()), conv(rf(), weight_imag=weights(3, 2, 3, 3))], "TypeError"),
    "complex input": ([Input(shape=(8,), neuron=rf()), dense(cuba())], "AttributeError"),
    "feedback and delay": ([recurrent(delay=DELAY)], "ValueError"),
    "feedback and delays of 0": ([recurrent(delay=0 * DELAY)], "ValueError"),
    "feedback and one delay": (
        [Recurrent(shape=(1,), weight=weights(1, 8), weight_rec=np.array([[20]]), neuron=cuba(), delay=DELAY[:1])],
        "ValueError",
    ),
    "sums with a bias": ([CHANGES, dense(sdnn(sigma_output=True), bias=BIAS)], "TypeError"),
    "thresholds per channel": ([CHANGES, dense(sdnn(threshold=np.arange(6)))], "cannot build it"),
    "thresholds of an input": ([Input(shape=(8,), neuron=sdnn(threshold=np.arange(8)))], "cannot build it"),
    "large threshold of changes": ([CHANGES, dense(sdnn(threshold=2**19))], "cannot hold it"),
}


def inputs(network):
    """Lively, reproducible: spikes, messages, or the current of an input layer."""
    first = network.layers[0]
    shape = (2, 6, 5) if isinstance(first, Conv) else (8,)
    if isinstance(first, (Input, Flatten)):
        shape = first.shape
    elif isinstance(first, Dense):
        shape = first.weight.shape[1:]
    rng = np.random.default_rng(7)
    present = rng.random((*shape, STEPS)) < 0.4
    if isinstance(first, Input) and first.neuron is not None:
        return rng.integers(-60, 110, present.shape)
    if isinstance(first, Dense) and first.neuron is not None and first.neuron.type == "SDNN":
        return present * rng.integers(-4096, 4097, present.shape)
    return present.astype(np.int64)


def write(path, network):
    """The file; gain and offset of an input layer as scalars, which netx takes with every NumPy."""
    exchange.write(path, network)
    with h5py.File(path, "a") as file:
        layer = file["layer/0"]
        for key in ("weight", "bias") if isinstance(network.layers[0], Input) else ():
            value = float(layer[key][0])
            del layer[key]
            layer[key] = value


def run_theirs(path, network, x):
    """The output of netx for the file, (\\*shape, T), on Lava's models in this process."""
    first = network.layers[0]
    options = {"input_shape": x.shape[2::-1]} if isinstance(first, Conv) else {}
    driven = isinstance(first, Input) and first.neuron is not None
    if not driven and deployment.input_bits(network.layers):
        options["input_message_bits"] = 16
    net = THEIRS.Network(net_config=str(path), **options)
    port = net.in_layer.neuron.a_in if driven else net.in_layer.inp
    frames = x.reshape(-1, x.shape[-1]) if len(port.shape) == 1 else x.transpose(2, 1, 0, 3)
    source = Source(data=frames.astype(np.int32))
    source.s_out.connect(port)
    out = net.out_layer.out
    sink = Sink(shape=out.shape, buffer=x.shape[-1])
    out.connect(sink.a_in)
    session = Session(source)
    session.run(x.shape[-1])
    return np.moveaxis(session.var(sink.data).T, 0, -1)


@pytest.fixture
def case(tmp_path):
    """Of layers: the network, its file, its input and the audit of the file."""

    def made(layers):
        network = Network(tuple(layers))
        write(tmp_path / "x.net", network)
        x = inputs(network)
        return network, tmp_path / "x.net", x, audit(tmp_path / "x.net", x)

    return made


@pytest.mark.parametrize("name", LOADS)
def test_networks_that_the_audit_calls_loadable_load(name, case):
    network, path, x, found = case(LOADS[name])
    assert found.upstream == "loads", found.layers
    ours = reference.Network(network).run(x).output
    assert ours.any() or "zeros" in name
    np.testing.assert_array_equal(run_theirs(path, network, x), ours)


@pytest.mark.parametrize("name", ALTERS)
def test_networks_that_the_audit_calls_altered_are_altered(name, case):
    layers, words = ALTERS[name]
    network, path, x, found = case(layers)
    assert found.upstream == "alters"
    altered = [finding.text for layer in found.layers for finding in layer.findings if finding.outcome == "alters"]
    assert len(altered) == 1
    assert words in altered[0]
    theirs = run_theirs(path, network, x)
    if found.reference is None:
        ours = reference.Network(network).run(x).output
        assert ours.any()
        assert (theirs != ours).any()


@pytest.mark.parametrize("name", REFUSES)
def test_networks_that_the_audit_calls_refused_are_refused(name, case):
    layers, words = REFUSES[name]
    network, path, x, found = case(layers)
    assert found.upstream == "refuses"
    (refused,) = (f.text for layer in found.layers for f in layer.findings if f.outcome == "refuses")
    assert words in refused
    with pytest.raises(Exception, match=r".") as error:
        run_theirs(path, network, x)
    raised = refused.partition(":")[0]
    if raised.endswith("Error"):
        assert type(error.value).__name__ == raised


def test_weights_are_doubled_where_delays_meet_feedback(case):
    """Twice: no sum is shifted back."""
    network, path, x, found = case([recurrent(6, delay=0 * DELAY)])
    assert found.layers[0].findings[0].text == "weights 2 times as large, because the layer has delays"
    twice = Network((recurrent(6, weight=2 * weights(6, 6), weight_rec=2 * weights(6, 6, seed=2)),))
    np.testing.assert_array_equal(run_theirs(path, network, x), reference.Network(twice).run(x).output)


@pytest.mark.parametrize("seed", range(40))
def test_the_audit_of_random_networks_is_right(seed, tmp_path):
    """A network that the audit calls loadable loads, and one that it calls refused is refused."""
    case = generate.case(seed, steps=40, families=generate.ALL_FAMILIES)
    write(tmp_path / "x.net", case.network)
    found = audit(case.network, case.inputs)
    if found.upstream == "refuses":
        with pytest.raises(Exception, match=r"."):
            run_theirs(tmp_path / "x.net", case.network, case.inputs)
    elif found.upstream == "loads":
        ours = reference.Network(case.network).run(case.inputs).output
        np.testing.assert_array_equal(run_theirs(tmp_path / "x.net", case.network, case.inputs), ours)


@pytest.mark.parametrize(
    ("weight", "count"),
    [
        ([[-64, -2], [-4, -6]], 1),
        ([[-256, -256], [-256, -256]], 4),
        ([[0, -4], [0, -2]], 1),
        ([[-62, -2], [-4, -6]], 0),
    ],
)
def test_the_audit_of_inhibiting_weights_is_right(weight, count, tmp_path):
    """A layer that inhibits 8 that fire on their own."""
    first = Input(shape=(2,), neuron=cuba(threshold=0))
    network = Network((first, dense(None, weight=np.array(weight))))
    assert netx_weights.changed([np.array(weight)]) == count
    texts = [finding.text for finding in audit(network).layers[1].findings]
    assert any("weights changed" in text for text in texts) == bool(count)


RANGES = [(-256, 254), (0, 255), (-256, -1), (-128, 127), (-5, 5), (-256, 0), (1, 31), (-512, 511), (0, 511)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("span", RANGES)
@pytest.mark.parametrize("step", [1, 2, 4])
def test_the_changed_weights_are_counted(span, step, seed, capfd):
    """The count of weights that netx's shift, and then Lava's own clipping and truncation, change."""
    weight = np.random.default_rng(seed).integers(span[0] // step, span[1] // step + 1, (3, 2)) * step
    with np.errstate(divide="ignore"):
        shifted, bits, exponent, _ = THEIR_UTILS.optimize_weight_bits(weight.copy())
    mode = determine_sign_mode(shifted)
    held = truncate_weights(clip_weights(shifted, mode, num_bits=8), mode, int(bits))
    expected = int((np.asarray(held) != weight * 2.0**-exponent).sum())
    assert netx_weights.changed([weight]) == expected


def test_every_rotation_of_lava_is_predicted(tmp_path):
    """Of 4000 sines and cosines, every one."""
    sine, cosine = np.random.default_rng(3).integers(-4096, 4097, (2, 4000))
    sine[:2000], cosine[:2000] = np.abs(sine[:2000]), np.abs(cosine[:2000])
    sine[:20] = cosine[20:40] = 0
    one = np.full((4000, 1), 2)
    neurons = rf(sin_decay=sine, cos_decay=cosine)
    exchange.write(tmp_path / "x.net", Network((dense(neurons, weight=one, weight_imag=one),)))
    theirs = THEIRS.Network(net_config=str(tmp_path / "x.net")).layers[0].neuron
    held = netx_weights.rotation(sine, cosine)
    np.testing.assert_array_equal(held[0], theirs.sin_decay.init)
    np.testing.assert_array_equal(held[1], theirs.cos_decay.init)
    assert ((held[0] != sine) | (held[1] != cosine)).sum() > 1000


def test_a_gain_in_an_array_is_judged_by_numpys_version(tmp_path):
    """NumPy 2.4 no longer makes an integer of an array of one."""
    exchange.write(tmp_path / "x.net", Network((image(cuba()), conv(cuba()))))
    if tuple(map(int, np.__version__.split(".")[:2])) < (2, 4):
        assert len(THEIRS.Network(net_config=str(tmp_path / "x.net")).layers) == 2
    else:
        with pytest.raises(TypeError):
            THEIRS.Network(net_config=str(tmp_path / "x.net"))
    findings = audit(tmp_path / "x.net").layers[0].findings
    assert any("NumPy 2.4" in finding.text for finding in findings)
