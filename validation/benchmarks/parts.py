"""All parts, in the order of the page."""

from __future__ import annotations

from validation.benchmarks import (
    against,
    backends,
    deployed,
    detection,
    limits,
    memory,
    networks,
    neurons,
    online,
    ottt,
    peers,
    port,
    rates,
    slopes,
    start,
    threads,
)
from validation.benchmarks.results import Part

PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        *(limits.PART, neurons.PART, networks.PART, rates.PART, online.PART, detection.PART, backends.PART),
        *(peers.PART, ottt.PART, memory.PART, threads.PART, slopes.PART, start.PART, deployed.PART, port.PART),
        against.PART,
    )
}
