"""The base of all neurons: scales, threshold, quantisers, lazily shaped decays, persistent state."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from lavadl_kernels.ops.layout import quantised_frames
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref._assigned import Fixed
from lavadl_ref.slayer._bridge.autograd import Layout, layout_of
from lavadl_ref.slayer._callers import stack_level
from lavadl_ref.slayer._lazy import LazyShapes
from lavadl_ref.slayer._persistent import Persistent
from lavadl_ref.slayer.utils import _validate
from lavadl_ref.slayer.utils.quantize import held_weights, quantize_within, rounds_to

#: Class or factory of a module of `neuron.norm`.
Norm = Callable[..., torch.nn.Module] | None

#: One number, the (min, max) of a range, or an array with one number per channel.
Decay = float | tuple[float, float] | list[float] | NDArray[np.floating]


def _outside(parameter: Tensor, low: float, high: float) -> Tensor:
    """A mask of the elements whose nearest integer is not within `low` and `high`."""
    nearest = parameter.detach().round()
    return (nearest < low) | (nearest > high)


class Neuron(Persistent, LazyShapes):
    """Base of all neurons.

    Parameters
    ----------
    threshold : float
        Firing threshold; truncated to a multiple of 1 / w_scale.
    tau_grad, scale_grad : float
        Relative width and height of the surrogate gradient.
    p_scale, w_scale, s_scale : int
        Integers per unit of decays, of weights and thresholds, and of states.
    norm : callable, optional
        Class or factory of a module of `neuron.norm`.
    dropout : Module, optional
        Applied to the spikes.
    persistent_state : bool
        If True, each call continues from the final state of the previous one.
    shared_param : bool
        If True, all channels share one decay; otherwise each channel has its own.
    requires_grad : bool
        If True, train the decays.
    complex : bool
        If True, the input is a (real, imaginary) pair.
    """

    p_scale: Any = Fixed("decays are counted as they were made")
    w_scale: Any = Fixed("make a neuron with another scale")
    s_scale: Any = Fixed("make a neuron with another scale")
    shared_param: Any = Fixed("parameters were made for it; make a neuron with another shared_param")
    complex: Any = Fixed("it belongs to the family")
    #: Lava-DL compares two implementations if it is set
    debug: bool = False  #: taken and without effect: there is one implementation, and nothing to compare it with

    @property
    def device_params(self) -> dict[str, Any]:
        """The parameters, under the names of a ``.net`` file."""
        raise NotImplementedError

    def dynamics(self, input: Tensor) -> tuple[Tensor, ...]:
        """The states over time, each of the shape of `input` (N, C, ..., T)."""
        raise NotImplementedError

    family: str = ""  #: the name of its family in a ``.net`` file
    read_at: int = 1  #: which of the values of `dynamics` a layer that is read out gives
    #: that a norm is applied to, in words
    norm_acts_on: str = "the input"

    def __init__(
        self,
        threshold: float,
        tau_grad: float = 1,
        scale_grad: float = 1,
        p_scale: int = 1,
        w_scale: int = 1,
        s_scale: int = 1,
        norm: Norm = None,
        dropout: torch.nn.Module | None = None,
        persistent_state: bool = False,
        shared_param: bool = True,
        requires_grad: bool = True,
        complex: bool = False,
    ) -> None:
        super().__init__()
        if s_scale < w_scale:
            raise ValueError(f"s_scale must be at least w_scale, got s_scale={s_scale} and w_scale={w_scale}")
        for name, value in (("tau_grad", tau_grad), ("scale_grad", scale_grad)):
            if not (math.isfinite(_validate.real(value, name)) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        requires_grad = _validate.flag(requires_grad, "requires_grad")
        shared_param = _validate.flag(shared_param, "shared_param")
        _validate.flag(persistent_state, "persistent_state")
        _validate.function(dropout, "dropout")
        self.p_scale = p_scale
        self.w_scale = w_scale
        self.s_scale = s_scale
        self._asked: dict[str, Any] = {}
        self._ranges: dict[str, tuple[float, float]] = {}  # decays still to be drawn, with their bounds
        self._threshold = self._quantised_level("threshold", threshold)
        self.fires = self._threshold >= 0  #: whether it can spike: not where the threshold is negative
        self._weights = held_weights(w_scale)
        self.tau_rho = tau_grad * self._threshold
        self.scale_rho = scale_grad
        self.shared_param = shared_param
        self.persistent_state = persistent_state
        self.requires_grad = requires_grad
        self.complex = complex
        self.shape: torch.Size | None = None
        self.num_neurons: int | None = None
        #: one norm, or where the input is complex one for each part
        self.norm: Any = None if complex else self._normaliser(norm)
        self.real_norm: Any = self._normaliser(norm) if complex else None
        self.imag_norm: Any = self._normaliser(norm) if complex else None
        self.drop = dropout

    def _normaliser(self, norm: Norm) -> Any:
        if norm is None:
            return None
        normaliser: Any = _validate.function(norm, "norm")()
        normaliser.pre_hook_fx = self.quantize_8bit
        return normaliser

    def _quantised_level(self, name: str, value: float) -> float:
        """`value` truncated to a multiple of 1 / w_scale."""
        value = _validate.real(value, name)
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite, got {value}")
        level: float = int(value * self.w_scale) / self.w_scale
        self._asked[name] = value
        if value > 0 and level == 0:
            self._warn(name, value, level)
        return level

    def _warn(self, name: str, asked: Any, used: Any) -> None:
        """Say that a parameter is far from what was asked for."""
        message = f"{type(self).__module__}: {name} {asked} cannot be had, {used} is used"
        warnings.warn(message, stacklevel=stack_level())

    @staticmethod
    def silenced(neuron_params: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a neuron that never spikes, for readout layers."""
        return {**neuron_params, "threshold": -1}

    def driven(self, input: Tensor) -> Tensor:
        """Spikes for the network's input (N, C, ..., T), which is the real input of resonators."""
        spikes: Tensor = self((input, torch.zeros_like(input)) if self.complex else input)
        return spikes

    @property
    def threshold(self) -> float:
        """The quantised threshold; negative if the neuron never spikes."""
        return self._threshold

    @property
    def v_th_mant(self) -> int:
        """The threshold's mantissa: an integer in units of 1 / w_scale."""
        return int(self._threshold * self.w_scale)

    @property
    def weight_exponent(self) -> int:
        """Exponent of the weights on the device, 0 for the usual scales."""
        return int(math.log2(self.s_scale // self.w_scale) - 6)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    @rounds_to(lambda neuron: neuron._weights)
    def quantize_8bit(self, weight: Tensor, descale: bool = False) -> Tensor:
        """Quantise to the values of the device's synapses: even integers from -256 to 254, in units of 1 / w_scale.

        Parameters
        ----------
        weight : Tensor
            Any shape, units of 1.
        descale : bool
            If True, return integers instead of units of 1.

        Returns
        -------
        Tensor
            Shape of `weight`; the gradient is 1 inside the range and 0 outside.
        """
        quantized = quantize_within(weight, *self._weights)
        return quantized * self.w_scale if descale else quantized

    def quantized_input(self, input: Tensor) -> Tensor:
        """`quantize_8bit` of the network's input (N, C, ..., T), rearranged where blocks would do so next."""
        frames = isinstance(input, Tensor) and input.ndim > 3 and input.is_contiguous()
        whole = math.frexp(self.w_scale)[0] == 0.5  # a power of two: then the kernel rounds as torch does
        if not (frames and whole and input.dtype == torch.float32 and input.device.type == "cpu"):
            return self.quantize_8bit(input)
        if input.requires_grad and torch.is_grad_enabled():
            return self.quantize_8bit(input)
        rearranged = quantised_frames(input.detach().flatten(2, -2).numpy(), *self._weights)
        return Layout.channels_last(input.shape).logical(rearranged)

    def clamp(self) -> None:
        """Clamp trained parameters to their ranges."""

    def reset(self) -> None:
        """Clear the persistent state."""
        for name in self._states:
            setattr(self, name, self._resting(name))

    def _rest_of_state(self, name: str) -> Tensor:
        return self._resting(name)

    def _rest_of(self, name: str) -> float:
        """The state `name` of a neuron at rest, units of 1."""
        return 0.0

    def _resting(self, name: str) -> Tensor:
        """One element that stands for the state of all neurons, as long as there is no other."""
        return torch.tensor([self._rest_of(name)], dtype=torch.float32)

    def _register_decay(self, name: str, value: Decay, spread: float = 0.01) -> None:
        """Make the trainable decay `name`, in integers of 1 / p_scale.

        A scalar is shared, or varies by the factor `spread` over channels if ``shared_param`` is off; a pair
        gives the range that channels are drawn from, an array the decay of each channel.
        """
        self._asked[name] = value
        bounds = _validate.numbers_of(value, name)
        if bounds.ndim != 1 or not np.isfinite(bounds).all():
            raise ValueError(f"{name} must be a finite number or a (min, max) pair, got {value!r}")
        if self.shared_param:
            if bounds.size != 1:
                raise ValueError(f"{name} must be one number where shared_param is True, got {value!r}")
            start = bounds
        elif isinstance(value, np.ndarray) and value.ndim:
            start = bounds
        elif bounds.size > 2:
            raise ValueError(f"{name} must be one number, a (min, max) pair or an array, got {value!r}")
        else:
            low, high = bounds.min(), bounds.max()
            if bounds.size == 1:
                low, high = low * (1 - spread), high * (1 + spread)
            self._ranges[name] = float(low), float(high)
            start = np.array([low])
        if (bounds < 0).any() or (bounds > 1).any():
            self._warn(name, value, "the nearest number from 0 to 1")
        initial = torch.tensor(self.p_scale * start, dtype=torch.float32).clamp(0, self.p_scale)
        self.register_parameter(name, torch.nn.Parameter(initial, requires_grad=self.requires_grad))
        if name in self._ranges:
            self._await(name, initial.item())

    def _range(self, name: str) -> tuple[float, float] | None:
        """The bounds of decays that are still to be drawn."""
        return self._ranges.get(name)

    def _set_range(self, name: str, bounds: tuple[float, float]) -> None:
        self._ranges[name] = bounds

    def _loaded(self, name: str, value: Tensor) -> None:
        self._ranges.pop(name, None)

    def observe(self, input: Tensor) -> None:
        """Note the shape of the first input (N, C, ..., T), draw per-channel decays, drop states of another batch."""
        layout_of(input)  # an unusable input must not fix the shape
        shape = input.shape[1:-1]
        if self.shape is None:
            self.shape = shape
            self.num_neurons = int(np.prod(shape))
        elif self.shape != shape:
            raise ValueError(
                f"neuron was built for inputs of shape (N, {', '.join(map(str, self.shape))}, T), "
                f"got {tuple(input.shape)}"
            )
        self._draw(shape[0])
        for name in self._lazy:
            if getattr(self, name).numel() not in (1, shape[0]):
                raise ValueError(
                    f"{name} has {getattr(self, name).numel()} values, one per channel, but the input has "
                    f"{shape[0]} channels: {tuple(input.shape)}"
                )
        for name in self._states:
            state = getattr(self, name)
            if state is None or state.shape != input.shape[:-1]:
                self._fit(name, state, input.shape[:-1])

    def _fit(self, name: str, state: Tensor | None, shape: torch.Size) -> None:
        """Spread a state that was written before there was a shape; drop one of another batch."""
        if state is None or state.shape != (1,):
            setattr(self, name, self._resting(name))
        elif self.persistent_state and state.item() != self._rest_of(name):
            setattr(self, name, state.double().expand(shape).clone())

    def settle(self, channels: int) -> None:
        """Draw what is still to be drawn for `channels` channels, as the first input does."""
        self._draw(channels)

    def _draw(self, channels: int) -> None:
        """Draw the decays of each channel that were given by a range."""
        if not self._ranges:
            return
        for name, (low, high) in self._ranges.items():
            if self._undrawn(name):
                self._fill(name, (self.p_scale * (low + (high - low) * torch.rand(channels))).clamp(0, self.p_scale))
        self._ranges = {}

    def _beyond(self) -> dict[str, Tensor]:
        """By name, where parameters are beyond what a file can hold."""
        return {name: _outside(getattr(self, name), 0, self.p_scale) for name in self._decays()}

    def _decays(self) -> tuple[str, ...]:
        """The trained decays that are limited to 0..1, each on its own."""
        return ()

    def _check_surrogate(self, x: Tensor) -> None:
        """The width of the surrogate gradient is proportional to the threshold: at 0 there is none."""
        if self.threshold == 0 and x.requires_grad:
            raise ValueError(
                f"a neuron with threshold 0 has no surrogate gradient, got {self._asked['threshold']}: "
                f"thresholds are truncated to multiples of 1/{self.w_scale}"
            )

    def dropped(self, spikes: Tensor) -> Tensor:
        """`spikes` (N, C, ..., T) behind the dropout, where there is one."""
        return spikes if self.drop is None else self.drop(spikes)

    def _quantised(self) -> dict[str, Any]:
        """The values that the parameters became, in the units that they were asked for in."""
        return {"threshold": self.threshold}

    def extra_repr(self) -> str:
        parts = []
        for name, value in self._quantised().items():
            asked = self._asked[name]
            same = np.ndim(asked) == 0 and np.ndim(value) == 0 and value == asked
            parts.append(f"{name}={value}" if same else f"{name}={value} (asked {asked})")
        parts += [f"persistent_state={self.persistent_state}", f"requires_grad={self.requires_grad}"]
        return ", ".join(parts)
