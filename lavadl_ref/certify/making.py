"""The making of a certificate: every comparison, the proof, the audit, and an example run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from numpy.typing import ArrayLike

from lavadl_ref import proof
from lavadl_ref._arguments import described
from lavadl_ref._cost import MEGABYTES
from lavadl_ref._text import printable
from lavadl_ref.audit import Audit, audit
from lavadl_ref.certify.contents import contents
from lavadl_ref.certify.example import example
from lavadl_ref.certify.limits import not_checked, without_folders
from lavadl_ref.certify.machine import machine
from lavadl_ref.certify.report import FORMAT, VERSION, Certificate
from lavadl_ref.certify.request import Request, command
from lavadl_ref.cli.doctor import versions
from lavadl_ref.deployed import deployment
from lavadl_ref.exchange import Input, Network
from lavadl_ref.proof import Domain
from lavadl_ref.verify import Comparison, Report, verify

Progress = Callable[[int, int, str], None]


def certify(
    net_config: str | os.PathLike[str] | Network,
    inputs: Mapping[str, ArrayLike] | None = None,
    steps: int | None = None,
    seeds: Sequence[int] = (0,),
    *,
    slayer: bool = True,
    lava: bool = True,
    in_process: bool = False,
    reset_interval: int | None = None,
    reset_offset: int = 0,
    domain: Domain | None = None,
    proof_steps: int | None = None,
    tries: int = proof.TRIES,
    megabytes: float = MEGABYTES,
    name: str | None = None,
    progress: Progress | None = None,
) -> Certificate:
    """Compare, prove and audit a network, and collect what was found and what was not checked.

    Each given input, and a random input for each seed, is compared as in `lavadl_ref.verify.verify`; the audit and the
    example run use the first of them.

    Parameters
    ----------
    net_config : path or exchange.Network
        The file, or its description.
    inputs : mapping of str to array_like of int, optional
        (\\*shape, T) each, as `reference.Network.run` takes them, by the name that the certificate calls them.
    steps : int, optional
        Steps of every comparison, at most those of the inputs. By default all steps of an input, and 64 of a random
        one.
    seeds : sequence of int
        Seeds of the random inputs, see `lavadl_ref.verify.random_input`.
    slayer, lava : bool
        The backends to compare with the reference.
    in_process : bool
        If True, run Lava's process models in this process, see `verify`.
    reset_interval, reset_offset : int, optional
        Resets of comparisons and proof, see `reference.Network`. The audit has no resets.
    domain : proof.Domain, optional
        The inputs that the proof covers; by default all values of a random input, see `default_domain`.
    proof_steps : int, optional
        Maximum steps of a run that the proof covers; no limit by default.
    tries : int
        Maximum number of inputs that the search for witnesses runs.
    megabytes : float
        Largest memory that a run may take, as estimated in advance.
    name : str, optional
        Name of the file in the certificate; by default its name without the folder.
    progress : callable, optional
        Called with the number of finished items, the total, and a text.

    Returns
    -------
    Certificate

    Raises
    ------
    exchange.ExchangeError, NotImplementedError, TypeError, ValueError
        As `verify`, `lavadl_ref.proof.prove` and `lavadl_ref.audit.audit`; and for more than 64 seeds or inputs, or
        neither.
    lavadl_ref.netx.runtime.LavaRunError
        If Lava fails or does not finish.

    Examples
    --------
    >>> import numpy as np
    >>> from lavadl_ref.exchange import Dense, Network, Neuron
    >>> neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    >>> network = Network((Dense(shape=(1,), weight=np.array([[32, -16]]), neuron=neuron),))
    >>> found = certify(network, lava=False)
    >>> found.exact, found.compared, found.verdict
    (True, 64, 'proved')
    """
    network, given = described(net_config), dict(inputs or {})
    request = Request(
        domain=default_domain(network) if domain is None else domain,
        inputs=tuple(given),
        steps=steps,
        seeds=tuple(seeds),
        slayer=slayer,
        lava=lava,
        in_process=in_process,
        reset_interval=reset_interval,
        reset_offset=reset_offset,
        proof_steps=proof_steps,
        tries=tries,
    )
    if name is None:
        name = "network" if isinstance(net_config, Network) else os.path.basename(os.fspath(net_config))
    return made(network, name, request, given, megabytes, progress)


def default_domain(network: Network) -> Domain:
    """All that `lavadl_ref.verify.random_input` may draw: spikes, currents 0 to 127, or messages from -1 to 1."""
    first = network.layers[0]
    if isinstance(first, Input) and first.neuron is not None:
        return Domain("graded", 0, 127)
    one = 1 << deployment.input_bits(network.layers)
    return Domain() if one == 1 else Domain("graded", -one, one)


def made(
    network: Network,
    name: str,
    request: Request,
    inputs: Mapping[str, ArrayLike],
    megabytes: float,
    progress: Progress | None = None,
) -> Certificate:
    """The certificate of a description for a request.

    Parameters
    ----------
    network : Network
        What the file says.
    name : str
        Of the file.
    request : Request
        What to run.
    inputs : mapping of str to array_like of int
        (\\*shape, T) each.
    megabytes : float
        Memory that a run may take.
    progress : callable, optional
        As in `certify`.
    """
    name = printable(name)
    chosen = list(request.chosen(network, inputs, megabytes))
    total, began = len(chosen) + 3, time.perf_counter()
    say = progress or (lambda done, all_, text: None)
    comparisons, seconds, shown = [], [], {}
    for index, entry in enumerate(chosen):
        say(index, total, f"comparing {entry.told}")
        report = verify(
            network,
            entry.x,
            slayer=request.slayer,
            lava=request.lava,
            in_process=request.in_process,
            reset_interval=request.reset_interval,
            reset_offset=request.reset_offset,
            megabytes=megabytes,
        )
        line = command("verify", name, request.verify_words(entry))
        comparisons.append({"input": entry.as_dict(), "command": line, **_compared(report)})
        seconds.append({path: round(took, 6) for path, took in report.seconds.items()})
        if index == 0:
            assert report.run is not None
            shown = example(report.run, entry.told)
    say(len(chosen), total, "auditing")
    audited = audit(network, chosen[0].x, megabytes=megabytes)
    say(len(chosen) + 1, total, "proving")
    proved = proof.prove(
        network, request.domain, request.proof_steps, request.reset_interval, request.reset_offset, request.tries
    )
    told = {
        "proof": {"command": command("prove", name, request.prove_words()), "told": str(proved), **proved.as_dict()},
        "audit": {
            "command": command("audit", name, chosen[0].words()),
            "input": chosen[0].told,
            **_audited(audited),
        },
    }
    content = {
        "format": FORMAT,
        "version": VERSION,
        "made": {
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - began, 3),
            "paths": seconds,
            "versions": versions(),
            "machine": machine(),
        },
        "settings": request.as_dict(),
        "file": contents(network, name, audited),
        "comparisons": comparisons,
        **_plain(told),
        "example": shown,
        "not_checked": list(not_checked(network, request, chosen, comparisons, audited, proved)),
    }
    return Certificate(content)


def _compared(report: Report) -> dict[str, Any]:
    """One input on all paths."""
    names = sorted({path for result in report.layers for path in result.paths}, reverse=True)
    found = {name: [result.paths[name] for result in report.layers if name in result.paths] for name in names}
    return {
        "paths": {
            name: {"compared": sum(one.compared for one in of), "exact": all(one.exact for one in of)}
            for name, of in found.items()
        },
        "layers": [
            {
                "position": result.position,
                "spikes": result.spikes,
                "paths": {name: _outcome(result.paths[name]) for name in names if name in result.paths},
            }
            for result in report.layers
        ],
        "skipped": {path: without_folders(reason) for path, reason in report.skipped.items()},
        "exceeded": [str(entry) for entry in report.exceeded],
    }


def _outcome(found: Comparison) -> dict[str, Any]:
    divergence = None if found.divergence is None else str(found.divergence)
    return {"compared": found.compared, "exact": found.exact, "divergence": divergence}


def _audited(found: Audit) -> dict[str, Any]:
    plain = asdict(found)
    del plain["random"]
    for layer in plain["layers"]:
        for entry in ("kind", "shape", "family", "options", "becomes"):  # which the file's own section has
            del layer[entry]
    return plain


def _plain(value: Any) -> Any:
    """Tuples as lists, as JSON has them."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value
