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
from lavadl_kernels import cuba, dynamics, leaky_integrator, spike
from lavadl_kernels.fixed_point import NEVER
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from lavadl_ref.slayer._layout import Layout, layout_of


def _follow_torch() -> None:
    """Kernels run on as many threads as torch."""
    lavadl_kernels.set_num_threads(torch.get_num_threads())


def _integers(parameter: Tensor) -> NDArray[np.int64]:
    return parameter.detach().to(torch.int64).numpy()


def _initial(state: Tensor | None, layout: Layout) -> NDArray[np.int64]:
    if state is None:
        return np.zeros(int(np.prod(layout.state_shape)), np.int64)
    return layout.state(state)


class LeakyIntegrator(torch.autograd.Function):
    """`lavadl_kernels.leaky_integrator` on tensors: returns y and the state after the last step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, decay: Tensor, state: Tensor | None, threshold: int | None) -> Any:
        _follow_torch()
        layout = layout_of(x)
        lanes, initial = layout.lanes(x), _initial(state, layout)
        decays = layout.per_lane(_integers(decay))
        limit = NEVER if threshold is None else threshold
        y, after = leaky_integrator.forward(lanes, initial, decays, limit)
        result = layout.logical(y), layout.logical_state(after)
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


class Cuba(torch.autograd.Function):
    """`lavadl_kernels.cuba` on tensors: returns spikes and the states u, v after the last step."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        current_decay: Tensor,
        voltage_decay: Tensor,
        u: Tensor | None,
        v: Tensor | None,
        threshold: int,
        tau: float,
        scale: float,
        graded: bool,
    ) -> Any:
        _follow_torch()
        layout = layout_of(x)
        u0, v0 = _initial(u, layout), _initial(v, layout)
        decays = layout.per_lane(_integers(current_decay)), layout.per_lane(_integers(voltage_decay))
        spikes, ua, va = cuba.forward(layout.lanes(x), u0, v0, *decays, threshold, graded)
        ctx.save_for_backward(x, current_decay, voltage_decay)
        ctx.kernel = layout, u0, v0, decays, (threshold, tau, scale, graded)
        result = layout.logical(spikes), layout.logical_state(ua), layout.logical_state(va)
        ctx.mark_non_differentiable(*result[1:])
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _follow_torch()
        x, current_decay, voltage_decay = ctx.saved_tensors
        layout, u0, v0, decays, constants = ctx.kernel
        arguments: Any = layout.lanes(x), u0, v0, *decays, *constants, layout.lanes(grads[0])
        gx, gcd, gvd = cuba.backward(*arguments)
        return (
            layout.logical(gx),
            layout.per_channel(gcd, current_decay.numel()),
            layout.per_channel(gvd, voltage_decay.numel()),
            *[None] * 6,
        )


class Setting(NamedTuple):
    """What `Neurons` needs besides tensors."""

    kernel: ModuleType  #: of a family, with `Parameters`, `STATES` and `DECAYS`
    constants: tuple[int, ...]  #: the scalars of `Parameters`, 1/4096
    tau: float
    scale: float
    graded: bool
    traces: bool  #: whether to return the values of each state over time, before a spike acts on them
    inputs: int = 1  #: how many of the tensors are inputs
    feedback: bool = False  #: whether as many weights (O, O) follow, of neurons that feed back


