"""Traces that Lava-DL recorded, most of them on a Loihi 2 chip, reproduced by the reference run.

Recorded axes are W, H, C, time where nothing else is said.
"""

from __future__ import annotations

import numpy as np
import pytest
from lavadl_kernels.engine import deployed
from lavadl_kernels.neurons import rf_iz

from lavadl_ref import exchange
from lavadl_ref.deployed import reference
from lavadl_ref.exchange import Conv, Dense, Network, Neuron
from validation.conformance._recorded import LAYERS, STEPS, load, rotation, sigma_delta

EVERYTHING = reference.RECORDABLE


# -- one layer, 200 to 256, 2000 steps ----------------------------------------------------------


def test_the_recorded_dense_layer_is_given(data):
    """Decays 4096 and 415, threshold 6; the recorded current is in 1/64."""
    weight, x, out, current = (load(data / "dense", name) for name in ("weight", "in", "out", "current"))
    neuron = Neuron("CUBA", {"current_decay": 4096, "voltage_decay": 415, "threshold": 6})
    network = Network((Dense(shape=(256,), weight=weight, neuron=neuron),))
    run = reference.Network(network).run(x, record=EVERYTHING)
    np.testing.assert_array_equal(run.output, out)
    np.testing.assert_array_equal(run.layers[0].current, current * 64)
    assert run.output.sum() == 1826
    assert run.exceeded == ()


# -- tinynet: the second of the recorded samples of 17 steps ------------------------------------


@pytest.fixture(scope="module")
def tinynet(data):
    """Its folder, and a run driven by the input's bias."""
    folder = data / "tinynet"
    bias = load(folder, "input_bias")
    return folder, reference.Network(folder / "tiny.net", reset_interval=17).run(bias=bias, steps=40, record=EVERYTHING)


@pytest.mark.parametrize(("position", "name"), list(enumerate(["input", "layer1", "output"])))
def test_the_recorded_tinynet_is_given(tinynet, position, name):
    """Layer k's steps 17 + k to 31 + k; the recording, C, H, W as it is, begins one step earlier."""
    folder, run = tinynet
    recorded = np.load(folder / f"{name}.npy")[0]
    began = 17 + position
    np.testing.assert_array_equal(run.layers[position].spikes[..., began : began + 15], recorded[..., 1:])
    assert recorded.any()


def test_the_recorded_current_of_tinynet_is_given(tinynet):
    """The current of the middle layer is in 1/64."""
    folder, run = tinynet
    recorded = np.load(folder / "current.npy")[0]
    np.testing.assert_array_equal(run.layers[1].current[..., 18 : 18 + 15], recorded[..., 1:] * 64)


# -- pilotnet_lif: one picture, recorded layer by layer -----------------------------------------


@pytest.fixture(scope="module")
def pilotnet(data):
    return exchange.read(data / "pilotnet_lif" / "network.net")


@pytest.fixture(scope="module")
def folder(data):
    return data / "pilotnet_lif"


@pytest.fixture(scope="module")
def shown(folder, pilotnet):
    """The network while the picture drives its input as a bias, reset every 17 steps."""
    picture = load(folder, "image")
    return reference.Network(pilotnet, reset_interval=17).run(bias=picture, steps=STEPS, record=EVERYTHING)


def test_the_recorded_input_of_pilotnet_is_given(folder, shown):
    np.testing.assert_array_equal(shown.layers[0].spikes, load(folder, "input"))


@pytest.mark.parametrize("position", LAYERS)
def test_every_recorded_layer_of_pilotnet_is_given(folder, shown, position):
    """Every spike and state; where a neuron spikes, the chip shows the voltage 128 instead of 0."""
    spikes, u, v = (load(folder, LAYERS[position] + suffix) for suffix in ("", "-u", "-v"))
    ran = shown.layers[position]
    np.testing.assert_array_equal(ran.spikes, spikes)
    np.testing.assert_array_equal(ran.current, u)
    np.testing.assert_array_equal(np.where(spikes, 128, ran.voltage), v)
    assert spikes.any()


