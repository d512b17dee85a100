"""The table that ``print(net)`` shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lavadl_ref.exchange.describe import Kernel
from lavadl_ref.netx.plan.network import LayerPlan

HEADER = "|   Type   |  W  |  H  |  C  | ker | str | pad | dil | grp |delay| Lava processes"


def table(plans: Sequence[LayerPlan]) -> str:
    """The heading and one row per generated layer: geometry in Lava's axes and the processes it becomes."""
    return "\n".join([HEADER, *map(_row, plans)])


def _row(plan: LayerPlan) -> str:
    width, height, channels = plan.shape if len(plan.shape) == 3 else (1, 1, plan.shape[0])
    cells = [f"{plan.layer.kind.capitalize():10s}", f"{width:5d}", f"{height:5d}", f"{channels:5d}"]
    if isinstance(plan.layer, Kernel):
        pairs = (plan.layer.kernel_size, plan.layer.stride, plan.layer.padding, plan.layer.dilation)
        cells += [f"{pair[1]:2d},{pair[0]:2d}" for pair in pairs] + [f"{plan.layer.groups:5d}"]
    else:
        cells += [" " * 5] * 5
    delayed = plan.layer.delay is not None and bool(np.any(plan.layer.delay))
    return "|" + "|".join([*cells, f"{delayed!s:5s}"]) + f"| {plan.processes}"
