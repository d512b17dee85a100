"""Deep continuous local learning (DECOLLE) with blocks of slayer, under the names of Lava-DL's plugin of that name.

Each layer has a fixed readout and a loss of its own, at every time step. Nothing is carried back in time: the
derivative of a voltage to the weights in front of it is carried forward, as an eligibility trace (Kaiser, Mostafa and
Neftci, 2020).
"""

from lavadl_ref.decolle import loss, utils

__all__ = ["loss", "utils"]
