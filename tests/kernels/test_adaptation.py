"""The adaptation of values that are given, against the oracle; its gradients against the unrolled recurrence."""

import lavadl_kernels
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lavadl_kernels.neurons import _adaptation as adaptation
from lavadl_kernels.runtime import jit as _jit

from tests.support import oracle as naive
from tests.support.checks.gradients import close
from tests.support.kernel_cases import MANY, decays
from tests.support.oracle import unrolled

NONE = np.empty((0, 0), np.bool_)


@st.composite
def cases(draw, magnitudes=(1, 70, 4096, 2**14, 2**24, 2**31)):
    """Arguments of `levels`; magnitudes in 1/4096."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lanes = draw(st.sampled_from([1, 7, MANY]))
    steps = draw(st.integers(0, 4 if lanes == MANY else 16))
    size = draw(st.sampled_from(magnitudes))
    value = ((rng.integers(-size, 3 * size, (steps, lanes)) + rng.random((steps, lanes))) / 4096).astype(np.float32)
    allowed = rng.random(value.shape) < 0.7 if draw(st.booleans()) else NONE
    state = [rng.integers(-size, size + 1, lanes) for _ in range(2)]
    rates = [decays(rng, lanes, draw(st.booleans())) for _ in range(2)]
    threshold, step = (draw(st.sampled_from([0, 1, size // 2, size])) for _ in range(2))
    return value, allowed, *state, *rates, threshold, step


def oracle(value, allowed, th, r, threshold_decay, refractory_decay, threshold, step):
    """Threshold, refractory state and spikes (T, M): ALIF without memory has its input for a voltage."""
    lanes = []
    for i in range(th.size):
        column = [int(float(v) * 4096) for v in value[:, i]]
        if allowed.size:  # a resonator without memory: its phase is right where spikes are allowed
            phase = [0 if a else -1 for a in allowed[:, i]]
            states, out = {"th": int(th[i]), "r": int(r[i])}, []
            for v, p in zip(column, phase, strict=True):
                rates = int(threshold_decay[i]), int(refractory_decay[i])
                trace, after = naive.adrf([v], [p], 0, 0, *rates, threshold, step, im=-1, **states)
                states = {"th": after[2], "r": after[3]}
                out.append([part[0] for part in trace[2:]])
            lanes.append(np.array(out).T)
        else:
            rates = 4096, 4096, int(threshold_decay[i]), int(refractory_decay[i])
            trace, _ = naive.alif(column, *rates, threshold, step, th=int(th[i]), r=int(r[i]))
            lanes.append(np.array(trace[2:]))
    return np.moveaxis(np.array(lanes), 0, -1).reshape(3, *value.shape)


def check(case):
    th, r, spike = adaptation.levels(*case)
    expected = oracle(*case)
    assert (th.dtype, r.dtype, spike.dtype) == (np.float32, np.float32, np.bool_)
    np.testing.assert_array_equal(spike, expected[2])
    for actual, wanted in zip((th, r), expected, strict=False):
        np.testing.assert_array_equal(actual, (wanted / 4096).astype(np.float32))
    return th, r, spike


@settings(max_examples=30)
@given(cases())
def test_the_levels_equal_the_oracles(case):
    copies = [part.copy() if isinstance(part, np.ndarray) else part for part in case]
    check(case)
    for part, copy in zip(case, copies, strict=True):
        np.testing.assert_array_equal(part, copy)


def few(value, threshold, step, decay, steps=3):
    one = [np.zeros(1, np.int64), np.zeros(1, np.int64), *(np.full(1, decay) for _ in range(2))]
    one[0] += threshold
    return np.full((steps, 1), value / 4096, np.float32), NONE, *one, threshold, step


def test_equality_is_a_spike():
    assert check(few(4096, 4096, 0, 0))[2].tolist() == [[True], [False], [False]]
    assert not check(few(4095, 4096, 0, 0))[2].any()


def test_levels_beyond_float64_are_exact():
    case = few(2**46, 2**44 + 1, 2**44 + 1, 1)
    th, _, _ = check(case)
    assert th.max() > 2**32
    assert float(2**44 + 1) * 4095 != (2**44 + 1) * 4095


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_levels_refuse_values_without_a_fixed_point(bad):
    case = few(4096, 4096, 64, 100)
    case[0][1, 0] = bad
    with pytest.raises(ValueError, match="must be finite"):
        adaptation.levels(*case)


def test_thresholds_that_grow_beyond_any_type_are_refused():
    with pytest.raises(ValueError, match="thresholds can grow"):
        adaptation.levels(*few(4096, 4096, 2**50, 1, steps=100))


@settings(max_examples=20)
@given(cases((4096, 2**14)), st.integers(0, 99))
def test_the_gradient_of_levels_is_autograds(case, seed):
    value, _, th, r, threshold_decay, refractory_decay, threshold, step = case
    rng = np.random.default_rng(seed)
    grads = [rng.normal(size=value.shape).astype(np.float32) for _ in range(2)]
    traces = adaptation.levels(*case)
    actual = adaptation.levels_backward(*grads, traces, (th, r), *case[4:])

    rates = [torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in (threshold_decay, refractory_decay)]
    states, loss = [torch.tensor(part / 4096) for part in (th, r)], torch.zeros((), dtype=torch.float64)
    fired = torch.from_numpy(traces[2])
    for t in range(len(value)):
        level_th, level_r = unrolled._recover(*states, *rates, threshold / 4096)
        for level, grad in zip((level_th, level_r), grads, strict=True):
            loss = loss + (level * torch.from_numpy(grad[t])).sum()
        states = list(unrolled._adapt(level_th, level_r, fired[t], step / 4096))
    if loss.requires_grad:
        loss.backward()
    for a, rate in zip(actual, rates, strict=True):
        assert (a.dtype, a.shape) == (np.float64, th.shape)
        close(a, np.zeros(th.shape) if rate.grad is None else rate.grad.numpy(), max(len(value), 1))


def test_threads_do_not_change_a_bit(monkeypatch):
    monkeypatch.setattr(_jit, "WORTH", 0)
    before = lavadl_kernels.get_num_threads()
    rng = np.random.default_rng(0)
    lanes = 5 * 512 + 77
    state = [rng.integers(0, 4097, lanes) for _ in range(4)]
    case = rng.normal(size=(20, lanes)).astype(np.float32), NONE, *state, 4096, 640
    grads = [rng.normal(size=(20, lanes)).astype(np.float32) for _ in range(2)]
    results = []
    try:
        for count in (1, 2):
            lavadl_kernels.set_num_threads(count)
            traces = adaptation.levels(*case)
            results.append([*traces, *adaptation.levels_backward(*grads, traces, state[:2], *case[4:])])
    finally:
        lavadl_kernels.set_num_threads(before)
    assert results[0][2].any()
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
