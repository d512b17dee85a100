"""Neurons of any family of `lavadl_kernels.neurons`: the run of the kernel, and the device parameters."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lavadl_kernels.fixed_point import NEVER
from lavadl_kernels.neurons import Family
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref import exchange
from lavadl_ref._assigned import Constant
from lavadl_ref.slayer._bounds import bounds_of
from lavadl_ref.slayer._bridge import feedback as _feedback
from lavadl_ref.slayer._bridge.autograd import Layout, Setting, Shift, layout_of, neurons
from lavadl_ref.slayer._bridge.function import TypedFunction
from lavadl_ref.slayer._bridge.spike import PhaseSpike, Spike
from lavadl_ref.slayer._hooks import watched
from lavadl_ref.slayer.neuron import _units, base
from lavadl_ref.slayer.neuron._docstrings import describe_parameters
from lavadl_ref.slayer.neuron.dropout import Dropout
from lavadl_ref.slayer.neuron.norm import MeanOnlyBatchNorm, WgtScaleBatchNorm
from lavadl_ref.slayer.utils import _validate

#: Factors that make tau_grad = scale_grad = 1 a good start; each family's module has its own.
TAU_RHO_MULT: float = 100
SCALE_RHO_MULT: float = 0.1

#: Neurons take one tensor, or real and imaginary part.
Signal = Tensor | tuple[Tensor, Tensor]


class _Rounded(TypedFunction):
    """`_nearest`, with the gradient of a clamp."""

    @staticmethod
    def forward(ctx: Any, parameter: Tensor, top: int) -> Tensor:
        result = _nearest(parameter, top)
        values = parameter.detach().round()
        ctx.inside = None if torch.equal(values, result) else values == result
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return grads[0] if ctx.inside is None else grads[0] * ctx.inside, None


def _nearest(parameter: Tensor, top: int) -> Tensor:
    """The nearest integers from 0 to `top`, ties to even; NumPy is quicker than torch over few numbers."""
    return torch.from_numpy(np.rint(parameter.detach().numpy()).clip(0, top))


class OnDevice:
    """The decay `name` as the device has it: an integer of 1/4096, or one per channel."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.__doc__ = f"The {name.replace('_', ' ')} as the device has it: an integer of 1/4096, or one per channel."

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else instance._cx(self.name)

    def __set__(self, instance: Any, value: Any) -> None:
        raise AttributeError(f"cx_{self.name} cannot be assigned: it follows from {self.name}, which can")


#: Stands for the bias of families that have one, where there is none.
_NO_BIAS = np.zeros(1, np.int64)


