"""Random networks give the same integers in the oracle, the reference run, slayer and Lava.

`many` compares them all; here it runs, and what it leaves out: the real multiprocessing runtime,
values beyond the widths, and the other time base.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from lavadl_ref import exchange, verify
from lavadl_ref.deployed import reference
from lavadl_ref.netx import lava_support
from lavadl_ref.netx.run import runtime
from tests.support import PATIENCE, generate
from tests.support.families import BY_TYPE
from validation.equivalence import many

USABLE, WHY = lava_support.available()

#: Each on every path, in parts that can run side by side.
NETWORKS = int(os.environ.get("LAVADL_REF_NETWORKS", 1000))
PARTS = min(4, NETWORKS // 100)
ON_THE_RUNTIME = range(20_000, 20_024)
KINDS = set(exchange.LAYERS) - {"time_decimation"}


def mixed(seed, **options):
    return generate.case(seed, families=generate.ALL_FAMILIES, **options)


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("part", range(PARTS))
def test_random_networks_are_equal_on_every_path(part, compared):
    first, end = (NETWORKS * i // PARTS for i in (part, part + 1))
    found = many.run(end - first, first, jobs=1)
    assert found.differences == []
    assert found.skipped == {}
    assert found.networks["oracle = reference"] == end - first
    for pair, usable in (("slayer = reference", many._paths()["slayer"]), ("Lava = reference", USABLE)):
        assert found.networks[pair] == (end - first if usable else 0)
    for pair, integers in found.integers.items():
        compared(*pair.split(" = "), integers, found.networks[pair])
    families = set(BY_TYPE)
    assert set(found.layers) == KINDS | families
    assert min(found.layers[name] for name in families) > (end - first) // 10


@pytest.mark.parametrize("seed", range(40))
def test_a_file_says_all_of_its_network(seed, compared, tmp_path):
    """Through the file and back nothing changes."""
    case = mixed(seed)
    exchange.write(tmp_path / "x.net", case.network)
    runs = [reference.Network(n, **case.options).run(case.inputs) for n in (case.network, tmp_path / "x.net")]
    np.testing.assert_array_equal(runs[0].output, runs[1].output)
    compared("file", "description", runs[0].output.size)


# -- Lava ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(100))
@pytest.mark.lava
@pytest.mark.skipif(not USABLE, reason=WHY)
def test_networks_beyond_the_widths_are_equal(seed, compared):
    """Sums, currents, voltages and sigmas wrap and saturate alike."""
    case = mixed(seed, wild=True)
    report = verify.verify(case.network, case.inputs, slayer=False, in_process=True, timeout=PATIENCE, **case.options)
    assert report.skipped == {}, case.label
    assert report.divergences == [], case.label
    compared("Lava, beyond its widths", "reference", report.compared)


@pytest.mark.parametrize("seed", range(30_000, 30_040))
@pytest.mark.lava
@pytest.mark.skipif(not USABLE, reason=WHY)
def test_biases_from_the_first_step_give_the_same_on_lava(seed, compared):
    """The rule of upstream's own netx: every layer integrates its bias from step 0."""
    from lavadl_ref.netx.run import inprocess

    case = mixed(seed)
    run = reference.Network(case.network, time_base="lava", **case.options).run(
        case.inputs, record=reference.RECORDABLE
    )
    records = inprocess.run(case.network, case.inputs, case.inputs.shape[-1], **arguments_of(case), time_base="lava")
    compared("Lava, time base of Lava", "reference", equal(case, run, records))


def arguments_of(case):
    """The arguments that tell Lava about the input."""
    first = case.network.layers[0]
    arguments = dict(case.options)
    if isinstance(first, exchange.Kernel):
        arguments["input_shape"] = case.inputs.shape[-2::-1]
    driven = isinstance(first, exchange.Input) and first.neuron is not None
    if not driven and (case.inputs.min() < 0 or case.inputs.max() > 1):
        arguments["input_message_bits"] = 24
    return arguments


def equal(case, run, records):
    """Assert that a run on Lava gave the reference's integers; how many there were."""
    np.testing.assert_array_equal(records.output, run.output, case.label)
    integers = run.output.size
    generated = [ran for ran in run.layers if not shapes_only(ran.layer)]
    assert len(generated) == len(records.spikes)
    for index, ran in enumerate(generated):
        label = f"layer {index}: {case.label}"
        if ran.layer.neuron is None:
            assert records.spikes[index] is None
            continue
        np.testing.assert_array_equal(records.spikes[index], ran.spikes, label)
        integers += ran.spikes.size
        assert records.states[index].keys() == ran.states.keys()
        for name, values in ran.states.items():
            np.testing.assert_array_equal(records.states[index][name], values[..., -1], f"{name} of {label}")
            integers += ran.layer.size
    return integers


def shapes_only(layer):
    """Tell whether Lava has no process for the layer."""
    return isinstance(layer, exchange.Flatten) or (isinstance(layer, exchange.Input) and layer.neuron is None)


@pytest.mark.timeout(1500)
@pytest.mark.lava
@pytest.mark.skipif(not USABLE, reason=WHY)
def test_networks_on_the_multiprocessing_runtime_are_equal(compared):
    """One operating-system process for each of Lava's."""
    cases = [mixed(seed) for seed in ON_THE_RUNTIME]
    jobs = [runtime.Job(c.network, c.inputs, c.inputs.shape[-1], arguments=arguments_of(c)) for c in cases]
    for case, records in zip(cases, runtime.run_all(jobs, timeout=PATIENCE), strict=True):
        run = reference.Network(case.network, **case.options).run(case.inputs, record=reference.RECORDABLE)
        compared("Lava, multiprocessing", "reference", equal(case, run, records))
    assert len({layer.neuron.type for case in cases for layer in case.network.layers if layer.neuron}) == 7
