"""The base of recordings of an event camera: events, labels, and tensors made of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lavadl_ref.datasets._places import from_the_front
from lavadl_ref.slayer import io
from lavadl_ref.slayer.io._room import room
from lavadl_ref.slayer.utils import _validate

SIZE = 34  #: rows and columns of the sensor
CHANNELS = 2  #: polarities: 0 darker, 1 brighter
DURATION = 300  #: milliseconds

Augment = Callable[[io.Event, np.random.Generator], io.Event]


class EventPictures(Dataset[tuple[Tensor, int]]):
    """Recordings as tensors of spikes: float32 (2, 34, 34, steps), and a label.

    Parameters
    ----------
    augment : callable, optional
        ``augment(event, generator)`` returns the event to use. Its generator is made of `seed`, the epoch and the index
        alone, so an epoch can be repeated from any sample on.
    sampling_time : float
        Milliseconds per step.
    steps : int
        Steps of a sample; later events are left out, as are those that `augment` moves off the sensor.
    seed : int
        Of what `augment` draws.
    """

    def __init__(self, augment: Augment | None, sampling_time: float, steps: int, seed: int) -> None:
        name = type(self).__name__
        self.augment = augment
        self.sampling_time = _validate.positive(sampling_time, f"sampling_time of {name}")
        self.steps = _validate.integer(steps, f"steps of {name}", 1)
        room((CHANNELS, SIZE, SIZE, self.steps), 4, f"a sample of {name}", f"steps is {self.steps}")
        self.seed = _validate.integer(seed, f"seed of {name}", 0)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the random numbers of `augment` depend on."""
        self.epoch = _validate.integer(epoch, "epoch", 0)

    def event(self, index: int) -> io.Event:
        """The recording as it is."""
        raise NotImplementedError

    def label(self, index: int) -> int:
        """The class of a recording."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        place = from_the_front(index, len(self), type(self).__name__)
        event = self.event(place)
        if self.augment is not None:
            event = self.augment(event, np.random.default_rng((self.seed, self.epoch, place)))
        grid = torch.zeros(CHANNELS, SIZE, SIZE, self.steps)
        # fill_tensor divides by the time of a step; a spike has the value 1, however long a step is
        spikes = event.fill_tensor(grid, self.sampling_time) * self.sampling_time
        return spikes, self.label(place)
