"""A drawn road, in place of a recorded drive.

Metres ahead of the camera, z, and to the right, x, on flat ground. The road's curvature (1/m) at the distance s along
it is a sum of sines, ``k(s) = sum_i a_i sin(w_i s + p_i)``; integrated twice, its centre lies, small angles assumed, at

    x(z) = sum_i a_i / w_i * (z cos(w_i s + p_i) - (sin(w_i (s + z) + p_i) - sin(w_i s + p_i)) / w_i)

seen from s along the tangent. A pinhole camera at `HEIGHT` sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lavadl_ref.datasets._driving import SEQUENCE, SIZE
from lavadl_ref.datasets._places import from_the_front
from lavadl_ref.slayer.io._room import room
from lavadl_ref.slayer.utils import _validate

Floats = NDArray[np.floating[Any]]

HEIGHT = 1.4  #: of the camera, m
HORIZON = 11.5  #: row at which the ground ends
FOCUS = 50.0  #: focal length in pixels: 90 degrees across
HALF_ROAD = 3.6  #: m from the centre line to the edge
LINE = 0.18  #: half the width of a painted line, m
DASH = 9.0  #: period of the centre line's dashes, m
STRIDE = 0.8  #: m from one frame to the next
WHEELBASE = 2.7  #: m
RATIO = 15.0  #: turns of the steering wheel for one of the front wheels
CURVATURE = 0.012  #: amplitude of each sine, 1/m
_LENGTHS = (60.0, 110.0, 190.0)  #: of the sines, m


@dataclass(frozen=True)
class Bends:
    """The sines of a road's curvature: amplitude, frequency (1/m) and phase of each, (K,)."""

    amplitude: Floats
    frequency: Floats
    phase: Floats

    def curvature(self, s: Floats) -> Floats:
        """Curvature at s, of any shape, 1/m; to the right if positive."""
        curvature: Floats = (self.amplitude * np.sin(s[..., None] * self.frequency + self.phase)).sum(-1)
        return curvature

    def centre(self, s: Floats, z: Floats) -> Floats:
        """Metres that the road's centre lies to the right, z ahead of s; the shapes of both broadcast."""
        near = s[..., None] * self.frequency + self.phase
        far = near + z[..., None] * self.frequency
        bent = z[..., None] * np.cos(near) - (np.sin(far) - np.sin(near)) / self.frequency
        right: Floats = (self.amplitude / self.frequency * bent).sum(-1)
        return right


def steering(curvature: Floats) -> Floats:
    """Angle of the steering wheel, radians, for a curvature of any shape, 1/m: a bicycle's times `RATIO`."""
    angle: Floats = RATIO * np.arctan(WHEELBASE * curvature)
    return angle


def view(bends: Bends, s: Floats, generator: np.random.Generator) -> NDArray[np.float32]:
    """The view of the camera from each of the places s (T,): (3, 33, 100, T), in [0, 1].

    Colours and light are drawn once, the roughness of the ground anew for each sequence.
    """
    rows, columns = SIZE
    ground = np.arange(rows) > HORIZON
    z = HEIGHT * FOCUS / (np.arange(rows)[ground] - HORIZON)
    x = (np.arange(columns) - (columns - 1) / 2) * z[:, None] / FOCUS
    aside = x - bends.centre(s[:, None], z)[..., None]  # (T, ground, columns): metres right of the road's centre
    along = (s[:, None] + z)[..., None]

    def colour(red: float, green: float, blue: float) -> Floats:
        return np.clip(np.array([red, green, blue]) * generator.uniform(0.8, 1.2, 3), 0, 1)

    grass, tar, paint, sky = (
        colour(0.25, 0.45, 0.2),
        colour(0.32, 0.32, 0.34),
        colour(0.9, 0.9, 0.8),
        colour(0.5, 0.7, 1),
    )
    light = generator.uniform(0.6, 1)
    # roughness belongs to places on the ground: a table of cells of 1 m, repeated over the plane
    table = generator.normal(0, 0.06, (64, 64))
    rough = table[np.floor(along).astype(int) % 64, np.floor(aside).astype(int) % 64]
    dashed = np.floor(along * 2 / DASH) % 2 == 0
    painted = (np.abs(np.abs(aside) - (HALF_ROAD - 0.4)) < LINE) | ((np.abs(aside) < LINE) & dashed)
    frames = np.empty((len(s), rows, columns, 3))
    surface = np.where((np.abs(aside) < HALF_ROAD)[..., None], tar, grass) + rough[..., None]
    frames[:, ground] = np.where(painted[..., None], paint, surface)
    frames[:, ~ground] = sky * np.linspace(1, 1.2, int((~ground).sum()))[:, None, None]
    return np.clip(frames * light, 0, 1).astype(np.float32).transpose(3, 1, 2, 0)


class Road(Dataset[tuple[Tensor, Tensor]]):
    """Stand-in for a recorded drive: a road drawn by a few formulas, and the angle that follows it.

    Flat ground, one road with painted lines, no traffic, no camera motion but along the road; curvature varies
    smoothly. The angle is what the curvature asks for, without a driver, so that it can be learned far better
    than a recorded one: an error on it says nothing about an error on a real drive.

    Parameters
    ----------
    train : bool
        Which of two series of roads.
    sequences : int
        Roads, and samples.
    sequence : int
        Frames of a sample.
    seed : int
        Of everything.

    Road i depends on `train`, `seed` and i alone. A sample is float32 (3, 33, 100, sequence) in [0, 1], red, green and
    blue, and float32 (sequence,), the angle of the steering wheel in radians, to the right if positive.

    Examples
    --------
    >>> frames, angles = Road(sequences=4, sequence=8)[0]
    >>> frames.shape, angles.shape
    (torch.Size([3, 33, 100, 8]), torch.Size([8]))
    """

    def __init__(self, train: bool = True, sequences: int = 256, sequence: int = SEQUENCE, seed: int = 0) -> None:
        self.train = bool(train)
        self.sequences = _validate.integer(sequences, "Road", 1)
        self.sequence = _validate.integer(sequence, "sequence of Road", 1)
        # drawing takes six numbers or more for each pixel on the way
        room((self.sequence, *SIZE, 6), 8, "a sample of Road", f"sequence is {self.sequence}")
        self.seed = _validate.integer(seed, "seed of Road", 0)

    def __len__(self) -> int:
        return self.sequences

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        place = from_the_front(index, len(self), "Road")
        generator = np.random.default_rng((self.seed, int(self.train), place))
        bends = Bends(
            CURVATURE * generator.uniform(0, 1, len(_LENGTHS)),
            2 * np.pi / (np.array(_LENGTHS) * generator.uniform(0.8, 1.25, len(_LENGTHS))),
            generator.uniform(0, 2 * np.pi, len(_LENGTHS)),
        )
        s = STRIDE * np.arange(self.sequence)
        angles = torch.from_numpy(steering(bends.curvature(s)).astype(np.float32))
        return torch.from_numpy(view(bends, s, generator)).contiguous(), angles
