"""The base of the blocks of all families: one forward pass for each mode."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lavadl_ref._assigned import Refused
from lavadl_ref.bootstrap.ann_sampler import AnnSampler
from lavadl_ref.bootstrap.block._rates import Rates, mean, mean_signal
from lavadl_ref.bootstrap.routine import Mode
from lavadl_ref.slayer.block._block import Output, SpikingBlock
from lavadl_ref.slayer.neuron.spiking import Signal


class AbstractBlock(SpikingBlock):
    """A block of neurons that spike, or stand for rates.

    A rate is the mean over time of what a block sends, in a tensor of one time step. In ``Mode.ANN`` an input of
    several steps is averaged first, so that rates follow spikes where a network is partly SNN. In ``Mode.SNN`` an input
    of one step, a rate, is held for as many steps as were sampled, unless states persist between calls.

    Attributes
    ----------
    f : AnnSampler
        The curve of the rate.
    """

    rates: Rates
    f: AnnSampler
    mode = Refused("the mode is an argument of each call, as block(x, mode)")

    def _complete(self) -> None:
        super()._complete()
        if self.neuron is None:
            raise ValueError(f"a {type(self).__name__} block of bootstrap needs neurons, got neuron_params=None")
        self.f = self._curve(self.neuron)

    def _curve(self, neuron: Any) -> AnnSampler:
        return self.rates.curve(neuron)

    def _weighted(self, x: Tensor) -> Signal:
        """The weighted input of the neurons, for `x` (N, ..., T)."""
        z: Signal = self.synapse(x)
        return z

    def _arriving(self, x: Tensor) -> Tensor:
        """The rate (N, ..., 1) that `x` stands for."""
        return x if x.shape[-1] == 1 else mean(self.rates.values(x))

    def _drive(self, z: Signal, gather: bool) -> Tensor:
        """The drive of the mean of `z`."""
        return self.rates.drive(self.neuron, mean_signal(z), gather)

    def _driven(self, z: Signal) -> Tensor:
        """Spikes (N, ..., T) for a weighted input."""
        spikes: Tensor = self.neuron(z)
        return spikes

    def _steady(self, z: Tensor, steps: int) -> Tensor:
        """A weighted input of one step, (N, ..., 1), over `steps`."""
        return self.rates.steady(z, steps)

    def _held(self, z: Signal) -> Signal:
        """The weighted input; that of a rate over as many steps as were sampled."""
        parts = z if isinstance(z, tuple) else (z,)
        steps = int(self.f.steps)
        if parts[0].shape[-1] != 1 or steps <= 1 or self._persists:
            return z
        held = tuple(self._steady(part, steps) for part in parts)
        return (held[0], held[1]) if isinstance(z, tuple) else held[0]

    def _require_rates(self, mode: Mode) -> None:
        if not isinstance(mode, Mode):
            raise TypeError(f"mode must be a bootstrap.Mode, got {mode!r}")
        if self.rates.reason:
            raise ValueError(f"{self._named} cannot run in Mode.{mode.name}: {self.rates.reason}; use Mode.SNN")
        if self.delay is not None:
            raise ValueError(f"{self._named} with delay=True cannot run in Mode.{mode.name}: rates show no delays")

    @property
    def _named(self) -> str:
        return f"a {type(self).__name__} block of {type(self.neuron).__module__.rpartition('.')[2]} neurons"

    def fit(self) -> None:
        """Fit the curve to the samples, and forget a random half of them.

        Raises
        ------
        RuntimeError
            If there are no samples.
        ValueError
            If these neurons have no rates.
        """
        self._require_rates(Mode.FIT)
        if not self.f.fitted and not self.f.samples.shape[1]:
            raise RuntimeError(
                f"{self._named} has no rate curve and no samples to fit one: run it in Mode.SAMPLE, then in Mode.FIT, "
                "as bootstrap.routine.Scheduler does in its first epoch"
            )
        self.f.fit()
        self.f.soft_clear()

    def _at_once(self, x: Tensor) -> Tensor | None:
        """The rates for `x`, (N, ..., 1), of all parts in one function, where there is one."""
        return None

    def _sampled(self, x: Tensor) -> Output:
        """Spikes, of which the rates are kept as samples."""
        neuron: Any = self.neuron
        z = self._weighted(x)
        dropout, neuron.drop = neuron.drop, None  # spikes that dropout has thinned out are no rate of the neurons
        try:
            spikes = self._driven(z)
        finally:
            neuron.drop = dropout
        with torch.no_grad():
            self.f.append(self.rates.values(spikes), self._drive(z, gather=False))
        return self.sent(neuron.dropped(spikes))

    def _rate(self, x: Tensor) -> Output:
        """Rates by the curve."""
        neuron: Any = self.neuron
        arriving = self._arriving(x)
        at_once = self._at_once(arriving)
        if at_once is not None:
            if self.shape != at_once.shape[1:-1]:
                self.shape = at_once.shape[1:-1]
            return self._counted(at_once)
        z = self._weighted(arriving)
        neuron.observe(z[0] if isinstance(z, tuple) else z)
        rates = neuron.dropped(self.f(self._drive(z, gather=True)))
        self.shape = rates.shape[1:-1]
        return self._counted(rates)

    def forward(self, x: Tensor, mode: Mode = Mode.ANN) -> Output:
        """Rates (N, ..., 1), or in SNN and SAMPLE spikes (N, ..., T).

        Parameters
        ----------
        x : Tensor
            float32 (N, ..., T): spikes or rates of the block before, of an input block the network's input.
        mode : Mode
            In ANN a block that has samples but no curve yet fits it.

        Raises
        ------
        RuntimeError
            In ANN or FIT, if there is neither curve nor sample.
        TypeError
            If `mode` is something else.
        ValueError
            In other modes than SNN, if these neurons have no rates, or a delay.
        """
        if mode is Mode.SNN:
            return self.sent(self._driven(self._held(self._weighted(x))))
        self._require_rates(mode)
        if mode is Mode.SAMPLE:
            return self._sampled(x)
        if mode is Mode.FIT or not self.f.fitted:
            self.fit()
        return self._rate(x)

    def deployed(self, x: Tensor) -> Output:
        """Spikes (N, ..., T): `forward` of `x`, (N, ..., T), in ``Mode.SNN``."""
        return self.sent(self._driven(self._weighted(x)))
