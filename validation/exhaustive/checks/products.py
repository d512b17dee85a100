"""Products of states and decays: leaks, and the rotation of resonators.

The formula here is that of magnitudes: the product of two unsigned integers is shifted to the right, and the sign
comes back afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from lavadl_kernels import fixed_point as fp
from lavadl_kernels.engine import train
from lavadl_kernels.neurons import _resonator, cuba
from lavadl_kernels.runtime.array_types import Array
from lavadl_kernels.runtime.rounding import stay_apart

from validation.exhaustive.checks.part import UNWRITTEN, Checked, Comparison, Part, compiled

BOUND = fp.FLOAT32_BOUND  #: magnitude that float32 states do not pass
TILE = 1 << 16  #: states at a time: what is computed of them stays in a cache

Way = Callable[[Array, Any, Array], Any]  #: ``way(states, decay, out)``


@compiled
def _leak_lanes(state: Array, decay: Any, out: Array) -> None:
    stay_apart()
    for i in range(out.size):
        out[i] = fp.leak(state[i], decay)


@compiled
def leak_in_steps(state: Array, decay: Any, out: Array) -> None:
    """Leak states (S,) of any type as the steps of a neuron do."""
    mode = fp.steps_begin(state)
    _leak_lanes(state, decay, out)
    fp.steps_end(state, mode)


@compiled
def leak_in_two_parts(state: Array, decay: Any, out: Array) -> None:
    """Leak float32 states (S,) as on processors whose rounding cannot be set."""
    for i in range(out.size):
        out[i] = fp._scale_to_zero_in_float32(state[i], np.float32(4096) - decay)


@compiled
def _scale_lanes(state: Array, fraction: Any, out: Array) -> None:
    stay_apart()
    for i in range(out.size):
        out[i] = fp.scale_to_zero(state[i], fraction)


@compiled
def scale_in_steps(state: Array, fraction: Any, out: Array) -> None:
    """Scale states (S,) of any type as the steps of a neuron do."""
    mode = fp.steps_begin(state)
    _scale_lanes(state, fraction, out)
    fp.steps_end(state, mode)


@compiled
def scale_in_two_parts(state: Array, fraction: Any, out: Array) -> None:
    """Scale float32 states (S,) as on processors whose rounding cannot be set."""
    for i in range(out.size):
        out[i] = fp._scale_to_zero_in_float32(state[i], fraction)


def in_python(function: Callable[[Any, Any], Any]) -> Way:
    """The way of a function of plain numbers that nothing compiles."""

    def way(state: Array, decay: Any, out: Array) -> None:
        out[:] = [function(one, decay) for one in (state.tolist() if state.dtype == np.int64 else state)]

    return way


def leak_in_training(state: Array, decay: Any, out: Array) -> None:
    """Leak states (S,) int64 by a step of CUBA neurons in training, in float32 but for those of `BOUND`."""
    inside = abs(state) < BOUND
    for lanes in (inside, ~inside):
        if lanes.any():
            current = state[lanes]
            neuron = cuba.Cuba(np.array([decay, 4096, 0]), threshold=BOUND - 1)
            start = np.stack([current, np.zeros_like(current)])
            out[lanes] = train.forward(neuron, (np.zeros((1, current.size), np.float32),), start).state[0]


@compiled
def _exact(state: Any, fraction: Any) -> Any:
    """The product of two int32, cut to an integer by magnitudes."""
    whole = np.uint64(np.uint32(abs(state))) * np.uint64(np.uint32(abs(fraction)))
    cut = np.int32(np.uint32(whole >> np.uint64(12)))
    sign = np.int32((state ^ fraction) >> np.int32(31))  # 0, or -1 where the signs differ
    return np.int32((cut ^ sign) - sign)


@compiled
def exact_products(state: Array, fraction: Any, out: Array) -> None:
    """Write the products of states (S,) int32 and a fraction, divided by 4096 and cut, to `out` (S,) int32."""
    for i in range(out.size):
        out[i] = _exact(state[i], fraction)


#: The types of states; the paths of leaks and of products in general, with the type of states that each takes.
LEAKS: dict[str, tuple[type, Way]] = {
    "float32 as steps take it": (np.float32, leak_in_steps),
    "float32 in two parts": (np.float32, leak_in_two_parts),
    "float64": (np.float64, leak_in_steps),
    "int64": (np.int64, leak_in_steps),
}
PYTHON_LEAKS: dict[str, tuple[type, Way]] = {
    "Python, float32": (np.float32, in_python(fp.leak)),
    "Python, int": (np.int64, in_python(lambda state, decay: fp.leak(state, int(decay)))),
}
TRAINED_LEAKS: dict[str, tuple[type, Way]] = {"a step of CUBA": (np.int64, leak_in_training)}
SCALES: dict[str, tuple[type, Way]] = {
    "float32 as steps take it": (np.float32, scale_in_steps),
    "float32 in two parts": (np.float32, scale_in_two_parts),
}
SOME = 64  #: every so many decays, others for each tile, take the paths that are slower


class _Tile:
    """States of a block in the types of the paths."""

    def __init__(self, first: int, last: int) -> None:
        self.exact = np.arange(first, last, dtype=np.int32)
        self.of = {kind: self.exact.astype(kind) for kind in (np.float32, np.float64, np.int64)}
        self.out = {kind: np.empty_like(states) for kind, states in self.of.items()}
        self.wanted = np.empty_like(self.exact)

    def compare(
        self, found: Comparison, paths: dict[str, tuple[type, Way]], decay: int, fraction: int, what: str
    ) -> bool:
        """Run the paths with a decay, and compare with the exact products by `fraction`."""
        exact_products(self.exact, np.int32(fraction), self.wanted)
        return all(
            self._equal(found, path, *paths[path], decay, lambda i: f"state {self.exact[i]}, {what} {decay}")
            for path in paths
        )

    def _equal(self, found: Comparison, path: str, kind: Any, way: Way, decay: int, case: Callable[[int], str]) -> bool:
        self.out[kind].fill(UNWRITTEN)
        way(self.of[kind], kind(decay), self.out[kind])
        return found.equal(path, self.out[kind], self.wanted, case)


def _edges_of(first: int, last: int) -> Array:
    """Some states from `first` to `last`: the ends, and about a multiple of 4096."""
    middle = (first + last) // 2 // 4096 * 4096
    return np.array([first, middle - 1, middle, middle + 1, last - 1])


def _tiles(most: int) -> list[int]:
    """The first states of the tiles of -most to most, and the one behind the last."""
    return [*range(-most, most + 1, TILE), most + 1]


_LEAK_TILES, _PRODUCT_TILES = _tiles(BOUND), _tiles((1 << 24) - 1)


def check_leaks(block: int) -> Checked:
    """Check a tile of states with every decay."""
    first, last = _LEAK_TILES[block : block + 2]
    tile, found = _Tile(first, last), Comparison()
    some = _Tile(0, 5)
    edges = _edges_of(first, last)
    for states in (some.exact, *some.of.values()):
        states[:] = edges
    for decay in range(4097):
        if not tile.compare(found, LEAKS, decay, 4096 - decay, "decay"):
            break
        if decay % SOME == block % SOME and not (
            tile.compare(found, TRAINED_LEAKS, decay, 4096 - decay, "decay")
            and some.compare(found, PYTHON_LEAKS, decay, 4096 - decay, "decay")
        ):
            break
    return found.checked


def check_products(block: int) -> Checked:
    """Check a tile of states with every sine or cosine."""
    tile, found = _Tile(*_PRODUCT_TILES[block : block + 2]), Comparison()
    for fraction in range(-4096, 4097):
        if not tile.compare(found, SCALES, fraction, fraction, "sine or cosine"):
            break
    return found.checked


# -- the rotation ---------------------------------------------------------------------------------

Rotation = Callable[..., Any]  #: ``rotation(re, im, a_re, a_im, sin, cos, loihi, out_re, out_im)``


@compiled
def _rotate_lanes(
    re: Array, im: Array, a_re: Array, a_im: Array, sin: Any, cos: Array, loihi: bool, out_re: Array, out_im: Array
) -> None:
    stay_apart()
    for i in range(re.size):
        out_re[i], out_im[i] = _resonator.rotate(re[i], im[i], a_re[i], a_im[i], sin, cos[i], loihi)


@compiled
def rotate_in_steps(
    re: Array, im: Array, a_re: Array, a_im: Array, sin: Any, cos: Array, loihi: bool, out_re: Array, out_im: Array
) -> None:
    """Rotate states (S,) of any type as the steps of a resonator do."""
    mode = fp.steps_begin(re)
    _rotate_lanes(re, im, a_re, a_im, sin, cos, loihi, out_re, out_im)
    fp.steps_end(re, mode)


@compiled
def exact_rotations(
    re: Array, im: Array, a_re: Array, a_im: Array, sin: Any, cos: Array, limit: Any, out_re: Array, out_im: Array
) -> None:
    """Write the states (S,) int32 after a step to `out_re` and `out_im` (S,) int64; `limit` is the largest."""
    for i in range(re.size):
        new_re = np.int64(_exact(re[i], cos[i])) - _exact(im[i], sin) + a_re[i]
        new_im = np.int64(_exact(re[i], sin)) + _exact(im[i], cos[i]) + a_im[i]
        # a number beyond a limit becomes the limit of its sign
        out_re[i] = np.sign(new_re) * limit if abs(new_re) > limit else new_re
        out_im[i] = np.sign(new_im) * limit if abs(new_im) > limit else new_im


ROTATIONS: dict[str, tuple[type, Rotation]] = {
    "float32 as steps take it": (np.float32, rotate_in_steps),
    "float64": (np.float64, rotate_in_steps),
    "int64": (np.int64, rotate_in_steps),
}
#: Parts of states: the ends, units about whole multiples of 4096 and of an odd number.
COVERING = (0, 1, -4095, 4097, 1 - BOUND // 2, BOUND, 1 - BOUND)
COSINES = 1024  #: cosines at a time


def _inputs(re: int, im: int) -> list[tuple[int, int]]:
    """Inputs to a pair of states: none, and the largest with the signs that lead furthest."""
    return [(0, 0), (BOUND if re >= im else -BOUND, BOUND if re + im >= 0 else -BOUND)]


#: Real and imaginary part, and the inputs to both.
COVERED = np.array([(re, im, *a) for re, im in product(COVERING, repeat=2) for a in _inputs(re, im)], np.int32)


@cache
def _lanes(lo: int, hi: int, kind: type) -> tuple[Array, ...]:
    """States, inputs and cosines of the lanes for the cosines from `lo` to `hi`, in the type of a path."""
    cosines = np.arange(lo, hi)
    states = np.repeat(COVERED, len(cosines), axis=0).T
    return tuple(np.ascontiguousarray(part, kind) for part in (*states, np.tile(cosines, len(COVERED))))


def check_rotations(block: int) -> Checked:
    """Check a sine with every cosine on the covering states, without the widths of the device and with them."""
    sin, found = block - 4096, Comparison()
    out = {kind: np.empty((2, COSINES * len(COVERED)), kind) for kind, _ in ROTATIONS.values()}
    exact = np.empty((2, COSINES * len(COVERED)), np.int64)
    for lo in range(-4096, 4097, COSINES):
        hi = min(lo + COSINES, 4097)
        *states, cos = _lanes(lo, hi, np.int32)
        wanted = exact[:, : cos.size]
        for loihi, limit in ((False, 1 << 62), (True, (1 << 23) - 1)):
            exact_rotations(*states, np.int32(sin), cos, limit, *wanted)
            for path, (kind, rotation) in ROTATIONS.items():
                *given, turned = _lanes(lo, hi, kind)
                got = out[kind][:, : cos.size]
                got.fill(UNWRITTEN)
                rotation(*given, kind(sin), turned, loihi, *got)
                if not (
                    found.equal(f"{path}, real part", got[0], wanted[0], _case(states, sin, cos, loihi))
                    and found.equal(f"{path}, imaginary part", got[1], wanted[1], _case(states, sin, cos, loihi))
                ):
                    return found.checked
    return found.checked


def _case(states: list[Array], sin: int, cos: Array, loihi: bool) -> Callable[[int], str]:
    def case(i: int) -> str:
        re, im, a_re, a_im = (int(part[i]) for part in states)
        widths = "with" if loihi else "without"
        return f"state ({re}, {im}), input ({a_re}, {a_im}), sine {sin}, cosine {cos[i]}, {widths} widths"

    return case


LEAK = Part(
    name="leaks",
    title="Leaks of states",
    domain="every state from -2^22 to 2^22 with every decay from 0 to 4096",
    paths="`leak`, compiled: float32 under the processor's rounding toward zero, float32 in two parts as on processors "
    "where the rounding cannot be set, float64, int64; with every 64th decay, which are others for each 65,536 states: "
    "a step of CUBA neurons in training, whose current leaks, and `leak` of 5 of these states in plain Python",
    formula="the product of the magnitudes in 64 bits, shifted by 12, with the sign put back",
    blocks=len(_LEAK_TILES) - 1,
    check=check_leaks,
)
PRODUCT = Part(
    name="products",
    title="Products of resonators",
    domain="every state below 2^24 in magnitude with every sine or cosine from -4096 to 4096",
    paths="`scale_to_zero`, compiled: float32 under rounding toward zero, float32 in two parts",
    formula="as of leaks, with both signs",
    blocks=len(_PRODUCT_TILES) - 1,
    check=check_products,
)
ROTATION = Part(
    name="rotations",
    title="Rotations of resonators",
    domain=f"every pair of a sine and a cosine from -4096 to 4096, with {len(COVERED)} pairs of states and inputs that "
    f"cover: {len(COVERING)} values of each part, up to 2^22, without input and with the largest",
    paths="`rotate`, compiled: float32 under rounding toward zero, float64, int64; with and without the device's 24 "
    "bits",
    formula="four products as above, added in 64 bits, and cut at 2^23 - 1",
    blocks=8193,
    check=check_rotations,
)