def test_pilotnet_fits_the_chip(shown):
    assert shown.exceeded == ()


def test_the_input_of_the_other_pilotnet_run_is_given(folder, pilotnet):
    """``input-s`` comes from a run that was reset every 16 steps."""
    first = reference.Network(pilotnet, num_layers=1, reset_interval=16)
    run = first.run(bias=load(folder, "image"), steps=STEPS)
    np.testing.assert_array_equal(run.output, load(folder, "input-s"))


def test_the_output_of_the_other_pilotnet_run_is_given(folder, pilotnet):
    """``fc-3`` is what the layers behind the input make of ``input-s``, biases acting from step 0.

    It has one step more than its input, at which nothing arrives.
    """
    spikes = load(folder, "input-s")
    spikes = np.concatenate([spikes, np.zeros_like(spikes[..., :1])], axis=-1)
    network = reference.Network(pilotnet, skip_layers=1, reset_interval=16, time_base="lava")
    last = network.run(spikes, record=EVERYTHING, layers=[10]).layers[-1]
    np.testing.assert_array_equal(last.current, load(folder, "fc-3-u"))
    np.testing.assert_array_equal(last.voltage, load(folder, "fc-3-v"))
    np.testing.assert_array_equal(last.spikes, load(folder, "fc-3-s"))
    assert last.voltage.min() == -5376


# -- tinynet_sdnn: layers that receive any message as one unit of 1/4096 ------------------------


def test_the_recorded_convolution_of_tinynet_sdnn_is_given(data):
    """Kernel O, W, H, C; the bias acts from step 0."""
    folder = data / "tinynet_sdnn"
    x = np.pad(load(folder, "input") != 0, [(0, 0)] * 3 + [(0, 1)]).astype(np.int64)
    weight = np.load(folder / "layer1_kernel.npy").transpose(0, 3, 2, 1)
    bias = np.load(folder / "layer1_bias.npy")
    conv = Conv(shape=(24, 6, 6), weight=np.ascontiguousarray(weight), stride=(2, 2), bias=bias, neuron=sigma_delta())
    run = reference.Network(Network((conv,)), time_base="lava").run(x)
    np.testing.assert_array_equal(run.output, load(folder, "layer1"))
    assert run.output.any()


def test_the_recorded_output_of_tinynet_sdnn_is_given(data):
    """The messages that arrive at the 100 outputs are summed and sent."""
    folder = data / "tinynet_sdnn"
    x = (np.load(folder / "layer1.npy").reshape(-1, 16) != 0).astype(np.int64)
    weight = np.load(folder / "layer2_weight.npy").astype(np.int64)
    dense = Dense(shape=(100,), weight=weight, neuron=sigma_delta(sigma_output=True))
    run = reference.Network(Network((dense,)), time_base="lava").run(x)
    np.testing.assert_array_equal(run.output, load(folder, "layer2"))
    assert run.output.any()


# -- what Lava-DL's package brings along --------------------------------------------------------


@pytest.mark.upstream
def test_the_recorded_complex_dense_layer_is_given(gts):
    """200 to 256 resonators of period 11, threshold 25, 2000 steps."""
    folder = gts / "complex_dense"
    real, imag = (load(folder, f"weight_{part}") for part in ("r", "img"))
    neuron = Neuron("RF_PHASE", {**rotation(11), "threshold": 25})
    dense = Dense(shape=(256,), weight=real, weight_imag=imag, neuron=neuron)
    run = reference.Network(Network((dense,))).run(load(folder, "in"))
    np.testing.assert_array_equal(run.output, load(folder, "out"))
    assert run.output.sum() == 41_512


