"""The adaptation of values that are given, as a torch autograd function."""

from __future__ import annotations

from typing import Any

import lavadl_kernels
import numpy as np
import torch
from lavadl_kernels.neurons import _adaptation as adaptation
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._bridge.autograd import Layout, layout_of
from lavadl_ref.slayer._bridge.function import Function
from lavadl_ref.slayer.neuron.dynamics._grid import Grid


def persistent_ref_state(ref_state: Tensor, spike: Tensor, th_state: Tensor) -> Tensor:
    """The refractory state after the last step's `spike`: higher by twice the threshold where there was one.

    `th_state` is the threshold before it was raised by that spike.
    """
    return torch.where(spike > 0, ref_state + 2 * th_state, ref_state)


def persistent_th_state(th_state: Tensor, spike: Tensor, th_step: float) -> Tensor:
    """The threshold after the last step's `spike`: higher by `th_step` where there was one."""
    return torch.where(spike > 0, th_state + th_step, th_state)


def run(
    grid: Grid,
    value: str,
    phase: tuple[str, Tensor] | None,
    states: tuple[Tensor, Tensor],
    decays: tuple[Tensor, Tensor],
    constants: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """Threshold and refractory state over time.

    Parameters
    ----------
    grid : Grid
        Of the inputs.
    value : str
        Name of the input that is compared with the threshold.
    phase : (str, Tensor), optional
        Name of the imaginary part, and its value before the first step: spikes are where it comes from below zero.
    states, decays, constants
        Of threshold and refractory state; the threshold at rest and its step.
    """
    th, r = grid.state("th_state", states[0]), grid.state("ref_state", states[1])
    rates = grid.decay("th_decay", decays[0]), grid.decay("ref_decay", decays[1])
    levels = grid.level("th0", constants[0]), grid.level("th_scale", constants[1])
    imag = None if phase is None else (grid.up(phase[0]).detach(), grid.state("im_state", phase[1]))
    threshold, refractory = _Levels.apply(grid.up(value), imag, (th, r), levels, *rates)
    return grid.down(threshold), grid.down(refractory)


class _Levels(Function):
    """`lavadl_kernels.adaptation.levels` on tensors; the gradient goes to the decays alone."""

    @staticmethod
    def forward(
        ctx: Any,
        value: Tensor,
        imag: tuple[Tensor, Tensor] | None,
        states: tuple[Tensor, Tensor],
        levels: tuple[int, int],
        *decays: Tensor,
    ) -> Any:
        lavadl_kernels.set_num_threads(torch.get_num_threads())
        layout = layout_of(value)
        state = tuple(layout.state(part).copy() for part in states)
        rates = tuple(layout.per_lane(decay.detach().to(torch.int64).numpy()) for decay in decays)
        allowed = np.empty((0, 0), np.bool_) if imag is None else _crossings(*imag, layout)
        given: Any = *state, *rates, *levels
        th, r, spike = adaptation.levels(layout.lanes(value), allowed, *given)
        result = layout.logical(th), layout.logical(r)
        ctx.save_for_backward(*result, *decays)
        ctx.run = layout, spike, state, (*rates, *levels)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        lavadl_kernels.set_num_threads(torch.get_num_threads())
        layout, spike, state, given = ctx.run
        th, r, *decays = ctx.saved_tensors
        traces = layout.lanes(th), layout.lanes(r), spike
        arguments: Any = *map(layout.lanes, grads), traces, state, *given
        lanes = adaptation.levels_backward(*arguments)
        return *[None] * 4, *(layout.per_channel(g, d.numel()) for g, d in zip(lanes, decays, strict=True))


def _crossings(imag: Tensor, before: Tensor, layout: Layout) -> Any:
    """A mask, (T, M) bool, of the steps at which the imaginary part, truncated to integers, comes from below zero."""
    im = layout.lanes(imag)
    if not np.isfinite(im).all():
        raise ValueError("im_input must be finite")
    negative = im <= np.float32(-1 / 4096)
    earlier = np.concatenate([(layout.state(before) < 0)[None], negative[:-1]])
    return earlier[: len(im)] & ~negative
