"""Any number of threads gives the same bits; so does Python without a compiler."""

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path

import lavadl_kernels
import numpy as np
import pytest
from lavadl_kernels.engine import recurrent as feedback
from lavadl_kernels.engine import train
from lavadl_kernels.neurons import _leaky_integrator as leaky_integrator
from lavadl_kernels.neurons import _surrogate as spike
from lavadl_kernels.ops import delay, filter
from lavadl_kernels.ops import integer_synapse as synapse
from lavadl_kernels.runtime import jit as _jit

from tests import PATIENCE
from tests.support.families import SPIKING as FAMILIES
from tests.support.kernel_cases import Case, draw_decays
from tests.support.kernel_deployment import STATES, uniform

LANES, STEPS = 5 * 512 + 77, 40


@pytest.fixture
def threads(monkeypatch):
    """Sets the number of threads of our own, also for arrays too small to be worth more than one."""
    monkeypatch.setattr(_jit, "WORTH", 0)
    monkeypatch.setattr(_jit, "_openmp_team", None)
    before = lavadl_kernels.get_num_threads()
    yield lavadl_kernels.set_num_threads
    lavadl_kernels.set_num_threads(before)


def inputs(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(STEPS, LANES)).astype(np.float32)
    integers = [rng.integers(-4096, 4097, LANES) for _ in range(2)]
    decays = [rng.integers(0, 4097, LANES) for _ in range(2)]
    return rng, x, integers, decays


def everything(seed):
    """The outputs of every kernel, flat."""
    rng, x, states, decays = inputs(seed)
    grad = rng.normal(size=x.shape).astype(np.float32)
    case = Case(x, *states, *decays, 4096, False)
    run = case.forward()
    out = [run.spike, run.state, *case.backward(1.0, 0.1, grad)]
    y, after, _ = leaky_integrator.forward(x, states[0], decays[0], 4096)
    out += [y, after, *leaky_integrator.backward(grad, y, states[0], decays[0], 4096)]
    delays = rng.integers(-3, 9, LANES)
    out += [z := delay.forward(x, delays), *delay.backward(grad, z, delays)]
    out += [delay.shift(x, 3), delay.shift(x, -3), delay.shift(x, 2 * STEPS)]
    out += [*filter.exponential(x, 0.7, 2, 9), *filter.exponential(x, 1.0, 1, 9, adjoint=True)]
    out += [filter.convolve(x, np.linspace(-1, 1, 11, dtype=np.float32))]
    gradient = spike.backward(x.reshape(-1), np.ones(1, np.float32), 1.0, 0.1, False, grad.reshape(-1))
    frames = rng.integers(0, 2, (STEPS, 4, 6, 5))
    weight = rng.integers(-128, 128, (4, 4, 3, 3))
    out += [gradient, synapse.dense(frames.reshape(STEPS, -1), rng.integers(-9, 9, (7, 120)))]
    out += [synapse.conv(frames, weight), synapse.conv_transpose(frames, weight)]
    return out


