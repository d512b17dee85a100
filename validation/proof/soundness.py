"""Random networks of all families under inputs of extremes: whether a number leaves its range, and how far it comes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from lavadl_kernels.neurons._reach import UNBOUNDED

from lavadl_ref._reach import OutOfReach
from lavadl_ref.deployed.bounds import Domain
from tests.support import generate
from tests.support.proving import adversarial, outside, reached, reaches

STEPS = 48
INPUTS = 4  #: of each network, beside the one that it was drawn with
DEEPEST = 3  #: layers with neurons before a layer, from which on they count as one


@dataclass
class Found:
    """The outcome of some networks."""

    networks: int = 0
    numbers: int = 0  #: ranges that were compared, over all inputs
    endless: int = 0  #: of these, without an end
    left: list[str] = field(default_factory=list)  #: numbers outside of their range
    #: by family and depth, the share of the bound that the furthest input reached, of every quantity
    shares: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))

    def update(self, other: Found) -> None:
        """Add what `other` found."""
        self.networks += other.networks
        self.numbers += other.numbers
        self.endless += other.endless
        self.left += other.left
        for key, values in other.shares.items():
            self.shares[key] += values

    def tightness(self) -> dict[tuple[str, int], tuple[float, int]]:
        """By family and depth the median share, and of how many quantities."""
        return {key: (median(values), len(values)) for key, values in sorted(self.shares.items())}


def attack(seed: int, found: Found) -> None:
    """Run network number `seed` with inputs of extremes, and enter into `found` what they reach."""
    drawn = generate.case(seed, families=generate.ALL_FAMILIES, wild=seed % 2 == 1, steps=STEPS)
    rng = np.random.default_rng(seed)
    shape, layers = drawn.inputs.shape[:-1], drawn.network.layers
    domain = Domain("graded", min(int(drawn.inputs.min()), 0), max(int(drawn.inputs.max()), 0))
    interval = drawn.options.get("reset_interval")
    proved = {steps: reaches(drawn.network, shape, domain, steps, interval) for steps in (STEPS, None)}
    furthest: dict[tuple[int, str], int] = {}
    inputs = [drawn.inputs, *(adversarial(rng, shape, STEPS, domain.low, domain.high) for _ in range(INPUTS))]
    for x in inputs:
        try:
            met = reached(drawn.network, x, **drawn.options)
        except OutOfReach:  # feedback that runs away without widths
            continue
        for ranges in proved.values():
            found.left += [f"network {seed} ({drawn.label}): {line}" for line in outside(ranges, met)]
            found.numbers += len(met)
        for key, (low, high) in met.items():
            furthest[key] = max(furthest.get(key, 0), -low, high)
    depth = 0
    for position, layer in enumerate(layers):
        for name, quantity in proved[STEPS][position].quantities.items():
            bound = max(-quantity.smallest, quantity.largest)
            if bound >= UNBOUNDED:
                found.endless += 1
            elif bound and (position, name) in furthest and layer.neuron is not None:
                found.shares[layer.neuron.type, min(depth, DEEPEST)].append(furthest[position, name] / bound)
        depth += layer.neuron is not None
    found.networks += 1


def attacked(seeds: range) -> Found:
    """The outcome of these networks."""
    found = Found()
    for seed in seeds:
        attack(seed, found)
    return found
