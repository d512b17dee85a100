"""The kernels as torch autograd functions: the only bridge between the two.

Every function takes and returns tensors of upstream's logical shapes (time last), and saves
them as torch does, so that a change in place before backward raises an error.  States
are int64 tensors (N, C, *spatial) in 1/4096, and carry no gradient.  Decays are float
tensors (1,) or (C,) that hold integers 0..4096, already quantised.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import lavadl_kernels
import numpy as np
import torch
from lavadl_kernels.engine import train as dynamics
from lavadl_kernels.fixed_point import NEVER
from lavadl_kernels.neurons import _leaky_integrator as leaky_integrator
from lavadl_kernels.neurons import _surrogate as spike
from lavadl_kernels.runtime import jit as _jit
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._bridge.layout import Layout, layout_of
from lavadl_ref.slayer._bridge.openmp import of_torch
from lavadl_ref.slayer._overflow import explained

_jit.set_team(of_torch())


def _follow_torch() -> None:
    """Kernels run on as many threads as torch."""
    lavadl_kernels.set_num_threads(torch.get_num_threads())


def _integers(parameter: Tensor) -> NDArray[np.int64]:
    return parameter.detach().to(torch.int64).numpy()


def _initial(state: Tensor | None, layout: Layout) -> NDArray[np.int64]:
    if state is None:
        return np.zeros(layout.neurons, np.int64)
    return layout.state(state)


class LeakyIntegrator(torch.autograd.Function):
    """`lavadl_kernels.leaky_integrator` on tensors: returns y, the last state, and whether y is rounded."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, decay: Tensor, state: Tensor | None, threshold: int | None) -> Any:
        _follow_torch()
        layout = layout_of(x)
        lanes, initial = layout.lanes(x), _initial(state, layout)
        decays = layout.per_lane(_integers(decay))
        limit = NEVER if threshold is None else threshold
        with explained((lanes,)):
            y, after, rounded = leaky_integrator.forward(lanes, initial, decays, limit)
        result = layout.logical(y), layout.logical_state(after), rounded
        ctx.save_for_backward(result[0], decay)
        ctx.kernel = layout, initial, decays, limit
        ctx.mark_non_differentiable(result[1])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _follow_torch()
        y, decay = ctx.saved_tensors
        layout, initial, decays, limit = ctx.kernel
        gx, gd = leaky_integrator.backward(layout.lanes(grads[0]), layout.lanes(y), initial, decays, limit)
        return layout.logical(gx), layout.per_channel(gd, decay.numel()), None, None


class Setting(NamedTuple):
    """What `Neurons` needs besides tensors."""

    kernel: ModuleType  #: of a family, with `Parameters`, `STATES` and `DECAYS`
    constants: tuple[int, ...]  #: the scalars of `Parameters`, 1/4096
    tau: float
    scale: float
    graded: bool
    traces: bool  #: whether to return the values of each state over time, before a spike acts on them
    inputs: int = 1  #: how many of the tensors are inputs
    after: bool = True  #: whether to return the states after the last step
    keep: bool = True  #: whether gradients may be asked for; a function cannot see that they are switched off


class Neurons(torch.autograd.Function):
    """A family of `lavadl_kernels.dynamics` on tensors.

    Takes the states to start from, then the inputs and the decays.
    Returns spikes, traces if wanted, and the states after the last step if wanted.
    """

    @staticmethod
    def forward(ctx: Any, setting: Setting, states: tuple[Tensor | int, ...], *tensors: Tensor) -> Any:
        _follow_torch()
        ctx.set_materialize_grads(False)
        inputs, decays = tensors[: setting.inputs], tensors[setting.inputs :]
        layout = layout_of(inputs[0])
        initial = np.stack([_start(state, layout) for state in states])
        neuron = setting.kernel.Parameters(parameter_rows(decays, layout), *setting.constants)
        x = tuple(layout.lanes(part) for part in inputs)
        keep = setting.keep and any(ctx.needs_input_grad)
        with explained(x):
            run = dynamics.forward(neuron, x, initial, setting.graded, setting.traces, keep)
        # what had to be rearranged is kept as kernels have it
        shared = [layout.shares(part) for part in inputs]
        ctx.save_for_backward(*(part for part, same in zip(inputs, shared, strict=True) if same), *decays)
        ctx.own = [None if same else lanes for lanes, same in zip(x, shared, strict=True)]
        ctx.contiguous = [part.is_contiguous() for part in inputs]
        ctx.run = layout, neuron, initial, run.checkpoints
        ctx.setting = setting
        after = tuple(layout.logical_state(state) for state in run.state) if setting.after else ()
        ctx.mark_non_differentiable(*after)
        return layout.logical(run.spike), *(layout.logical(trace) for trace in run.trace), *after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        _follow_torch()
        setting: Setting = ctx.setting
        layout, neuron, initial, checkpoints = ctx.run
        saved = list(ctx.saved_tensors)
        x = tuple(layout.lanes(saved.pop(0)) if lanes is None else lanes for lanes in ctx.own)
        decays = saved
        shape = x[0].shape
        grad_spike = np.zeros((1, shape[1]), np.float32) if grads[0] is None else layout.lanes_or_one(grads[0])
        trace_grads = grads[1 : 1 + len(initial)] if setting.traces else ()
        grad_trace = None
        if any(grad is not None for grad in trace_grads):
            grad_trace = np.zeros((len(initial), *shape), np.float32)
            for row, grad in zip(grad_trace, trace_grads, strict=True):
                if grad is not None:
                    row[:] = layout.lanes(grad)
        result = dynamics.backward(
            neuron,
            x,
            initial,
            setting.tau,
            setting.scale,
            grad_spike,
            grad_trace,
            setting.graded,
            checkpoints=checkpoints,
        )
        to_decays = [
            layout.per_channel(lanes, decay.numel()) for lanes, decay in zip(result.decay, decays, strict=True)
        ]
        to_inputs = [layout.gradient(part, last) for part, last in zip(result.x, ctx.contiguous, strict=True)]
        return None, None, *to_inputs, *to_decays


