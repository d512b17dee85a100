"""Neurons of any family that compute what the kernels compute, at every step and for all parameters."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var

from lavadl_ref.deployed.deployment import SPIKE_EXP, deploy
from lavadl_ref.exchange.describe import Layer
from lavadl_ref.netx.processes._step import compile_ahead


class ExactNeuron(AbstractProcess):
    """The neurons of a layer as `lavadl_ref.deployment` says, with the device's widths.

    Ports are ``a_in`` and ``r_in``, for weighted sums and for those of the layer's own messages, or of
    complex families ``a_real_in``, ``a_imag_in``, ``r_real_in``, ``r_imag_in``; and ``s_out``.  States are Vars
    of the names in `STATES`, int32 (W, H, C) or (N,).  The Var ``bias``, in 1/64, is the layer's bias, its real part
    where there are two; of an input layer it is 0 and may be written.

    Parameters
    ----------
    layer : Layer
        With neurons of the process's family.
    incoming : int
        Fractional bits of the messages that arrive.
    spike_exp : int
        Scale of sigma-delta messages, 2**(6 + spike_exp).
    start : int
        Steps (0-based; Lava's ``time_step`` - 1) before this one leave the neurons at rest and silent.
    reset_interval : int, optional
        States are at rest before the update when ``time_step % reset_interval == reset_offset % reset_interval``.
    """

    INPUTS: ClassVar[tuple[str, ...]] = ("a_in",)
    FEEDBACK: ClassVar[tuple[str, ...]] = ("r_in",)
    STATES: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        layer: Layer,
        incoming: int = 0,
        spike_exp: int = SPIKE_EXP,
        start: int = 0,
        reset_interval: int | None = None,
        reset_offset: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(
            layer=layer,
            incoming=incoming,
            spike_exp=spike_exp,
            start=start,
            reset_interval=reset_interval,
            reset_offset=reset_offset,
            name=name,
        )
        deployment = deploy(layer, incoming, channels_last=True, spike_exp=spike_exp)
        if deployment.states != self.STATES:
            raise ValueError(f"{type(self).__name__} has states {self.STATES}, the layer has {deployment.states}")
        compile_ahead(deployment)
        shape = layer.shape[::-1]
        for port in (*self.INPUTS, *self.FEEDBACK):
            setattr(self, port, InPort(shape=shape))
        self.s_out = OutPort(shape=shape)
        for state, rest in zip(self.STATES, deployment.rest, strict=True):
            setattr(self, state, Var(shape=shape, init=rest.reshape(shape).astype(np.int32)))
        bias: Any = getattr(layer, "bias", None)
        given = np.zeros(1) if bias is None or layer.kind == "input" else np.asarray(bias)
        self.bias = Var(shape=shape, init=np.broadcast_to(given, shape).astype(np.int32))


class _Complex(ExactNeuron):
    INPUTS = ("a_real_in", "a_imag_in")
    FEEDBACK = ("r_real_in", "r_imag_in")
    STATES: ClassVar[tuple[str, ...]] = ("real", "imag")


class ExactLIF(ExactNeuron):
    """CUBA."""

    STATES: ClassVar[tuple[str, ...]] = ("current", "voltage")


class ExactALIF(ExactNeuron):
    """ALIF."""

    STATES: ClassVar[tuple[str, ...]] = ("current", "voltage", "threshold", "refractory")


class ExactRF(_Complex):
    """RF that spikes at a phase."""


class ExactRFIZ(_Complex):
    """RF with Izhikevich's spike and reset."""


class ExactADRF(_Complex):
    """RF that spikes at a phase, with adaptive threshold and refractory state."""

    STATES: ClassVar[tuple[str, ...]] = ("real", "imag", "threshold", "refractory")


class ExactADRFIZ(_Complex):
    """RF with Izhikevich's spike, with adaptive threshold and refractory state."""

    STATES: ClassVar[tuple[str, ...]] = ("real", "imag", "threshold", "refractory")


class ExactSigmaDelta(ExactNeuron):
    """Sigma-delta."""

    STATES: ClassVar[tuple[str, ...]] = ("sigma", "activation", "residue", "error")


class ExactDelta(ExactNeuron):
    """Sigma-delta driven from outside."""

    STATES: ClassVar[tuple[str, ...]] = ("activation", "residue", "error")


class ExactSigma(ExactNeuron):
    """Sigma-delta that sends its sum."""

    STATES: ClassVar[tuple[str, ...]] = ("sigma",)
