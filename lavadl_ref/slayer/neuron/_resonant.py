"""The base of the resonators: the rotation's two parameters, from period and decay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref.slayer._bounds import bounds_of
from lavadl_ref.slayer.neuron import spiking
from lavadl_ref.slayer.neuron.base import Decay, Norm
from lavadl_ref.slayer.utils import _validate, quantize

#: One number, the (min, max) of a range, or an array with one number per channel.
Period = Decay

LARGEST = 4095  #: of what a step leaves of the state, in 1/4096


def period_and_decay(params: dict[str, Any], device_params: Mapping[str, Any], p_scale: int) -> None:
    """Replace sine and cosine in `params` by the period and decay that constructors of resonators take.

    Raises
    ------
    ValueError
        If sine and cosine are not those of a period of at least 4 with a decay.
    """
    sine, cosine = params.pop("sin_decay"), params.pop("cos_decay")
    # rounding can leave a rotation a little beyond the largest gain: aim at the inner edge of what rounds to it
    inward = np.where(np.hypot(sine, cosine) > LARGEST / p_scale, 0.499 / p_scale, 0)
    sine, cosine = sine - inward, np.maximum(cosine - inward, np.minimum(cosine, 0))
    gain = np.hypot(sine, cosine)
    if (sine <= 0).any() or (cosine < 0).any() or (gain > (LARGEST + 0.001) / p_scale).any():
        raise ValueError(
            f"sinDecay must be positive, cosDecay not negative and the root sum of their squares at most {LARGEST}, "
            f"got {device_params['sinDecay']} and {device_params['cosDecay']}"
        )
    params["period"], params["decay"] = 2 * np.pi / np.arctan2(sine, cosine), 1 - gain
    if np.ndim(gain) == 0:
        params["period"], params["decay"] = float(params["period"]), float(params["decay"])


class Resonant(spiking.Neuron):
    """Base of the resonators; the arguments are those of their families."""

    norm_acts_on = "real and imaginary input, each its own"
    cx_sin_decay: Any
    cx_cos_decay: Any

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "kernel" in cls.__dict__:
            for name, bound in bounds_of(("period", "decay")).items():
                setattr(cls, name, bound)

    def __init__(
        self, threshold: float, period: Period, decay: Decay, tau_grad: float = 1, scale_grad: float = 1,
        scale: int = 1 << 6, norm: Norm = None, dropout: torch.nn.Module | None = None, shared_param: bool = True,
        persistent_state: bool = False, requires_grad: bool = False, graded_spike: bool = False, log_init: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            threshold, tau_grad, scale_grad, scale, norm, dropout, shared_param, persistent_state, requires_grad,
            graded_spike,
        )  # fmt: skip
        self._register_rotation(period, decay, log_init)

    def _register_rotation(self, period: Period, decay: Decay, log_init: bool) -> None:
        """Make the parameters `sin_decay` and `cos_decay`, in integers of 1 / p_scale."""
        self.log_init = _validate.flag(log_init, "log_init")
        self._bounds: tuple[tuple[float, float], tuple[float, float]] | None = None
        self._asked.update(period=period, decay=decay)
        values: dict[str, NDArray[np.float64]] = {}
        for name, value in (("period", period), ("decay", decay)):
            values[name] = self._bounds_of(name, value)
        if (values["period"] < 4).any():
            raise ValueError(f"period must be at least 4 steps, got {period!r}")
        if (values["decay"] < 0).any() or (values["decay"] > 1).any():
            self._warn("decay", decay, "the nearest number from 0 to 1")
            values["decay"] = values["decay"].clip(0, 1)
        per_channel = [isinstance(value, np.ndarray) and value.ndim > 0 for value in (period, decay)]
        if all(per_channel) and values["period"].size != values["decay"].size:
            raise ValueError(f"period and decay must have one length, got {period!r} and {decay!r}")
        if not self.shared_param and not all(per_channel):
            if any(per_channel):
                raise ValueError("period and decay must both be arrays of one number per channel, or neither")
            low_high = [(v.min(), v.max()) if v.size > 1 else (v[0] * 0.99, v[0] * 1.01) for v in values.values()]
            self._bounds = (max(4.0, low_high[0][0]), low_high[0][1]), (low_high[1][0], min(1.0, low_high[1][1]))
            values = {name: v[:1] for name, v in values.items()}
        sine, cosine = self._rotation(1 / values["period"], values["decay"])
        self.sin_decay = torch.nn.Parameter(sine, requires_grad=self.requires_grad)
        self.cos_decay = torch.nn.Parameter(cosine, requires_grad=self.requires_grad)
        self._clamp_rotation()
        if self._bounds is not None:
            # within the range that clamping leaves
            self._await("sin_decay", max(self.sin_decay.item(), 1.001))
            self._await("cos_decay", self.cos_decay.item())

    def _range(self, name: str) -> tuple[float, float] | None:
        if name not in ("period", "decay"):
            return super()._range(name)
        return None if self._bounds is None else self._bounds[name == "decay"]

    def _set_range(self, name: str, bounds: tuple[float, float]) -> None:
        if name not in ("period", "decay"):
            super()._set_range(name, bounds)
        else:
            assert self._bounds is not None
            self._bounds = (bounds, self._bounds[1]) if name == "period" else (self._bounds[0], bounds)

    def _bounds_of(self, name: str, value: Decay) -> NDArray[np.float64]:
        numbers = _validate.numbers_of(value, name)
        array = isinstance(value, np.ndarray) and value.ndim > 0
        longest = 1 if self.shared_param else numbers.size if array else 2
        if numbers.ndim != 1 or numbers.size > longest or not np.isfinite(numbers).all():
            wanted = "one number" if self.shared_param else "one number, a (min, max) pair or an array"
            raise ValueError(
                f"{name} must be {wanted}, finite, where shared_param is {self.shared_param}, got {value!r}"
            )
        return numbers

    def _rotation(self, frequency: NDArray[np.float64], decay: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        gain = self.p_scale * (1 - decay)
        angle = 2 * math.pi * frequency
        return (
            torch.tensor(np.sin(angle) * gain, dtype=torch.float32),
            torch.tensor(np.cos(angle) * gain, dtype=torch.float32),
        )

    def _loaded(self, name: str, value: Tensor) -> None:
        super()._loaded(name, value)
        if name == "sin_decay":
            self._bounds = None

    def _draw(self, channels: int) -> None:
        super()._draw(channels)
        if self._bounds is None:
            return
        if not self._undrawn("sin_decay"):
            self._bounds = None
            return
        (shortest, longest), (least, most) = self._bounds
        if self.log_init:
            frequency = np.geomspace(1 / longest, 1 / shortest, channels)
        else:
            frequency = 1 / longest + (1 / shortest - 1 / longest) * torch.rand(channels).double().numpy()
        decay = least + (most - least) * torch.rand(channels).double().numpy()
        for name, values in zip(("sin_decay", "cos_decay"), self._rotation(frequency, decay), strict=True):
            self._fill(name, values)
        self._bounds = None
        self._clamp_rotation()

    def clamp(self) -> None:
        """Clamp sine and cosine to those of a damped rotation by at most a quarter turn."""
        self._clamp_rotation()

    def _clamp_rotation(self) -> None:
        sine, cosine = self.sin_decay.data, self.cos_decay.data
        gain = torch.hypot(sine, cosine)
        ratio = torch.where(gain > LARGEST, LARGEST / gain.clamp(min=1), torch.ones_like(gain))
        self.sin_decay.data = (sine * ratio).clamp(min=1)
        self.cos_decay.data = (cosine * ratio).clamp(min=0)

    def _decays(self) -> tuple[str, ...]:
        return tuple(name for name in super()._decays() if name not in ("sin_decay", "cos_decay"))

    def _beyond(self) -> dict[str, Tensor]:
        sine, cosine = self.sin_decay.detach().round(), self.cos_decay.detach().round()
        # where rounding alone leads beyond the largest gain, nothing is
        gained = torch.hypot(self.sin_decay.detach(), self.cos_decay.detach()) > LARGEST + 0.5
        return {**super()._beyond(), "sin_decay": gained | (sine < 1), "cos_decay": gained | (cosine < 0)}

    def applied_decay(self, name: str) -> Tensor:
        """The rounded decay, sine or cosine with a straight-through gradient, kept in range while it is trained."""
        if name not in ("sin_decay", "cos_decay"):
            return super().applied_decay(name)
        self._finite(name)
        if self.requires_grad:
            self._clamp_rotation()
        return quantize(getattr(self, name))

    @property
    def decay(self) -> Any:
        """The fraction of the state that the rounded rotation removes in one step, 0 to 1."""
        return 1 - np.hypot(self.cx_sin_decay, self.cx_cos_decay) / self.p_scale

    @property
    def lam(self) -> Any:
        """The decay as a continuous rate: -log(1 - decay) per step."""
        return -np.log(1 - self.decay)

    @property
    def frequency(self) -> Any:
        """Number of turns per step of the rounded rotation."""
        return np.arctan2(self.cx_sin_decay, self.cx_cos_decay) / (2 * np.pi)

    @property
    def period(self) -> Any:
        """Number of steps per turn of the rounded rotation."""
        return 1 / self.frequency

    def _quantised(self) -> dict[str, Any]:
        values = super()._quantised()
        return {**values, "period": self.period, "decay": self.decay}


class AdaptiveResonant(spiking.Adaptive, Resonant):
    """Base of the resonators with adaptive threshold; the arguments are those of their families."""

    def __init__(
        self, threshold: float, threshold_step: float, period: Period, decay: Decay, threshold_decay: Decay,
        refractory_decay: Decay, tau_grad: float = 1, scale_grad: float = 1, scale: int = 1 << 6, norm: Norm = None,
        dropout: torch.nn.Module | None = None, shared_param: bool = True, persistent_state: bool = False,
        requires_grad: bool = False, graded_spike: bool = False, log_init: bool = True,
    ) -> None:  # fmt: skip
        spiking.Neuron.__init__(
            self, threshold, tau_grad, scale_grad, scale, norm, dropout, shared_param, persistent_state, requires_grad,
            graded_spike, threshold_step,
        )  # fmt: skip
        self._register_rotation(period, decay, log_init)
        self._register_adaptation(threshold_decay, refractory_decay)
