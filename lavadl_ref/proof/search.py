"""Inputs that bring a network's numbers as far as they go: a search for witnesses of an excess.

A search proves nothing; what it finds is replayed on the reference run with the device's widths.  It starts with
inputs that reach the bounds of a first layer: constant frames, or for resonators the pattern of their impulse response.
For later layers it pulls a neuron's weights back through the layers below, and then alters what came furthest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from lavadl_kernels.fixed_point import DECAY_ONE
from numpy.typing import NDArray

from lavadl_ref._cost import MEGABYTES
from lavadl_ref._reach import OutOfReach
from lavadl_ref.audit import measure
from lavadl_ref.deployed import deployment, reference
from lavadl_ref.deployed.bounds import LayerReach, Setting, ends_of
from lavadl_ref.exchange import Input
from lavadl_ref.proof.pull_back import pull_back
from lavadl_ref.proof.report import Witness

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Key = tuple[int, str]  #: position of a layer, and one of its quantities

LONGEST = 4096  #: steps of an input that is searched with, unless the domain has fewer
ELEMENTS = 1 << 23  #: neurons times steps of a run of the search
SUM, MESSAGE = 4, 1  #: bytes that a neuron takes for each step of a run that records nothing
SHARES = (1.0, 0.5, 0.2, 0.05)  #: of neurons that send the largest message at a step, in random inputs


@dataclass
class Search:
    """The search for inputs of a domain that exceed a width.

    Parameters
    ----------
    deployed : reference.Network
        The network, with the device's widths.
    shape : tuple of int
        Of its input, without time.
    setting : Setting
        Domain and length.
    reaches : list of LayerReach
        The proved ranges.
    tries : int
        Most inputs to run.
    """

    deployed: reference.Network
    shape: tuple[int, ...]
    setting: Setting
    reaches: list[LayerReach]
    tries: int
    met: dict[Key, tuple[int, int]] = field(default_factory=dict)  #: the furthest numbers of each quantity
    witnesses: dict[Key, Witness] = field(default_factory=dict)
    tried: int = 0

    def __post_init__(self) -> None:
        self.free = reference.Network(
            self.deployed.description,
            reset_interval=self.deployed.reset_interval,
            reset_offset=self.deployed.reset_offset,
            profile="slayer",
        )
        self.best: dict[tuple[int, str, int], tuple[int, Integers, int]] = {}
        self.rng = np.random.default_rng(0)
        self.wanted = {
            (position, name)
            for position, reach in enumerate(self.reaches)
            for name, quantity in reach.quantities.items()
            if not quantity.fits
        }

    @property
    def constant(self) -> bool:
        """True if an input is one picture that stays."""
        return self.setting.domain.kind == "bias"

    @property
    def ends(self) -> tuple[int, int]:
        """The least and the largest integer that enters."""
        return ends_of(self.setting.domain, self.deployed.layers[0])

    @property
    def longest(self) -> int:
        """The steps of the longest input that is tried."""
        return max(1, min(self.setting.steps or LONGEST, LONGEST, ELEMENTS // self._neurons))

    @property
    def _most_steps(self) -> int:
        """The steps of the longest run that only repeats an input: what its largest layer leaves room for."""
        sizes = [math.prod(self.shape), *(layer.size for layer in self.deployed.layers)]
        largest = max(before * MESSAGE + size * (SUM + MESSAGE) for before, size in pairwise(sizes))
        room = int(MEGABYTES * 1e6) // largest
        return room if self.setting.steps is None else min(room, self.setting.steps)

    @property
    def _neurons(self) -> int:
        return math.prod(self.shape) + sum(layer.size for layer in self.deployed.layers)

    def run(self, progress: Callable[[int, int, str], None] | None = None) -> None:
        """Search until every excess that was looked for has a witness, or `tries` inputs were run."""
        for position, name, frames in self._directed():
            if self._done(progress):
                return
            if (position, name) in self.wanted:
                self._try(frames)
        while self.wanted and not self._done(progress):
            self._try(self._altered())

    def _done(self, progress: Callable[[int, int, str], None] | None) -> bool:
        if progress is not None:
            progress(self.tried, self.tries, "looking for a witness")
        return not self.wanted or self.tried >= self.tries

    def _try(self, x: Integers) -> None:
        """Run an input without widths; note how far it goes, and replay it with widths where it leaves one."""
        self.tried += 1
        given: dict[str, Any] = {"spikes": x}
        if self.constant:
            given = {"bias": x[..., 0], "steps": x.shape[-1]}
        try:
            run = self.free.run(**given, record=reference.RECORDABLE)
        except OutOfReach:
            return
        shown = np.zeros_like(x) if self.constant else x
        resets = self.free.resets(x.shape[-1])
        outside = set()
        for position, (rooms, _) in enumerate(measure.layers(self.free.description, shown, run, resets)):
            for room in rooms:
                key = position, room.quantity
                known = self.met.get(key, (0, 0))
                self.met[key] = min(known[0], room.smallest), max(known[1], room.largest)
                for side, value in enumerate((-room.smallest, room.largest)):
                    if value > self.best.get((*key, side), (0, x, 0))[0]:
                        self.best[(*key, side)] = value, x, side
                if not room.low <= room.smallest <= room.largest <= room.high:
                    outside.add(key)
        for key in sorted(self.wanted - outside):
            self._stretch(key, x)
        found = {key for key in outside if key in self.wanted}
        beyond = {entry.layer for entry in run.exceeded}
        # numbers between states are not measured: where a layer exceeds a width and no measured number does, it is they
        measured = {position for position, _ in outside}
        hidden = {key for key in self.wanted if key[0] in beyond - measured and key not in self.met}
        if found or hidden:
            self._replay(x, given, found | hidden)

    def _stretch(self, key: Key, x: Integers) -> None:
        """Repeat an input until a number that grows in proportion to the steps leaves its width, if it came closest."""
        quantity = self.reaches[key[0]].quantities[key[1]]
        steps = x.shape[-1]
        for side, limit in enumerate((-quantity.low, quantity.high)):
            value, best, _ = self.best.get((*key, side), (0, x, 0))
            if best is not x or value <= 0 or key not in self.wanted:
                continue
            times = limit // value + 2  # what it begins with may not grow
            if 1 < times <= self._most_steps // steps:
                longer = np.tile(x, times)
                given: dict[str, Any] = {"spikes": longer}
                if self.constant:
                    given = {"bias": x[..., 0], "steps": longer.shape[-1]}
                self._replay(longer, given, {key})

    def _replay(self, x: Integers, given: dict[str, Any], keys: set[Key]) -> None:
        """Note a witness for each quantity whose layer exceeds a width on the device too."""
        excess = {entry.layer: entry for entry in self.deployed.run(**given, record=(), layers=()).exceeded}
        for key in keys:
            entry = excess.get(key[0])
            if entry is not None:
                held = x[..., 0] if self.constant else x
                self.witnesses[key] = Witness(held, x.shape[-1], entry.neuron, entry.step)
                self.wanted.discard(key)

    def _directed(self) -> Iterator[tuple[int, str, Integers]]:
        """Inputs that drive a neuron of an unproved quantity as far as its weights, and those below, tell."""
        low, high = self.ends
        steps = self.longest
        for position, name in sorted(self.wanted):
            if (position, name) not in self.wanted:
                continue
            quantity = self.reaches[position].quantities[name]
            lanes = {int(quantity.range.high.argmax()), int(quantity.range.low.argmin())}
            for lane in sorted(lanes):
                parts = [self._pulled_back(position, lane, part) for part in range(self._parts(position))]
                for pattern in self._patterns(position, lane, parts, steps):
                    yield position, name, np.where(pattern > 0, high, low)
        for share in SHARES:
            for end in {low, high} - {0}:
                yield *min(self.wanted, default=(0, "")), self._random(share, end)

    def _parts(self, position: int) -> int:
        return deployment.parts_of(self.deployed.layers[position])

    def _pulled_back(self, position: int, lane: int, part: int) -> Floats:
        """The share of each input of the network in a neuron's weighted sum, as far as signs tell."""
        layers = self.deployed.layers
        layer = layers[position]
        wanted = np.zeros(layer.size)
        wanted[lane % layer.size] = 1
        wanted = wanted.reshape(layer.shape)
        if part and (isinstance(layer, Input) or getattr(layer, "weight_imag", None) is None):
            wanted = np.zeros_like(wanted)
            part = 0
        for at in range(position, -1, -1):
            below = layers[at - 1].shape if at else self.shape
            wanted = pull_back(layers[at], wanted, below, part)
            part = 0
        return wanted

    def _patterns(self, position: int, lane: int, parts: list[Floats], steps: int) -> Iterator[Floats]:
        """Signs of inputs (\\*shape, T): constant, and turning as a resonator does."""
        still = np.ones(steps)
        for sign in (1, -1):
            yield sign * parts[0][..., None] * still
        if len(parts) < 2:
            return
        neuron = self.deployed.layers[position].neuron
        assert neuron is not None
        record = deployment.record_of(self.deployed.layers[position])
        assert record is not None
        channels = [np.asarray(neuron[name]).reshape(-1) for name in record.decays[:2]]
        each = self.deployed.layers[position].size // channels[0].size
        sin, cos = (row[min(lane // each, row.size - 1)] / DECAY_ONE for row in channels)
        power = complex(cos, sin) ** np.arange(steps - 1, -1, -1)
        re, im = power.real, power.imag
        for sign in (1, -1):
            yield sign * (parts[0][..., None] * re - parts[1][..., None] * im)
            yield sign * (parts[0][..., None] * im + parts[1][..., None] * re)

    def _random(self, share: float, end: int) -> Integers:
        """An input whose neurons send `end` with this share."""
        steps = 1 if self.constant else min(self.longest, 256)
        low, high = self.ends
        frames = np.where(self.rng.random((*self.shape, steps)) < share, end, min(max(0, low), high))
        return np.repeat(frames, min(self.longest, 256), axis=-1) if self.constant else frames

    def _altered(self) -> Integers:
        """The input that came furthest for some unproved quantity, with a part of it drawn anew."""
        key = sorted(self.wanted)[self.rng.integers(len(self.wanted))]
        sides = [side for side in (0, 1) if (*key, side) in self.best]
        low, high = self.ends
        if not sides:
            return self._random(float(self.rng.choice(SHARES)), int(self.rng.choice([low, high])))
        x = self.best[(*key, int(self.rng.choice(sides)))][1].copy()
        drawn = self.rng.random(self.shape) < self.rng.choice([0.3, 0.1, 0.02])
        value = self.rng.choice([low, min(max(0, low), high), high]) if self.rng.random() < 0.5 else None
        begin, end = sorted(self.rng.integers(0, x.shape[-1] + 1, 2)) if self.rng.random() < 0.5 else (0, x.shape[-1])
        if self.constant:
            begin, end = 0, x.shape[-1]
        new = self.rng.choice([low, high], (*self.shape, 1)) if value is None else np.full((1,), value)
        x[..., begin:end] = np.where(drawn[..., None], new, x[..., begin:end])
        return x
