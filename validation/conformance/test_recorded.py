"""Traces that Lava-DL recorded, most of them on a Loihi 2 chip, reproduced by the reference run.

Recorded axes are W, H, C, time where nothing else is said.
"""

from __future__ import annotations

import numpy as np
import pytest

from lavadl_ref import exchange, reference
from lavadl_ref.exchange import Dense, Network, Neuron

EVERYTHING = reference.RECORDABLE
STEPS = 24


def load(folder, name):
    """A recording as integers in the file's axes: C, H, W, time or N, time."""
    values = np.load(folder / f"{name}.npy")
    whole = values.astype(np.int64)
    assert (whole == values).all()
    return whole.transpose(2, 1, 0, *range(3, whole.ndim)) if whole.ndim >= 3 else whole


# -- one layer, 200 to 256, 2000 steps ----------------------------------------------------------


def test_dense(data):
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
def test_tinynet(tinynet, position, name):
    """Layer k's steps 17 + k to 31 + k; the recording, C, H, W as it is, begins one step earlier."""
    folder, run = tinynet
    recorded = np.load(folder / f"{name}.npy")[0]
    began = 17 + position
    np.testing.assert_array_equal(run.layers[position].spikes[..., began : began + 15], recorded[..., 1:])
    assert recorded.any()


def test_tinynet_current(tinynet):
    """The current of the middle layer is in 1/64."""
    folder, run = tinynet
    recorded = np.load(folder / "current.npy")[0]
    np.testing.assert_array_equal(run.layers[1].current[..., 18 : 18 + 15], recorded[..., 1:] * 64)


# -- pilotnet_lif: one picture, recorded layer by layer -----------------------------------------

LAYERS = {1: "conv-0", 2: "conv-1", 3: "conv-2", 4: "conv-3", 5: "conv-4", 7: "fc-0", 8: "fc-1", 9: "fc-2"}


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


def test_pilotnet_input(folder, shown):
    np.testing.assert_array_equal(shown.layers[0].spikes, load(folder, "input"))


@pytest.mark.parametrize("position", LAYERS)
def test_pilotnet_layer(folder, shown, position):
    """Every spike and state; where a neuron spikes, the chip shows the voltage 128 instead of 0."""
    spikes, u, v = (load(folder, LAYERS[position] + suffix) for suffix in ("", "-u", "-v"))
    ran = shown.layers[position]
    np.testing.assert_array_equal(ran.spikes, spikes)
    np.testing.assert_array_equal(ran.current, u)
    np.testing.assert_array_equal(np.where(spikes, 128, ran.voltage), v)
    assert spikes.any()


def test_pilotnet_fits_the_chip(shown):
    assert shown.exceeded == ()


def test_pilotnet_input_of_the_other_run(folder, pilotnet):
    """``input-s`` comes from a run that was reset every 16 steps."""
    first = reference.Network(pilotnet, num_layers=1, reset_interval=16)
    run = first.run(bias=load(folder, "image"), steps=STEPS)
    np.testing.assert_array_equal(run.output, load(folder, "input-s"))


def test_pilotnet_output_of_the_other_run(folder, pilotnet):
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
