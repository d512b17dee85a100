"""One step of neurons on the kernels: the one place where netx's own processes call them."""

from __future__ import annotations

from typing import Any

import numpy as np
from lavadl_kernels.engine import deployed
from numpy.typing import NDArray

from lavadl_ref.deployed.deployment import Deployment

Integers = NDArray[np.int64]


def update(
    deployment: Deployment, sums: tuple[NDArray[Any], ...], states: list[NDArray[Any]], started: bool, reset: bool
) -> NDArray[np.int32]:
    """One step of neurons with the device's widths.

    Parameters
    ----------
    deployment : Deployment
        Of M lanes and K states.
    sums : tuple of ndarray
        For each part the weighted sums, feedback included, of M elements on the scale that the deployment takes.
    states : list of ndarray
        K arrays of M elements, updated in place.
    started : bool
        Whether the neurons have begun; before, they do not move.
    reset : bool
        Whether they are at rest before the update.

    Returns
    -------
    ndarray
        (M,) int32 messages.
    """
    lanes = deployment.rest.shape[1]
    state = np.stack([values.reshape(-1) for values in states]).astype(np.int64)
    total = tuple(np.ascontiguousarray(part, np.int64).reshape(1, lanes) for part in sums)
    message = np.empty((1, lanes), np.int32)
    no_feedback = tuple(np.zeros((0, 0), np.int64) for _ in total)
    synapses = deployed.Synapses(total, deployment.bias, deployment.up, no_feedback)
    profile = deployed.Profile(0 if started else 1, True, deployment.graded, deployment.bits)
    filled = deployed.Filled(message, np.empty((len(state), 0, lanes), np.int32), np.empty(lanes, np.int64))
    deployed.run(deployment.neuron, synapses, state, deployment.rest, np.array([reset]), profile, filled)
    for values, row in zip(states, state, strict=True):
        values[...] = row.reshape(values.shape)
    sent: NDArray[np.int32] = message[0]
    return sent


def compile_ahead(deployment: Deployment) -> None:
    """Compile the update in this process, so that forked actors find it ready."""
    sums = tuple(np.zeros(deployment.rest.shape[1], np.int64) for _ in deployment.bias)
    update(deployment, sums, [row.astype(np.int32) for row in deployment.rest], False, False)
