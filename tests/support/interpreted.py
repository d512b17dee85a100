"""A few small cases for the interpreter: `test_threads` runs this file with the compiler switched off."""

from dataclasses import replace

import numba
import numpy as np
import pytest
from lavadl_kernels.neurons import _leaky_integrator as leaky_integrator
from lavadl_kernels.neurons import _surrogate as spike
from lavadl_kernels.ops import delay, events, weights
from lavadl_kernels.ops import integer_synapse as synapse

from tests.support import oracle as naive
from tests.support.checks import cuba as cuba_checks
from tests.support.checks import events as events_checks
from tests.support.checks import families as families_checks
from tests.support.checks import piecewise as piecewise_checks
from tests.support.checks.families import every
from tests.support.kernel_cases import Case, Neurons
from tests.support.kernel_deployment import STATES, same, uniform
from tests.support.oracle import deployed as naive_deployed


def test_nothing_is_compiled():
    assert numba.config.DISABLE_JIT


def small(magnitude, graded=False):
    rng = np.random.default_rng(3)
    grid = rng.integers(-magnitude, magnitude, (6, 3))
    return Case(
        x=(grid / 4096).astype(np.float32),
        u=rng.integers(-magnitude, magnitude, 3),
        v=rng.integers(-magnitude, magnitude, 3),
        current_decay=np.array([0, 1229, 4096]),
        voltage_decay=np.array([1, 410, 4095]),
        threshold=magnitude // 2,
        graded=graded,
    )


@pytest.mark.parametrize("magnitude", [70, 2**14, 2**24, 2**44])
def test_interpreted_cuba_equals_the_oracle(magnitude):
    cuba_checks.check_forward(small(magnitude))
    cuba_checks.check_forward(small(magnitude, graded=True))


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("units", [0, 3])
@pytest.mark.parametrize("loihi", [True, False])
def test_interpreted_deployments_equal_the_oracle(kind, units, loihi):
    case = replace(uniform(kind, 6, 8, 5, units), loihi=loihi)
    same(case.run(), naive_deployed.run(case))
    case.total[:] *= 2**12
    same(case.run(), naive_deployed.run(case))


def test_interpreted_cuba_gradients_are_autograds():
    pytest.importorskip("torch")
    from tests.support.checks.cuba_gradients import differentiate
    from tests.support.checks.gradients import close

    case = small(2**14)
    grad = np.random.default_rng(4).normal(size=case.x.shape).astype(np.float32)
    actual = case.backward(1.0, 0.1, grad)
    _, expected = differentiate(case, 1.0, np.float32(0.1), grad)
    for a, e in zip(actual, expected, strict=True):
        close(a, e, 6)


def small_neurons(family, graded):
    """Ten lanes: of feedback, two samples of five units."""
    rng = np.random.default_rng(6)
    x = tuple((rng.integers(-(2**13), 2**13, (5, 10)) / 4096).astype(np.float32) for _ in range(family.parts))
    state = rng.integers(-4096, 4096, (len(family.states), 10))
    decay = rng.integers(0, 2500, (family.rows, 10))
    return Neurons(family, x, state, decay, 4096, 640, graded)


@every
@pytest.mark.parametrize("graded", [False, True])
def test_interpreted_families_equal_their_oracles(family, graded):
    case = small_neurons(family, graded)
    families_checks.check_forward(case)
    case.x[-1][0, 0] = 2.0**28
    families_checks.check_forward(case)


@every
@pytest.mark.parametrize("graded", [False, True])
def test_interpreted_gradients_are_autograds(family, graded):
    pytest.importorskip("torch")
    from tests.support.checks.gradients import check_gradients

    check_gradients(small_neurons(family, graded), 1.0, 0.5, with_traces=True)


@every
def test_interpreted_feedback_equals_the_oracle(family):
    pytest.importorskip("torch")
    from tests.support.checks import feedback as feedback_checks

    rng = np.random.default_rng(7)
    weights = tuple((2 * rng.integers(-128, 128, (family.parts, 5, 5)) / 64).astype(np.float32))
    net = feedback_checks.Net(small_neurons(family, False), weights)
    feedback_checks.check_forward(net)
    feedback_checks.check_gradients(net, 1.0, with_traces=False)


@pytest.mark.parametrize("graded", [False, True])
def test_interpreted_events_give_the_matrix_product(graded):
    rng = np.random.default_rng(8)
    x = events_checks.sparse(rng, (2, 5, 35), 0.2, graded)
    rows = np.ascontiguousarray(x.transpose(2, 0, 1)).reshape(70, 5)
    events_checks.check(x, events.of_lanes(x), rows, 3, rng)
    events_checks.check(rows, events.of_rows(rows), rows, 3, rng)


def test_interpreted_other_kernels_equal_their_oracles():
    case = small(4096)
    y, _, _ = leaky_integrator.forward(case.x, case.u, case.current_decay)
    column = [row[0] for row in case.integers]
    assert (y[:, 0] * 4096).tolist() == naive.leaky_integrator(column, 0, None, int(case.u[0]))[0]
    shifted = delay.forward(case.x, np.array([2, 0, -1]))
    assert shifted[:, 0].tolist() == naive.delay(case.x[:, 0].tolist(), 2)
    weight = np.arange(6).reshape(2, 3) - 2
    assert synapse.dense(np.array([[1, 0, 2]]), weight).tolist() == [naive.dense([1, 0, 2], weight.tolist())]
    assert abs(spike.exp_negative(np.float32(-1.5)) - np.exp(-1.5)) < 1e-7


def test_interpreted_piecewise_is_numpys():
    piecewise_checks.check(np.linspace(-1, 3, 40), piecewise_checks.KNOTS, piecewise_checks.SLOPES)
    piecewise_checks.check([np.inf, np.nan, 0.1], piecewise_checks.KNOTS, piecewise_checks.SLOPES)


@pytest.mark.parametrize(("largest", "inside"), [(0.9, True), (9, False)])
def test_interpreted_kernels_tell_that_a_weight_was_clipped(largest, inside):
    """A kernel's False is NumPy's here, and counts as compiled code's does."""
    rows = weights.Rows.plain(np.array([[0.3, largest]], np.float32))
    assert weights.quantised(rows, weights.Grid.of(0.25, -1, 1))[1] is inside
