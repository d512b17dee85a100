"""The check of a certificate: all that it claims is run again on a file, and compared claim by claim."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from lavadl_ref import _files
from lavadl_ref._arguments import brief, described
from lavadl_ref._cost import MEGABYTES
from lavadl_ref._text import printable
from lavadl_ref.certify.differences import differences, entry, of_files
from lavadl_ref.certify.making import Progress, made
from lavadl_ref.certify.report import FORMAT, VERSION, Certificate
from lavadl_ref.certify.request import Request
from lavadl_ref.exchange import Network
from lavadl_ref.exchange.digest import digest

#: A claim gives the same again; it gives something else; it cannot be run here; or the caller left it out.
HOLDS, DIFFERS, NOT_REPEATED, LEFT_OUT = OUTCOMES = ("holds", "differs", "not repeated", "left out")
SHOWN = 12  #: differences of a claim that are told


@dataclass(frozen=True)
class Claim:
    """One claim of a certificate, and what became of it."""

    name: str
    outcome: str  #: one of `OUTCOMES`
    details: tuple[str, ...] = ()  #: what differs, or why it was not repeated

    def __str__(self) -> str:
        return "\n".join([f"{self.outcome}: {self.name}", *(f"  {line}" for line in self.details)])


@dataclass(frozen=True)
class Checked:
    """The outcome of `check`."""

    claims: tuple[Claim, ...]

    @property
    def holds(self) -> bool:
        """True if every claim that was not left out on request holds, and at least one does."""
        wanted = [claim for claim in self.claims if claim.outcome != LEFT_OUT]
        return bool(wanted) and all(claim.outcome == HOLDS for claim in wanted)

    def __str__(self) -> str:
        verdict = "the certificate holds" if self.holds else "the certificate does not hold"
        return "\n".join([*map(str, self.claims), verdict])


def check(
    report: Certificate | Mapping[str, Any] | str | os.PathLike[str],
    net_config: str | os.PathLike[str] | Network,
    inputs: Mapping[str, ArrayLike] | None = None,
    *,
    slayer: bool = True,
    lava: bool = True,
    megabytes: float = MEGABYTES,
    progress: Progress | None = None,
) -> Checked:
    """Repeat everything that a certificate claims, on the same inputs, and report which claims hold.

    Versions, the machine and times are not claims.

    Parameters
    ----------
    report : Certificate, mapping or path
        The certificate, its plain values, or its JSON file. It is not trusted.
    net_config : path or exchange.Network
        The file that the certificate describes, or its description.
    inputs : mapping of str to array_like of int, optional
        (\\*shape, T) each: those inputs of the certificate that were not random, under its names.
    slayer, lava : bool
        If True, repeat the comparisons with this path; claims that are left out do not affect the result.
    megabytes : float
        Largest memory that a run may take, as estimated in advance.
    progress : callable, optional
        Called with the number of finished items, the total, and a text.

    Returns
    -------
    Checked

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If `report` is no certificate, an input that it names is lacking or not in it, or a run would take more than
        `megabytes` on the file that the certificate is of.
    exchange.ExchangeError
        If `net_config` is not a legal network.

    Examples
    --------
    >>> from lavadl_ref.certify import certify
    >>> from lavadl_ref.exchange import Dense, Network, Neuron
    >>> import numpy as np
    >>> neuron = Neuron("CUBA", {"current_decay": 1024, "voltage_decay": 128, "threshold": 80})
    >>> layer = Dense(shape=(1,), weight=np.array([[32, -16]]), neuron=neuron)
    >>> found = certify(Network((layer,)), lava=False)
    >>> check(found, Network((layer,))).holds
    True
    >>> other = Network((Dense(shape=(1,), weight=np.array([[32, -14]]), neuron=neuron),))
    >>> check(found, other).claims[0].details[1]
    'layer 0, weight: [0, 1] is -14 now'
    """
    then, where = _content(report)
    network = described(net_config)
    name, then_digest, asked = _claimed(then, where)
    given = _given(asked, dict(inputs or {}))
    lava = lava and asked.lava
    request = replace(asked, slayer=asked.slayer and slayer, lava=lava, in_process=asked.in_process and lava)
    try:
        now = made(network, name, request, given, megabytes, progress).content
    except (NotImplementedError, TypeError, ValueError) as error:
        if then_digest == digest(network):
            raise
        reason = f"the runs of the certificate cannot be repeated: {printable(str(error))}"
        lines = (f"digest: was {printable(then_digest)}, is {digest(network)}", reason)
        return Checked((Claim("the file", DIFFERS, lines),))
    return Checked(tuple(claims(then, now, network, {"slayer": slayer, "lava": lava})))


def claims(
    then: Mapping[str, Any], now: Mapping[str, Any], network: Network, wanted: Mapping[str, bool]
) -> Iterator[Claim]:
    """All claims of a certificate, compared with what the same runs give now.

    Parameters
    ----------
    then : mapping
        Its plain values, each of which may be anything.
    now : mapping
        Those of a certificate that was just made with its settings.
    network : Network
        Which that one is of.
    wanted : mapping of str to bool
        For each path whether the caller asked for it.
    """
    yield _claim("the file", of_files(then.get("file"), now["file"], network))
    before = then.get("comparisons")
    entries = before if isinstance(before, list) else []
    if len(entries) != len(now["comparisons"]):
        line = f"comparisons: was {len(entries)}, is {len(now['comparisons'])}"
        yield Claim("as many comparisons as inputs and seeds", DIFFERS, (line,))
    for index, after in enumerate(now["comparisons"]):
        yield from _comparison(entries[index] if index < len(entries) else None, after, wanted)
    for section, name in (
        ("proof", f"the proof: {now['proof']['verdict']} for {now['proof']['domain']} input"),
        ("audit", f"the audit of {now['audit']['steps']:,} steps"),
        ("example", "the example run"),
    ):
        yield _claim(name, differences(then.get(section), now[section]))


def _content(report: Any) -> tuple[Mapping[str, Any], str]:
    """The plain values of a certificate, and what errors call it."""
    if isinstance(report, (str, os.PathLike)):
        return _checked(_files.document(report, "a certificate"), os.fspath(report))
    if isinstance(report, (Certificate, Mapping)):
        return _checked(report.content if isinstance(report, Certificate) else report, "report")
    raise TypeError(f"report must be a Certificate, a mapping or a path, got {brief(report)}")


def _checked(content: Any, where: str) -> tuple[Mapping[str, Any], str]:
    if entry(content, "format") != FORMAT:
        got = brief(entry(content, "format") if isinstance(content, Mapping) else content)
        raise ValueError(f"{where} must be a certificate, a JSON object with the format {FORMAT!r}, got {got}")
    version = content.get("version")
    if version != VERSION or not isinstance(version, int) or isinstance(version, bool):
        raise ValueError(f"{where} must be of version {VERSION}, got {brief(version)}")
    return content, where


def _claimed(then: Mapping[str, Any], where: str) -> tuple[str, str, Request]:
    """The name and the digest of the file, and what to run: all of a certificate that is used and not just compared."""
    found = [entry(then.get("file"), key) for key in ("name", "digest")]
    for key, value in zip(("name", "digest"), found, strict=True):
        if not isinstance(value, str) or len(value) > 255:
            raise ValueError(f"{where}: {key} of the file must be a text of at most 255 characters, got {brief(value)}")
    try:
        return str(found[0]), str(found[1]), Request.of_plain(then.get("settings"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {printable(str(error))}") from None


def _given(asked: Request, inputs: dict[str, ArrayLike]) -> dict[str, ArrayLike]:
    """The arrays of the certificate's inputs, if they are there and no others are."""
    for name in asked.inputs:
        if name not in inputs:
            got = brief(", ".join(map(str, inputs)))
            raise ValueError(f"inputs must hold {brief(name)}, which the certificate is of (--input), got {got}")
    for name in inputs:
        if name not in asked.inputs:
            wanted = brief(", ".join(asked.inputs))
            raise ValueError(f"inputs must be those of the certificate, {wanted}, got {brief(name)}")
    return inputs


