"""The processes that each layer of a network becomes on Lava, as names and arguments, without importing Lava."""

from lavadl_ref.netx.plan.network import (
    TIME_BASES,
    LayerPlan,
    Options,
    TimeBaseWarning,
    check_size,
    load,
    plan,
    waiting,
)
from lavadl_ref.netx.plan.process_spec import UnsupportedLayer
from lavadl_ref.netx.plan.table import table

__all__ = [
    "TIME_BASES",
    "LayerPlan",
    "Options",
    "TimeBaseWarning",
    "UnsupportedLayer",
    "check_size",
    "load",
    "plan",
    "table",
    "waiting",
]