class Neuron(base.Neuron):
    """Base of the spiking neurons that run on a kernel.

    A family is a class whose attribute `kernel` is the family's record. Its constructor takes ``threshold`` and the
    family's decays, passes the other arguments to this class, and registers each decay::

        class Neuron(spiking.Neuron):
            kernel = lif.FAMILY

            def __init__(self, threshold, voltage_decay, **options):
                super().__init__(threshold, **options)
                self._register_decay("voltage_decay", voltage_decay)

    Everything else follows from the record and from the family's row in `exchange.FAMILIES`.

    Parameters
    ----------
    threshold, tau_grad, scale_grad, norm, dropout, shared_param, persistent_state, requires_grad
        As in `base.Neuron`.
    scale : int
        Integers per unit of weight.
    graded_spike : bool
        If True, a spike carries the value that is compared with the threshold instead of 1.
    threshold_step : float, optional
        Rise of the threshold at a spike, for families with an adaptive threshold.
    """

    kernel: Family  #: the family's record
    family: str  #: its name in a ``.net`` file
    fires_on: int = 0  #: the part of a complex input that brings it to its threshold
    by_phase: bool = False  #: whether the other part has to come from below zero
    _constants: Mapping[str, Any]  #: the names of the family's module
    ref_delay: Any = Constant(1, "the device has a refractory delay, but slayer's neurons do not")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kernel" in cls.__dict__:
            family = cls.kernel
            cls.family, cls.fires_on, cls.by_phase = family.name, family.fires_on, family.by_phase
            # of resonators the imaginary part is read, whichever part brings them to their threshold
            cls.read_at = 1 if family.complex else family.states.index(family.carried)
            cls._lazy = family.decays
            cls._states = tuple(f"{name}_state" for name in family.states)
            cls._constants = vars(sys.modules[cls.__module__])
            for name, bound in bounds_of(family.decays).items():
                setattr(cls, name, bound)
            for name in family.decays:
                setattr(cls, f"cx_{name}", OnDevice(name))
            describe_parameters(cls)

    def __init__(
        self, threshold: float, tau_grad: float = 1, scale_grad: float = 1, scale: int = 1 << 6, norm: base.Norm = None,
        dropout: torch.nn.Module | None = None, shared_param: bool = True, persistent_state: bool = False,
        requires_grad: bool = False, graded_spike: bool = False, threshold_step: float | None = None,
    ) -> None:  # fmt: skip
        scale = _units.check_scale(scale)
        _validate.flag(graded_spike, "graded_spike")
        super().__init__(
            threshold, tau_grad, scale_grad, 1 << 12, scale, scale * (1 << 6), norm, dropout, persistent_state,
            shared_param, requires_grad, self.kernel.complex,
        )  # fmt: skip
        self._units = _units.Units(self.s_scale)
        self._rescales = not self._units.same
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
        return float(self._constants.get("TAU_RHO_MULT", TAU_RHO_MULT))

    @property
    def scale_mult(self) -> float:
        """The factor of `scale_rho`: ``SCALE_RHO_MULT`` of the family's module."""
        return float(self._constants.get("SCALE_RHO_MULT", SCALE_RHO_MULT))

    @property
    def scale(self) -> int:
        """Integers per unit of weight."""
        return int(self.w_scale)

    @property
    def threshold_step(self) -> float:
        """The quantised rise of the threshold at a spike, for adaptive neurons."""
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
        """The parameters, under the names of a ``.net`` file."""
        params: dict[str, Any] = {"type": self.family}
        for field in exchange.FAMILIES[self.family].fields:
            if field.per_channel:
                params[field.key] = self._cx(field.name)
            elif field.name in self.kernel.constants:
                params[field.key] = self._mantissa(field.name)
            elif field.low == field.high:  # the refractory delay, of which there is one
                params[field.key] = field.low
            elif field.kind == "bool":
                params[field.key] = getattr(self, field.name)
        return params

    def _mantissa(self, constant: str) -> int:
        """A constant of the family as an integer of 1 / w_scale."""
        return int(getattr(self, constant) * self.w_scale)

    def clamp(self) -> None:
        """Clamp trained decays to 0..1."""
        for name in self._lazy:
            getattr(self, name).data.clamp_(0, self.p_scale)

    def _decays(self) -> tuple[str, ...]:
        return self._lazy

    def _rest_of(self, name: str) -> float:
        constant = self.kernel.rest.get(name.removesuffix("_state"))
        return 0.0 if constant is None else float(getattr(self, constant))

    @property
    def _surrogate(self) -> tuple[float, float, bool]:
        if not self.fires:
            return 1.0, 0.0, False
        return self.tau_mult * self.tau_rho, self.scale_mult * self.scale_rho, self.graded_spike

    @property
    def _apart(self) -> bool:
        """Tell whether the surrogate is not the kernel's: slopes of a graded phase have different units."""
        return self._rescales and self.by_phase and self.graded_spike

    @property
    def _level(self) -> int:
        """The threshold in the integers of states."""
        return self._mantissa("threshold") * (self.s_scale // self.w_scale) if self.fires else NEVER

    def applied_decay(self, name: str) -> Tensor:
        """The rounded decay, with a straight-through gradient, clamped to its range during training."""
        parameter = self._finite(name)
        if self.requires_grad:
            parameter.data.clamp_(0, self.p_scale)
        if not (parameter.requires_grad and torch.is_grad_enabled()):
            return _nearest(parameter, self.p_scale)
        rounded: Tensor = _Rounded.apply(parameter, self.p_scale)
        return rounded

    def _integer_decay(self, name: str) -> tuple[Tensor, NDArray[np.int64]]:
        """The decay as kernels take it, and the tensor that its gradient goes to: the parameter, if it is in range."""
        parameter: Tensor = getattr(self, name)
        if parameter.numel() == 1 and self._rounds_decays:
            value = parameter.item()
            if 0 <= value <= self.p_scale:
                return parameter, np.array([round(value)])  # ties to even, as `_nearest`
        applied = self.applied_decay(name)
        return applied, applied.detach().numpy().astype(np.int64)

    @property
    def _rounds_decays(self) -> bool:
        """Tell whether `applied_decay` is the one of this class, which rounds each decay for itself."""
        return type(self).applied_decay is Neuron.applied_decay

    def _finite(self, name: str) -> Tensor:
        """The parameter `name`; infinity would become the largest decay, and NaN anything."""
        parameter: Tensor = getattr(self, name)
        if not np.isfinite(parameter.detach().numpy()).all():
            raise ValueError(f"{name} must be finite, got {parameter.detach().tolist()}")
        return parameter

    def _cx(self, name: str) -> Any:
        """The decay as the device has it: a numpy int64, or an array with one per channel."""
        values: NDArray[np.int64] = self.applied_decay(name).detach().numpy().astype(np.int64)
        return values[0] if values.size == 1 else values

    def _parts(self, input: Signal) -> tuple[tuple[Tensor, ...], Layout]:
        """The input as one tensor or two of the same shape, and its layout."""
        parts: tuple[Tensor, ...]
        if self.complex:
            if not (isinstance(input, (tuple, list)) and len(input) == 2):
                raise TypeError(f"{self.family} neurons take a pair (real, imag) of tensors, got {_kind(input)}")
            parts = real, imag = input
            layout = layout_of(real, "real input")
            layout_of(imag, "imaginary input")
            if real.shape != imag.shape:
                raise ValueError(f"real and imag must have one shape, got {tuple(real.shape)} and {tuple(imag.shape)}")
        else:
            if not isinstance(input, Tensor):
                raise TypeError(f"{self.family} neurons take one tensor, got {_kind(input)}")
            parts, layout = (input,), layout_of(input)
        self._observe_if_new(parts[0])
        return parts, layout

    def _observe_if_new(self, x: Tensor) -> None:
        """Note shape, per-channel values and states of an input that is not as the last one was."""
        shape = x.shape
        new = self.shape != shape[1:-1] or self.persistent_state or bool(self._placeholders)
        for name in self._lazy:
            new = new or getattr(self, name).numel() not in (1, shape[1])
        for name in self._states:
            state = getattr(self, name)
            new = new or state is None or state.shape not in ((1,), shape[:-1])
        if new:
            self.observe(x)

    def knows(self, shape: tuple[int, ...]) -> bool:
        """Tell whether `observe` would change nothing for (N, \\*shape, T): states are at rest, values drawn."""
        if self.shape != shape or self.persistent_state or self._placeholders or self._ranges:
            return False
        for name in self._lazy:
            if self._parameters[name].numel() not in (1, shape[0]):  # type: ignore[union-attr]
                return False
        states = [getattr(self, name) for name in self._states]
        return not any(state is None or state.shape != (1,) for state in states)

    def _norms(self) -> tuple[Any, ...]:
        """The norm of each part of the input, None where there is none."""
        return (self.real_norm, self.imag_norm) if self.complex else (self.norm,)

    def _normed(self, parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(x if norm is None else norm(x) for x, norm in zip(parts, self._norms(), strict=True))

    def _starts(self, family: Family) -> tuple[Tensor | int, ...]:
        """The states to start from, in integers of 1 / s_scale."""
        starts: list[Tensor | int] = []
        for name in family.states:
            held = self._held(f"{name}_state") if self.persistent_state else None
            constant = family.rest.get(name) if held is None else None
            starts.append(0 if held is None else held)
            if constant is not None:
                starts[-1] = self._scaled_constant(constant)
        return tuple(starts)

    def _scaled_constant(self, name: str) -> int:
        """A constant of the family in the integers of states."""
        return self._level if name == "threshold" else self._mantissa(name) * (self.s_scale // self.w_scale)

    def _held(self, name: str) -> Tensor | None:
        """The persistent state `name` in integers of 1 / s_scale, None where the neuron starts at rest."""
        state: Tensor | None = getattr(self, name)
        if state is None or state.shape == (1,):
            return None
        if not state.isfinite().all():
            raise ValueError(f"{name} must be finite")
        integers: Tensor = (state.double() * self.s_scale).to(torch.int64)
        return integers

    def _hold(self, name: str, state: Tensor) -> None:
        """Keep integers of 1 / s_scale as the persistent state `name`, which is in units of 1."""
        setattr(self, name, state.double() / self.s_scale)

    def _run(
        self,
        parts: tuple[Tensor, ...],
        traces: bool,
        weights: tuple[_feedback.Weight, ...] = (),
        bias: NDArray[np.int64] | None = None,
        layout: Layout | None = None,
        later: int = 0,
        norm: MeanOnlyBatchNorm | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Spikes, `later` by so many steps, and the values of the states if `traces`.

        `layout` is that of `parts`, where it is known; `bias` is one number or one for each channel, 1/4096. The
        batch mean that `norm` subtracts behind the first state is a bias that the run finds.
        """
        family = self.kernel
        if not self.fires and family.without_adaptation is not None:
            family = family.without_adaptation  # a threshold that is never reached does not adapt
        tau, scale, graded = self._surrogate
        keep, units = self.persistent_state, self._units
        has_bias = family.bias_at_state
        if self._rescales:
            tau, scale = units.surrogate(tau, scale, self.by_phase)
            parts, layout = tuple(map(units.up, parts)), None
            if not graded:  # graded spikes are in the kernel's units already
                weights = tuple(_feedback.scaled(weight, units.up) for weight in weights)
        constants = tuple([self._scaled_constant(name) for name in family.constants])
        recorded, start = torch.is_grad_enabled(), self._starts(family)
        centred = None if norm is None else (norm, self.s_scale)
        setting = Setting(
            family, constants, tau, scale, graded, traces, len(parts), keep, recorded, layout, later, centred
        )
        if family.by_phase:
            self._imag_last = start[family.states.index("imag")]
        if weights:
            rows = [self.applied_decay(name) for name in family.decays]
            if has_bias:
                rows.append(torch.from_numpy(_NO_BIAS if bias is None else bias).float())
            spikes, *rest = _feedback.run(setting, start, parts, weights, rows)
        else:
            decays = [self._integer_decay(name) for name in family.decays]
            integers = [integer for _, integer in decays]
            if has_bias:
                integers.append(_NO_BIAS if bias is None else bias)
            trained = [decay for decay, _ in decays]
            spikes, *rest = neurons(setting._replace(rows=tuple(integers)), start, parts, trained)
        count = len(family.states)
        if keep:
            for name, state in zip(family.states, rest[-count:], strict=True):
                self._hold(f"{name}_state", state)
        values = tuple(rest[:count]) if traces else ()
        if self._rescales:
            spikes, values = units.down(spikes) if graded else spikes, tuple(map(units.down, values))
        if traces:
            for name in self.kernel.states[count:]:  # the adaptation that was left out
                values += (torch.full_like(values[0], math.inf if name == "threshold" else 0),)
        return spikes, values

    def dynamics(self, input: Signal) -> tuple[Tensor, ...]:
        """The states over time, before a spike changes them.

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
        return self._run(self._normed(self._parts(input)[0]), traces=True)[1]

    def forward(
        self,
        input: Signal,
        feedback: _feedback.Weight | tuple[_feedback.Weight, _feedback.Weight] | None = None,
        last: Tensor | None = None,
    ) -> Tensor:
        """Spikes over time, (N, C, ..., T), for an input in the form that `dynamics` takes.

        With `feedback` and `last` they are those of `recurrent`: blocks call it through here, so that hooks run.
        """
        if feedback is not None:
            return self.recurrent(input, feedback, last)
        return self._walked(input, 0)

    def fires_later(self) -> bool:
        """Tell whether `walk` gives, shifted, what a call of this neuron gives: no hook waits for spikes before."""
        return (
            type(self).forward is Neuron.forward
            and not self.persistent_state
            and (self.drop is None or type(self.drop) is Dropout)
            and not watched(self)
        )

    def walk(
        self,
        input: Signal,
        later: int,
        feedback: _feedback.Weight | tuple[_feedback.Weight, _feedback.Weight] | None = None,
    ) -> Tensor:
        """`forward` of `input`, its result (N, C, ..., T) shifted by `later` steps: without hooks, in fewer passes.

        With `feedback`, what `recurrent` gives, shifted and with dropout.
        """
        if feedback is not None:
            return self.dropped(self._fed_back(*self._with_feedback(input, feedback), None, later))
        return self._walked(input, later)

    def _walked(self, input: Signal, later: int) -> Tensor:
        if self._rescales or not self.fires or self.norm is not None or self.real_norm is not None:
            return self._spikes(input, later)
        parts, layout = self._parts(input)
        self._check_fires(parts)
        spikes = self._run(parts, False, layout=layout, later=later)[0]
        return spikes if self.drop is None else self._thinned(spikes)

    def _thinned(self, spikes: Tensor) -> Tensor:
        """`dropped` of `spikes` that nobody else holds: in their memory, unless a hook looks at them there."""
        drop = self.drop
        if type(drop) is Dropout and type(self).dropped is base.Neuron.dropped and not watched(drop):
            return drop.of_own(spikes)
        return self.dropped(spikes)

    def _spikes(self, input: Signal, later: int) -> Tensor:
        """`_walked` where something stands between input and kernel: a norm, or another scale."""
        parts = self._parts(input)[0]
        self._check_fires(parts)
        if self._apart:
            fired: Tensor = self.spike(*self._run(self._normed(parts), traces=True)[1])
            return postponed(fired, later)
        return self.dropped(self._run(self._normed(parts), traces=False, later=later)[0])

    def _spikes_of_states(self, *states: Tensor) -> Tensor:
        """Spikes of what `dynamics` returned, each (N, C, ..., T), with the surrogate gradient; dropout included.

        The imaginary part before the first step is the one that `dynamics` started from.
        """
        self._check_fires(states[:1])
        return self.dropped(self.compared(*states))

    spike: Any = _spikes_of_states

    def recurrent(
        self,
        input: Signal,
        weight: _feedback.Weight | tuple[_feedback.Weight, _feedback.Weight],
        last: Tensor | None = None,
    ) -> Tensor:
        """Spikes of recurrent neurons: s[t] = f(z[t] + R s[t-1]).

        Parameters
        ----------
        input : Tensor or (Tensor, Tensor)
            z, float32 (N, O, T) or (N, O, 1, 1, T), as `dynamics` takes it.
        weight : Tensor or (Tensor, Tensor)
            R, (O, O) or with axes of length 1 behind; real and imaginary part for neurons of complex input.  A part
            may be a `slayer._bridge.feedback.Uniform` instead: one number on the diagonal and another beside it.
        last : Tensor, optional
            (N, O, ...) spikes of the step before the first; none by default.

        Returns
        -------
        Tensor
            Spikes of the shape of `input`, without dropout.  Gradients flow back through feedback and states.

        Notes
        -----
        A norm subtracts its running mean in training too, because the mean of a run is not known during the run; in
        training it updates the mean after the run.
        """
        return self._fed_back(*self._with_feedback(input, weight), last, 0)

    def _with_feedback(
        self, input: Signal, weight: _feedback.Weight | tuple[_feedback.Weight, _feedback.Weight]
    ) -> tuple[tuple[Tensor, ...], tuple[_feedback.Weight, ...]]:
        """Arguments of `recurrent` as tuples, those weights that are tensors as matrices."""
        parts = self._parts(input)[0]
        self._check_fires(parts)
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
                    f"feedback among {units} neurons must have weights ({units}, {units}) and input (N, {units}, T), "
                    f"got {shape} and {tuple(parts[0].shape)}"
                )
        return parts, weights

    def _with_last(
        self, parts: tuple[Tensor, ...], weights: tuple[_feedback.Weight, ...], last: Tensor | None
    ) -> tuple[Tensor, ...]:
        """The input with what `last` sends to its first step."""
        if last is None:
            return parts
        graded, units = self.graded_spike, self._units
        if units.same:
            return tuple(_feedback.with_last(x, w, last, graded) for x, w in zip(parts, weights, strict=True))
        # as in `_run`, so that what is summed is rounded as there
        sent = units.up(last) if graded else last
        fed = weights if graded else tuple(_feedback.scaled(w, units.up) for w in weights)
        first = (_feedback.with_last(units.up(x), w, sent, graded) for x, w in zip(parts, fed, strict=True))
        return tuple(map(units.down, first))

    def _fed_back(
        self, parts: tuple[Tensor, ...], weights: tuple[_feedback.Weight, ...], last: Tensor | None, later: int
    ) -> Tensor:
        """Spikes, `later` by so many steps, 0 or 1."""
        norms = self._norms()
        shifted = tuple(x if norm is None else x + norm.offset(x) for x, norm in zip(parts, norms, strict=True))
        gathers = self.training and any(norm is not None for norm in norms)
        # a mean is gathered over what was received, which unshifted spikes tell
        inside = 0 if gathers else later
        spikes = self._run(self._with_last(shifted, weights, last), False, weights, later=inside)[0]
        if gathers:
            with torch.no_grad():
                for x, w, norm in zip(self._with_last(parts, weights, last), weights, norms, strict=True):
                    if norm is not None:
                        norm.observe(x + _received(w, spikes))
        return postponed(spikes, later - inside)

    def run_with_states(
        self,
        input: Signal,
        feedback: _feedback.Weight | tuple[_feedback.Weight, _feedback.Weight] | None = None,
        last: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Spikes as `forward` gives them, without dropout, and the values of the states as `dynamics` does.

        Norms subtract what they subtract in evaluation, and gather nothing; gradients are not recorded.

        Parameters
        ----------
        input : Tensor or (Tensor, Tensor)
            float32 (N, C, T) or (N, C, H, W, T), as `dynamics` takes it.
        feedback, last : optional
            As `weight` (O, O) and `last` (N, O, ...) of `recurrent`.

        Returns
        -------
        spikes : Tensor
            Shape of `input`.
        states : tuple of Tensor
            Shape of `input`, one for each state of the family.
        """
        with torch.no_grad(), _evaluating(self._norms()):
            if feedback is None:
                return self._with_states(self._parts(input)[0], ())
            parts, weights = self._with_feedback(input, feedback)
            return self._with_states(self._with_last(parts, weights, last), weights)

    def _with_states(
        self, parts: tuple[Tensor, ...], weights: tuple[_feedback.Weight, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        spikes, values = self._run(self._normed(parts), True, weights)
        return (self.compared(*values), values) if self._apart else (spikes, values)

    def compared(self, *states: Any) -> Tensor:
        """Spikes of what `dynamics` returned, each (N, C, ..., T), with the surrogate gradient, without dropout."""
        family, values = self.kernel, dict(zip(self.kernel.states, states, strict=True))
        level = self._real_level()
        if family.adaptive:
            level = values["threshold"] + values["refractory"]
        tau, scale, graded = self._surrogate
        spikes: Tensor
        if not family.by_phase:
            spikes = Spike.apply(values[family.carried], level, tau, scale, graded, 1)
        else:
            before, imag = self._imag_last, values["imag"]
            first = torch.zeros_like(imag[..., 0]) if isinstance(before, int) else before / self.s_scale
            spikes = PhaseSpike.apply(values["real"], imag, level, tau, scale, graded, first, 1)
        return spikes

    def _real_level(self) -> Tensor:
        """The smallest float32 value that fires: the threshold, or the next above it where equality does not."""
        level = np.float32(self.threshold)
        return torch.tensor(level if self.kernel.spikes_at_equality else np.nextafter(level, np.float32(np.inf)))

    def _fired(self, value: Tensor, level: Tensor) -> Tensor:
        """Spikes where `value` >= `level`; the gradient goes to both."""
        self._check_fires((value,))
        tau, scale, graded = self._surrogate
        return self.dropped(Spike.apply(value, level, tau, scale, graded, 1))

    def _check_fires(self, parts: tuple[Tensor, ...]) -> None:
        if not self.fires:
            raise ValueError(f"a neuron with negative threshold {self.threshold} has no spikes")
        if self._threshold == 0:
            for x in parts:
                self._check_surrogate(x)

    def _quantised(self) -> dict[str, Any]:
        values: dict[str, Any] = {"threshold": self.threshold}
        if self._step is not None:
            values["threshold_step"] = self._step
        for name in self.kernel.decays:
            if name in self._asked:
                values[name] = self._cx(name) / self.p_scale
        return values


@contextmanager
def _evaluating(norms: tuple[Any, ...]) -> Iterator[None]:
    """Let norms subtract what they subtract in evaluation."""
    training = [norm for norm in norms if norm is not None and norm.training]
    for norm in training:
        norm.training = False
    try:
        yield
    finally:
        for norm in training:
            norm.training = True


class Adaptive(Neuron):
    """Base class of the neurons with an adaptive threshold; subclasses call `_register_adaptation`."""

    cx_threshold_decay: Any
    cx_refractory_decay: Any

    def _register_adaptation(self, threshold_decay: base.Decay, refractory_decay: base.Decay) -> None:
        self._register_decay("threshold_decay", threshold_decay, spread=0)
        self._register_decay("refractory_decay", refractory_decay, spread=0)

    def clamp(self) -> None:
        """Clamp trained decays to 0..1."""
        super().clamp()
        for name in ("threshold_decay", "refractory_decay"):
            getattr(self, name).data.clamp_(0, self.p_scale)


def postponed(spikes: Tensor, later: int) -> Tensor:
    """`spikes` (N, C, ..., T) by `later` steps, in a pass of its own."""
    return Shift.apply(spikes, later) if later else spikes


def _kind(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, (tuple, list)) else type(value).__name__


def _received(weight: _feedback.Weight, spikes: Tensor) -> Tensor:
    """The sums that each step receives of the spikes one step before, in the shape of `spikes`."""
    sums = _feedback.sent(weight, spikes.flatten(1, -2)).reshape(spikes.shape)
    return torch.nn.functional.pad(sums, (1, 0))[..., :-1]