class Neurons(torch.autograd.Function):
    """A family of `lavadl_kernels.dynamics` on tensors.

    Takes the states to start from, then the inputs, the weights of feedback if there is any, and the decays.
    Returns spikes, traces if wanted, and the states after the last step.
    """

    @staticmethod
    def forward(ctx: Any, setting: Setting, states: tuple[Tensor | int, ...], *tensors: Tensor) -> Any:
        _follow_torch()
        ctx.set_materialize_grads(False)
        inputs, rest = tensors[: setting.inputs], tensors[setting.inputs :]
        weights, decays = (rest[: setting.inputs], rest[setting.inputs :]) if setting.feedback else ((), rest)
        # lanes of one sample beside each other, as feedback needs them
        layout = Layout.channels_last(inputs[0].shape) if setting.feedback else layout_of(inputs[0])
        initial = np.stack([_start(state, layout) for state in states])
        neuron = setting.kernel.Parameters(
            np.stack([layout.per_lane(_integers(decay)) for decay in decays]), *setting.constants
        )
        x = tuple(layout.lanes(part) for part in inputs)
        matrices = tuple(weight.detach().contiguous().numpy() for weight in weights)
        spread = tuple(np.ascontiguousarray(weight.T) for weight in matrices)
        run = dynamics.forward(neuron, x, initial, setting.graded, setting.traces, spread, _stages(setting))
        spikes = layout.logical(run.spike)
        ctx.save_for_backward(*inputs, *weights, *decays, spikes)
        ctx.run = layout, neuron, initial, matrices, run.x if setting.feedback else None
        ctx.setting = setting
        after = tuple(layout.logical_state(state) for state in run.state)
        ctx.mark_non_differentiable(*after)
        return spikes, *(layout.logical(trace) for trace in run.trace), *after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        _follow_torch()
        setting: Setting = ctx.setting
        layout, neuron, initial, matrices, fed = ctx.run
        *tensors, spikes = ctx.saved_tensors
        inputs = tensors[: setting.inputs]
        decays = tensors[setting.inputs * (2 if setting.feedback else 1) :]
        x = tuple(layout.lanes(part) for part in inputs) if fed is None else fed
        shape = len(x[0]), x[0].shape[1]
        grad_spike = np.zeros(shape, np.float32) if grads[0] is None else layout.lanes(grads[0])
        trace_grads = grads[1 : 1 + len(initial)] if setting.traces else ()
        grad_trace = None
        if any(grad is not None for grad in trace_grads):
            grad_trace = np.zeros((len(initial), *shape), np.float32)
            for row, grad in zip(grad_trace, trace_grads, strict=True):
                if grad is not None:
                    row[:] = layout.lanes(grad)
        result = dynamics.backward(
            neuron, x, initial, setting.tau, setting.scale, grad_spike, grad_trace, setting.graded, matrices
        )
        to_weights = []
        for gx, weight in zip(result.x, matrices, strict=False):
            units = len(weight)
            received = torch.from_numpy(gx[1:].reshape(-1, units))
            sent = torch.from_numpy(layout.lanes(spikes)[:-1].reshape(-1, units))
            to_weights.append(received.t() @ sent)
        to_decays = [
            layout.per_channel(lanes, decay.numel()) for lanes, decay in zip(result.decay, decays, strict=True)
        ]
        return None, None, *(layout.logical(part) for part in result.x), *to_weights, *to_decays


def _start(state: Tensor | int, layout: Layout) -> NDArray[np.int64]:
    """A state in lane order; an integer is that of neurons at rest."""
    if isinstance(state, int):
        return np.full(int(np.prod(layout.state_shape)), state, np.int64)
    return layout.state(state)


def _stages(setting: Setting) -> int:
    """How many integrators follow each other: one resonator, or current and voltage."""
    return 3 - setting.inputs


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
        layout = layout_of(voltage, "voltage")
        v, g = layout.lanes(voltage), layout.lanes(grads[0])
        levels = _levels(threshold, voltage, layout)
        out = layout.logical(spike.backward(v.reshape(-1), levels, tau, scale, graded, g.reshape(-1)).reshape(v.shape))
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
        layout = layout_of(real, "real part")
        re, im, g = layout.lanes(real), layout.lanes(imag), layout.lanes(grads[0])
        levels = _levels(threshold, real, layout)
        tau, scale, graded = ctx.constants
        outs = spike.phase_backward(re.reshape(-1), im.reshape(-1), levels, tau, scale, graded, g.reshape(-1))
        to_real, to_imag = (layout.logical(out.reshape(re.shape)) for out in outs)
        to_threshold = (-to_real).sum_to_size(threshold.shape) if ctx.needs_input_grad[2] else None
        return to_real, to_imag, to_threshold, *[None] * 5


def _levels(threshold: Tensor, like: Tensor, layout: Layout) -> NDArray[np.float32]:
    """One level, or one per element of `like` in the order of its lanes."""
    if threshold.numel() == 1:
        single: NDArray[np.float32] = threshold.detach().reshape(1).numpy()
        return single
    return layout.lanes(threshold.expand_as(like)).reshape(-1)
