"""Deployed neurons against the kernels of training, with ==: the same where no width matters."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from lavadl_kernels.engine import recurrent as feedback
from lavadl_kernels.neurons import sigma_delta

from tests.support.families import SPIKING as FAMILIES
from tests.support.kernel_cases import cases, neurons
from tests.support.kernel_deployment import UNITS, deploy

every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


class Run(NamedTuple):
    """The arrays that `check_training` compares."""

    spike: np.ndarray
    state: np.ndarray


def of_training(case, **options):
    """The deployment of a training case whose sums are its inputs in 1/4096."""
    total = np.array([[[int(float(value) * 4096) for value in row] for row in part] for part in case.x])
    return deploy(case.parameters, total, case.state, graded=case.graded, **options)


def check_training(case, run, units=1):
    """Equal without widths, and with them in lanes, or samples of `units` lanes, where none mattered."""
    for loihi in (False, True):
        ran = replace(case, loihi=loihi).run()
        within = np.repeat((ran.exceeded.reshape(-1, units) < 0).all(1), units) | (not loihi)
        message = (ran.message / 4096).astype(np.float32) if case.graded else ran.message
        np.testing.assert_array_equal(message[:, within], run.spike[:, within])
        np.testing.assert_array_equal(ran.state[:, within], run.state[:, within])


@every_family
@given(st.data())
def test_a_deployment_equals_training(family, data):
    case = data.draw(neurons(family))
    check_training(of_training(case), case.forward())


@every_family
@pytest.mark.parametrize("graded", [False, True])
@given(st.data())
def test_a_deployment_with_feedback_equals_training(family, graded, data):
    case = data.draw(neurons(family, (4096,), off_grid=False, lanes=2 * UNITS))
    case.graded = graded
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    weights = rng.integers(-48, 49, (family.parts, UNITS, UNITS))
    matrices = tuple(feedback.Weights((part / 64).astype(np.float32)) for part in weights)
    run = feedback.forward(case.parameters, case.x, case.state, UNITS, matrices, graded)
    assume(max(np.abs(part).max() for part in run.x) < 64)  # where float32 holds the sums
    deployment = of_training(case, weights=weights * 64)
    if graded:  # messages of 1/4096 make sums of 1/2**18
        deployment = replace(deployment, total=deployment.total * 64, up=np.full(family.parts, -6), weights=weights)
    check_training(deployment, run, UNITS)


@given(cases())
def test_a_deployment_of_cuba_equals_its_training(case):
    run = case.forward()
    deployment = deploy(case.neuron, np.array([case.integers]), case.state, graded=case.graded)
    check_training(deployment, Run(run.spike, run.state))


@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_a_deployment_of_sigma_delta_equals_its_training(seed, relu, cum_error):
    """Integers of 1/2**18 that float32 holds."""
    rng, one, lanes = np.random.default_rng(seed), 2**18, 7
    total = rng.integers(-(2**18), 2**18, (1, 9, lanes))
    bias, threshold = rng.integers(-(2**18), 2**18, lanes), rng.integers(0, 2**18, lanes)
    state = rng.integers(-(2**18), 2**18, (4, lanes))
    state[3] *= cum_error
    y, sigma = sigma_delta.sigma_forward((total[0] / one).astype(np.float32), state[0] / one)
    y = y + (bias / one).astype(np.float32)
    ran = deploy(sigma_delta.Sigma(bias), total, state[:1], graded=True).run()
    np.testing.assert_array_equal(ran.message / one, y)
    np.testing.assert_array_equal(ran.state[0] / one, sigma)
    y = np.maximum(y, 0) if relu else y
    message, *after = sigma_delta.delta_forward(y, *state[1:] / one, threshold / one, 4096.0, cum_error)
    neuron = sigma_delta.SigmaDelta(threshold, bias, relu, cum_error)
    for ran in (
        deploy(neuron, total, state, graded=True).run(),
        deploy(sigma_delta.Delta(threshold, cum_error), y[None] * one, state[1:], graded=True).run(),
    ):
        assert (ran.exceeded < 0).all()
        np.testing.assert_array_equal(ran.message / 4096, message)
        np.testing.assert_array_equal(ran.state[-3:] / one, after)
