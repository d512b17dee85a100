"""The leaky integrator against the oracle; its gradients against the unrolled recurrence."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lavadl_kernels.fixed_point import NEVER
from lavadl_kernels.neurons import _leaky_integrator as leaky_integrator

from tests.support import oracle as naive
from tests.support.kernel_cases import cases
from tests.support.oracle import unrolled


def expected(case, threshold):
    lanes = range(case.x.shape[1])
    runs = [
        naive.leaky_integrator([row[i] for row in case.integers], int(case.current_decay[i]), threshold, int(case.u[i]))
        for i in lanes
    ]
    return np.array([ys for ys, _ in runs]).T, np.array([state for _, state in runs])


@given(cases(), st.booleans())
def test_a_leaky_integrator_equals_the_oracle(case, resets):
    threshold = case.threshold if resets else None
    y, state, rounded = leaky_integrator.forward(
        case.x, case.u, case.current_decay, NEVER if threshold is None else threshold
    )
    ys, after = expected(case, threshold)
    assert y.dtype == np.float32
    assert state.dtype == np.int64
    assert rounded == any(abs(value) > 2**24 for row in ys.tolist() for value in row)
    np.testing.assert_array_equal(state, after)
    np.testing.assert_array_equal(y, (ys / 4096).astype(np.float32))


@given(cases(), st.data())
def test_a_leaky_integrator_in_chunks_of_time_gives_the_same(case, data):
    cut = data.draw(st.integers(0, len(case.x)))
    whole, end, _ = leaky_integrator.forward(case.x, case.u, case.current_decay, case.threshold)
    first, middle, _ = leaky_integrator.forward(case.x[:cut], case.u, case.current_decay, case.threshold)
    second, last, _ = leaky_integrator.forward(case.x[cut:], middle, case.current_decay, case.threshold)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    np.testing.assert_array_equal(last, end)


@given(cases())
def test_a_leaky_integrator_in_float64_and_int64_gives_the_same(case):
    results = []
    for zero in (np.float64(0), np.int64(0)):
        y, after, rounded = np.empty_like(case.x), np.empty_like(case.u), np.zeros(case.u.size, np.bool_)
        good = leaky_integrator._forward(
            case.u.size, case.x, case.u, case.current_decay, case.threshold, np.float32(2**40), zero, y, after, rounded
        )
        assert good
        results.append((y, after, rounded))
    for actual, other in zip(*results, strict=True):
        np.testing.assert_array_equal(actual, other)


@given(cases((2**20, 2**24, 2**26), off_grid=False), st.booleans())
def test_the_gradient_of_a_leaky_integrator_is_autograds(case, resets):
    threshold = case.threshold if resets else NEVER
    rng = np.random.default_rng(1)
    grad_y = rng.normal(size=case.x.shape).astype(np.float32)
    y, _, _ = leaky_integrator.forward(case.x, case.u, case.current_decay, threshold)
    grad_x, grad_decay = leaky_integrator.backward(grad_y, y, case.u, case.current_decay, threshold)

    x = torch.tensor(case.x, dtype=torch.float64, requires_grad=True)
    decay = torch.tensor(case.current_decay, dtype=torch.float64, requires_grad=True)
    level = threshold / 4096 if resets else float("inf")
    ys, _ = unrolled.leaky_integrator(x, decay, torch.tensor(case.u / 4096), level)
    np.testing.assert_array_equal(ys.detach().float().numpy(), y)
    ys.backward(torch.tensor(grad_y, dtype=torch.float64))
    np.testing.assert_allclose(grad_x, x.grad, rtol=1e-5, atol=1e-5)
    scale = np.abs(y).max(initial=1) * len(y) / 4096
    np.testing.assert_allclose(grad_decay, decay.grad, rtol=1e-5, atol=2e-6 * scale)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**50, -3e38])
def test_a_leaky_integrator_refuses_input_without_a_fixed_point(bad):
    x = np.zeros((3, 5), np.float32)
    x[1, 2] = bad
    state = np.zeros(5, np.int64)
    with pytest.raises(ValueError, match="must be finite and below"):
        leaky_integrator.forward(x, state, state)


def test_a_leaky_integrators_step_takes_unbounded_integers():
    huge = 3 * 2**80 + 1
    carried, spike, y = leaky_integrator.step(huge, -5, 1, 2**90)
    assert (carried, spike, y) == (naive.leak(huge, 1) - 5, False, naive.leak(huge, 1) - 5)
    assert leaky_integrator.step(huge, 0, 0, huge) == (huge, False, huge)
    assert leaky_integrator.step(huge, 1, 0, huge) == (0, True, huge + 1)
