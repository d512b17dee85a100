"""Golden vectors: every neuron family's integers as files, and the comparison with another implementation.

`write` puts each case of `cases` into a folder of its own: ``case.json`` describes it, and each quantity over time is
one ``.npy`` file of little-endian int64, (T, M) with the M lanes of a step side by side.  `check` runs a program that
reads such cases from its standard input and answers with what it computed.  ``docs/porting.md`` describes both.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lavadl_ref.exchange import atomic
from lavadl_ref.testing.vectors.cases import WIDTHS, Case, Rows, cases
from lavadl_ref.testing.vectors.checking import VERSION, Divergence, Report, check
from lavadl_ref.testing.vectors.definitions import DEFINITIONS

__all__ = ["DEFINITIONS", "VERSION", "WIDTHS", "Case", "Divergence", "Report", "cases", "check", "write"]


def write(
    folder: str | os.PathLike[str],
    families: str | Iterable[str] | None = None,
    widths: str | Iterable[str] | None = None,
) -> list[Path]:
    """Write the golden cases below `folder`, which is made if it is missing; files of the same name are replaced.

    All of them appear, or none: where they cannot all be written, what was there stays, see `exchange.atomic.folder`.

    Parameters
    ----------
    folder : str or path
        Gets ``index.json`` and ``<family>/<case>-<widths>/``.
    families, widths : str or iterable of str, optional
        As in `cases`.

    Returns
    -------
    list of Path
        The folder of each case.

    Raises
    ------
    ValueError
        If a family or width is unknown.
    OSError
        With the name of the folder, if a file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write(folder, "CUBA", "slayer")
    ...     len(written), sorted(path.name for path in written[0].iterdir())[:3]
    (7, ['case.json', 'compared.voltage_before_reset.npy', 'inputs.input.npy'])
    """
    chosen = list(cases(families, widths))
    labels = [case.label for case in chosen]
    with atomic.folder(folder) as root:
        for case in chosen:
            place = root / case.label
            place.mkdir(parents=True)
            _write_case(place, case)
        used = {label.partition("/")[0] for label in labels}
        units = {name: _units(name) for name in DEFINITIONS if name in used}
        _dump(root / "index.json", {"version": VERSION, "units": units, "cases": labels})
    return [Path(folder) / label for label in labels]


def _units(family: str) -> dict[str, Any]:
    """The number of units of each quantity that make 1."""
    definition = DEFINITIONS[family]
    return {
        "parameters": definition.parameters,
        "inputs": definition.inputs,
        "states": definition.states,
        "compared": definition.compared,
        "spike": definition.spike,
    }


def _write_case(place: Path, case: Case) -> None:
    def store(key: str, rows: Rows) -> dict[str, Any]:
        array = np.array(rows, "<i8")
        # NumPy's own writing to a file does not say why it fails
        buffer = io.BytesIO()
        np.save(buffer, array)
        (place / f"{key}.npy").write_bytes(buffer.getvalue())
        return {"file": f"{key}.npy", "dtype": "<i8", "shape": array.shape}

    def store_all(key: str, quantities: Mapping[str, Rows]) -> dict[str, Any]:
        return {name: store(f"{key}.{name}", rows) for name, rows in quantities.items()}

    description = {
        "version": VERSION,
        "case": case.label,
        "family": case.family,
        "widths": case.widths,
        "shows": case.shows,
        "steps": case.steps,
        "lanes": case.lanes,
        "chunks": case.chunks,
        "units": _units(case.family),
        "parameters": case.parameters,
        "state": case.state,
        "state_after": {name: rows[-1] for name, rows in case.states.items()},
        "arrays": {
            "inputs": store_all("inputs", case.inputs),
            "spike": store("spike", case.spike),
            "states": store_all("states", case.states),
            "compared": store_all("compared", case.compared),
        },
    }
    _dump(place / "case.json", description)


def _dump(path: Path, content: Mapping[str, Any]) -> None:
    """One line for each key: neither one long line nor one for each number."""
    lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")
