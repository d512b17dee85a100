"""`lavadl_kernels.delay` as torch autograd functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lavadl_kernels.ops import delay
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._bridge.autograd import Layout, follow_torch
from lavadl_ref.slayer._bridge.function import TypedFunction


def whole_steps(value: Tensor, sampling_time: float) -> NDArray[np.int64]:
    """Delays in steps, cut to integers."""
    if sampling_time == 1:
        return value.detach().numpy().astype(np.int64)
    return torch.trunc(value.detach() / sampling_time).to(torch.int64).numpy()


class Delay(TypedFunction):
    """Each channel later by ``trunc(delay / sampling_time) + shift`` steps, `delay` (1,) or (C,).

    The gradient to the delay is that of the time it stands for, multiplied by `grad_scale`.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, value: Tensor, grad_scale: float, sampling_time: float = 1, shift: int = 0
    ) -> Tensor:
        follow_torch()
        layout = Layout.of_places(x, "delay input")
        steps = whole_steps(value, sampling_time) + shift
        lanes = layout.lanes(x)
        each = steps[:1] if steps.size and steps.min() == steps.max() else layout.per_lane(steps)
        if ctx.needs_input_grad[1]:
            delayed, kept, ctx.size = delay.forward_kept(lanes, each)
            y = layout.logical(delayed)
            # spikes are kept as bytes, a quarter of the memory; other values as they are
            ctx.save_for_backward(y if kept is delayed else torch.from_numpy(kept), value)
        else:
            y = layout.logical(delay.forward(lanes, each))
        ctx.kernel = layout, steps, grad_scale, sampling_time, x.is_contiguous()
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        follow_torch()
        layout, steps, grad_scale, sampling_time, contiguous = ctx.kernel
        grad_y, spread = layout.lanes(grads[0]), layout.per_lane(steps)
        if not ctx.needs_input_grad[1]:
            return layout.gradient(delay.forward(grad_y, -spread), contiguous), None, None, None, None
        y, value = ctx.saved_tensors
        kept = y.numpy() if y.dtype == torch.uint8 else layout.lanes(y)
        gx, gd = delay.backward(grad_y, kept, spread, ctx.size)
        to_value = layout.per_channel(gd, value.numel()) * grad_scale / sampling_time
        return layout.gradient(gx, contiguous), to_value, None, None, None
