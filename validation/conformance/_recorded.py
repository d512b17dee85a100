"""The reader, steps and layers that the tests of recorded traces share."""

from __future__ import annotations

import numpy as np

from lavadl_ref.exchange import Neuron

STEPS = 24
LAYERS = {1: "conv-0", 2: "conv-1", 3: "conv-2", 4: "conv-3", 5: "conv-4", 7: "fc-0", 8: "fc-1", 9: "fc-2"}


def load(folder, name):
    """A recording as integers in the file's axes: C, H, W, time or N, time."""
    values = np.load(folder / f"{name}.npy")
    whole = values.astype(np.int64)
    assert (whole == values).all()
    return whole.transpose(2, 1, 0, *range(3, whole.ndim)) if whole.ndim >= 3 else whole


def sigma_delta(**parameters):
    return Neuron("SDNN", {"activation": "relu", "threshold": 20, **parameters})


def rotation(period, decay=0.05):
    """Sine and cosine in 1/4096, cut off as Lava does."""
    angle = 2 * np.pi / period
    return {
        "sin_decay": int((1 - decay) * np.sin(angle) * 4096),
        "cos_decay": int((1 - decay) * np.cos(angle) * 4096),
    }
