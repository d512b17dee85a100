"""Kernels on a Numba that lacks what is not public of it: the same numbers, and a warning where they are not kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lavadl_kernels
import pytest
from lavadl_kernels.runtime import private

from tests import PATIENCE

SOURCE = Path(private.__file__)
#: The module `private` as it would be where each use lacks something, before anything else of ours is imported.
LACKING = f"""
import importlib.util, sys, warnings
spec = importlib.util.spec_from_file_location("lavadl_kernels.runtime.private", {str(SOURCE)!r})
private = importlib.util.module_from_spec(spec)
spec.loader.exec_module(private)
for use, wanted in private.NEEDED.items():
    private.NEEDED[use] = (*wanted, "numba.core.cgutils:dropped." + use)
sys.modules[spec.name] = private
"""
SCRIPT = """
import numba
import numpy as np
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from lavadl_kernels.ops import delay
    from lavadl_kernels.ops.weights import LANES, ROWS, _product_sums
    from lavadl_kernels.runtime import hints, jit, rounding, simd
(warned,) = {str(one.message) for one in caught}
print(warned)

rng = np.random.default_rng(0)
table = rng.integers(0, 256, 9 * simd.WIDTH).astype(np.uint8)
spikes = (rng.random(simd.STRETCH) < 0.4).astype(np.float32) * rng.integers(1, 3, simd.STRETCH).astype(np.float32)
weights = np.append(rng.integers(-128, 128, simd.WIDTH - 2), [4.5, 300]).astype(np.float32) / np.float32(32)
a, b = rng.standard_normal((2, ROWS * LANES * 2), np.float32)


def bits(spikes, weights, table, out):
    hints.distinct_rows()
    hints.prefetch(weights)
    hints.prefetch_to_write(weights)
    jit.prefer_512_bit()
    rounding.stay_apart()
    found = simd.nonzero(spikes, 0, np.float32(1))
    beyond = simd.mantissas(weights, 0, out, 0)
    simd.transpose_square(table, 0, simd.SIDE, out, simd.WIDTH, simd.SIDE)
    none = simd.lowest(np.uint64(0))
    return found, beyond, none, simd.lowest(found), simd.without_lowest(found), simd.popcount(found)


def products(a, b, out):
    _product_sums(a, b, 0, 2 * LANES, 2 * LANES, out, 0)


def both(function, arguments, *outs):
    compiled, plain = ([np.zeros_like(out) for out in outs] for _ in range(2))
    assert np.all(numba.njit(error_model="numpy")(function)(*arguments, *compiled) == function(*arguments, *plain))
    for one, other in zip(compiled, plain, strict=True):
        assert one.any()
        np.testing.assert_array_equal(one, other)


both(bits, (spikes, weights, table), np.zeros(simd.WIDTH + simd.SIDE**2, np.uint8))
both(products, (a, b), np.zeros(ROWS * LANES, np.float32))
assert not rounding.CAN_ROUND_TOWARD_ZERO

jit.set_team(object())
assert jit._openmp_team is None
jit.PROCESSORS = 2
jit.set_num_threads(2)
x = np.ones((300, 4000), np.float32)
with jit.preparing():
    assert delay.forward(x, np.full(4000, 3)).sum() == 297 * 4000
"""


def test_this_numba_has_all_that_kernels_use():
    assert {use: private.lacking(use) for use in private.NEEDED} == dict.fromkeys(private.NEEDED, "")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("numba.no_such_module:name", "numba.no_such_module.name is not in Numba "),
        ("numba.core.cgutils:no_such_name", "numba.core.cgutils.no_such_name is not in Numba "),
        ("numba.core.base:BaseContext.no_such_name", "numba.core.base.BaseContext.no_such_name is not in Numba "),
    ],
)
def test_what_a_numba_lacks_is_named(monkeypatch, wanted, said):
    monkeypatch.setitem(private.NEEDED, "trial", (wanted,))
    assert private.lacking.__wrapped__("trial").startswith(said)


def test_options_that_a_numba_may_lack_are_left_out(monkeypatch):
    assert private.options(_nrt=False, error_model="numpy") == {"_nrt": False, "error_model": "numpy"}
    monkeypatch.setattr(private, "lacking", lambda use: "something")
    assert private.options(_nrt=False, forceinline=True, error_model="numpy") == {"error_model": "numpy"}
    assert private.part("numba.core.cgutils", "vectors") is None


def test_kernels_give_the_same_without_what_is_private(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LACKING + SCRIPT],
        cwd=Path(lavadl_kernels.__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "compiled kernels cannot be kept, every process compiles them again: numba.core.cgutils.dropped.cache is not in"
    )
