"""The conformance suite: golden cases of neurons, layers and networks, by levels and versions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from lavadl_ref._arguments import whole
from lavadl_ref.testing._names import known
from lavadl_ref.testing.vectors.cases import WIDTHS, Case, cases
from lavadl_ref.testing.vectors.definitions import DEFINITIONS
from lavadl_ref.testing.vectors.designs import designed
from lavadl_ref.testing.vectors.networks import NetworkCase
from lavadl_ref.testing.vectors.text import SUITE, files

LEVELS = {1: "neurons", 2: "layers", 3: "networks"}
AnyCase = Case | NetworkCase


def suite(
    levels: int | Iterable[int] | None = None,
    families: str | Iterable[str] | None = None,
    widths: str | Iterable[str] | None = None,
    version: int = SUITE,
) -> Iterator[AnyCase]:
    """The cases of the conformance suite.

    Parameters
    ----------
    levels : int or iterable of int, optional
        1 neurons, 2 layers, 3 networks; all if not given.
    families : str or iterable of str, optional
        Cases whose neurons are all of these families; all cases if not given.
    widths : str or iterable of str, optional
        ``slayer``, ``loihi``; both if not given.
    version : int
        Of the suite: there is 1.  The integers of a version never change.

    Returns
    -------
    iterator of Case or NetworkCase

    Raises
    ------
    ValueError
        If a level, a name or a version is unknown.

    Examples
    --------
    >>> case = next(suite(2, "CUBA", "loihi"))
    >>> case.label, case.steps, case.layers
    ('layers/dense-CUBA-loihi', 24, 1)
    """
    whole("suite", version, SUITE, SUITE)
    chosen = _levels(levels)
    names, width = known(families, DEFINITIONS, "family"), known(widths, WIDTHS, "widths")
    return _chosen(chosen, None if families is None else names, width)


def _levels(levels: int | Iterable[int] | None) -> tuple[int, ...]:
    given = LEVELS if levels is None else (levels,) if not isinstance(levels, Iterable) else tuple(levels)
    asked = {whole("level", level, 1, max(LEVELS)) for level in given}
    if not asked:
        raise ValueError("level must be some of 1, 2, 3, got none")
    return tuple(level for level in LEVELS if level in asked)


def _chosen(levels: tuple[int, ...], families: tuple[str, ...] | None, widths: tuple[str, ...]) -> Iterator[AnyCase]:
    for level in levels:
        if level == 1:
            yield from cases(families, widths)
        else:
            yield from designed(level, widths, families)


def digest(case: AnyCase) -> str:
    """SHA-256, in hexadecimal, of all texts of a case: of its description and of every integer in it."""
    found = hashlib.sha256()
    for name, text in files(case).items():
        found.update(f"{name} {len(text)}\n{text}".encode())
    return found.hexdigest()
