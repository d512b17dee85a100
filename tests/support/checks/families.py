"""Any family's kernel against the oracle, with ==."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.families import SPIKING as FAMILIES
from tests.support.kernel_cases import Neurons

every = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def check_forward(case):
    run, silent = case.forward(traces=True), case.forward()
    traces, spikes, after = case.oracle()
    size = (traces[case.family.size] / 4096).astype(np.float32) if case.graded else 1
    assert (run.spike.dtype, run.trace.dtype, run.state.dtype) == (np.float32, np.float32, np.int64)
    np.testing.assert_array_equal(run.spike, np.where(spikes == 1, size, 0))
    np.testing.assert_array_equal(run.trace, (traces / 4096).astype(np.float32))
    np.testing.assert_array_equal(run.state, after)
    assert run.x is case.x
    assert silent.trace.shape == (0, *run.spike.shape)
    np.testing.assert_array_equal(silent.spike, run.spike)
    np.testing.assert_array_equal(silent.state, run.state)


def uniform(family, value, decay, threshold, steps=1, state=0, threshold_step=0, graded=False):
    """One lane with constant inputs `value` and all decays equal; thresholds and states in 1/4096 too."""
    states = np.full((len(family.states), 1), state, np.int64)
    if family.adaptive:
        states[2:, 0] = threshold, 0
    rows = np.full((family.rows, 1), decay, np.int64)
    if family.complex:
        rows[:2, 0] = 0, 4096 - decay
    if family.biased:
        rows[2] = 0
    x = tuple(np.full((steps, 1), value / 4096, np.float32) for _ in range(family.parts))
    return Neurons(family, x, states, rows, threshold, threshold_step, graded)
