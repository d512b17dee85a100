"""Lava's compiler and process models at work in this process: channels, coroutines and the order of a step.

Lava compiles the network and builds its process models and their ports; only that which lies between them is replaced:
the processes of the operating system, and the shared memory that carries messages.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from typing import Any

import networkx
import numpy as np
from lava.magma.compiler.channels.interfaces import Channel
from lava.magma.compiler.channels.pypychannel import CspRecvPort, CspSendPort
from lava.magma.compiler.compiler import Compiler
from lava.magma.compiler.compiler_graphs import ProcGroupDiGraphs
from lava.magma.runtime.message_infrastructure.message_infrastructure_interface import MessageInfrastructureInterface
from lava.utils.sparse import find
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

#: Packages whose process models do not change while Python runs.
_INSTALLED = ("lava.", "lavadl_ref.")


class Stuck(RuntimeError):
    """A process waits for a message that will not come; Lava would wait for ever."""


class Ended(BaseException):
    """Unwinds a coroutine that is not needed any more."""


class SendPort(CspSendPort):
    """The sending end of a channel."""

    def __init__(self, name: str, channel: MemoryChannel) -> None:
        self._name, self.channel, self._size = name, channel, channel.size
        self._shape, self._dtype = channel.shape, channel.d_type

    def start(self) -> None:
        """Nothing has to be started."""

    def join(self) -> None:
        """Nothing has to be waited for."""

    def probe(self) -> bool:
        """Tell whether the channel has room."""
        return len(self.channel.held) < self._size

    def send(self, data: Any) -> None:
        """Put a copy of `data` into the channel, in the channel's dtype.

        Raises
        ------
        AssertionError
            If the shape is not the channel's, as Lava has it.
        Stuck
            If the channel is full.
        """
        if data.shape != self._shape:
            raise AssertionError(f"{self._name} sends shape {data.shape}, the channel has {self._shape}")
        if isinstance(data, csr_matrix):
            data = find(data, explicit_zeros=True)[2]
        if not self.probe():
            raise Stuck(f"{self._name} sends, but {self._size} messages have not been received yet")
        message = np.empty(self._shape, self._dtype)
        message[:] = data[:]
        self.channel.held.append(message)


class ReceivePort(CspRecvPort):
    """The receiving end of a channel; where it is empty, `wait` lets others work until it is not."""

    def __init__(self, name: str, channel: MemoryChannel) -> None:
        self._name, self.channel, self._size = name, channel, channel.size
        self._shape, self._dtype = channel.shape, channel.d_type
        self.observer = None

    def start(self) -> None:
        """Nothing has to be started."""

    def join(self) -> None:
        """Nothing has to be waited for."""

    def probe(self) -> bool:
        """Tell whether a message is there."""
        return bool(self.channel.held)

    def peek(self) -> NDArray[Any]:
        """The next message, which stays."""
        if not self.channel.held:
            self.channel.wait(self.channel)
        return self.channel.held[0].copy()

    def recv(self) -> NDArray[Any]:
        """The next message."""
        if not self.channel.held:
            self.channel.wait(self.channel)
        return self.channel.held.popleft()


class MemoryChannel(Channel):
    """Messages on their way from one port to another; constructed as Lava constructs a `PyPyChannel`."""

    def __init__(
        self, infrastructure: Any, src_name: str, dst_name: str, shape: tuple[int, ...], dtype: Any, size: int, *_: Any
    ) -> None:
        self.shape, self.d_type, self.size = shape, dtype, size
        self.held: deque[NDArray[Any]] = deque()
        self.sender: Any = None  #: the model that sends
        self.receiver: Any = None  #: the model that receives
        self.wait: Callable[[MemoryChannel], None] = _nobody
        self._source_port, self._destination_port = SendPort(src_name, self), ReceivePort(dst_name, self)

    @property
    def src_port(self) -> SendPort:
        """Its sending end."""
        return self._source_port

    @property
    def dst_port(self) -> ReceivePort:
        """Its receiving end."""
        return self._destination_port


def _nobody(channel: MemoryChannel) -> None:
    raise Stuck(f"{channel.dst_port.name} waits, but nobody sends")


class Tap:
    """A further end of an output port, which keeps every message."""

    def __init__(self, d_type: Any) -> None:
        self._d_type = d_type
        self.messages: list[NDArray[Any]] = []

    def send(self, data: Any) -> None:
        """Keep a copy of `data`."""
        self.messages.append(np.array(data, self._d_type))


class Infrastructure(MessageInfrastructureInterface):
    """Messaging infrastructure that gives Lava's channel builders the class of a channel, and has no actors."""

    actors: list[Any] = []

    def start(self) -> None:
        """Nothing has to be started."""

    def stop(self) -> None:
        """Nothing has to be stopped."""

    def build_actor(self, target_fn: Any, builder: Any) -> None:
        """Refuse: there are no actors, as all models run in this process."""
        raise NotImplementedError

    def channel_class(self, channel_type: Any) -> type[Channel]:
        """Always the same."""
        return MemoryChannel


