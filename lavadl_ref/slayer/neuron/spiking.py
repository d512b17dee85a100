"""What the families of `lavadl_kernels.dynamics` share: one run of a kernel, and their device parameters."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import torch
from lavadl_kernels.fixed_point import NEVER
from lavadl_kernels.neurons import cuba
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref._assigned import Constant
from lavadl_ref.slayer._bounds import bounds_of
from lavadl_ref.slayer._bridge import autograd as _autograd
from lavadl_ref.slayer._bridge import feedback as _feedback
from lavadl_ref.slayer._bridge.layout import layout_of
from lavadl_ref.slayer.neuron import _units, base
from lavadl_ref.slayer.neuron.norm import WgtScaleBatchNorm
from lavadl_ref.slayer.utils import _validate

#: Factors that make tau_grad = scale_grad = 1 a good start; each family's module has its own.
TAU_RHO_MULT: float = 100
SCALE_RHO_MULT: float = 0.1

#: Neurons take one tensor, or real and imaginary part.
Signal = Tensor | tuple[Tensor, Tensor]


def parameters_of(type: str, device_params: Mapping[str, Any], scale: int, p_scale: int) -> dict[str, Any]:
    """Device parameters in units of 1, by the names that constructors take.

    Parameters
    ----------
    type : str
        The family's name in a ``.net`` file.
    device_params : mapping
        By the keys of the file.
    scale, p_scale : int
        Integers per unit of thresholds and of decays.

    Returns
    -------
    dict
        Decays are floats, or arrays of one float per channel with ``shared_param`` False.

    Raises
    ------
    KeyError
        If a parameter is missing.
    """
    params: dict[str, Any] = {}
    for field in exchange.FAMILIES[type].fields:
        if field.per_channel:
            values = np.asarray(device_params[field.key], dtype=np.float64).reshape(-1) / p_scale
            params[field.name] = float(values[0]) if values.size == 1 else values
        elif field.name in ("threshold", "threshold_step"):
            params[field.name] = device_params[field.key] / scale
        elif field.name == "graded_spike" and field.key in device_params:
            params[field.name] = bool(device_params[field.key])
    channels = max(np.size(value) for value in params.values())
    if channels > 1:
        # one number would be spread over the channels
        decays = {name: np.full(channels, params[name]) for name in _decays(type) if np.ndim(params[name]) == 0}
        params.update(decays, shared_param=False)
    return params


def _decays(type: str) -> list[str]:
    return [field.name for field in exchange.FAMILIES[type].fields if field.per_channel]


class Neuron(base.Neuron):
    """Base of the spiking neurons that run on a kernel; the arguments are those of `base.Neuron`.

    Subclasses name their kernel, their family and the surrogate's factors, and register their decays.
    """

    kernel: ModuleType  #: module of `lavadl_kernels`
    membrane: ModuleType  #: kernel of the same states without adaptation
    family: str  #: the family's name in a ``.net`` file
    fires_on: int = 0  #: the part of a complex input that brings it to its threshold
    _constants: Mapping[str, Any]  #: the names of the family's module
    spike: Any  #: spikes of what `dynamics` returned
    by_phase: bool = False  #: whether the other part has to come from below zero
    ref_delay: Any = Constant(1, "the device has a refractory delay, but slayer's neurons do not")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kernel" in cls.__dict__:
            cls._lazy = cls.kernel.FAMILY.decays
            cls._states = tuple(f"{name}_state" for name in cls.kernel.FAMILY.states)
            cls._constants = vars(sys.modules[cls.__module__])
            for name, bound in bounds_of(cls.kernel.FAMILY.decays).items():
                setattr(cls, name, bound)

    def __init__(self, *, scale: int, graded_spike: bool, threshold_step: float | None = None, **options: Any) -> None:
        scale = _units.check_scale(scale)
        _validate.flag(graded_spike, "graded_spike")
        super().__init__(p_scale=1 << 12, w_scale=scale, s_scale=scale * (1 << 6), **options)
        self._units = _units.Units(self.s_scale)
        self.graded_spike = graded_spike
        self._step: float | None = None
        if threshold_step is not None:
            self._set_step(threshold_step)
        for name in self._states:
            setattr(self, name, self._resting(name))
        self._imag_last: Tensor | int = 0

    @property
    def tau_mult(self) -> float:
        """The factor of `tau_rho`: ``TAU_RHO_MULT`` of the family's module."""
        return float(self._constants["TAU_RHO_MULT"])

    @property
    def scale_mult(self) -> float:
        """The factor of `scale_rho`: ``SCALE_RHO_MULT`` of the family's module."""
        return float(self._constants["SCALE_RHO_MULT"])

    @property
    def scale(self) -> int:
        """Integers per unit of weight."""
        return self.w_scale

    @property
    def threshold_step(self) -> float:
        """The quantised rise of the threshold by a spike, of adaptive neurons."""
        if self._step is None:
            raise AttributeError(f"{self.family} neurons have no threshold_step")
        return self._step

    @threshold_step.setter
    def threshold_step(self, value: float) -> None:
        if self._step is None:
            raise AttributeError(f"{self.family} neurons have no threshold_step")
        self._set_step(value)

    def _set_step(self, value: float) -> None:
        step = self._quantised_level("threshold_step", value)
        if step < 0:
            raise ValueError(f"threshold_step must not be negative, got {value}")
        self._step = step

    @property
    def v_th_step(self) -> int:
        """The mantissa of `threshold_step`: an integer of 1 / w_scale."""
        return int(self.threshold_step * self.w_scale)

    @property
    def device_params(self) -> dict[str, Any]:
        """The parameters as a ``.net`` file names them."""
        params: dict[str, Any] = {"type": self.family}
        for field in exchange.FAMILIES[self.family].fields:
            if field.per_channel:
                params[field.key] = self._cx(field.name)
            elif field.name in _SCALARS:
                params[field.key] = getattr(self, _SCALARS[field.name])
        return params

    def clamp(self) -> None:
        """Bring decays that were trained back to 0..1."""
        for name in self._lazy:
            getattr(self, name).data.clamp_(0, self.p_scale)

    def _decays(self) -> tuple[str, ...]:
        return self._lazy

    @property
    def _never(self) -> bool:
        return self.threshold < 0

    def _rest_of(self, name: str) -> float:
        return self.threshold if name == "threshold_state" else 0.0

    @property
    def _surrogate(self) -> tuple[float, float, bool]:
        if self._never:
            return 1.0, 0.0, False
        return self.tau_mult * self.tau_rho, self.scale_mult * self.scale_rho, self.graded_spike

    @property
    def _apart(self) -> bool:
        """Whether the surrogate is not the kernel's: slopes of a graded phase have different units."""
        return self.by_phase and self.graded_spike and not self._units.same

    @property
    def _level(self) -> int:
        """The threshold in the integers of states."""
        return NEVER if self._never else self.v_th_mant * (self.s_scale // self.w_scale)

    def _parts(self, input: Signal) -> tuple[Tensor, ...]:
        """The input as one tensor or two of the same shape."""
        if self.complex:
            if not (isinstance(input, (tuple, list)) and len(input) == 2):
                raise TypeError(f"{self.family} neurons take a pair (real, imag) of tensors, got {_kind(input)}")
            real, imag = input
            layout_of(real, "real input"), layout_of(imag, "imaginary input")
            if real.shape != imag.shape:
                raise ValueError(f"real and imag must have one shape, got {tuple(real.shape)} and {tuple(imag.shape)}")
            parts: tuple[Tensor, ...] = (real, imag)
        else:
            if not isinstance(input, Tensor):
                raise TypeError(f"{self.family} neurons take one tensor, got {_kind(input)}")
            parts = (input,)
        self._observe(parts[0])
        return parts

    def _norms(self) -> tuple[Any, ...]:
        """The norm of each part of the input, None where there is none."""
        return (self.real_norm, self.imag_norm) if self.complex else (self.norm,)

    def _normed(self, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(x if norm is None else norm(x) for x, norm in zip(parts, self._norms(), strict=True))

    def _rest(self, name: str) -> Tensor | int:
        """The state `name` to start from."""
        held = self._held(name)
        return (self._level if name == "threshold_state" else 0) if held is None else held

    def _run(
        self,
        parts: tuple[Tensor, ...],
        traces: bool,
        weights: tuple[_feedback.Weight, ...] = (),
        bias: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Spikes, and the values of the states if `traces`."""
        adaptive = self._step is not None
        kernel = self.membrane if adaptive and self._never else self.kernel
        constants: tuple[int, ...] = (self._level,)
        if adaptive and not self._never:
            constants = (self._level, self.v_th_step * (self.s_scale // self.w_scale))
        count = len(kernel.FAMILY.states)
        decays = [self._decay(name) for name in kernel.FAMILY.decays]
        if kernel is cuba:
            decays.append(torch.zeros(1) if bias is None else bias)
        names = self._states[:count]
        keep = self.persistent_state
        recorded = torch.is_grad_enabled()
        tau, scale, graded = self._surrogate
        units = self._units
        if not units.same:
            tau, scale = units.surrogate(tau, scale, self.by_phase)
            parts = tuple(map(units.up, parts))
            if not graded:  # graded spikes are in the kernel's units already
                weights = tuple(_feedback.scaled(weight, units.up) for weight in weights)
        setting = _autograd.Setting(kernel, constants, tau, scale, graded, traces, len(parts), keep, recorded)
        start = tuple(self._rest(name) for name in names)
        self._imag_last = start[1]
        if weights:
            spikes, *rest = _feedback.run(setting, start, parts, weights, decays)
        else:
            spikes, *rest = _autograd.Neurons.apply(setting, start, *parts, *decays)
        if graded:
            spikes = units.down(spikes)
        for name, state in zip(names, rest[-count:] if keep else (), strict=keep):
            self._hold(name, state)
        values = tuple(map(units.down, rest[:count])) if traces else ()
        if traces and kernel is not self.kernel:
            values += (torch.full_like(values[0], math.inf), torch.zeros_like(values[0]))
        return spikes, values

    def dynamics(self, input: Signal) -> tuple[Tensor, ...]:
        """The states over time, as the threshold was compared with them; what a spike does to them follows.

        Parameters
        ----------
        input : Tensor or (Tensor, Tensor)
            float32 (N, C, T) or (N, C, H, W, T), synaptic input in units of 1; truncated to 1/4096.  Two
            of them, real and imaginary part, for neurons of complex input.

        Returns
        -------
        tuple of Tensor
            Shape of `input`, one for each state of the family.
        """
        return self._run(self._normed(self._parts(input)), traces=True)[1]

    def _integrated(
        self, x: Tensor, decay: Tensor, state: Tensor | None, threshold: int | None
    ) -> tuple[Tensor, Tensor, bool]:
        """`_autograd.LeakyIntegrator` in units of 1; the state is in integers of 1 / s_scale."""
        y, after, rounded = _autograd.LeakyIntegrator.apply(self._units.up(x), decay, state, threshold)
        return self._units.down(y), after, rounded

    def forward(
        self,
        input: Signal,
        feedback: _feedback.Weight | tuple[_feedback.Weight, _feedback.Weight] | None = None,
        last: Tensor | None = None,
    ) -> Tensor:
        """Spikes over time, (N, C, ..., T), of an input as `dynamics` takes it.

        With `feedback` and `last` they are those of `recurrent`: blocks call it through here, so that hooks run.
        """
        return self._spikes(input) if feedback is None else self.recurrent(input, feedback, last)

    def _spikes(self, input: Signal) -> Tensor:
        parts = self._parts(input)
        self._check_fires(*parts)
        if self._apart:
            fired: Tensor = self.spike(*self._run(self._normed(parts), traces=True)[1])
            return fired
        return self._dropped(self._run(self._normed(parts), traces=False)[0])

    def recurrent(
        self,
        input: Signal,
        weight: _feedback.Weight | tuple[_feedback.Weight, _feedback.Weight],
        last: Tensor | None = None,
    ) -> Tensor:
        """Spikes of neurons that feed back to each other: s[t] = f(z[t] + R s[t-1]).

        Parameters
        ----------
        input : Tensor or (Tensor, Tensor)
            z, float32 (N, O, T) or (N, O, 1, 1, T), as `dynamics` takes it.
        weight : Tensor or (Tensor, Tensor)
            R, (O, O) or with axes of length 1 behind; real and imaginary part for neurons of complex input.  A part
            may be a `slayer._feedback.Uniform` instead: one number on the diagonal and another beside it.
        last : Tensor, optional
            (N, O, ...) spikes of the step before the first; none by default.

        Returns
        -------
        Tensor
            Spikes of the shape of `input`, without dropout.  Gradients flow back through feedback and states.

        Notes
        -----
        A norm subtracts its running mean, in training too, because the mean over a run is not known
        while it feeds back; in training it gathers the mean after the run.
        """
        parts = self._parts(input)
        self._check_fires(*parts)
        if self._apart:
            raise ValueError(f"graded spikes of {self.family} neurons feed back with scale 64 only, got {self.scale}")
        if any(isinstance(norm, WgtScaleBatchNorm) for norm in self._norms()):
            raise ValueError("neurons that feed back cannot have WgtScaleBatchNorm: its scale would change as they run")
        given = weight if isinstance(weight, (tuple, list)) else (weight,)
        weights = tuple(w.flatten(1) if isinstance(w, Tensor) else w for w in given)
        units = parts[0].shape[1]
        for part in weights:
            shape = tuple(part.shape) if isinstance(part, Tensor) else (units, units)
            if shape != (units, units) or parts[0].shape[2:-1].numel() != 1:
                raise ValueError(
                    f"feedback among {units} neurons needs weights ({units}, {units}) and input (N, {units}, T), "
                    f"got {shape} and {tuple(parts[0].shape)}"
                )
        return self._fed_back(parts, weights, last)

    def _begun(
        self, parts: tuple[Tensor, ...], weights: tuple[_feedback.Weight, ...], last: Tensor | None
    ) -> tuple[Tensor, ...]:
        """The input with what `last` sends to its first step."""
        if last is None:
            return parts
        graded, units = self.graded_spike, self._units
        if units.same:
            return tuple(_feedback.begun(x, w, last, graded) for x, w in zip(parts, weights, strict=True))
        # as in `_run`, so that what is summed is rounded as there
        sent = units.up(last) if graded else last
        fed = weights if graded else tuple(_feedback.scaled(w, units.up) for w in weights)
        begun = (_feedback.begun(units.up(x), w, sent, graded) for x, w in zip(parts, fed, strict=True))
        return tuple(map(units.down, begun))

    def _fed_back(
        self, parts: tuple[Tensor, ...], weights: tuple[_feedback.Weight, ...], last: Tensor | None
    ) -> Tensor:
        norms = self._norms()
        shifted = tuple(x if norm is None else x + norm.offset(x) for x, norm in zip(parts, norms, strict=True))
        spikes = self._run(self._begun(shifted, weights, last), False, weights)[0]
        if self.training and any(norm is not None for norm in norms):
            with torch.no_grad():
                for x, w, norm in zip(self._begun(parts, weights, last), weights, norms, strict=True):
                    if norm is not None:
                        norm.observe(x + _received(w, spikes))
        return spikes

    def _real_level(self) -> Tensor:
        return torch.tensor(self.threshold, dtype=torch.float32)

    def _fired(self, value: Tensor, level: Tensor) -> Tensor:
        """Spikes where `value` >= `level`; the gradient goes to both."""
        self._check_fires(value)
        tau, scale, graded = self._surrogate
        return self._dropped(_autograd.Spike.apply(value, level, tau, scale, graded, 1))

    def _crossed(self, real: Tensor, imag: Tensor, level: Tensor) -> Tensor:
        """Spikes where `imag` comes from below zero while `real` >= `level`."""
        self._check_fires(real)
        before = self._imag_last
        first = torch.zeros_like(imag[..., 0]) if isinstance(before, int) else before / self.s_scale
        tau, scale, graded = self._surrogate
        return self._dropped(_autograd.PhaseSpike.apply(real, imag, level, tau, scale, graded, first, 1))

    def _check_fires(self, *parts: Tensor) -> None:
        if self._never:
            raise ValueError(f"a neuron with negative threshold {self.threshold} has no spikes")
        for x in parts:
            self._check_surrogate(x)

    def _quantised(self) -> dict[str, Any]:
        values: dict[str, Any] = {"threshold": self.threshold}
        if self._step is not None:
            values["threshold_step"] = self._step
        for name in self.kernel.FAMILY.decays:
            if name in self._asked:
                values[name] = self._cx(name) / self.p_scale
        return values


class Adaptive(Neuron):
    """Base of the neurons whose threshold adapts; subclasses call `_register_adaptation`."""

    def _register_adaptation(self, threshold_decay: base.Decay, refractory_decay: base.Decay) -> None:
        self._register_decay("threshold_decay", threshold_decay, spread=0)
        self._register_decay("refractory_decay", refractory_decay, spread=0)

    def clamp(self) -> None:
        """Bring decays that were trained back to 0..1."""
        super().clamp()
        for name in ("threshold_decay", "refractory_decay"):
            getattr(self, name).data.clamp_(0, self.p_scale)

    @property
    def cx_threshold_decay(self) -> Any:
        """Threshold decay as the device has it: an integer 0..4096, or one per channel."""
        return self._cx("threshold_decay")

    @property
    def cx_refractory_decay(self) -> Any:
        """Refractory decay as the device has it: an integer 0..4096, or one per channel."""
        return self._cx("refractory_decay")


#: How a family's scalars in a file are called here.
_SCALARS = {
    "threshold": "v_th_mant",
    "threshold_step": "v_th_step",
    "refractory_delay": "ref_delay",
    "graded_spike": "graded_spike",
}


def _kind(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, (tuple, list)) else type(value).__name__


def _received(weight: _feedback.Weight, spikes: Tensor) -> Tensor:
    """What each step receives of the spikes one step before, in the shape of `spikes`."""
    sums = _feedback.sent(weight, spikes.flatten(1, -2)).reshape(spikes.shape)
    return torch.nn.functional.pad(sums, (1, 0))[..., :-1]
