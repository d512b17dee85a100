"""The spike trains of the Oxford regression."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lavadl_ref import _files
from lavadl_ref.datasets._places import from_the_front
from lavadl_ref.slayer import io
from lavadl_ref.slayer.io._room import room
from lavadl_ref.slayer.utils import _validate

FILES = ("input.bs1", "output.bs1")


class Oxford(Dataset[tuple[Tensor, Tensor]]):
    """One pair of spike trains: a random input, and the picture that the output is to draw.

    Parameters
    ----------
    folder : path
        Holds ``input.bs1`` and ``output.bs1``, in the format of `slayer.io.read_1d_spikes`.
    neurons : int
        Trains in either file.
    steps : int
        Steps of one millisecond.

    The only sample is a pair of float32 (neurons, steps) of zeros and ones. An event at t milliseconds falls into
    step round(t) of the input, half to even, and into step floor(t) of the target, as in Lava-DL's tutorial.

    Raises
    ------
    OSError
        A file is missing or cannot be read.
    ValueError
        A file is cut short, or holds an event of another neuron or beyond the last step.

    Examples
    --------
    >>> import tempfile
    >>> from lavadl_ref.slayer import io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in FILES:
    ...         io.encode_1d_spikes(Path(folder, name), io.Event([1, 0], None, [0, 0], [3, 5]))
    ...     spikes, picture = Oxford(folder, neurons=2, steps=8)[0]
    >>> spikes.nonzero().tolist()
    [[0, 5], [1, 3]]
    """

    def __init__(self, folder: str | os.PathLike[str], neurons: int = 200, steps: int = 2000) -> None:
        self.neurons = _validate.integer(neurons, "neurons of Oxford", 1)
        self.steps = _validate.integer(steps, "steps of Oxford", 1)
        room((self.neurons, self.steps), 4, "a sample of Oxford", f"neurons is {neurons} and steps is {steps}")
        home = _files.folder(folder, " and ".join(FILES))
        source, target = (_files.file(home / name, "1-D spike trains") for name in FILES)
        self.input = self._trains(source, np.round)
        self.target = self._trains(target, np.floor)

    def _trains(self, path: Path, whole: Callable[[Any], Any]) -> Tensor:
        event = io.read_1d_spikes(path)
        event.t = whole(event.t)
        for name, values, limit in (("neuron", event.x, self.neurons), ("step", event.t, self.steps)):
            if (values >= limit).any():
                raise ValueError(f"{path}: every {name} must be below {limit}, got {int(values.max())}")
        # a train has one kind of spike, whichever polarity it was recorded with
        event.c = np.zeros_like(event.c)
        return event.fill_tensor(torch.zeros(1, self.neurons, self.steps))[0]

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        from_the_front(index, len(self), "Oxford")
        return self.input, self.target