class Coroutine:
    """A thread that works only while the caller of `resume` waits: one of the two runs at any time."""

    def __init__(self, name: str) -> None:
        self._turn: SimpleQueue[bool] = SimpleQueue()  # True: go on, False: end
        self._back: SimpleQueue[None] = SimpleQueue()
        self._task: Callable[[], None] | None = None
        self._error: BaseException | None = None
        self.waits_for: MemoryChannel | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Tell whether the last task is done."""
        return self._task is None

    def give(self, task: Callable[[], None]) -> None:
        """Set the next task, which `resume` begins."""
        self._task = task

    def resume(self) -> None:
        """Let it work until it waits for a channel or is done; raises the exceptions of the task."""
        self.waits_for = None
        self._turn.put(True)
        self._back.get()
        if self._error is not None:
            raise self._error

    def wait(self, channel: MemoryChannel) -> None:
        """Within the task: return to the caller of `resume`, until a message is in `channel`."""
        while not channel.held:
            self.waits_for = channel
            self._back.put(None)
            if not self._turn.get():
                raise Ended

    def end(self) -> None:
        """Unwind the task and end the thread."""
        self._turn.put(False)
        self._thread.join()

    def _work(self) -> None:
        while self._turn.get():
            assert self._task is not None
            try:
                self._task()
            except Ended:
                return
            except BaseException as error:
                self._error = error
            self._task = None
            self._back.put(None)


def in_order(models: Iterable[Any], edges: Iterable[tuple[Any, Any]]) -> list[list[Any]]:
    """Models sorted so that senders come before receivers; those that form a loop come together."""
    graph = networkx.DiGraph(list(edges))
    graph.add_nodes_from(models)
    condensed = networkx.condensation(graph)
    return [list(condensed.nodes[node]["members"]) for node in networkx.topological_sort(condensed)]


@cache
def compiler() -> Compiler:
    """Lava's compiler; one for all networks, as each new one adds another handler to Lava's log."""
    return Compiler()


@contextmanager
def models_found_once() -> Iterator[None]:
    """Remember, while Lava compiles, which models it found for the processes of installed packages.

    Lava executes every file beside a process each time it looks for the process's models, which takes
    longer than all the rest.
    """
    original = ProcGroupDiGraphs._find_proc_models

    def find_proc_models(proc: Any) -> list[Any]:
        kind = type(proc)
        if kind in _found:
            return list(_found[kind])
        found: list[Any] = original(proc)
        if kind.__module__.startswith(_INSTALLED):
            _found[kind] = list(found)
        return found

    ProcGroupDiGraphs._find_proc_models = staticmethod(find_proc_models)
    try:
        yield
    finally:
        ProcGroupDiGraphs._find_proc_models = staticmethod(original)


_found: dict[type, list[Any]] = {}
