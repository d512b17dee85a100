"""Neurons of any family that compute exactly as the kernels do, at every step and for all parameters."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import numpy as np
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lavadl_kernels.neurons import FAMILIES, Family

from lavadl_ref.deployed.deployment import SPIKE_EXP, deploy, record_of
from lavadl_ref.exchange.describe import Layer
from lavadl_ref.netx.plan.stock import exact_name
from lavadl_ref.netx.processes._step import compile_ahead


class ExactNeuron(AbstractProcess):
    """The neurons of a layer as `lavadl_ref.deployment` says, with the device's widths.

    ``ExactNeuron(layer=layer)`` is of the class that `exact_class` makes for the family of the layer's neurons, such as
    ``ExactLIF`` for CUBA.  Its ports are ``a_in`` and ``r_in``, for weighted sums and for those of the layer's own
    messages, or of complex families ``a_real_in``, ``a_imag_in``, ``r_real_in``, ``r_imag_in``; and ``s_out``.  States
    are Vars of the names in `STATES`, int32 (W, H, C) or (N,).  The Var ``bias``, in 1/64, is the layer's bias, its
    real part where there are two; of an input layer it is 0 and may be written.

    Parameters
    ----------
    layer : Layer
        With neurons, of the class's family where it has one.
    incoming : int
        Fractional bits of the messages that arrive.
    spike_exp : int
        Scale of sigma-delta messages, 2**(6 + spike_exp).
    start : int
        Steps (0-based; Lava's ``time_step`` - 1) before this one leave the neurons at rest and silent.
    reset_interval : int, optional
        States are at rest before the update when ``time_step % reset_interval == reset_offset % reset_interval``.
    reset_offset : int
        Phase of the reset.

    Raises
    ------
    ValueError
        If the layer's neurons are not of the class's family.
    """

    FAMILY: ClassVar[Family | None] = None
    INPUTS: ClassVar[tuple[str, ...]] = ()
    FEEDBACK: ClassVar[tuple[str, ...]] = ()
    STATES: ClassVar[tuple[str, ...]] = ()

    def __new__(cls, *, layer: Layer, **arguments: Any) -> ExactNeuron:
        record = record_of(layer)
        if record is None:
            raise ValueError(f"layer must have neurons, got a {layer.kind} layer without")
        made: ExactNeuron = super().__new__(exact_class(record) if cls is ExactNeuron else cls)
        return made

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
        record = record_of(layer)
        assert record is not None  # as `__new__` has seen
        if record is not self.FAMILY:
            raise ValueError(f"layer must have neurons of {type(self).__name__}, got those of {exact_name(record)}")
        deployment = deploy(layer, incoming, channels_last=True, spike_exp=spike_exp)
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


@cache
def exact_class(record: Family) -> type[ExactNeuron]:
    """The subclass of `ExactNeuron` for a family: Lava finds the model of a process by its class."""
    parts = ("_real", "_imag") if record.complex else ("",)
    members = {
        "__doc__": f"`ExactNeuron` of {record.name}, with parameters `{record.parameters.__name__}`.",
        "__module__": __name__,
        "FAMILY": record,
        "INPUTS": tuple(f"a{part}_in" for part in parts),
        "FEEDBACK": tuple(f"r{part}_in" for part in parts),
        "STATES": record.states,
    }
    return type(exact_name(record), (ExactNeuron,), members)


def exact_records() -> dict[str, Family]:
    """Every family that the kernels know now, neurons of input and output layers included, by the name of its class."""
    records = (part for family in FAMILIES.values() for part in (family, family.as_input, family.as_output))
    return {exact_name(record): record for record in records if record is not None}


def __getattr__(name: str) -> type[ExactNeuron]:
    if name.startswith("Exact") and name in (records := exact_records()):
        return exact_class(records[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
