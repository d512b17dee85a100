"""Lava's models in this process compute what they compute in Lava's runtime, and end whatever happens."""

from __future__ import annotations

import gc
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lavadl_ref.exchange.describe import Input, Kernel
from lavadl_ref.netx.run import runtime
from tests.support import generate
from tests.support.lava import USABLE, WHY
from tests.support.netx_cases import CASES
from tests.support.one_process import nothing_left

if not USABLE:
    pytest.skip(WHY, allow_module_level=True)

from lava.magma.core.process.process import ProcessServer
from lava.magma.core.process.variable import VarServer
from lava.proc.lif.process import LIF

from lavadl_ref.netx.run import inprocess
from tests import PATIENCE

__all__ = ["nothing_left"]

SMALL = CASES["dense"]
NAMES = (
    "reset_and_bias",
    "delays_on_sparse_synapses",
    "convolution_with_delays",
    "input_layer",
    "graded_input",
)
PLAIN, OF_ALL_FAMILIES, RECURRENT = range(2), range(100, 102), (0, 3)


def here(job, **more):
    """A job, run in this process."""
    options = {"record": job.record, "states_at": job.states_at, **job.arguments, **more}
    return inprocess.run(job.net_config, job.inputs, job.steps, **options)


def random_job(seed, **more):
    """A random network as a job."""
    case = generate.case(seed, steps=20, **more)
    x, first = case.inputs, case.network.layers[0]
    arguments = dict(case.options)
    if isinstance(first, Kernel):
        arguments["input_shape"] = x.shape[-2::-1]
    if not isinstance(first, Input) and not np.isin(x, (0, 1)).all():
        arguments["input_message_bits"] = 24
    return runtime.Job(case.network, x, x.shape[-1], arguments=arguments)


def equal(actual, expected):
    """Arrays in lists and dicts, dtypes and shapes included."""
    if isinstance(expected, dict):
        return actual.keys() == expected.keys() and all(equal(actual[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(actual) == len(expected) and all(map(equal, actual, expected))
    if expected is None:
        return actual is None
    return actual.dtype == expected.dtype and actual.shape == expected.shape and bool((actual == expected).all())


@pytest.mark.lava
def test_a_run_in_this_process_equals_lavas_runtime():
    """Every record of every network, one run after the other."""
    jobs = {name: CASES[name] for name in NAMES}
    jobs |= {f"plain {seed}": random_job(seed, kinds=generate.ON_LAVA) for seed in PLAIN}
    jobs |= {f"{seed}": random_job(seed, families=generate.ALL_FAMILIES) for seed in OF_ALL_FAMILIES}
    for seed in RECURRENT:
        jobs[f"recurrent {seed}"] = random_job(seed, families=generate.ALL_FAMILIES, kinds=("dense_rec",))
    expected = dict(zip(jobs, runtime.run_all(list(jobs.values()), timeout=PATIENCE), strict=True))
    assert any(records.states_at for records in expected.values())
    different = []
    for name, job in jobs.items():
        found = here(job)
        for part in ("output", "spikes", "states", "states_at", "table"):
            ours, theirs = getattr(found, part), getattr(expected[name], part)
            if not (ours == theirs if part == "table" else equal(ours, theirs)):
                different.append((name, part))
    assert different == []
    assert sum(records.output.any() for records in expected.values()) > len(jobs) // 2


def test_networks_that_run_one_after_the_other_are_independent():
    first = here(SMALL)
    here(CASES["reset_and_bias"])
    second = here(SMALL)
    assert equal(second.output, first.output)
    assert equal(second.states, first.states)
    assert equal(second.spikes, first.spikes)
    assert first.output.any()


def test_runs_of_several_threads_take_turns():
    jobs = [SMALL, CASES["reset_and_bias"]] * 3
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(here, jobs))
    for job, records in zip(jobs, found, strict=True):
        assert equal(records.spikes, here(job).spikes)


def test_lava_forgets_the_networks():
    registers = ProcessServer().processes, VarServer().vars
    before = [len(register) for register in registers]
    here(SMALL)
    assert [len(register) for register in registers] == before


def test_nothing_grows_with_the_networks():
    """Lava adds a handler to Python's log for each process."""

    def held():
        gc.collect()
        kinds = Counter(type(thing).__name__ for thing in gc.get_objects())
        return len(logging.getLogger().handlers), kinds["StreamHandler"], sum(kinds.values()) - kinds["tuple"]

    for _ in range(3):
        here(SMALL)
    handlers, streams, objects = held()
    for _ in range(200):
        here(SMALL, record=())
    assert held()[:2] == (handlers, streams)
    assert held()[2] < objects + 200  # less than one a network


def test_a_log_that_is_asked_for_is_kept():
    root = logging.getLogger()
    before = list(root.handlers)
    process = LIF(shape=(1,))
    assert root.handlers == before
    LIF(shape=(1,), log_config=process._log_config)
    (added,) = set(root.handlers) - set(before)
    root.removeHandler(added)


def test_a_run_records_only_what_is_asked_for():
    records = inprocess.run(SMALL.net_config, SMALL.inputs, 3, record=())
    assert records.spikes == [None, None]
    assert records.states == [{}, {}]
    assert records.output.shape == (5, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"timeout": 0}, "timeout must be positive, got 0"),
        ({"record": ("voltages",)}, "record must be some of"),
        ({"inputs": np.zeros((3, 4), int)}, r"inputs must have shape \(8, T\), got \(3, 4\)"),
        ({"states_at": ((7, 0),)}, "states_at must name one of 2 layers, with neurons, got layer 7"),
    ],
)
def test_a_run_refuses_what_the_runtime_refuses(change, message):
    arguments = {"net_config": SMALL.net_config, "inputs": SMALL.inputs, "steps": 5, **change}
    with pytest.raises(ValueError, match=message):
        inprocess.run(**arguments)


def test_a_run_ends_at_its_timeout():
    with pytest.raises(runtime.LavaTimeout, match=r"network of 2 layers did not finish within 0.3 s on Lava"):
        inprocess.run(SMALL.net_config, SMALL.inputs, 200_000, timeout=0.3, record=())


def test_a_failure_in_a_process_is_told_with_the_network(monkeypatch):
    def run_spk(self):
        raise ArithmeticError(f"at step {self.time_step}")

    here(SMALL)  # finds the models
    monkeypatch.setattr("lava.proc.lif.models.PyLifModelBitAcc.run_spk", run_spk)
    with pytest.raises(
        runtime.LavaRunError, match=r"^network of 2 layers failed in a Lava process(.|\n)*ArithmeticError: at step 1"
    ):
        here(SMALL)


def test_a_failure_outside_of_processes_is_told_with_the_network(monkeypatch):
    monkeypatch.setattr(runtime.Job, "frames", lambda *_: 1 // 0)
    with pytest.raises(runtime.LavaRunError, match=r"^network of 2 layers failed on Lava(.|\n)*ZeroDivisionError"):
        here(SMALL)
