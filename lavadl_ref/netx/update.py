"""The one place where netx's own processes call a neuron's update."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def cuba_update(
    a: NDArray[Any],
    u: NDArray[np.int32],
    v: NDArray[np.int32],
    bias: NDArray[np.int32],
    current_decay: NDArray[np.int32],
    voltage_decay: NDArray[np.int32],
    threshold: int,
) -> NDArray[np.uint8]:
    """One step of CUBA neurons with the chip's widths, updating `u` and `v` in place.

    Parameters
    ----------
    a : ndarray
        Synaptic input in 1/64, any shape.
    u, v : ndarray
        States in 1/4096, same shape.
    bias : ndarray
        In 1/64, same shape.
    current_decay, voltage_decay : ndarray
        0 to 4096, same shape.
    threshold : int
        In 1/64.

    Returns
    -------
    ndarray
        Spikes, 0 or 1, same shape.
    """
    # Imported late: only networks with a process of ours wait for the compiler.
    from lavadl_kernels import cuba

    lanes = int(u.size)
    current, voltage = (x.astype(np.int64).reshape(-1) for x in (u, v))
    spike = np.empty((1, lanes), np.uint8)
    unrecorded = np.empty((0, lanes), np.int32)
    cuba.run(
        a.astype(np.int64).reshape(1, -1) << 6,
        bias.astype(np.int64).reshape(-1) << 6,
        current,
        voltage,
        current_decay.astype(np.int64).reshape(-1),
        voltage_decay.astype(np.int64).reshape(-1),
        threshold << 6,
        0,
        np.zeros(1, np.bool_),
        spike,
        unrecorded,
        unrecorded.copy(),
        np.empty(lanes, np.int64),
    )
    u[...] = current.reshape(u.shape)
    v[...] = voltage.reshape(v.shape)
    return spike.reshape(u.shape)


def compile_ahead() -> None:
    """Compile the update in this process, so that forked actors find it ready."""
    one = np.zeros(1, np.int32)
    cuba_update(one, one.copy(), one.copy(), one, one, one, 0)
