"""Every case on Lava's models equals the oracle, integer for integer, at each step of each layer."""

from __future__ import annotations

import numpy as np
import pytest

from lavadl_ref.exchange import Kernel
from lavadl_ref.netx.plan.network import Options, plan
from lavadl_ref.netx.plan.table import table
from lavadl_ref.netx.run import runtime
from tests import PATIENCE
from tests.support import generate
from tests.support import netx_cases as cases
from tests.support import netx_family_cases as family_cases
from tests.support.families import BY_ADAPTATION
from tests.support.oracle import netx as oracle

pytestmark = pytest.mark.lava

assert not cases.CASES.keys() & family_cases.CASES.keys()
CASES = {**cases.CASES, **family_cases.CASES}
PROCESSES = {**cases.PROCESSES, **family_cases.PROCESSES}
#: Also on Lava's runtime, its processes and its shared memory; all of them compile to the same models.
ON_RUNTIME = (
    "dense", "sparse", "reset_and_bias", "convolution_with_delays", "input_layer", "delay_beyond_six_bits",
    "ALIF_chain", "RF_PHASE_chain", "RF_IZHIKEVICH_conv", "ADRF_PHASE_recurrent",
    f"{BY_ADAPTATION['resonator'].type}_delays",
    "CUBA_weight_exponent", "SDNN_input", "sigma_output", "convT_pool_dense", "average", "wide_weights",
    "bare_sums_with_bias", "biases_of_convolutions",
)  # fmt: skip
SEEDS = range(12)


def equal(actual, expected):
    if expected is None:
        return actual is None
    return actual.dtype == np.int32 and actual.shape == expected.shape and (actual == expected).all()


def expected_of(job, steps=None):
    """The oracle's messages, states and output."""
    kept = ("reset_interval", "reset_offset", "time_base", "spike_exp", "skip_layers", "num_layers")
    arguments = {k: v for k, v in job.arguments.items() if k in kept}
    first = plan(job.net_config, Options(**job.arguments))[0]
    binary = first.synapse is not None and first.synapse.arguments.get("num_message_bits", 1) == 0
    return oracle.run(job.net_config, job.inputs, steps or job.steps, binary=binary, **arguments)


def assert_equal(job, actual):
    messages, states, output = expected_of(job)
    for layer in range(len(messages)):
        assert equal(actual.spikes[layer], messages[layer]), f"messages of layer {layer}"
        assert actual.states[layer].keys() == states[layer].keys()
        for name, expected in states[layer].items():
            assert equal(actual.states[layer][name], expected[..., -1]), f"{name} of layer {layer}"
    assert equal(actual.output, output)
    for (layer, step), found in actual.states_at.items():
        if step == 0 and "LIFReset" in actual.table:
            continue  # its bias may act before its start, where a reset wipes it out
        for name, expected in states[layer].items():
            assert equal(found[name], expected[..., step]), f"{name} of layer {layer} at step {step}"
    return output


@pytest.mark.parametrize("name", CASES)
def test_a_network_in_this_process_equals_the_oracle(name):
    from lavadl_ref.netx.run import inprocess

    job = CASES[name]
    actual = inprocess.run(
        job.net_config, job.inputs, job.steps, record=job.record, states_at=job.states_at, **job.arguments
    )
    assert set(actual.states_at) == set(job.states_at)
    output = assert_equal(job, actual)
    assert output.any() == (name not in cases.SILENT)


@pytest.fixture(scope="module")
def on_runtime():
    """Some of the cases, run in one child process."""
    return dict(zip(ON_RUNTIME, runtime.run_all([CASES[name] for name in ON_RUNTIME], timeout=PATIENCE), strict=True))


@pytest.mark.parametrize("name", ON_RUNTIME)
def test_a_network_on_lavas_runtime_equals_the_oracle(on_runtime, name):
    assert_equal(CASES[name], on_runtime[name])
    assert on_runtime[name].current == [states.get("current") for states in on_runtime[name].states]
    assert on_runtime[name].voltage == [states.get("voltage") for states in on_runtime[name].states]


@pytest.mark.parametrize("wild", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_networks_equal_the_oracle(seed, wild):
    from lavadl_ref.netx.run import inprocess

    case = generate.case(seed, steps=16, families=generate.ALL_FAMILIES, wild=wild)
    arguments = dict(case.options)
    first = case.network.layers[0]
    if isinstance(first, Kernel):
        arguments["input_shape"] = case.inputs.shape[-2::-1]
    if first.kind != "input" or first.neuron is None:
        arguments["input_message_bits"] = 24
    job = runtime.Job(case.network, case.inputs, 16, arguments=arguments)
    assert_equal(job, inprocess.run(case.network, case.inputs, 16, **arguments))


@pytest.mark.parametrize("name", PROCESSES)
def test_the_table_names_the_processes(name):
    rows = table(plan(CASES[name].net_config, Options(**CASES[name].arguments))).splitlines()[1:]
    assert [row.rpartition("| ")[2] for row in rows] == PROCESSES[name]
