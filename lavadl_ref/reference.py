"""Integer reference run of a ``.net`` file: the public name of `lavadl_ref.deployed.reference`."""

from lavadl_ref.deployed.reference import (
    PROFILES,
    RECORDABLE,
    SPIKE_EXP_LIMIT,
    TIME_BASES,
    Exceeded,
    LayerRun,
    Network,
    Run,
    delayed,
)

__all__ = [
    "PROFILES",
    "RECORDABLE",
    "SPIKE_EXP_LIMIT",
    "TIME_BASES",
    "Exceeded",
    "LayerRun",
    "Network",
    "Run",
    "delayed",
]
