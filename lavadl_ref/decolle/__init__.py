"""Deep continuous local learning (DECOLLE) with blocks of slayer, under the names of Lava-DL's plugin of that name.

Each layer has a fixed readout and its own loss at every time step. No gradient is carried back in time: the derivative
of a voltage with respect to the weights of its layer is carried forward, as an eligibility trace (Kaiser, Mostafa and
Neftci, 2020).
"""

import lavadl_ref._needs_torch
from lavadl_ref.decolle import loss, utils

__all__ = ["loss", "utils"]
