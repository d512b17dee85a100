"""Random networks give the same integers in the oracle, the reference run, slayer and Lava.

Every spike of every layer at every step, and u and v: at every step in the oracle and the
reference run, after the last step on Lava.
"""

from __future__ import annotations

import numpy as np
import pytest

from lavadl_ref import exchange, reference, verify
from lavadl_ref.netx import lava_support, runtime
from tests import random_networks

USABLE, WHY = lava_support.available()

EVERY_KIND = range(10_000, 10_150)
ON_LAVA = range(20_000, 20_060)
BATCH = 20  #: networks that share a process


def lava_case(seed):
    """A network that Lava has processes for, one in three with biases from the first step."""
    return random_networks.case(seed, kinds=random_networks.ON_LAVA, steps=40)


def time_base(seed):
    return "lava" if seed % 3 == 0 else "slayer"


def agree_with_slayer(case, compared):
    """Compare with slayer, without the resets where they have no counterpart there."""
    pytest.importorskip("torch")
    report = verify.verify(case.network, case.inputs, lava=False, **case.options)
    if case.options and "slayer" in report.skipped:
        report = verify.verify(case.network, case.inputs, lava=False)
    assert report.skipped == {}, case.label
    assert report.divergences == [], case.label
    assert report.compared > 0, case.label
    compared("slayer", "reference", report.compared)


# -- every kind of layer: oracle, reference, slayer ---------------------------------------------


@pytest.mark.parametrize("seed", EVERY_KIND)
def test_oracle_and_reference(seed, compared):
    case = random_networks.case(seed)
    run = reference.Network(case.network, **case.options).run(case.inputs, record=reference.RECORDABLE)
    expected, output = random_networks.oracle(case)
    for layer, ran in zip(expected, run.layers, strict=True):
        for name, values in layer.items():
            np.testing.assert_array_equal(getattr(ran, name), values, case.label)
    np.testing.assert_array_equal(run.output, output, case.label)
    assert run.exceeded == ()
    compared("oracle", "reference", sum(values.size for layer in expected for values in layer.values()))


@pytest.mark.parametrize("seed", EVERY_KIND)
def test_slayer_and_reference(seed, compared):
    agree_with_slayer(random_networks.case(seed), compared)


@pytest.mark.parametrize("seed", EVERY_KIND[:40])
def test_a_file_says_all(seed, compared, tmp_path):
    """Through the file and back nothing changes."""
    case = random_networks.case(seed)
    exchange.write(tmp_path / "x.net", case.network)
    runs = [reference.Network(n, **case.options).run(case.inputs) for n in (case.network, tmp_path / "x.net")]
    np.testing.assert_array_equal(runs[0].output, runs[1].output)
    compared("file", "description", runs[0].output.size)


# -- input, dense, convolution, flatten: Lava too -----------------------------------------------


@pytest.fixture(scope="module")
def on_lava():
    """What Lava makes of each network; a batch of them runs when its first is asked for."""
    if not USABLE:
        pytest.skip(WHY)
    done = {}

    def records(seed):
        if seed not in done:
            first = seed - (seed - ON_LAVA.start) % BATCH
            seeds = range(first, first + BATCH)
            done.update(zip(seeds, runtime.run_all([job(s) for s in seeds], timeout=280), strict=True))
        return done[seed]

    return records


def job(seed):
    case = lava_case(seed)
    arguments = {**case.options, "time_base": time_base(seed)}
    if isinstance(case.network.layers[0], exchange.Kernel):
        arguments["input_shape"] = case.inputs.shape[-2::-1]
    return runtime.Job(case.network, case.inputs, case.inputs.shape[-1], arguments=arguments)


@pytest.mark.lava
@pytest.mark.parametrize("seed", ON_LAVA)
def test_lava_and_reference(seed, on_lava, compared):
    case = lava_case(seed)
    network = reference.Network(case.network, time_base=time_base(seed), **case.options)
    run = network.run(case.inputs, record=reference.RECORDABLE)
    records = on_lava(seed)
    np.testing.assert_array_equal(records.output, run.output, case.label)
    integers = run.output.size
    generated = [ran for ran in run.layers if not isinstance(ran.layer, exchange.Flatten)]
    assert len(generated) == len(records.spikes)
    for index, ran in enumerate(generated):
        if ran.layer.neuron is None:
            assert records.spikes[index] is None
            continue
        label = f"layer {index}: {case.label}"
        np.testing.assert_array_equal(records.spikes[index], ran.spikes, label)
        np.testing.assert_array_equal(records.current[index], ran.current[..., -1], label)
        np.testing.assert_array_equal(records.voltage[index], ran.voltage[..., -1], label)
        integers += ran.spikes.size + 2 * ran.layer.size
    compared("Lava", "reference", integers)


@pytest.mark.parametrize("seed", [s for s in ON_LAVA if time_base(s) == "slayer"])
def test_slayer_and_reference_of_the_networks_on_lava(seed, compared):
    agree_with_slayer(lava_case(seed), compared)


def test_the_networks_on_lava_have_what_matters():
    """Else their agreement would show little."""
    cases = [lava_case(seed) for seed in ON_LAVA]
    layers = [layer for case in cases for layer in case.network.layers]
    assert {layer.kind for layer in layers} == {"input", "flatten", "conv", "dense"}
    assert sum(layer.delay is not None for layer in layers) > 20
    assert sum(getattr(layer, "bias", None) is not None and layer.kind != "input" for layer in layers) > 30
    assert sum(layer.delay_shift is False for layer in layers) > 20
    assert sum(layer.neuron is not None and np.ndim(layer.neuron["voltage_decay"]) == 1 for layer in layers) > 20
    assert sum(bool(case.options) for case in cases) > 10
    assert sum(case.network.layers[-1].neuron is None for case in cases) > 0
    runs = [reference.Network(case.network, **case.options).run(case.inputs) for case in cases]
    rates = [ran.spikes.mean() for run in runs for ran in run.layers if ran.spikes is not None]
    assert sum(0 < rate < 1 for rate in rates) > 0.75 * len(rates)
