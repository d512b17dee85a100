"""Every case on Lava's runtime equals the oracle, integer for integer, at each step of each layer."""

from __future__ import annotations

import numpy as np
import pytest

from lavadl_ref.netx import runtime
from tests.netx import oracle
from tests.netx.cases import CASES, PROCESSES, SILENT

pytestmark = pytest.mark.lava


@pytest.fixture(scope="module")
def on_lava():
    """All cases, run in one child process."""
    return dict(zip(CASES, runtime.run_all(list(CASES.values()), timeout=110), strict=True))


def equal(actual, expected):
    if expected is None:
        return actual is None
    return actual.dtype == np.int32 and actual.shape == expected.shape and (actual == expected).all()


@pytest.mark.parametrize("name", CASES)
def test_equals_the_oracle(on_lava, name):
    job, actual = CASES[name], on_lava[name]
    arguments = {k: v for k, v in job.arguments.items() if k in ("reset_interval", "reset_offset", "time_base")}
    graded = "input_message_bits" in job.arguments
    spikes, current, voltage, output = oracle.run(job.net_config, job.inputs, job.steps, graded=graded, **arguments)
    for layer in range(len(spikes)):
        assert equal(actual.spikes[layer], spikes[layer]), f"spikes of layer {layer}"
        assert equal(actual.current[layer], current[layer]), f"u of layer {layer}"
        assert equal(actual.voltage[layer], voltage[layer]), f"v of layer {layer}"
    assert equal(actual.output, output)
    assert output.any() == (name not in SILENT)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].states_at])
def test_states_between_steps(on_lava, name):
    job = CASES[name]
    arguments = {k: v for k, v in job.arguments.items() if k in ("reset_interval", "reset_offset", "time_base")}
    graded = "input_message_bits" in job.arguments
    _, current, voltage, _ = oracle.run(job.net_config, job.inputs, 8, graded=graded, **arguments)
    u, v = on_lava[name].states[0, 7]
    assert equal(u, current[0])
    assert equal(v, voltage[0])


@pytest.mark.parametrize("name", PROCESSES)
def test_table_names_the_processes(on_lava, name):
    rows = on_lava[name].table.splitlines()[1:]
    assert [row.rpartition("| ")[2] for row in rows] == PROCESSES[name]
