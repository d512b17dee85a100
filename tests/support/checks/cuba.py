"""CUBA's neurons against the oracle, with ==."""

from __future__ import annotations

import numpy as np

from tests.support import oracle as naive


def oracle(case, **options):
    """Arrays u, w, v, spike of shape (T, M), of Python integers."""
    lanes = [
        naive.cuba(
            column,
            int(case.current_decay[i]),
            int(case.voltage_decay[i]),
            case.threshold,
            u=int(case.u[i]),
            v=int(case.v[i]),
            **options,
        )
        for i, column in enumerate(zip(*case.integers, strict=True))
    ]
    return [np.array(part).T for part in zip(*lanes, strict=True)]


def forward(case):
    """Spikes, currents and voltages after the last step."""
    run = case.forward()
    return run.spike, *run.state


def check_forward(case):
    spike, u, v = forward(case)
    us, ws, vs, spikes = oracle(case)
    size = (ws / 4096).astype(np.float32) if case.graded else 1
    assert spike.dtype == np.float32
    assert (u.dtype, v.dtype) == (np.int64, np.int64)
    np.testing.assert_array_equal(spike, np.where(spikes == 1, size, 0))
    np.testing.assert_array_equal(u, us[-1])
    np.testing.assert_array_equal(v, vs[-1])
