"""Data of tutorials and other data sets: readers of files that the user has, and stand-ins for those who have none.

==================== =================================================================================
reader               reads
==================== =================================================================================
`DVSGesture`         DVS-Gesture's recordings in AEDAT 3.1
`Heidelberg`         the HDF5 files of SHD and SSC
`Oxford`             the spike trains of the Oxford regression, ``input.bs1`` and ``output.bs1``
`MNIST`              MNIST's IDX files, plain or ``.gz``
`NMNIST`             N-MNIST's event files
`PilotNet`           frames and angles of a driving data set with ``data.txt``
==================== =================================================================================

==================== =================================================================================
stand-in             is
==================== =================================================================================
`Digits`             scikit-learn's digits, real ones of 8x8 pixels, enlarged
`MovingDigits`       those digits before a simulated event camera
`Road`               a drawn road and the angle that keeps a car on it
`WrittenSpikes`      random spike trains, and a word drawn in spikes
`XOR`                the four samples of exclusive or
==================== =================================================================================

All are ``torch.utils.data.Dataset`` objects. Nothing is downloaded.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "DVSGesture": "gesture",
    "Digits": "digits",
    "Heidelberg": "heidelberg",
    "MNIST": "mnist",
    "MovingDigits": "moving_digits",
    "NMNIST": "nmnist",
    "Oxford": "oxford",
    "PilotNet": "pilotnet",
    "Road": "road",
    "WrittenSpikes": "written",
    "XOR": "xor",
    "read_idx": "mnist",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        importlib.import_module("lavadl_ref._needs_torch")
        return getattr(importlib.import_module(f"lavadl_ref.datasets.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'lavadl_ref.datasets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
