"""Undamaged ``.net`` files, from which damage begins: every family in every kind of layer that can have it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from lavadl_ref.exchange import FAMILIES, LAYERS, Network
from lavadl_ref.testing import _networks
from lavadl_ref.testing._choices import Seeded
from lavadl_ref.testing._kinds import PLAIN, may_have
from lavadl_ref.testing._layers import Options

LAYOUTS = ("as written", "newest", "packed")
MIXED = 16  #: networks of any layers
EXTENT = 5  #: the largest of an axis


def networks(seed: int) -> list[Network]:
    """One network for each family and kind of layer, and some of any; the same for the same `seed`."""
    choose = Seeded(np.random.default_rng([seed, MIXED]))

    def drawn(families: Sequence[str], kinds: Sequence[str], most: int) -> Network:
        options = Options(tuple(families), tuple(kinds), most, EXTENT, extreme=True, plain=True, graded=True)
        return _networks.network(choose, options)

    found = []
    for kind in (kind for kind in LAYERS if kind not in PLAIN):
        found += [drawn([family], [kind], 2) for family in FAMILIES if may_have(kind, family)]
    for kind in PLAIN:
        having: list[Network] = []
        while len(having) < 2:
            made = drawn(tuple(FAMILIES), ("conv", kind), 3)
            having += [made] * any(layer.kind == kind for layer in made.layers)
        found += having
    return found + [drawn(tuple(FAMILIES), tuple(LAYERS), 5) for _ in range(MIXED)]


def laid_out(path: Path, layout: str) -> bytes:
    """The file at `path` with the same entries laid out in another way, one of `LAYOUTS`."""
    if layout == "as written":
        return path.read_bytes()
    buffer = io.BytesIO()
    with h5py.File(path) as source, h5py.File(buffer, "w", libver="latest" if layout == "newest" else None) as file:
        if layout == "newest":
            for key in source:
                source.copy(key, file)
        else:
            _pack(source, file)
    return buffer.getvalue()


def _pack(source: h5py.Group, target: h5py.Group) -> None:
    for key, entry in source.items():
        if isinstance(entry, h5py.Group):
            _pack(entry, target.create_group(key))
        elif entry.shape and entry.dtype.kind in "iuf":
            options = {"compression": "gzip", "shuffle": True, "fletcher32": True}
            target.create_dataset(key, data=np.asarray(entry), chunks=entry.shape, **options)
        else:
            source.copy(key, target)
