"""A layer's neurons together with all that decides which process updates them exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lavadl_ref.deployed.deployment import fires_at_rest
from lavadl_ref.exchange.describe import Input, Layer
from lavadl_ref.netx.plan.process_spec import Shape

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NeuronContext:
    """A layer's neurons in their network."""

    layer: Layer  #: with neurons, but for the bias of bare sums
    shape: Shape  #: (W, H, C) or (N,)
    incoming: int  #: fractional bits of the messages that arrive
    start: int  #: step at which the neurons begin
    reset: Mapping[str, int] | None  #: arguments of a periodic reset
    spike_exp: int  #: scale of sigma-delta messages, 2**(6 + spike_exp)

    @property
    def channel_bias(self) -> Integers:
        """(C,) or (1,) int64 in 1/64, the real part."""
        bias = None if isinstance(self.layer, Input) else getattr(self.layer, "bias", None)
        return np.zeros(1, np.int64) if bias is None else np.asarray(bias, np.int64)

    def bias(self) -> Integers:
        """(\\*shape) int64 in 1/64, the real part."""
        return np.broadcast_to(self.channel_bias, self.shape).astype(np.int64)

    @property
    def biased(self) -> bool:
        """Tell whether any constant is added to the weighted sum or behind it."""
        names = () if isinstance(self.layer, Input) else ("bias", "bias_imag", "input_bias")
        return any(np.any(value) for value in (getattr(self.layer, name, None) for name in names) if value is not None)

    @property
    def fires_early(self) -> bool:
        """Tell whether the neurons would spike at rest, by equality with a threshold of 0, before they begin."""
        return self.start > 0 and fires_at_rest(self.layer)

    def parameter(self, name: str, default: Any = 0) -> Any:
        """A parameter of the family, or `default` where the file does not give it."""
        assert self.layer.neuron is not None
        value = self.layer.neuron.parameters.get(name)
        return default if value is None else value
