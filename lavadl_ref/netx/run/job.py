"""A network to run once, and the records of its run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lavadl_ref._arguments import brief, integers, whole
from lavadl_ref.exchange import describe
from lavadl_ref.netx.plan.network import LayerPlan, Options, check_size, load, plan

RECORDS = ("spikes", "states")
States = dict[str, NDArray[np.int32]]  #: by name


class Watch(Protocol):
    """The supervision of Lava's processes in the child that runs them."""

    def running(self, process: Any, layers: Sequence[Any]) -> AbstractContextManager[Callable[[int], None]]:
        """Give a function that runs the network of `process` for so many steps; `layers` are called by number."""


class Task(Protocol):
    """A network to run once, on Lava's runtime or in this process."""

    @property
    def name(self) -> str:
        """The name of the network in messages."""

    def check(self) -> None:
        """Raise unless it is well-formed."""

    def portable(self) -> Task:
        """The task as the child can unpickle it from its own folder."""

    def on_runtime(self, prefix: Path, watch: Watch) -> Any:
        """Run it in the child; names of files that it makes begin with `prefix`."""

    def in_process(self, timeout: float) -> Any:
        """Run it in this process within `timeout` seconds."""


@dataclass(frozen=True, eq=False)
class Job:
    """One network to run once.

    Parameters
    ----------
    net_config : path or exchange.describe.Network
        The network.
    inputs : ndarray
        (C, H, W, T) or (N, T) integers at each step, as `hdf5.Network.inp` takes them: spikes, sigma-delta messages, or
        for an input layer values in 1/64 after its transform.  After T steps the input is 0.
    steps : int
        Steps to run.
    record : tuple of str
        ``spikes``: the messages of every layer's neurons at each step; ``states``: theirs after the last step.
    states_at : sequence of (layer, step)
        Generated layers and 0-based steps after which to read the states as well.
    arguments : dict
        Further arguments of `hdf5.Network`.
    """

    net_config: str | PathLike[str] | describe.Network
    inputs: NDArray[Any]
    steps: int
    record: tuple[str, ...] = RECORDS
    states_at: Sequence[tuple[int, int]] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the network in messages."""
        if isinstance(self.net_config, describe.Network):
            return f"network of {len(self.net_config.layers)} layers"
        return os.fspath(self.net_config)

    def check(self) -> None:
        """Raise unless the job is well-formed and fits its network."""
        inputs = integers("inputs", self.inputs)
        if inputs.ndim not in (2, 4):
            raise ValueError(f"inputs must have shape (N, T) or (C, H, W, T), got {inputs.shape}")
        if inputs.size and (inputs.min() < -(2**31) or inputs.max() >= 2**31):
            raise ValueError(f"inputs must fit in 32 bits, got {inputs.min()} to {inputs.max()}")
        whole("steps", self.steps, 1)
        for name, value in (("record", self.record), ("states_at", self.states_at)):
            if isinstance(value, str) or not isinstance(value, Collection):
                raise TypeError(f"{name} must be a collection, got {brief(value)}")
        unknown = sorted({str(name) for name in self.record} - set(RECORDS))
        if unknown:
            raise ValueError(f"record must be some of {RECORDS}, got {unknown}")
        plans = plan(load(self.net_config), Options(**self.arguments))
        check_size(plans)
        taken = plans[0].input_shape[::-1]
        given = inputs.shape[:-1] if len(taken) == 3 else (int(np.prod(inputs.shape[:-1])),)
        if given != taken:
            raise ValueError(f"inputs must have shape ({', '.join(map(str, taken))}, T), got {inputs.shape}")
        self._check_places(plans)

    def _check_places(self, plans: Sequence[LayerPlan]) -> None:
        for place in self.states_at:
            if not isinstance(place, Sequence) or len(place) != 2:
                raise TypeError(f"states_at must hold pairs (layer, step), got {brief(place)}")
            layer, step = whole("states_at", place[0], 0), whole("states_at", place[1], 0)
            if layer >= len(plans) or plans[layer].neuron is None:
                raise ValueError(f"states_at must name one of {len(plans)} layers, with neurons, got layer {layer}")
            if step >= self.steps:
                raise ValueError(f"states_at must name a step of a run of {self.steps} steps, got step {step}")

    def portable(self) -> Job:
        """The job as the child can unpickle it from its own folder."""
        config = self.net_config
        if isinstance(config, describe.Network):
            # Read-only mappings do not pickle.
            layers = tuple(
                replace(x, neuron=x.neuron and describe.Neuron(x.neuron.type, dict(x.neuron.parameters)))
                for x in config.layers
            )
            config = describe.Network(layers, dict(config.simulation))
        else:
            config = str(Path(config).absolute())
        return replace(self, net_config=config, inputs=np.asarray(self.inputs), arguments=dict(self.arguments))

    def on_runtime(self, prefix: Path, watch: Watch) -> Records:
        """Run the network on Lava's runtime, in the child; names of files that it makes begin with `prefix`."""
        net, states_now = self._network()
        from lavadl_ref.netx.processes import Recorder

        def record(port: Any, name: str) -> Recorder:
            recorder = Recorder(shape=port.shape, path=prefix.with_suffix("." + name), steps=self.steps)
            port.connect(recorder.s_in)
            return recorder

        output = record(net.out, "output")
        spikes: list[Recorder | None] = [
            record(layer.neuron.s_out, f"spikes{i}") if layer.neuron is not None and "spikes" in self.record else None
            for i, layer in enumerate(net.layers)
        ]
        with watch.running(net, net.layers) as run:
            began = time.perf_counter()
            between = self.run_in_parts(run, lambda index: dict(states_now(net.layers[index])))
            seconds = time.perf_counter() - began
            final = [dict(states_now(layer)) if "states" in self.record else {} for layer in net.layers]
        return Records(
            output=time_last(output.read()),
            spikes=[None if recorder is None else time_last(recorder.read()) for recorder in spikes],
            states=final,
            states_at=between,
            table=str(net),
            seconds=seconds,
        )

    def in_process(self, timeout: float) -> Records:
        """Run the network in this process within `timeout` seconds."""
        net, states_now = self._network()
        from lava.proc.io.sink import RingBuffer as Sink

        from lavadl_ref.netx.run._session import Session

        sink = Sink(shape=net.out.shape, buffer=self.steps)
        net.out.connect(sink.a_in)
        session = Session(net, name=self.name, timeout=timeout)
        neurons = [layer.neuron for layer in net.layers]
        spikes = [session.record(x.s_out) if x is not None and "spikes" in self.record else None for x in neurons]
        began = time.perf_counter()
        between = self.run_in_parts(session.run, lambda index: dict(states_now(net.layers[index])))
        seconds = time.perf_counter() - began
        final = [dict(states_now(layer)) if "states" in self.record else {} for layer in net.layers]
        return Records(
            output=time_last(np.moveaxis(session.var(sink.data), -1, 0)),
            spikes=[None if messages is None else time_last(np.stack(messages)) for messages in spikes],
            states=final,
            states_at=between,
            table=str(net),
            seconds=seconds,
        )

    def _network(self) -> tuple[Any, Callable[[Any], Any]]:
        """The network, fed with the input, and the function that reads the states of a layer."""
        from lavadl_ref.netx.hdf5 import Network  # isort: skip - makes Lava importable
        from lava.proc.io.source import RingBuffer

        from lavadl_ref.netx.hdf5.layers import states_now

        net = Network(self.net_config, **self.arguments)
        source = RingBuffer(data=self.frames(net.inp.shape))
        source.s_out.connect(net.inp)
        return net, states_now

    def frames(self, shape: tuple[int, ...]) -> NDArray[np.int32]:
        """The input as Lava's source takes it: (W, H, C, T) or (N, T) of this shape, exactly `steps` long."""
        data = self.inputs.reshape(-1, self.inputs.shape[-1]) if len(shape) == 1 else self.inputs.transpose(2, 1, 0, 3)
        frames = np.zeros((*shape, self.steps), np.int32)
        frames[..., : data.shape[-1]] = data[..., : self.steps]
        return frames

    def run_in_parts(
        self, run: Callable[[int], None], states: Callable[[int], States]
    ) -> dict[tuple[int, int], States]:
        """Run all steps; read the states of a layer wherever `states_at` asks for them.

        Parameters
        ----------
        run : callable
            Runs so many steps.
        states : callable
            Gives the states that the layer of this index has now.
        """
        found: dict[tuple[int, int], States] = {}
        done = 0
        for stop in sorted({step + 1 for _, step in self.states_at} | {self.steps}):
            run(stop - done)
            done = stop
            for layer, step in self.states_at:
                if step + 1 == stop:
                    found[layer, step] = states(layer)
        return found


@dataclass(frozen=True, eq=False)
class Records:
    """The results of a run.  Arrays are int32, (C, H, W) or (N,) per step, lists run over the generated layers."""

    output: NDArray[np.int32]  #: messages that left the network, delays included, (..., T)
    spikes: list[NDArray[np.int32] | None]  #: messages of the neurons themselves, (..., T); None if not recorded
    states: list[States]  #: after the last step; {} without neurons
    states_at: dict[tuple[int, int], States]  #: after (layer, step)
    table: str  #: the network's layers and processes
    seconds: float  #: time of the steps alone

    @property
    def current(self) -> list[NDArray[np.int32] | None]:
        """The state of that name of each layer; None where there is none."""
        return [states.get("current") for states in self.states]

    @property
    def voltage(self) -> list[NDArray[np.int32] | None]:
        """The state of that name of each layer; None where there is none."""
        return [states.get("voltage") for states in self.states]


def time_last(frames: NDArray[np.int32]) -> NDArray[np.int32]:
    """(T, W, H, C) as (C, H, W, T), and (T, N) as (N, T)."""
    return np.ascontiguousarray(frames.transpose())
