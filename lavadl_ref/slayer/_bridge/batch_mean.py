"""The mean of each channel of a signal, summed in float64."""

from __future__ import annotations

import numpy as np
import torch
from lavadl_kernels.neurons import _batch_mean
from lavadl_kernels.neurons.sigma_delta_fused import by_channel
from torch import Tensor

from lavadl_ref.slayer._bridge.autograd import follow_torch, layout_of

#: The decay of an integral that forgets all before: it is its input, and its sum over time the input's.
_FORGETS = np.array([4096])


def batch_mean(x: Tensor) -> Tensor:
    """The mean of each channel of `x` (N, C, ..., T) over all other axes, (C,), rounded once to the dtype of `x`.

    float32 sums would round otherwise for each order of the terms, and so for each way that `x` is stored.
    """
    plain = x.dtype == torch.float32 and x.device.type == "cpu" and x.layout is torch.strided
    layout = layout_of(x) if plain and x.ndim >= 3 and x.numel() else None
    if layout is None or not layout.is_view(x):  # to rearrange takes longer than torch
        return x.mean(dim=[0, *range(2, x.ndim)], dtype=torch.float64).to(x.dtype)
    follow_torch()
    total = by_channel(_batch_mean.arrived(layout.lanes(x), _FORGETS), layout.beside, layout.shape[1])
    return torch.from_numpy((total / (x.numel() // x.shape[1])).astype(np.float32))