def _claim(name: str, lines: Iterator[str]) -> Claim:
    """A claim that holds where no line tells of a difference."""
    found = list(itertools.islice(lines, SHOWN + 1))
    if len(found) > SHOWN:
        found[SHOWN] = f"and {sum(1 for _ in lines) + 1} more"
    return Claim(name, DIFFERS if found else HOLDS, tuple(found))


def _comparison(before: Any, after: Mapping[str, Any], wanted: Mapping[str, bool]) -> Iterator[Claim]:
    """The input and the reference run of a comparison, then the outcome on each path that the certificate has."""
    told = f"{after['input']['told']}, {after['input']['steps']:,} steps"
    lines = differences(before, after, left_out=("command", "paths", "skipped"))
    yield _claim(f"the reference run on {told}", lines)
    claimed, skipped = entry(before, "paths"), entry(before, "skipped")
    for path, other in (("slayer", "lava"), ("lava", "slayer")):
        outcome = entry(claimed, path)
        if outcome is None and (entry(skipped, path) or path not in after["paths"]):  # nothing is claimed of it
            continue
        equal = entry(outcome, "exact") is True
        name = f"{path} {'=' if equal else 'differs from the'} reference on {told}"
        if not wanted[path]:
            yield Claim(name, LEFT_OUT, ("on request",))
        elif path not in after["paths"]:
            yield Claim(name, NOT_REPEATED, (after["skipped"].get(path, "its settings leave it out"),))
        else:
            others = ("command", "input", "exceeded", "skipped", "spikes", other)
            yield _claim(name, differences(before, after, left_out=others))
