"""Undamaged ``.net`` files, from which damage begins: every family in every kind of layer that can have it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lavadl_ref import _ending
from lavadl_ref.exchange import FAMILIES, LAYERS, Network
from lavadl_ref.testing._kinds import PLAIN, may_have

LAYOUTS = ("as written", "newest", "packed")
MIXED = 16  #: networks of any layers


def networks(seed: int) -> list[Network]:
    """One network for each family and kind of layer, and some of any; the same for the same `seed`.

    Raises
    ------
    ImportError
        If Hypothesis is not installed.
    """
    from lavadl_ref.testing import strategies

    found = []
    for kind in (kind for kind in LAYERS if kind not in PLAIN):
        for family in FAMILIES:
            if may_have(kind, family):
                found += _drawn(strategies.networks(family, kind, max_layers=2), 1, seed)
    for kind in PLAIN:
        found += _drawn(strategies.networks(kinds=("conv", kind), max_layers=3), 2, seed)
    return found + _drawn(strategies.networks(), MIXED, seed)


@contextmanager
def _folder_of_its_own() -> Iterator[None]:
    """Keep Hypothesis from making its folder in the current one."""
    from hypothesis import configuration

    with _ending.temporary_folder() as folder:
        configuration.set_hypothesis_home_dir(folder.path)
        try:
            yield
        finally:
            configuration.set_hypothesis_home_dir(None)  # back to what the environment says


def _drawn(source: Any, count: int, seed: int) -> list[Network]:
    """`count` examples of a strategy, its simplest left out."""
    import hypothesis

    found: list[Network] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count + 1,
        database=None,
        derandomize=False,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(source)
    def collect(network: Network) -> None:
        found.append(network)

    with _folder_of_its_own():
        collect()
    return found[-count:]


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