def family(name, units):
    """The outputs of one family, flat; with feedback between `units` units if there are any."""
    rng, steps = np.random.default_rng(1), 20
    this, lanes = FAMILIES[name], units * (LANES // units) if units else LANES
    x = tuple(rng.normal(scale=3, size=(this.parts, steps, lanes)).astype(np.float32))
    state = rng.integers(-4096, 4097, (len(this.states), lanes))
    parameters = this.kernel.Parameters(draw_decays(this, rng, lanes, False), *(4096, 640)[: 1 + this.adaptive])
    grad = rng.normal(size=(len(this.states) + 1, steps, lanes)).astype(np.float32)
    weights = tuple(rng.normal(size=(this.parts, units, units)).astype(np.float32)) if units else ()
    if units:
        matrices = tuple(feedback.Weights(weight) for weight in weights)
        run = feedback.forward(parameters, x, state, units, matrices, traces=True, keep=True)
        began = run.checkpoints
        gradients = feedback.backward(parameters, run.x, began, 1.0, 0.5, grad[0], units, matrices, grad[1:])
    else:
        run = train.forward(parameters, x, state, traces=True, keep=True)
        gradients = train.backward(parameters, run.x, state, 1.0, 0.5, grad[0], grad[1:])
    return [run.spike, run.trace, run.state, run.checkpoints, *run.x, *gradients.x, gradients.decay]


def deployed(kind, units):
    """The outputs of deployed neurons with the device's widths and without, flat."""
    lanes = units * (LANES // units) if units else LANES
    case = uniform(kind, lanes, 12, 2, units)
    return [*case.run(), *replace(case, loihi=False).run(), *case.run(record=False)]


@pytest.mark.parametrize(
    "outputs",
    [
        pytest.param(lambda: everything(0), id="the rest"),
        *(pytest.param(partial(family, name, 0), id=name) for name in FAMILIES),
        *(pytest.param(partial(family, name, 9), id=f"{name} with feedback") for name in FAMILIES),
        *(pytest.param(partial(deployed, kind, 0), id=f"deployed {kind}") for kind in STATES),
        *(pytest.param(partial(deployed, kind, 9), id=f"deployed {kind} with feedback") for kind in STATES),
    ],
)
def test_kernels_do_not_depend_on_the_number_of_threads(threads, monkeypatch, outputs):
    monkeypatch.setattr(_jit, "PROCESSORS", 3)
    results = []
    for count in (1, 2, 3):
        threads(count)
        results.append(outputs())
    for other in results[1:]:
        for actual, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(actual.view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1000])
def test_the_pieces_make_the_range_once(threads, monkeypatch, count, size):
    monkeypatch.setattr(_jit, "PROCESSORS", 8)
    threads(count)
    ranges = []
    kernel = _jit.Kernel(lambda lo, hi, x: None)
    monkeypatch.setattr(kernel, "compiled", lambda lo, hi, x: ranges.append((lo, hi)))
    assert kernel(size, np.zeros(1))
    ranges.sort()
    assert len(ranges) == max(1, min(count, -(-size // _jit.ALIGN)))
    assert [lo for lo, _ in ranges] == [0, *(hi for _, hi in ranges)][: len(ranges)]
    assert sum(hi - lo for lo, hi in ranges) == size
    assert all(lo % _jit.ALIGN == 0 for lo, _ in ranges)


def test_small_arrays_are_one_range(threads, monkeypatch):
    threads(2)
    monkeypatch.setattr(_jit, "WORTH", 1000)
    ranges = []
    kernel = _jit.Kernel(lambda lo, hi, x: None)
    monkeypatch.setattr(kernel, "compiled", lambda lo, hi, x: ranges.append((lo, hi)))
    kernel(500, np.zeros(999))
    assert ranges == [(0, 500)]


@pytest.mark.parametrize("bad", [0, 1])
def test_a_kernel_fails_if_any_piece_does(threads, monkeypatch, bad):
    monkeypatch.setattr(_jit, "PROCESSORS", 2)
    threads(2)
    kernel = _jit.Kernel(lambda lo, hi, x: None)
    monkeypatch.setattr(kernel, "compiled", lambda lo, hi, x: (lo > 0) != bad)
    assert not kernel(1000, np.zeros(1))


def test_an_error_in_a_range_is_raised_after_all_have_ended(threads, monkeypatch):
    monkeypatch.setattr(_jit, "PROCESSORS", 2)
    threads(2)
    ended = []

    def run(lo, hi, x):
        if lo == 0:
            raise MemoryError("no room")
        ended.append(hi)

    kernel = _jit.Kernel(lambda lo, hi, x: None)
    monkeypatch.setattr(kernel, "compiled", run)
    with pytest.raises(MemoryError, match="no room"):
        kernel(1000, np.zeros(1))
    assert ended == [1000]


def test_number_of_threads_must_be_positive():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        lavadl_kernels.set_num_threads(0)


def test_a_forked_child_runs_serially():
    child = textwrap.dedent(
        """
        import os, sys
        import lavadl_kernels, numpy as np
        from lavadl_kernels.neurons import _leaky_integrator as leaky_integrator
        lavadl_kernels.set_num_threads(2)
        x, zeros = np.ones((3, 2000), np.float32), np.zeros(2000, np.int64)
        whole, _, _ = leaky_integrator.forward(x, zeros, zeros)
        pid = os.fork()
        if pid == 0:
            same = np.array_equal(leaky_integrator.forward(x, zeros, zeros)[0], whole)
            os._exit(0 if same and lavadl_kernels.get_num_threads() == 1 else 1)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", child], timeout=PATIENCE).returncode == 0


def test_kernels_without_the_compiler_pass_the_oracle():
    """The same source, interpreted, passes the oracle: nothing hides in compiled-only code."""
    tests = Path(__file__).resolve().parents[1]
    (cuba,) = tests.rglob("test_cuba.py")
    chosen = [
        f"{cuba}::test_equality_is_no_spike_and_no_reset_of_cuba",
        f"{cuba}::test_cuba_in_float64_would_give_another_integer",
        str(tests / "support" / "interpreted.py"),
    ]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=tests.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert run.returncode == 0, run.stdout[-4000:]
