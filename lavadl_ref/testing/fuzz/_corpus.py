"""Corrupted files: the ways of damage, and the files that a seed stands for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from lavadl_ref import exchange
from lavadl_ref.testing import _damage
from lavadl_ref.testing._choices import Choices, Seeded
from lavadl_ref.testing.fuzz import _bases, _bombs, _graphs

_STRIDE = 15_485_863  #: a prime, more than there are words and values

Damage = Callable[[Choices, bytes], bytes]

#: Every way of damaging a file.
DAMAGES: Mapping[str, Damage] = {
    "bytes": _damage.flipped,
    "word": _damage.any_word,
    "stretch": _damage.overwritten,
    "truncation": _damage.truncated,
    "shift": _damage.shifted,
    "value": partial(_damage.applied, _damage.nudge, True),
    **{name: partial(_damage.applied, edit, name == "type or shape") for name, edit in _damage.EDITS.items()},
    "exchanged": partial(_damage.applied, _damage.exchange_entries, False),
    "attribute": partial(_damage.applied, _damage.attribute, False),
    **{name: partial(_damage.applied, edit, True) for name, edit in _bombs.EDITS.items()},
    "endless heap": _bombs.endless_heap,
    "user block": _bombs.user_block,
    "other format": _bombs.other_format,
}
#: Of a ``.net`` file alone: they know where its layers are.
_OF_LAYERS = ("link cycle", "shared data", "shared chunks", "huge geometry", "many keys")
#: Every way of damaging a ``.nir`` file.
GRAPH_DAMAGES: Mapping[str, Damage] = {
    **{name: damage for name, damage in DAMAGES.items() if name not in _OF_LAYERS},
    **{name: partial(_damage.applied, edit, numbers) for name, (edit, numbers) in _graphs.EDITS.items()},
}
#: Kinds drawn more often than the others, and how many times: what they do depends most on the place that they hit.
OFTEN = {"bytes": 8, "word": 8, "stretch": 6, "truncation": 3, "shift": 3, "value": 3, "type or shape": 3}


class Words:
    """Files of which one word is another number: every word of one network of each family, replaced by every number.

    Parameters
    ----------
    folder : path
        Holds the whole files that they are made from.
    seed : int
        Of the networks.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        seen: dict[str, exchange.Network] = {}
        for network in _bases.networks(seed):
            last = network.layers[-1].neuron
            if last is not None:
                seen.setdefault(last.type, network)
        self._bases = [folder / f"words-{family}.net" for family in seen]
        for path, network in zip(self._bases, seen.values(), strict=True):
            exchange.write(path, network)
        whole = [(base, base.read_bytes()) for base in self._bases]
        whole += [(base, _bases.laid_out(base, "newest")) for base in self._bases]
        self._whole = whole
        self._edges = np.cumsum([len(data) // _damage.WORD * _damage.VALUES for _, data in whole])

    def __len__(self) -> int:
        return int(self._edges[-1])

    def file(self, index: int) -> tuple[str, Path, bytes]:
        """The damage of file `index`, the file it was made from, and its content."""
        # a stride that shares no factor with the count, so that the first files are spread over all of them
        index = index * _STRIDE % len(self)
        number = int(np.searchsorted(self._edges, index, side="right"))
        base, data = self._whole[number]
        word, value = divmod(index - int(self._edges[number - 1] if number else 0), _damage.VALUES)
        return "word", base, _damage.word(data, word, value)


class Corpus:
    """The corrupted files of a seed.

    Parameters
    ----------
    folder : path
        Holds the whole files that they are made from.
    seed : int
        Not negative.
    damages : sequence of str, optional
        Kinds of damage, keys of `DAMAGES`; by default all, some more often than others.
    """

    damages = DAMAGES

    def __init__(self, folder: Path, seed: int, damages: Sequence[str] | None = None) -> None:
        self._seed = seed
        self._bases = self._written(folder)
        exchange.write(folder / _bombs.OTHER, _bases.networks(seed)[-1])
        self._names = list(damages or (name for name in self.damages for _ in range(OFTEN.get(name, 1))))
        self._laid_out = lru_cache(None)(_bases.laid_out)

    def _written(self, folder: Path) -> list[tuple[Path, Path]]:
        """Whole files, each with the ``.net`` file of the same network."""
        paths = []
        for index, network in enumerate(_bases.networks(self._seed)):
            paths.append(folder / f"base-{index}.net")
            exchange.write(paths[-1], network)
        return [(path, path) for path in paths]

    def file(self, index: int) -> tuple[str, Path, bytes]:
        """The damage of file `index`, the file it was made from, and its content."""
        choose = Seeded(np.random.default_rng([self._seed, index]))
        (path, base), name = choose.one(self._bases), choose.one(self._names)
        whole = self._laid_out(path, choose.one(_bases.LAYOUTS))
        return name, base, self.damages[name](choose, whole)


class Graphs(Corpus):
    """The corrupted ``.nir`` files of a seed, of which every other one was without integers of this package.

    Parameters
    ----------
    folder, seed, damages
        As of `Corpus`; kinds are keys of `GRAPH_DAMAGES`.

    Raises
    ------
    ImportError
        If the package nir is not installed.
    """

    damages = GRAPH_DAMAGES

    @property
    def whole(self) -> Path:
        """A file that is compared with its integers by a run: the kernels of that are loaded once a process."""
        return next(path for path, _ in self._bases if path.name.startswith("bare"))

    def _written(self, folder: Path) -> list[tuple[Path, Path]]:
        return _graphs.bases(folder, self._seed)


def corrupted(index: int, seed: int = 0) -> bytes:
    """Content of file `index` of a run with `seed`, to inspect it."""
    with tempfile.TemporaryDirectory() as folder:
        return Corpus(Path(folder), seed).file(index)[2]
