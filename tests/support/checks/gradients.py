"""Any family's gradients against torch autograd through the unrolled surrogate model in float64."""

from __future__ import annotations

import numpy as np
import torch
from lavadl_kernels.engine import train as dynamics

from tests.support.oracle import unrolled


def doubles(array):
    return torch.tensor(np.asarray(array, np.float64), requires_grad=True)


def unrolled_step(case, tau, scale):
    """The unrolled twin of a case, and its leaf tensors of the decays."""
    family = case.family
    decays = [doubles(row) for row in case.decay[: len(family.kernel.FAMILY.decays)]]
    bias = {"bias": torch.tensor(case.decay[-1] / 4096)} if family.biased else {}
    constants = [value / 4096 for value in case.constants]
    step = getattr(unrolled, f"{family.name}_step")
    return step(*decays, *constants, tau, scale, case.graded, **bias), decays


def differentiate(case, tau, scale, grad_spike, grad_trace=None):
    """Spikes and traces, float64, and the gradients to the inputs and the decays."""
    step, decays = unrolled_step(case, tau, scale)
    x = [doubles(part) for part in case.x]
    spike, traces, _ = unrolled.unroll(step, x, tuple(torch.tensor(case.state / 4096)))
    loss = (spike * torch.tensor(grad_spike)).sum()
    if grad_trace is not None:
        loss = loss + (torch.stack(traces) * torch.tensor(grad_trace)).sum()
    loss.backward()
    return spike.detach().numpy(), torch.stack(traces).detach().numpy(), gradients(x), gradients(decays)


def gradients(leaves):
    """A leaf that nothing depends on has none."""
    return [np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy() for leaf in leaves]


def check_gradients(case, tau, scale, with_traces, seed=5):
    rng = np.random.default_rng(seed)
    shape = case.x[0].shape
    grad_spike = rng.normal(size=shape).astype(np.float32)
    grad_trace = rng.normal(size=(len(case.state), *shape)).astype(np.float32) if with_traces else None
    actual = dynamics.backward(case.parameters, case.x, case.state, tau, scale, grad_spike, grad_trace, case.graded)
    spike, traces, to_x, to_decay = differentiate(case, np.float32(tau), np.float32(scale), grad_spike, grad_trace)
    run = case.forward(traces=True)
    np.testing.assert_array_equal(run.spike, spike.astype(np.float32))
    np.testing.assert_array_equal(run.trace, traces.astype(np.float32))
    assert [part.dtype for part in actual.x] == [np.float32] * len(case.x)
    assert (actual.decay.dtype, actual.decay.shape) == (np.float64, case.decay.shape)
    for a, e in zip(actual.x, to_x, strict=True):
        close(a, e, shape[0])
    for a, e in zip(actual.decay[: len(to_decay)], to_decay, strict=True):
        close(a, e, shape[0])
    assert not actual.decay[len(to_decay) :].any(), "a bias is no decay"
    return actual


def close(actual, expected, terms):
    """Equal to the rounding of a float32 sum of `terms` numbers."""
    largest = np.abs(expected).max(initial=0)
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=(largest + 1e-30) * 1e-6 * terms)
