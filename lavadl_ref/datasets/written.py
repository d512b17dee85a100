"""A word written in spikes, in place of the Oxford picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lavadl_ref.datasets._places import from_the_front
from lavadl_ref.slayer.io._room import room
from lavadl_ref.slayer.utils import _validate

#: Letters of 5x7 cells, a digit of base 32 a row, from the top.
_LETTERS = {
    "A": "4AHHVHH", "B": "UHHUHHU", "C": "EHGGGHE", "D": "UHHHHHU", "E": "VGGUGGV", "F": "VGGUGGG",
    "G": "EHGNHHE", "H": "HHHVHHH", "I": "E44444E", "J": "72222IC", "K": "HIKOKIH", "L": "GGGGGGV",
    "M": "HRLLHHH", "N": "HPLLJHH", "O": "EHHHHHE", "P": "UHHUGGG", "Q": "EHHHLID", "R": "UHHUKIH",
    "S": "FGGE11U", "T": "V444444", "U": "HHHHHHE", "V": "HHHHHA4", "W": "HHHLLRH", "X": "HHA4AHH",
    "Y": "HHA4444", "Z": "V1248GV", "-": "000V000", " ": "0000000",
}  # fmt: skip
_ROWS, _COLUMNS = 7, 5


def picture(word: str) -> NDArray[np.bool_]:
    """Cells that a word covers: (7, 6 len(word) - 1), row 0 on top.

    Raises
    ------
    ValueError
        It is empty, or has a character other than A to Z, hyphen and space.
    """
    if not isinstance(word, str) or not word or not set(word) <= set(_LETTERS):
        raise ValueError(f"word must be of the letters A to Z, hyphen and space, got {word!r}")
    rows = np.array([[int(row, 32) for row in _LETTERS[letter]] for letter in word])  # (letters, 7)
    cells = rows[..., None] >> np.arange(_COLUMNS - 1, -1, -1) & 1
    cells = np.pad(cells, ((0, 0), (0, 0), (0, 1)))  # a gap after each letter
    return cells.transpose(1, 0, 2).reshape(_ROWS, -1)[:, :-1].astype(bool)


def _trains(chance: NDArray[Any], generator: np.random.Generator) -> Tensor:
    return torch.from_numpy((generator.random(chance.shape) < chance).astype(np.float32))


class WrittenSpikes(Dataset[tuple[Tensor, Tensor]]):
    """Stand-in for the Oxford spike trains: random input, and a word that the output is to draw.

    The word is drawn in coarse letters over neurons (upwards) and steps (to the right), with a margin; where a letter
    is, a neuron spikes at each step with the chance `ink`. Input trains are Poisson, that is a spike with the chance
    `rate` at each step, independently. There is less detail than in the Oxford picture; losses on the two do not
    compare.

    Parameters
    ----------
    word : str
        Letters A to Z, hyphens and spaces.
    neurons, steps : int
        Trains of input and of output, and their length.
    rate, ink : float
        Chances, in (0, 1].
    seed : int
        Of input and ink.

    The only sample is a pair of float32 (neurons, steps) of zeros and ones.

    Examples
    --------
    >>> spikes, picture = WrittenSpikes("HI", neurons=50, steps=300)[0]
    >>> spikes.shape, picture.shape
    (torch.Size([50, 300]), torch.Size([50, 300]))
    """

    def __init__(
        self,
        word: str = "LAVA",
        neurons: int = 200,
        steps: int = 2000,
        rate: float = 0.005,
        ink: float = 0.08,
        seed: int = 0,
    ) -> None:
        cells = picture(word)
        neurons = _validate.integer(neurons, "neurons of WrittenSpikes", _ROWS + 2)
        steps = _validate.integer(steps, "steps of WrittenSpikes", cells.shape[1] + 2)
        room((neurons, steps), 8, "a sample of WrittenSpikes", f"neurons is {neurons} and steps is {steps}")
        for name, chance in (("rate", rate), ("ink", ink)):
            if _validate.positive(chance, f"{name} of WrittenSpikes") > 1:
                raise ValueError(f"{name} of WrittenSpikes must be a chance of at most 1, got {chance!r}")
        generator = np.random.default_rng(_validate.integer(seed, "seed of WrittenSpikes", 0))
        self.input = _trains(np.full((neurons, steps), rate), generator)
        framed = np.pad(cells, 1)
        row, column = (
            np.arange(length) * count // length for length, count in zip((neurons, steps), framed.shape, strict=True)
        )
        # neuron 0 is at the bottom of a raster
        self.target = _trains(ink * framed[::-1][row[:, None], column], generator)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        from_the_front(index, len(self), "WrittenSpikes")
        return self.input, self.target