def parameter_rows(decays: tuple[Tensor, ...], layout: Layout) -> NDArray[np.int64]:
    """Decays as kernels take them: one number each that all lanes share, (P,), or rows of lanes, (P, M)."""
    values = [_integers(decay) for decay in decays]
    if all(value.size == 1 for value in values):
        return np.concatenate(values)
    return np.stack([layout.per_lane(value) for value in values])


def _start(state: Tensor | int, layout: Layout) -> NDArray[np.int64]:
    """A state in lane order; an integer is that of neurons at rest."""
    if isinstance(state, int):
        return np.full(layout.neurons, state, np.int64)
    return layout.state(state)


class TimeFirst(torch.autograd.Function):
    """The same tensor in memory with time slowest; the gradient is passed as it comes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        _follow_torch()
        layout = Layout(tuple(x.shape), (x.ndim - 1, *range(x.ndim - 1)))
        return layout.logical(layout.lanes(x))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


def time_first(x: Tensor) -> Tensor:
    """`x` with time slowest in memory, where it is contiguous float32 with time last; else `x` itself."""
    plain = x.dtype == torch.float32 and x.device.type == "cpu" and x.ndim >= 3 and x.shape[-1] > 1
    if not (plain and x.is_contiguous()):
        return x
    rearranged: Tensor = TimeFirst.apply(x)
    return rearranged


class Spike(torch.autograd.Function):
    """1 (or the voltage, if graded) where voltage >= threshold; the surrogate gradient to both."""

    @staticmethod
    def forward(
        ctx: Any, voltage: Tensor, threshold: Tensor, tau: float, scale: float, graded: bool, size: float
    ) -> Tensor:
        ctx.save_for_backward(voltage, threshold)
        ctx.constants = tau, scale, graded
        fired = voltage >= threshold
        return torch.where(fired, voltage / size, torch.zeros_like(voltage)) if graded else fired.to(voltage.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _follow_torch()
        voltage, threshold = ctx.saved_tensors
        tau, scale, graded = ctx.constants
        lifted, grad = _lifted(voltage), _lifted(grads[0])
        layout = layout_of(lifted, "voltage")
        v, g = layout.lanes(lifted), layout.lanes(grad)
        levels = _levels(threshold, lifted, layout)
        slopes = spike.backward(v.reshape(-1), levels, tau, scale, graded, g.reshape(-1))
        out = _as_given(layout.logical(slopes.reshape(v.shape)), voltage)
        to_threshold = (-out).sum_to_size(threshold.shape) if ctx.needs_input_grad[1] else None
        return out, to_threshold, *[None] * 4


class PhaseSpike(torch.autograd.Function):
    """1 (or the real part, if graded) where the imaginary part comes from below zero while real >= threshold."""

    @staticmethod
    def forward(
        ctx: Any,
        real: Tensor,
        imag: Tensor,
        threshold: Tensor,
        tau: float,
        scale: float,
        graded: bool,
        imag_last: Tensor,
        size: float,
    ) -> Tensor:
        ctx.save_for_backward(real, imag, threshold)
        ctx.constants = tau, scale, graded
        before = torch.cat([imag_last.expand(imag.shape[:-1])[..., None], imag[..., :-1]], dim=-1)
        fired = (real >= threshold) & (imag >= 0) & (before < 0)
        return torch.where(fired, real / size, torch.zeros_like(real)) if graded else fired.to(real.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _follow_torch()
        real, imag, threshold = ctx.saved_tensors
        lifted = _lifted(real)
        layout = layout_of(lifted, "real part")
        re, im, g = layout.lanes(lifted), layout.lanes(_lifted(imag)), layout.lanes(_lifted(grads[0]))
        levels = _levels(threshold, lifted, layout)
        tau, scale, graded = ctx.constants
        outs = spike.phase_backward(re.reshape(-1), im.reshape(-1), levels, tau, scale, graded, g.reshape(-1))
        to_real, to_imag = (_as_given(layout.logical(out.reshape(re.shape)), real) for out in outs)
        to_threshold = (-to_real).sum_to_size(threshold.shape) if ctx.needs_input_grad[2] else None
        return to_real, to_imag, to_threshold, *[None] * 5


def _lifted(x: Tensor) -> Tensor:
    """A signal (..., T) as kernels take it: float32, with at least three axes."""
    x = x.float()
    return x if x.ndim >= 3 else x[(None,) * (3 - x.ndim)]


def _as_given(x: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_lifted`."""
    return x if x.ndim == like.ndim and x.dtype == like.dtype else x.reshape(like.shape).to(like.dtype)


def _levels(threshold: Tensor, like: Tensor, layout: Layout) -> NDArray[np.float32]:
    """One level, or one per element of `like` in the order of its lanes."""
    if threshold.numel() == 1:
        single: NDArray[np.float32] = threshold.detach().float().reshape(1).numpy()
        return single
    return layout.lanes(threshold.float().expand_as(like)).reshape(-1)
