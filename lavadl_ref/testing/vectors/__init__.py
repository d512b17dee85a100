"""Golden vectors: integers of neurons, layers and networks as files, and the comparison with another implementation.

`write` puts each case of `suite` into its own folder: ``case.json`` describes it, and each quantity over time is one
``.npy`` file of little-endian int64, (T, M) with the M lanes of a step side by side. The folder also has the same data
as plain text and for ``$readmemh``. `check` runs a program that reads such cases from its standard input and answers
with its results. ``docs/porting.md`` and ``docs/rtl.md`` describe both.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lavadl_ref import exchange
from lavadl_ref._arguments import described
from lavadl_ref.deployed import reference
from lavadl_ref.exchange import atomic
from lavadl_ref.testing._names import known
from lavadl_ref.testing.vectors.cases import WIDTHS, Case, Rows, cases
from lavadl_ref.testing.vectors.checking import VERSION, Divergence, Report, check
from lavadl_ref.testing.vectors.definitions import DEFINITIONS
from lavadl_ref.testing.vectors.networks import NetworkCase
from lavadl_ref.testing.vectors.suite import LEVELS, AnyCase, digest, suite
from lavadl_ref.testing.vectors.text import SUITE, files

__all__ = [
    "DEFINITIONS",
    "LEVELS",
    "SUITE",
    "VERSION",
    "WIDTHS",
    "Case",
    "Divergence",
    "NetworkCase",
    "Report",
    "cases",
    "check",
    "digest",
    "suite",
    "write",
    "write_network",
]


def write(
    folder: str | os.PathLike[str],
    families: str | Iterable[str] | None = None,
    widths: str | Iterable[str] | None = None,
    *,
    levels: int | Iterable[int] = 1,
    version: int = SUITE,
) -> list[Path]:
    """Write the golden cases below `folder`, which is made if it is missing; files of the same name are replaced.

    Either all files appear or none: if not all can be written, the previous content stays, see
    `exchange.atomic.folder`.

    Parameters
    ----------
    folder : str or path
        The folder for ``index.json``, ``SHA256SUMS`` and ``<family>/<case>-<widths>/``; layers and networks have their
        own folders instead of a family's.
    families, widths : str or iterable of str, optional
        As in `suite`.
    levels : int or iterable of int
        1 neurons, 2 layers, 3 networks.
    version : int
        Of the suite: there is 1.

    Returns
    -------
    list of Path
        The folder of each case.

    Raises
    ------
    ValueError
        If a family, width, level or version is unknown.
    OSError
        With the name of the folder, if a file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write(folder, "CUBA", "slayer")
    ...     len(written), sorted(path.name for path in written[0].iterdir())[:3]
    (10, ['case.json', 'case.svh', 'compared.voltage_before_reset.npy'])
    """
    chosen = list(suite(levels, families, widths, version))
    labels = [case.label for case in chosen]
    with atomic.folder(folder) as root:
        for case in chosen:
            place = root / case.label
            place.mkdir(parents=True)
            _write_all(place, case)
        used = {label.partition("/")[0] for label in labels}
        units = {name: _units(name) for name in DEFINITIONS if name in used}
        _dump(root / "index.json", {"version": VERSION, "suite": SUITE, "units": units, "cases": labels})
        (root / "SHA256SUMS").write_bytes("".join(_sum(file, root) for file in sorted(root.rglob("*.*"))).encode())
    return [Path(folder) / label for label in labels]


def write_network(
    folder: str | os.PathLike[str],
    net_config: str | os.PathLike[str] | exchange.Network,
    inputs: ArrayLike,
    widths: str = "loihi",
    **options: Any,
) -> Path:
    """Write a case for your own network, in the form of the cases of level 3.

    Parameters
    ----------
    folder : str or path
        The folder for the files of the case, created if it is missing.
    net_config : path or exchange.Network
        The file, or its description.
    inputs : array_like of int
        (\\*shape, T), as `lavadl_ref.reference.Network.run` takes them.
    widths : {'loihi', 'slayer'}
        Whether sums and states have the device's widths.
    **options
        ``reset_interval``, ``reset_offset``, ``time_base`` and ``spike_exp`` of `lavadl_ref.reference.Network`.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    exchange.ExchangeError
        If the file is not a legal network.
    TypeError, ValueError
        If an option or the input does not fit the network.
    OSError
        With the name of the folder, if a file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> neuron = exchange.Neuron("CUBA", {"current_decay": 4096, "voltage_decay": 4096, "threshold": 80})
    >>> network = exchange.Network((exchange.Dense(shape=(1,), neuron=neuron, weight=np.array([[64, 64]])),))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     case = write_network(folder, network, [[1, 1, 0], [0, 1, 0]])
    ...     (case / "expected.txt").read_text()
    '0\\n0\\n1\\n'
    """
    width = known(widths, WIDTHS, "widths")[0]
    network = described(net_config)
    runner = reference.Network(network, profile=width, **options)
    checked, _ = runner.checked_input(inputs, batch=False)
    name = "network" if isinstance(net_config, exchange.Network) else Path(net_config).stem
    steps = checked.shape[-1]
    if network.input_shape is None:
        network = replace(network, stated_input_shape=checked.shape[:-1])
    frames = np.ascontiguousarray(checked.reshape(-1, steps).T.astype(np.int64))
    case = NetworkCase(3, re.sub(r"\W", "_", name), width, "a network of one's own", network, frames, (steps,), options)
    with atomic.folder(folder) as root:
        _write_all(root, case)
    return Path(folder)


def _write_all(place: Path, case: AnyCase) -> None:
    if isinstance(case, Case):
        _write_case(place, case)
    else:
        _write_network(place, case)
    for name, text in files(case).items():
        (place / name).write_bytes(text.encode("ascii"))


def _sum(file: Path, root: Path) -> str:
    """The line of a file that ``sha256sum --check`` reads."""
    return f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(root).as_posix()}\n"


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


def _stored(place: Path, key: str, rows: Rows) -> dict[str, Any]:
    array = np.array(rows, "<i8")
    # NumPy's own writing to a file does not say why it fails
    buffer = io.BytesIO()
    np.save(buffer, array)
    (place / f"{key}.npy").write_bytes(buffer.getvalue())
    return {"file": f"{key}.npy", "dtype": "<i8", "shape": array.shape}


def _stored_all(place: Path, key: str, quantities: Mapping[str, Rows]) -> dict[str, Any]:
    return {name: _stored(place, f"{key}.{name}", rows) for name, rows in quantities.items()}


def _write_network(place: Path, case: NetworkCase) -> None:
    exchange.write(place / "network.net", case.network)
    layers: list[dict[str, Any]] = []
    for name, values in case.records:
        if name == "layer":
            layers.append({})
        layers[-1][name] = values
    description = {
        "version": VERSION,
        "suite": SUITE,
        "level": case.level,
        "case": case.label,
        "widths": case.widths,
        "shows": case.shows,
        "steps": case.steps,
        "chunks": case.chunks,
        "options": dict(case.options),
        "input_shape": case.network.input_shape,
        "layers": layers,
        "arrays": {
            "stimulus": _stored(place, "stimulus", case.inputs.tolist()),
            "answer": _stored_all(place, "answer", case.answer),
            "traces": _stored_all(place, "traces", case.traces),
        },
    }
    _dump(place / "case.json", description)


def _write_case(place: Path, case: Case) -> None:
    description = {
        "version": VERSION,
        "suite": SUITE,
        "level": 1,
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
            "inputs": _stored_all(place, "inputs", case.inputs),
            "spike": _stored(place, "spike", case.spike),
            "states": _stored_all(place, "states", case.states),
            "compared": _stored_all(place, "compared", case.compared),
        },
    }
    _dump(place / "case.json", description)


def _dump(path: Path, content: Mapping[str, Any]) -> None:
    """One line for each key: neither one long line nor one for each number."""
    lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")
