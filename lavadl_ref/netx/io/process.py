"""Processes that feed samples into a network and collect its messages."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
from lava.magma.core.process.ports.ports import AbstractPort, InPort, OutPort, RefPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from numpy.typing import NDArray


class InputLoader(AbstractProcess):
    """Source of the samples of a dataset, each for `interval` steps, and begins anew after the last.

    Sample i leaves at the steps ``offset + i * interval`` to ``offset + (i + 1) * interval - 1``, counted from 0
    (Lava's ``time_step`` - 1); before the first one zeros leave. Through a `BiasWriter` it acts one step later, from
    ``offset + 1 + i * interval`` on, which is when a sample of Lava's ``SpikeDataloader`` of the same interval and
    offset acts.

    Parameters
    ----------
    dataset : sequence
        ``dataset[i]`` is an input or a pair (input, label); ``len(dataset)`` of them. An input is an array or
        tensor of whole numbers, all of one shape; for an input layer in 1/64, its ``transform`` applied.
    interval : int
        Steps a sample lasts.
    offset : int
        Steps before the first sample.

    Attributes
    ----------
    data_out : OutPort
        The sample, int32 of its shape.
    ground_truth : OutPort
        The label of the sample that acts on the network at this step, so one step behind `data_out`; (1,) where
        labels are numbers. Zeros before, or without labels.

    Raises
    ------
    ValueError
        The dataset is empty, its first sample has no whole numbers, `interval` is not positive or `offset` negative.
        Later samples are looked at in their turn, in Lava's process: there the error goes to standard error, and
        Lava's runtime may then wait for ever.
    """

    def __init__(self, dataset: Any, interval: int = 1, offset: int = 0, *, name: str | None = None) -> None:
        # Before anything can fail: Lava uses it when a process is collected.
        super().__init__(dataset=dataset, interval=int(interval), offset=int(offset), name=name)
        if interval < 1 or offset < 0:
            raise ValueError(f"interval must be at least 1 and offset 0, got {interval} and {offset}")
        if len(dataset) < 1:
            raise ValueError("dataset must have samples, got none")
        data, label = sample(dataset, 0)
        self.proc_params["shapes"] = (data.shape, label.shape)
        self.data_out = OutPort(shape=data.shape)
        self.ground_truth = OutPort(shape=label.shape)


def sample(dataset: Any, index: int, shapes: tuple[Any, Any] | None = None) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Input (int32) and label (float64, zeros of shape (1,) without one) of a dataset.

    Parameters
    ----------
    dataset : sequence
        As for `InputLoader`.
    index : int
        Number of the sample.
    shapes : tuple, optional
        The shapes that input and label must have.

    Raises
    ------
    ValueError
        The sample is not as `InputLoader` expects it.
    """
    found = dataset[index]
    pair = isinstance(found, (tuple, list)) and len(found) == 2
    data, label = (_array(part) for part in (found if pair else (found, 0)))
    if data.dtype.kind not in "biuf" or not (np.abs(data.astype(np.float64)) < 2**31).all():
        raise ValueError(f"sample {index} must hold integers of 32 bits, got {data.dtype} from {_extremes(data)}")
    whole = data.astype(np.int32)
    if not (whole == data).all():
        raise ValueError(f"sample {index} must hold integers, got {data[whole != data].flat[0]}")
    if label.dtype.kind not in "biuf":
        raise ValueError(f"sample {index} must have a number or an array of numbers as label, got {label.dtype}")
    label = np.atleast_1d(label).astype(np.float64)
    if shapes is not None and (data.shape, label.shape) != shapes:
        raise ValueError(
            f"sample {index} must have input and label of shapes {shapes}, got {(data.shape, label.shape)}"
        )
    return whole, label


def _array(part: Any) -> NDArray[Any]:
    return np.asarray(part.detach().cpu() if hasattr(part, "detach") else part)


def _extremes(data: NDArray[Any]) -> str:
    return f"{data.min()} to {data.max()}" if data.dtype.kind in "biuf" and data.size else "no numbers"


class _VarOut(RefPort):
    """A reference port that ``connect`` connects to a Var, too."""

    def connect(self, ports: Any, connection_configs: Any = None) -> None:
        if not isinstance(ports, Var):
            super().connect(ports, connection_configs)
            return
        if ports.shape != self.shape:
            raise ValueError(f"the bias of a BiasWriter must have its shape {self.shape}, got {ports.shape}")
        self.connect_var(ports, connection_configs)


class BiasWriter(AbstractProcess):
    """Write incoming values to the bias of neurons, or to any other Var.

    A value that arrives at a step is written at its end and acts from the next step on. At the first step, the Var has
    its initial value; before the first sample arrives, a connected `InputLoader` sends zeros, which are written too.

    Parameters
    ----------
    shape : tuple of int
        Of the Var, (W, H, C) or (N,); an integer stands for (N,).

    Attributes
    ----------
    bias_in : InPort
        int32 of `shape`, in units of the Var; the bias of an input layer is in 1/64.
    bias_out : RefPort
        ``bias_out.connect(net.in_layer.bias)``.

    Raises
    ------
    ValueError
        From ``connect``, if the Var has another shape.
    """

    def __init__(self, shape: tuple[int, ...] | int, *, name: str | None = None) -> None:
        shape = (shape,) if isinstance(shape, int) else tuple(int(extent) for extent in shape)
        super().__init__(shape=shape, name=name)
        self.shape = shape
        self.bias_in = InPort(shape=shape)
        self.bias_out = _VarOut(shape=shape)


class _AnyShape(tuple[int, ...]):
    """Differs from no shape."""

    def __ne__(self, other: object) -> bool:
        return False


class _OpenIn(InPort):
    """An input port that takes the shape of the port that is connected to it."""

    def __init__(self) -> None:
        super().__init__(shape=_AnyShape())

    def _add_inputs(self, inputs: list[AbstractPort]) -> None:
        super()._add_inputs(inputs)
        self.shape = inputs[0].shape


class Collected:
    """The messages that an `OutputReader` has collected, at any time while Lava runs and afterwards."""

    def __init__(self, reader: OutputReader) -> None:
        self._reader = reader

    def get(self) -> NDArray[np.int32]:
        """int32 of the shape of the port and, last, time, as Lava's sinks have it."""
        reader = self._reader
        shape = reader.net_output_in.shape
        if isinstance(shape, _AnyShape):
            raise ValueError("net_output_in of OutputReader must be connected, or a shape given, got neither")
        reader.file.seek(0)
        raw, size = np.fromfile(reader.file, "<i4"), int(np.prod(shape))
        steps = len(raw) // size
        frames = raw[: steps * size].reshape(steps, *shape)
        if reader.buffer is not None:
            frames = np.concatenate([frames, np.zeros((reader.buffer - steps, *shape), np.int32)])
        return np.ascontiguousarray(np.moveaxis(frames, 0, -1))


class OutputReader(AbstractProcess):
    """Sink for a network's messages, stored in an unnamed file that is removed with the process.

    Parameters
    ----------
    shape : tuple of int, optional
        Shape of the messages; by default that of the connected port.
    buffer : int, optional
        Number of steps to keep: step n, counted from 0, is stored at ``n % buffer``, with zeros for steps that have not
        come yet, as in Lava's ``RingBuffer``. By default every step is kept.

    Attributes
    ----------
    net_output_in : InPort
        ``net.out_layer.out.connect(reader.net_output_in)``.
    data : Collected
        ``data.get()``, as of a Var of Lava's, is the same as ``read()``.

    Raises
    ------
    ValueError
        `buffer` is not positive.
    """

    def __init__(
        self, shape: tuple[int, ...] | None = None, buffer: int | None = None, *, name: str | None = None
    ) -> None:
        self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it closes with the process
        super().__init__(file=self.file.fileno(), buffer=buffer, name=name)
        if buffer is not None and buffer < 1:
            raise ValueError(f"buffer must be at least 1, got {buffer}")
        self.buffer = buffer
        self.net_output_in = _OpenIn() if shape is None else InPort(shape=tuple(shape))
        self.data = Collected(self)

    def read(self) -> NDArray[np.int32]:
        """Everything collected so far, since the process was last started.

        Returns
        -------
        ndarray
            int32, (\\*shape, steps), or (\\*shape, buffer).

        Raises
        ------
        ValueError
            The shape is not known yet.
        """
        return self.data.get()
