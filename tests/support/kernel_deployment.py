"""The arguments and results of `deployed.run`, with names, and random cases of every family that is deployed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from lavadl_kernels.engine import deployed
from lavadl_kernels.neurons import sigma_delta

from tests.support.families import SPIKING as FAMILIES
from tests.support.kernel_cases import MANY, draw_decays

STATES = {
    **{name: len(family.states) for name, family in FAMILIES.items()},
    "sigma_delta": 4,
    "delta": 3,
    "sigma": 1,
}  #: how many each kind of neuron has
UNITS = 3  #: of a random layer with feedback
CAREFUL = 2**50  #: a state below it and its product with a decay fit into 64 bits


class Ran(NamedTuple):
    """The results of a deployment."""

    message: np.ndarray  #: (T, M)
    record: np.ndarray  #: (K, T, M), or (K, 0, M)
    state: np.ndarray  #: (K, M) after the last step
    exceeded: np.ndarray  #: (M,)


@dataclass
class Deployment:
    """Arguments of `deployed.run`, K states of M lanes over T steps with P inputs."""

    neuron: Any
    total: np.ndarray  #: (P, T, M)
    bias: np.ndarray  #: (P, M)
    up: np.ndarray  #: (P,)
    state: np.ndarray  #: (K, M), left as it is
    rest: np.ndarray  #: (K, M)
    reset: np.ndarray  #: (T,) bool
    start: int = 0
    graded: bool = False
    bits: int = 32
    weights: np.ndarray | None = None  #: (P, O, O), R of each part
    loihi: bool = True

    def run(self, record=True):
        """The compiled kernel."""
        parts, steps, lanes = self.total.shape
        dtype, rows = np.int32 if self.loihi else np.int64, steps if record else 0
        # every element has to be written
        out = Ran(
            np.full((steps, lanes), 99, dtype),
            np.full((len(self.state), rows, lanes), 99, dtype),
            self.state.copy(),
            np.full(lanes, 99, np.int64),
        )
        weights = np.zeros((parts, 0, 0), np.int64) if self.weights is None else self.weights
        transposed = tuple(np.ascontiguousarray(part.T) for part in weights)
        synapses = deployed.Synapses(tuple(self.total), self.bias, self.up, transposed)
        profile = deployed.Profile(self.start, self.loihi, self.graded, self.bits)
        filled = deployed.Filled(out.message, out.record, out.exceeded)
        deployed.run(self.neuron, synapses, out.state, self.rest, self.reset, profile, filled)
        return out


def deploy(neuron, total, state, **options):
    """A deployment without anything else, of `total` (P, T, M) and `state` (K, M)."""
    parts, steps, lanes = total.shape
    return Deployment(
        neuron, np.array(total, np.int64), np.zeros((parts, lanes), np.int64), np.zeros(parts, np.int64),
        np.array(state, np.int64), np.zeros_like(state, np.int64), np.zeros(steps, bool), **options,
    )  # fmt: skip


def same(actual, expected):
    """Assert that two runs gave the same integers."""
    for name, one, other in zip(Ran._fields, actual, expected, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)


def random_neuron(kind, rng, lanes, inside, exponent):
    """Parameters of a neuron whose states are about `inside`."""
    threshold = int(rng.choice([0, 1, 64, inside // 2, inside, (2**17 - 1) * 64]))
    if kind in FAMILIES:
        family = FAMILIES[kind]
        rows = draw_decays(family, rng, lanes, shared=rng.random() < 0.2)
        if family.biased:
            rows[2] *= rng.choice([0, 1, max(1, inside // 4096)])
            return family.kernel.Parameters(rows, threshold, exponent)
        steps = [int(rng.choice([0, 64, max(1, inside // 4), 2**29]))] if family.adaptive else []
        return family.kernel.Parameters(rows, threshold, *steps)
    thresholds = np.where(rng.random(lanes) < 0.5, threshold, rng.integers(0, inside + 1, lanes))
    bias = rng.integers(-inside, inside + 1, lanes) * (rng.random() < 0.5)
    relu, cum_error = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    if kind == "sigma_delta":
        return sigma_delta.SigmaDelta(thresholds, bias, relu, cum_error, exponent)
    return sigma_delta.Delta(thresholds, cum_error) if kind == "delta" else sigma_delta.Sigma(bias)


def random_states(kind, neuron, rng, lanes, magnitude):
    """States within their widths: 32 bits for sigma-delta, thresholds and refractory states, else 24."""
    limits = np.full(STATES[kind], min(magnitude, 2**23 - 1))
    limits[0 if kind not in FAMILIES else 2 :] = min(magnitude, 2**30)
    state = rng.integers(-limits[:, None], limits[:, None] + 1, (STATES[kind], lanes))
    if not getattr(neuron, "cum_error", True):
        state[-1] = 0  # the error is not used
    return state


@st.composite
def deployments(draw, kind, loihi=None, feedback=None):
    """A random deployment: sums within and beyond 24 and 32 bits, and everything else that may be."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    loihi = draw(st.booleans()) if loihi is None else loihi
    feedback = draw(st.sampled_from([False, False, True])) if feedback is None else feedback
    lanes, steps = draw(st.sampled_from([(1, 16), (7, 9), (MANY, 2)]))
    lanes = -(-lanes // UNITS) * UNITS if feedback else lanes
    parts = FAMILIES[kind].parts if kind in FAMILIES else 1
    graded = kind not in FAMILIES or draw(st.booleans())
    magnitude = draw(st.sampled_from([1, 64, 2**14, 2**20, 2**23, 3 * 2**23 + 5, 2**31, 2**33]))
    up = rng.choice([-13, -6, -1, 0, 1, 6, 12], parts)
    weight = 2**12
    if feedback and graded and not loihi:  # what grows without bound outgrows 64 bits
        magnitude, up, weight = min(magnitude, 2**23), np.full(parts, -6), 64
    sums = np.minimum(magnitude, 2**38 >> np.maximum(up, 0))[:, None, None]
    neuron = random_neuron(kind, rng, lanes, min(magnitude, 2**23 - 1), draw(st.integers(-3, 3)))
    state = random_states(kind, neuron, rng, lanes, magnitude)
    rest = np.zeros_like(state)
    if rng.random() < 0.3:
        rest = random_states(kind, neuron, rng, lanes, magnitude)
    elif kind in FAMILIES and FAMILIES[kind].adaptive:
        rest[2] = neuron.threshold
    return Deployment(
        neuron=neuron,
        total=rng.integers(-sums, sums + 1, (parts, steps, lanes)),
        bias=rng.integers(-sums[:, 0], sums[:, 0] + 1, (parts, lanes)) * (rng.random() < 0.5),
        up=up,
        state=state if rng.random() < 0.7 else rest.copy(),
        rest=rest,
        reset=rng.random(steps) < draw(st.sampled_from([0, 0.4])),
        start=draw(st.sampled_from([0, 0, 1, 2, steps, steps + 1])),
        graded=graded,
        bits=draw(st.sampled_from([24, 32])),
        weights=rng.integers(-weight, weight + 1, (parts, UNITS, UNITS)) if feedback else None,
        loihi=loihi,
    )


def uniform(kind, lanes, steps, seed, units=0):
    """A deployment of usual size for tests of something else than the numbers."""
    rng = np.random.default_rng(seed)
    parts = FAMILIES[kind].parts if kind in FAMILIES else 1
    neuron = random_neuron(kind, rng, lanes, 2**14, 1)
    weights = rng.integers(-64, 65, (parts, units, units)) if units else None
    total = rng.integers(-(2**20), 2**20, (parts, steps, lanes))
    case = deploy(neuron, total, random_states(kind, neuron, rng, lanes, 2**14), graded=True, weights=weights)
    return replace(case, up=np.full(parts, -6), start=2, reset=rng.random(steps) < 0.1)
