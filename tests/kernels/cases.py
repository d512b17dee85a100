"""Neuron cases for the kernel tests: usual and extreme parameters, many lanes at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from lavadl_kernels import leaky_integrator

# Beyond one chunk, so that lanes are split over tasks, and not a multiple of anything.
MANY = leaky_integrator.CHUNK + 13


@dataclass
class Case:
    """Arrays as the kernels take them."""

    x: np.ndarray  #: (T, M) float32
    u: np.ndarray  #: (M,) int64
    v: np.ndarray
    current_decay: np.ndarray
    voltage_decay: np.ndarray
    threshold: int
    graded: bool

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
