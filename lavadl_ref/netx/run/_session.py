"""A network of Lava processes that Lava's compiler and builders make, and that this process runs."""

from __future__ import annotations

import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any

import numpy as np
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort, PyVarPort
from lava.magma.core.process.message_interface_enum import ActorType
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.magma.runtime.runtime import Runtime
from lava.magma.runtime.runtime_services.runtime_service import LoihiPyRuntimeService
from lava.utils.sparse import find
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from lavadl_ref.netx.run._channels import (
    Coroutine,
    Infrastructure,
    MemoryChannel,
    SendPort,
    Stuck,
    Tap,
    compiler,
    in_order,
    models_found_once,
)
from lavadl_ref.netx.run.errors import LavaRunError, LavaTimeout

_Phase = LoihiPyRuntimeService.Phase
_SPIKING, _HOST = int(_Phase.SPK[0]), int(_Phase.HOST[0])
#: Lava's classes are changed while a network is compiled, its registers while one is built.
one_at_a_time = threading.RLock()


class Session:
    """A network of Lava processes, compiled and built by Lava, whose steps are taken in this process.

    Meanwhile it is the processes' runtime: ``Var.get`` works, and so do ``Var.set`` of arrays and ``process.run``.

    Parameters
    ----------
    process : AbstractProcess
        Any process of the network; none of them may have been compiled before.
    run_cfg : RunConfig, optional
        By which Lava selects the models; by default fixed-point models on a CPU.
    name : str, optional
        The network's name in errors; by default that of `process`.
    timeout : float
        Seconds from now on in which everything has to be done.

    Raises
    ------
    LavaRunError
        If Lava cannot compile or build the network, or if it needs more than a session has: models
        without Lava's phases (``AsyncProtocol``), several domains, ports to the outside.
    """

    def __init__(
        self, process: AbstractProcess, run_cfg: Any = None, *, name: str | None = None, timeout: float = 120.0
    ) -> None:
        self.name = name or f"the network of {process.name}"
        self._timeout, self._deadline = timeout, time.monotonic() + timeout
        self._coroutines: dict[Any, Coroutine] = {}
        self._todo: set[Any] = set()  # models outside of loops whose turn in this phase is to come
        self._advancing: set[Any] = set()
        self._phase, self._failed = _HOST, False
        try:
            with one_at_a_time, quiet():
                with models_found_once():
                    executable = compiler().compile(process, run_cfg or Loihi2SimCfg(select_tag="fixed_pt"))
                self._build(executable)
                self._connect()
        except Exception as error:
            raise LavaRunError(f"{self.name} failed on Lava\n{traceback.format_exc()}") from error
        process.runtime = self
        executable.assign_runtime_to_all_processes(self)

    def run(self, steps: int) -> None:
        """Take `steps` steps.

        Raises
        ------
        ValueError
            If `steps` is negative.
        LavaTimeout
            If time runs out.
        LavaRunError
            If a process model raises, or if processes wait for each other, where Lava itself would hang.
            Nothing can be run afterwards.
        """
        if steps < 0:
            raise ValueError(f"steps must not be negative, got {steps}")
        if self._failed:
            raise LavaRunError(f"{self.name} failed before, somewhere within a step; make it anew")
        try:
            for model in self._looped:
                self._coroutines[model] = Coroutine(type(model).__name__)
            with quiet():
                self._take(steps)
        except BaseException as error:
            self._failed = True
            if isinstance(error, LavaTimeout) or not isinstance(error, Exception):
                raise
            raise LavaRunError(f"{self.name} failed in a Lava process\n{traceback.format_exc()}") from error
        finally:
            for coroutine in self._coroutines.values():
                coroutine.end()
            self._coroutines.clear()

    def var(self, var: Var) -> Any:
        """The present value of a process's variable: a copy, in the model's own dtype."""
        while var.aliased_var is not None:
            var = var.aliased_var
        return copy(self._value(var.id))

    def record(self, port: OutPort) -> list[NDArray[Any]]:
        """A list that takes up each message sent from now on by a process's output port, in the port's dtype."""
        end = getattr(self._models[port.process], port.name)
        tap = Tap(end._d_type)
        end.csp_ports.append(tap)
        return tap.messages

    # What Lava's processes and variables ask of a runtime.

    def start(self, condition: Any) -> None:
        """Run as ``process.run`` asks for; only ``RunSteps`` is possible."""
        if not isinstance(condition, RunSteps):
            raise ValueError(f"condition must be RunSteps, got {condition!r}")
        self.run(condition.num_steps)

    def wait(self) -> None:
        """Nothing runs in the background."""

    def stop(self) -> None:
        """Nothing runs in the background."""

    def get_var(self, var_id: int, idx: Any = None) -> NDArray[Any]:
        """The value of a variable as Lava's ``Var.get`` expects it."""
        value = self._value(var_id)
        if isinstance(value, csr_matrix):
            value = find(value, explicit_zeros=True)[2]
        elif isinstance(value, str):
            value = list(value.encode("ascii"))
        array = np.array(value)
        return array[idx] if idx else array

    def set_var(self, var_id: int, value: NDArray[Any], idx: Any = None) -> None:
        """Set a variable that is an array, as Lava's ``Var.set`` expects it: (\\*shape) of the variable.

        Raises
        ------
        TypeError
            If the variable is no array.
        """
        model, name = self._place(var_id)
        held = getattr(model, name)
        if not isinstance(held, np.ndarray) or idx:
            raise TypeError(f"variable {name} must be an array, set as a whole, got {type(held).__name__}")
        held[...] = value
        model.on_var_update()

    def _value(self, var_id: int) -> Any:
        return getattr(*self._place(var_id))

    def _place(self, var_id: int) -> tuple[Any, str]:
        """The model that has a variable, and its name there."""
        for model in self._models.values():
            if var_id in model.var_id_to_var_map:
                return model, model.var_id_to_var_map[var_id]
        raise ValueError(f"variable {var_id} is not of {self.name}")

    def _build(self, executable: Any) -> None:
        """Let Lava build its channels, models and the service that keeps the order of phases."""
        services = list(executable.runtime_service_builders.values())
        if [builder.rs_class for builder in services] != [LoihiPyRuntimeService]:
            found = ", ".join(builder.rs_class.__name__ for builder in services)
            raise ValueError(f"all processes must be in one domain of LoihiProtocol, got services {found}")
        for process in executable.proc_builders:
            for port in (*process.in_ports, *process.out_ports):
                if port.external_pipe_flag:
                    raise ValueError(f"port {port.name} of {process.name} leads outside of the network")
            for member in (*process.vars, *process.in_ports, *process.out_ports):
                if callable(getattr(PyLoihiProcessModel, member.name, None)):
                    raise ValueError(f"{member.name} of {process.name} hides a method that Lava's runtime calls")
        lava = Runtime(executable, ActorType.MultiProcessing)
        lava._watchdog_manager = executable.watchdog_manager_builder.build()
        lava._messaging_infrastructure = Infrastructure()
        lava._build_channels()
        lava._build_sync_channels()
        self._models = {process: builder.build() for process, builder in executable.proc_builders.items()}
        self._service = services[0].build()

    def _connect(self) -> None:
        """Tell each channel its sender, and a function to call where it is empty; put the models in order."""
        models = list(self._models.values())
        edges = []
        for model in models:
            for port in model.py_ports:
                for end in port.csp_ports:
                    if isinstance(end, SendPort):
                        end.channel.sender = model
                    else:
                        end.channel.receiver = model
        for model in models:
            for port in model.py_ports:
                for end in port.csp_ports:
                    if isinstance(port, PyOutPort):
                        edges.append((model, end.channel.receiver))
                    elif isinstance(port, PyVarPort) and isinstance(end, SendPort):
                        end.channel.wait = partial(_serve, port)
        groups = in_order(models, edges)
        self._order = [model for group in groups for model in group]
        self._looped = [model for group in groups if len(group) > 1 for model in group]
        for model in models:
            for port in model.py_ports:
                if isinstance(port, PyInPort):
                    for end in port.csp_ports:
                        end.channel.wait = partial(self._wait_inside, model) if model in self._looped else self._await

    def _take(self, steps: int) -> None:
        """Take Lava's phases, as its service asks for them by the models' answers."""
        done = 0
        while True:
            phase = self._service._next_phase(done == steps)
            kind = int(phase[0])
            if kind < 0:
                raise RuntimeError("a process asked to pause or to stop the run")
            done += kind == _SPIKING
            self._run_phase(kind)
            if kind == _HOST:
                return
            self._service._get_pm_resp()

    def _run_phase(self, kind: int) -> None:
        """Let every model take one phase."""
        self._phase = kind
        self._todo = {model for model in self._order if model not in self._coroutines}
        for model, coroutine in self._coroutines.items():
            coroutine.give(partial(self._compute, model))
        for model in self._order:
            if model in self._todo:
                self._compute_at_once(model)
            while model in self._coroutines and not self._coroutines[model].idle:
                self._advance(model)
        if kind != _SPIKING:
            for model in self._order:
                for port in model.var_ports:
                    _serve(port)

    def _compute(self, model: Any) -> None:
        """Let a model take this phase."""
        if time.monotonic() > self._deadline:
            raise LavaTimeout(f"{self.name} did not finish within {self._timeout:g} s on Lava")
        model._cmd_handlers[self._phase]()

    def _compute_at_once(self, model: Any) -> None:
        self._todo.discard(model)
        self._compute(model)

    def _await(self, channel: MemoryChannel) -> None:
        """Let others compute until a message is in `channel`."""
        model = channel.sender
        while not channel.held:
            if model in self._todo:
                self._compute_at_once(model)
            elif model in self._coroutines and not self._coroutines[model].idle and model not in self._advancing:
                self._advance(model)
            else:
                raise Stuck(f"{channel.dst_port.name} waits for a message of {type(model).__name__} that will not come")

    def _advance(self, model: Any) -> None:
        """Let a model of a loop compute until it waits again or is done."""
        coroutine = self._coroutines[model]
        if coroutine.waits_for is not None:
            self._advancing.add(model)
            self._await(coroutine.waits_for)
            self._advancing.discard(model)
        coroutine.resume()

    def _wait_inside(self, model: Any, channel: MemoryChannel) -> None:
        self._coroutines[model].wait(channel)


def _serve(port: Any, channel: MemoryChannel | None = None) -> None:
    """Answer the requests at a variable's port, which Lava does between phases."""
    requests = [end for end in port.csp_ports if not isinstance(end, SendPort)]
    while any(end.probe() for end in requests):
        port.service()
    if channel is not None and not channel.held:
        raise Stuck(f"{channel.dst_port.name} waits for a variable that it has not asked for")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lava's own warnings; errors come back as exceptions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
