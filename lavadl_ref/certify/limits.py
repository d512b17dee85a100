"""The limits of a certificate: things that a reader might expect to be checked, but that were not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lavadl_ref import proof
from lavadl_ref._text import printable
from lavadl_ref.audit import Audit
from lavadl_ref.certify.request import Chosen, Request
from lavadl_ref.exchange import Flatten, Input, Network
from lavadl_ref.proof import Domain, Proof


def without_folders(text: str) -> str:
    """A text with absolute paths cut down to the last name of each: reasons may name places of this machine."""
    return re.sub(r"(?<![\w.~/:-])/(?:[^\s/'\"]+/)+", "", printable(text))


def not_checked(
    network: Network,
    request: Request,
    chosen: Sequence[Chosen],
    comparisons: Sequence[Mapping[str, Any]],
    audited: Audit,
    proved: Proof,
) -> Iterator[str]:
    """A sentence for each thing that was not checked.

    Parameters
    ----------
    network : Network
        What the file says.
    request : Request
        What was run.
    chosen : sequence of Chosen
        On which inputs.
    comparisons : sequence of mapping
        What came of it, as the certificate has it.
    audited, proved : Audit, Proof
        The rest.
    """
    yield "The chip itself: nothing here ran on Loihi hardware. The paths that were compared are programs."
    yield "Inputs other than those listed: the comparisons show that the paths agree on these inputs only."
    yield f"Inputs outside the proof's domain ({request.domain}): the proof says nothing about them."
    yield (
        "The parameters before quantisation: a file contains only integers. The units here are those of the integers "
        "after quantisation."
    )
    yield "The task: neither the data nor the accuracy of the network was checked."
    for name, wanted in (("slayer", request.slayer), ("lava", request.lava)):
        if not wanted:
            yield f"{name} = reference: it was left out on request."
    yield from dict.fromkeys(
        f"{path} = reference: {reason}" for entry in comparisons for path, reason in entry["skipped"].items()
    )
    if request.in_process:
        yield "Lava's runtime: its process models ran in one process, on channels that are queues."
    if any(isinstance(layer, Flatten) for layer in network.layers):
        yield "Flatten layers: they have no numbers of their own to compare."
    if request.reset_interval is not None:
        yield "Resets in the audit: its run, and the range that it measured, has none."
    if request.proof_steps is not None:
        yield f"Runs of more than {request.proof_steps:,} steps: the proof is for at most these."
    elif proved.verdict == proof.PROVED:
        yield "Longer runs on other paths: the proof covers any length, the comparisons only the steps listed."
    low, high = _ends(network, request.domain)
    beyond = [entry.told for entry in chosen if entry.x.min() < low or entry.x.max() > high]
    if beyond:
        yield (
            f"The proof for these inputs, which leave its domain ({request.domain}): {', '.join(beyond)}. Ranges that "
            "were measured may pass the ranges that were proved."
        )
    for name, reason in (("Work and measured ranges", audited.reference), ("Lava's processes", audited.lava)):
        if reason:
            yield f"{name}: {without_folders(reason)}"
    if proved.verdict == proof.OPEN:
        yield (
            "Widths of the numbers whose verdict is open: their bound lies beyond a width, but none of the "
            f"{proved.tried} inputs tried left it. Neither is shown."
        )


def _ends(network: Network, domain: Domain) -> tuple[int, int]:
    """The least and the largest integer of an input of a domain, as `reference.Network.run` takes it."""
    first = network.layers[0]
    if domain.kind == "binary" and isinstance(first, Input) and first.neuron is not None:
        offset, gain = int(first.bias), int(first.weight)
        return min(offset, offset + gain), max(offset, offset + gain)
    return (0, 0) if domain.kind == "bias" else (domain.low, domain.high)
