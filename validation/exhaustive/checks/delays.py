"""Axonal delays: every pair of delays on every length, and all of them side by side.

A kernel goes other ways for the least and the largest delay of its lanes, and for signals shorter than these; so two
lanes take every pair of delays.  The formula looks up each step of each lane by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from lavadl_kernels.ops import delay as kernels
from lavadl_kernels.runtime.array_types import Array

from validation.exhaustive.checks.part import Checked, Comparison, Part, compiled

MOST = 63  #: the largest delay of a file
LENGTHS = 2 * (MOST + 1) + 1  #: steps of a signal: none to twice as many as the largest delay takes
WIDE = kernels.CHUNK + MOST + 2  #: lanes that begin a second chunk
KINDS = (np.float32, np.int64)  #: of signals: those of training, and messages of a file

Shifted = Callable[[Array, Array], Array]


@compiled
def exact_delays(x: Array, delay: Array, out: Array) -> None:
    """Write x[t - delay[lane]] of (T, M) to `out` (T, M), 0 where there is no such step."""
    steps = len(x)
    for t in range(steps):
        for lane in range(delay.size):
            source = t - delay[lane]
            out[t, lane] = x[source, lane] if source >= 0 and source < steps else 0


def kept(x: Array, delay: Array) -> Array:
    """The result of `forward_kept` as backward sees it, which must be that of forward."""
    y, bytes_or_y, size = kernels.forward_kept(x, delay)
    seen: Array = bytes_or_y.astype(np.float32) * np.float32(size)
    return np.concatenate([y, seen])


def gradients(x: Array, delay: Array) -> tuple[Array, Array]:
    """The gradients of `backward` to the signal and to the delays, where `x` is the gradient and the signal."""
    return kernels.backward(x, x, delay)


FORWARD: dict[str, Shifted] = {"forward": kernels.forward}
KEPT: dict[str, Shifted] = {"forward_kept": kept}
BACKWARD: dict[str, Callable[[Array, Array], tuple[Array, Array]]] = {"backward": gradients}


@cache
def _pairs() -> list[Array]:
    """Every pair of delays."""
    return list(np.stack(np.meshgrid(np.arange(MOST + 1), np.arange(MOST + 1)), -1).reshape(-1, 2))


def check_delays(block: int) -> Checked:
    """Check all delays on signals of as many steps as the number of the block."""
    found = Comparison()
    pair = signal(block, 2)
    spikes = (pair % 3 == 1).astype(np.float32)
    for delay in _pairs():
        if not (
            _check(found, FORWARD, pair, delay)
            and _check_kept(found, pair, delay)
            and _check_kept(found, spikes, delay)
            and _check_backward(found, pair, delay)
        ):
            return found.checked
    mixed = np.arange(WIDE) * 37 % (MOST + 1)
    for kind in KINDS:
        wide = signal(block, WIDE).astype(kind)
        for delay in (mixed, np.sort(mixed), *(np.full(WIDE, one) for one in (0, 1, MOST))):
            if not _check(found, FORWARD, wide, delay):
                return found.checked
    _check_backward(found, signal(block, WIDE), mixed)
    _check_kept(found, signal(block, WIDE), mixed)
    return found.checked


def signal(steps: int, lanes: int) -> Array:
    """A signal (steps, lanes) float32 of integers from 1 on, those near each other different."""
    return (np.arange(steps * lanes).reshape(steps, lanes) % 251 + 1).astype(np.float32)


def _exact(x: Array, delay: Array) -> Array:
    wanted = np.empty_like(x)
    exact_delays(x, delay, wanted)
    return wanted


def _case(x: Array, delay: Array) -> Callable[[int], str]:
    steps, lanes = x.shape
    some = ", ".join(map(str, delay[:2]))

    def case(i: int) -> str:
        return f"step {i // lanes % max(steps, 1)} of lane {i % lanes} of {steps} steps, delays {some}..., {x.dtype},"

    return case


def _check(found: Comparison, paths: dict[str, Shifted], x: Array, delay: Array) -> bool:
    wanted = _exact(x, delay).reshape(-1)
    return all(found.equal(path, way(x, delay).reshape(-1), wanted, _case(x, delay)) for path, way in paths.items())


def _check_kept(found: Comparison, x: Array, delay: Array) -> bool:
    once = _exact(x, delay).reshape(-1)
    wanted = np.concatenate([once, once])
    return all(found.equal(path, way(x, delay).reshape(-1), wanted, _case(x, delay)) for path, way in KEPT.items())


def _check_backward(found: Comparison, x: Array, delay: Array) -> bool:
    to_x = _exact(x, -delay).reshape(-1)
    changes = np.diff(x, axis=0, prepend=np.zeros((1, x.shape[1]), x.dtype))
    to_delay = -(x.astype(np.float64) * changes).sum(0)
    for path, way in BACKWARD.items():
        got_x, got_delay = way(x, delay)
        if not (
            found.equal(f"{path}, to the signal", got_x.reshape(-1), to_x, _case(x, -delay))
            and found.equal(f"{path}, to the delay", got_delay, to_delay, lambda i: f"lane {i} of {len(x)} steps")
        ):
            return False
    return True


DELAY = Part(
    name="delays",
    title="Axonal delays",
    domain=f"every pair of delays from 0 to {MOST} on two lanes, and all of them mixed, in order and alike on {WIDE:,} "
    f"lanes, with signals of every length from 0 to {LENGTHS - 1} steps",
    paths="`ops.delay.forward` of float32 and int64, `forward_kept` of spikes and of other values, "
    "`backward` to the signal, which takes the delays from -63 to 0, and to the delays",
    formula="each step of each lane looked up by itself; the sum over steps of gradient times change",
    blocks=LENGTHS,
    check=check_delays,
)