@pytest.mark.upstream
def test_the_recorded_complex_input_layer_is_given(gts):
    """Both parts of 200 resonators of period 7 driven; the threshold 1.1 is none that a file can say."""
    x = np.ascontiguousarray(load(gts / "complex_dense", "in").T)
    decay = np.repeat(np.array([list(rotation(7).values())]).T, 200, axis=1)
    steps, lanes = x.shape
    spikes, none = np.empty(x.shape, np.int32), np.zeros((0, 0), np.int64)
    rest = np.zeros((2, lanes), np.int64)
    synapses = deployed.Synapses((x, x), np.zeros((2, lanes), np.int64), np.full(2, 6), (none, none))
    filled = deployed.Filled(spikes, np.empty((2, 0, lanes), np.int32), np.empty(lanes, np.int64))
    deployed.run(
        rf_iz.Parameters(decay, int(1.1 * 64)), synapses, rest.copy(), rest, np.zeros(steps, bool),
        deployed.Profile(0, True, False, 32), filled,
    )  # fmt: skip
    np.testing.assert_array_equal(spikes.T, load(gts / "complex_dense", "current"))
    assert spikes.any()


@pytest.mark.upstream
def test_the_recorded_sums_of_pilotnet_sdnn_are_given(gts):
    """The sums of the first two convolutions, from the messages of the input layer, 20 steps."""
    folder = gts / "pilotnet_sdnn"
    network = reference.Network(folder / "network.net", skip_layers=1, num_layers=3, time_base="lava")
    run = network.run(load(folder, "act0"), record=EVERYTHING)
    for ran, name in zip(run.layers, ("sigma1", "sigma2"), strict=True):
        np.testing.assert_array_equal(ran.sigma, load(folder, name))
    assert run.exceeded == ()


@pytest.mark.upstream
def test_the_recorded_output_of_pilotnet_sdnn_is_given(gts):
    """The output of the whole network for a picture that stays, biases acting from step 0."""
    folder = gts / "pilotnet_sdnn"
    recorded = load(folder, "output")
    picture = np.repeat(load(folder, "input"), recorded.shape[-1], axis=-1)
    run = reference.Network(folder / "network.net", time_base="lava").run(picture)
    np.testing.assert_array_equal(run.output, recorded)
    assert run.unit.denominator == 2**18


@pytest.mark.upstream
def test_the_recorded_square_of_pilotnet_sdnn_is_given(gts):
    """All four convolutions behind a square cut of the same messages."""
    folder = gts / "pilotnet_sdnn"
    network = reference.Network(folder / "square_network.net", skip_layers=1, time_base="lava")
    run = network.run(load(folder, "act0")[:, :, :33], record=EVERYTHING)
    for position, ran in enumerate(run.layers, 1):
        np.testing.assert_array_equal(ran.sigma, load(folder, f"sigma{position}_square"))
    assert run.exceeded == ()


@pytest.mark.upstream
def test_the_recorded_layers_of_ntidigits_are_given(gts):
    """Three layers with axonal delays of up to 62 steps; the recorded run began one step later."""
    folder = gts / "ntidigits"
    x, recorded = load(folder, "input"), load(folder, "output")
    network = reference.Network(folder / "ntidigits.net", num_layers=5)
    spikes = network.run(x.reshape(1, 1, 64, -1)).output
    np.testing.assert_array_equal(spikes[:, :-1], recorded[:, 1:])
    assert recorded.sum() == 22_572


@pytest.mark.upstream
def test_the_recorded_average_of_ntidigits_is_given(gts):
    """The last layer of the file counts the spikes of groups of 22."""
    folder = gts / "ntidigits"
    x = load(folder, "input").reshape(1, 1, 64, -1)
    whole = reference.Network(folder / "ntidigits.net").run(x)
    spikes = reference.Network(folder / "ntidigits.net", num_layers=5).run(x).output
    np.testing.assert_array_equal(whole.output, spikes.reshape(11, 22, -1).sum(1))
    assert whole.unit.denominator == 22
