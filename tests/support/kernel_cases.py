"""Neuron cases for the kernel tests: usual and extreme parameters, many lanes at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from lavadl_kernels.engine import train
from lavadl_kernels.neurons import _leaky_integrator as leaky_integrator
from lavadl_kernels.neurons import cuba

from tests.support.families import Family

# OutOfRange one chunk, so that lanes are split over tasks, and not a multiple of anything.
MANY = leaky_integrator.CHUNK + 13


@dataclass
class Case:
    """Two integrators in a chain: arrays as `leaky_integrator` takes them, and CUBA neurons of them."""

    x: np.ndarray  #: (T, M) float32
    u: np.ndarray  #: (M,) int64
    v: np.ndarray
    current_decay: np.ndarray
    voltage_decay: np.ndarray
    threshold: int
    graded: bool

    @property
    def state(self):
        """(2, M), as `engine.train` takes it."""
        return np.stack([self.u, self.v])

    @property
    def neuron(self):
        """CUBA neurons without a bias."""
        return cuba.Cuba(np.stack([self.current_decay, self.voltage_decay, np.zeros_like(self.u)]), self.threshold)

    def forward(self, **options):
        return train.forward(self.neuron, (self.x,), self.state, self.graded, **options)

    def backward(self, tau, scale, grad_spike):
        """The gradients to the input and to both decays."""
        found = train.backward(self.neuron, (self.x,), self.state, tau, scale, grad_spike, graded=self.graded)
        return found.x[0], found.decay[0], found.decay[1]

    @property
    def integers(self):
        """The input in 1/4096, truncated, as Python integers (T, M)."""
        return [[int(float(value) * 4096) for value in row] for row in self.x]


def decays(rng, lanes, shared):
    """Integers 0..4096, the edges often among them."""
    edges = rng.choice([0, 1, 2, 410, 1229, 4095, 4096], lanes)
    values = np.where(rng.random(lanes) < 0.5, edges, rng.integers(0, 4097, lanes)).astype(np.int64)
    return np.full(lanes, values[0]) if shared else values


@st.composite
def cases(draw, magnitudes=(1, 70, 4096, 2**14, 2**20, 2**23, 2**24, 2**31), off_grid=True):
    """A random `Case`; magnitudes in 1/4096."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lanes = draw(st.sampled_from([1, 2, 7, MANY]))
    steps = draw(st.integers(1, 4 if lanes == MANY else 16))
    magnitude = draw(st.sampled_from(magnitudes))
    grid = rng.integers(-magnitude, magnitude + 1, (steps, lanes)).astype(np.float64)
    if off_grid and draw(st.booleans()):
        grid += rng.random((steps, lanes))
    shared = draw(st.booleans())
    rest = draw(st.booleans())
    # a threshold that inputs reach exactly now and then
    threshold = draw(st.sampled_from([0, 1, 64, int(abs(grid[0, 0])), magnitude // 2, magnitude]))
    return Case(
        x=(grid / 4096).astype(np.float32),
        u=np.zeros(lanes, np.int64) if rest else rng.integers(-magnitude, magnitude + 1, lanes),
        v=np.zeros(lanes, np.int64) if rest else rng.integers(-magnitude, magnitude + 1, lanes),
        current_decay=decays(rng, lanes, shared),
        voltage_decay=decays(rng, lanes, shared),
        threshold=threshold,
        graded=draw(st.booleans()),
    )


@dataclass
class Neurons:
    """Any family: arrays as `dynamics` takes them, K states, P decays and one input or two."""

    family: Family
    x: tuple[np.ndarray, ...]  #: (T, M) float32
    state: np.ndarray  #: (K, M) int64
    decay: np.ndarray  #: (P, M) int64
    threshold: int
    threshold_step: int
    graded: bool

    @property
    def constants(self):
        """The constants that all lanes share."""
        return (self.threshold, self.threshold_step) if self.family.adaptive else (self.threshold,)

    @property
    def parameters(self):
        return self.family.kernel.Parameters(self.decay, *self.constants)

    def forward(self, **options):
        return train.forward(self.parameters, self.x, self.state, self.graded, **options)

    def oracle(self, **options):
        """The oracle's traces (K, T, M), spikes (T, M) and states after (K, M), integers."""
        columns = [[[int(float(value) * 4096) for value in lane] for lane in part.T] for part in self.x]
        lanes = []
        for i in range(self.state.shape[1]):
            states = dict(zip(self.family.states, self.state[:, i].tolist(), strict=True))
            inputs = [part[i] for part in columns]
            lanes.append(self.family.naive(*inputs, *self.decay[:, i].tolist(), *self.constants, **states, **options))
        over_time = np.moveaxis(np.array([trace for trace, _ in lanes]), 0, -1)
        return over_time[:-1], over_time[-1], np.array([after for _, after in lanes]).T


def rotations(rng, lanes, shared):
    """Sine and cosine, the edges often among them; their hypotenuse is at most 4096."""
    edges = [(0, 0), (1, -1), (4095, 0), (0, -4095), (4096, 0), (0, 4096), (0, -4096), (2895, 2896), (-2895, 2895)]
    angle, gain = rng.uniform(-np.pi, np.pi, lanes), rng.integers(0, 4096, lanes)
    values = np.trunc([np.sin(angle) * gain, np.cos(angle) * gain]).astype(np.int64)
    values = np.where(rng.random(lanes) < 0.5, np.array(edges)[rng.integers(0, len(edges), lanes)].T, values)
    return list(np.repeat(values[:, :1], lanes, 1) if shared else values)


def draw_decays(family, rng, lanes, shared):
    """Rows (P, M) as the kernel takes them."""
    rows = rotations(rng, lanes, shared) if family.complex else []
    rows += [decays(rng, lanes, shared) for _ in range(len(family.kernel.FAMILY.decays) - len(rows))]
    if family.biased:
        rows.append(rng.integers(-4096, 4097, lanes) * (rng.random() < 0.5))
    return np.array(rows, np.int64)


@st.composite
def neurons(draw, family, magnitudes=(1, 70, 4096, 2**14, 2**20, 2**23, 2**24, 2**31), off_grid=True, lanes=None):
    """A random case of a family; magnitudes in 1/4096."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lanes = lanes or draw(st.sampled_from([1, 2, 7, MANY]))
    steps = draw(st.integers(1, 4 if lanes == MANY else 16))
    magnitude = draw(st.sampled_from(magnitudes))
    grid = rng.integers(-magnitude, magnitude + 1, (family.parts, steps, lanes)).astype(np.float64)
    # a threshold that inputs reach exactly now and then
    threshold = draw(st.sampled_from([0, 1, 64, int(abs(grid[0, 0, 0])), magnitude // 2, magnitude]))
    if off_grid and draw(st.booleans()):
        grid += rng.random(grid.shape)
    shared = draw(st.booleans())
    state = np.zeros((len(family.states), lanes), np.int64)
    if not draw(st.booleans()):
        state = rng.integers(-magnitude, magnitude + 1, state.shape)
    if family.adaptive:
        state[2] += threshold
    return Neurons(
        family=family,
        x=tuple((grid / 4096).astype(np.float32)),
        state=state,
        decay=draw_decays(family, rng, lanes, shared),
        threshold=threshold,
        threshold_step=draw(st.sampled_from([0, 64, magnitude // 4, magnitude])),
        graded=draw(st.booleans()),
    )
