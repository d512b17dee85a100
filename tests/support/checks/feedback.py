"""Recurrent neurons against the oracle and torch autograd."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from lavadl_kernels.engine import recurrent as feedback
from lavadl_kernels.engine import train

from tests.support.checks.gradients import close, doubles, gradients, unrolled_step
from tests.support.kernel_cases import Neurons
from tests.support.oracle import unrolled


@dataclass
class Net:
    """Lane n * O + o of `case` is unit o of sample n; for each input one R (O, O), row o what unit o receives."""

    case: Neurons
    weights: tuple[np.ndarray, ...]

    @property
    def units(self):
        return len(self.weights[0])

    @property
    def dense(self):
        return tuple(feedback.Weights(weight) for weight in self.weights)

    def forward(self, traces=False, weights=None, later=0):
        case = self.case
        return feedback.forward(
            case.parameters, case.x, case.state, self.units, weights or self.dense, case.graded, traces, True, later,
        )  # fmt: skip

    def checkpoints(self, x):
        """The states at which backward begins, of a run of neurons apart with the feedback in `x`."""
        return train.forward(self.case.parameters, x, self.case.state, keep=True).checkpoints

    def backward(self, x, tau, scale, grad_spike, grad_trace=None, weights=None, later=0):
        case = self.case
        return feedback.backward(
            case.parameters, x, self.checkpoints(x), tau, scale, grad_spike, self.units, weights or self.dense,
            grad_trace, case.graded, later,
        )  # fmt: skip

    def with_weight(self, weight):
        return Net(self.case, (weight,) * len(self.weights))

    def received(self, spike):
        """The feedback of spikes (M,) to each input; its products and sums are exact in float64."""
        sent = spike.astype(np.float64).reshape(-1, self.units)
        return [(sent @ weight.T.astype(np.float64)).reshape(-1) for weight in self.weights]


def oracle(net):
    """Inputs with the feedback in them, traces, spikes as they are sent, and states after."""
    case, sent = net.case, np.zeros(net.case.state.shape[1])
    rows, state = [], case.state
    for t in range(len(case.x[0])):
        exact = [part[t].astype(np.float64) + more for part, more in zip(case.x, net.received(sent), strict=True)]
        fed = [part.astype(np.float32)[None] for part in exact]
        for part, rounded in zip(exact, fed, strict=True):
            np.testing.assert_array_equal(rounded[0], part)
        trace, spike, state = replace(case, x=tuple(fed), state=state).oracle()
        sent = spike[0] * (trace[case.family.size, 0] / 4096) if case.graded else spike[0]
        rows.append((fed, trace, sent))
    fed, traces, spikes = zip(*rows, strict=True)
    return [np.concatenate(part) for part in zip(*fed, strict=True)], np.concatenate(traces, 1), np.array(spikes), state


def check_forward(net):
    run = net.forward(traces=True)
    fed, traces, spikes, after = oracle(net)
    np.testing.assert_array_equal(run.spike, spikes.astype(np.float32))
    np.testing.assert_array_equal(run.trace, (traces / 4096).astype(np.float32))
    np.testing.assert_array_equal(run.state, after)
    apart = net.checkpoints(run.x)
    assert run.checkpoints.dtype == apart.dtype
    np.testing.assert_array_equal(run.checkpoints, apart)
    for actual, expected in zip(run.x, fed, strict=True):
        np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(net.forward().spike, run.spike)


def check_gradients(net, tau, with_traces):
    case, units = net.case, net.units
    rng = np.random.default_rng(3)
    steps, lanes = case.x[0].shape
    grad_spike = rng.normal(size=(steps, lanes)).astype(np.float32)
    grad_trace = rng.normal(size=(len(case.state), steps, lanes)).astype(np.float32) if with_traces else None
    run = net.forward(traces=True)
    actual = net.backward(run.x, tau, 0.5, grad_spike, grad_trace)

    step, decays = unrolled_step(case, np.float32(tau), 0.5)
    x, weights = [doubles(part) for part in case.x], [doubles(weight) for weight in net.weights]

    def flat(inputs, states):
        """The step of M lanes as one of (N, O)."""
        spike, traces, states = step(tuple(part.reshape(-1) for part in inputs), states)
        return spike.reshape(-1, units), traces, states

    folded = [part.reshape(steps, -1, units) for part in x]
    nothing = torch.zeros(lanes // units, units, dtype=torch.float64)
    spike, traces, _ = unrolled.recurrent(flat, folded, weights, tuple(torch.tensor(case.state / 4096)), nothing)
    spike = spike.reshape(steps, lanes)
    loss = (spike * torch.tensor(grad_spike)).sum()
    if with_traces:
        loss = loss + (torch.stack(traces) * torch.tensor(grad_trace)).sum()
    loss.backward()

    np.testing.assert_array_equal(run.spike, spike.detach().numpy().astype(np.float32))
    terms = 4 * steps * units
    for a, e in zip(actual.x, gradients(x), strict=True):
        close(a, e, terms)
    for a, e in zip(actual.decay[: len(decays)], gradients(decays), strict=True):
        close(a, e, terms)
    for to_x, expected in zip(actual.x, gradients(weights), strict=True):
        close(feedback.weight_gradient(to_x, run.spike, units), expected, terms * lanes)
        trace = np.atleast_1d(feedback.own_gradient(to_x, run.spike))
        close(trace, np.atleast_1d(np.trace(expected)), terms * lanes)
