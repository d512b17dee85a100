"""Matrix products on tiles, emulated where the processor has none: against integers with ==, and against float64."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import lavadl_kernels
import numba
import numpy as np
import pytest
from lavadl_kernels.ops import tiles
from lavadl_kernels.ops.product import product
from lavadl_kernels.runtime import amx
from lavadl_kernels.runtime import jit as _jit
from lavadl_kernels.runtime.narrow_rows import NARROW, add_narrow_rows
from llvmlite import binding

from tests import PATIENCE
from tests.support.teams import team_of

#: Rows, depth and columns: whole blocks, ragged edges on every side, and several panels of a weight gradient.
SHAPES = [(32, 32, 32), (1, 1, 1), (33, 70, 50), (64, 31, 65), (5, 130, 3), (300, 40, 33), (513, 33, 20)]


@pytest.fixture(params=[1, 2])
def threads(request):
    """One thread, and two even where the machine has one and the arrays are small."""
    with team_of(request.param):
        yield request.param


def gradient(rng, *shape):
    """Numbers of many magnitudes."""
    return (rng.standard_normal(shape) * np.exp(3 * rng.standard_normal(shape))).astype(np.float32)


def weights(rng, *shape):
    return (rng.integers(-128, 128, shape) / 32).astype(np.float32)


def spikes(rng, *shape):
    return (rng.random(shape) < 0.3).astype(np.uint8)


def error(found, exact):
    return np.linalg.norm(found - exact) / max(np.linalg.norm(exact), 1e-30)


@pytest.mark.parametrize("shape", SHAPES)
def test_products_on_tiles_of_whole_numbers_are_exact(shape, threads):
    """Numbers of 17 bits, which one bfloat16 does not hold, whose sums float32 does."""
    rng = np.random.default_rng(0)
    rows, depth, columns = shape
    g = np.where(rng.random((rows, depth)) < 0.1, rng.integers(-(2**16), 2**16, (rows, depth)), 0).astype(np.float32)
    g[:, 0] = 2**16 + 1
    w = np.where(rng.random((depth, columns)) < 0.2, 1, 0).astype(np.float32)
    x = (rng.random((rows, columns)) < 0.1).astype(np.uint8)
    whole = g.astype(np.int64)
    assert np.array_equal(tiles.input_gradient(g, w), whole @ w.astype(np.int64))
    assert np.array_equal(tiles.weight_gradient(g, x), whole.T @ x.astype(np.int64))


@pytest.mark.parametrize("shape", SHAPES)
def test_products_on_tiles_are_as_accurate_as_those_of_float32(shape):
    rng = np.random.default_rng(1)
    rows, depth, columns = shape
    g, w, x = gradient(rng, rows, depth), weights(rng, depth, columns), spikes(rng, rows, columns)
    assert error(tiles.input_gradient(g, w), g.astype(np.float64) @ w) < 3e-7
    assert error(tiles.weight_gradient(g, x), g.astype(np.float64).T @ x) < 3e-7


def test_two_terms_would_not_suffice():
    """The bound of the test above is one that a lost term fails."""
    rng = np.random.default_rng(1)
    g, w = gradient(rng, 300, 40), weights(rng, 40, 33)
    terms = split(g.ravel())
    assert error((terms[0] + terms[1]).reshape(g.shape).astype(np.float64) @ w, g.astype(np.float64) @ w) > 3e-7


def test_products_on_tiles_have_the_same_bits_for_any_number_of_threads(monkeypatch):
    rng = np.random.default_rng(2)
    g, w, x = gradient(rng, 300, 70), weights(rng, 70, 100), spikes(rng, 300, 100)
    monkeypatch.setattr(_jit, "WORTH", 0)
    monkeypatch.setattr(_jit, "PROCESSORS", 4)
    before, found = lavadl_kernels.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            lavadl_kernels.set_num_threads(count)
            found.append((tiles.input_gradient(g, w).tobytes(), tiles.weight_gradient(g, x).tobytes()))
    finally:
        lavadl_kernels.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_a_row_on_tiles_depends_on_its_own_numbers_alone():
    rng = np.random.default_rng(3)
    g, w = gradient(rng, 70, 40), weights(rng, 40, 33)
    whole = tiles.input_gradient(g, w)
    assert np.array_equal(tiles.input_gradient(np.ascontiguousarray(g[37:59]), w), whole[37:59])
    assert np.array_equal(tiles.input_gradient(g, w, tiles.packed(w)), whole)


@pytest.mark.parametrize("shape", [(0, 5, 4), (5, 4, 0), (3, 0, 4)])
def test_products_on_tiles_may_be_empty(shape):
    rows, depth, columns = shape
    g, w = np.ones((rows, depth), np.float32), np.ones((depth, columns), np.float32)
    assert np.array_equal(tiles.input_gradient(g, w), g @ w)
    x = np.ones((rows, columns), np.uint8)
    assert np.array_equal(tiles.weight_gradient(g, x), g.T @ x.astype(np.float32))


def split(x):
    """The three terms of float32 as float32."""
    terms = [np.empty(x.size, np.uint16) for _ in range(3)]
    tiles.split(x.view(np.uint32), *terms)
    return [(term.astype(np.uint32) << 16).view(np.float32) for term in terms]


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_three_terms_sum_to_any_float32():
    rng = np.random.default_rng(4)
    bits = rng.integers(0, 2**32, 3000, dtype=np.uint64).astype(np.uint32)
    x = bits.view(np.float32)
    x = x[np.isfinite(x) & (np.abs(x) < 2.0**127) & (np.abs(x) > 2.0**-100)]
    x = np.concatenate([x, np.float32([0, 1, -1, 1.9999999, 2.0**126, 16777215, -16777215])])
    assert np.array_equal(sum(term.astype(np.float64) for term in split(x)), x.astype(np.float64))


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 2.0**127])
def test_tiles_refuse_a_gradient_that_could_become_infinite(value):
    rng = np.random.default_rng(5)
    for place in ((0, 0), (40, 69), (12, 68)):
        g = gradient(rng, 41, 70)
        g[place] = value
        assert tiles.input_gradient(g, weights(rng, 70, 9)) is None
        assert tiles.weight_gradient(g, spikes(rng, 41, 9)) is None


@pytest.mark.parametrize("place", [(0, 0), (69, 32), (3, 31)])
def test_tiles_refuse_weights_that_they_cannot_hold(place):
    w = weights(np.random.default_rng(6), 70, 33)
    assert tiles.packed(w) is not None
    w[place] = 0.1
    assert tiles.packed(w) is None
    assert tiles.input_gradient(np.ones((2, 70), np.float32), w) is None


def test_a_product_of_tiles_sums_even_and_odd_columns_apart():
    """The order and rounding that the processor's manual states, in float64 rounded at each step."""
    rng = np.random.default_rng(7)
    numbers = rng.standard_normal(2 * amx.STATE).astype(np.float32)
    state = (numbers.view(np.uint32) >> 16).astype(np.uint16).view(np.float32)
    before = state.reshape(amx.TILES, amx.ROWS, amx.LANES).copy()
    words = state.view(np.uint16).reshape(amx.TILES, amx.ROWS, amx.WORDS).astype(np.uint32) << 16
    left, right = words[4].view(np.float32).astype(np.float64), words[6].view(np.float32).astype(np.float64)
    left[np.abs(left) < 2.0**-126] = right[np.abs(right) < 2.0**-126] = 0
    amx.multiply(state, 1, 4, 6)
    found = state.reshape(amx.TILES, amx.ROWS, amx.LANES)
    for m in range(0, amx.ROWS, 5):
        for n in range(0, amx.LANES, 5):
            sums = [np.float32(0), np.float32(0)]
            for k in range(amx.ROWS):
                for side in (0, 1):
                    product = left[m, 2 * k + side] * right[k, 2 * n + side]
                    sums[side] = np.float32(np.float64(sums[side]) + product)
            assert found[1, m, n] == np.float32(before[1, m, n] + np.float32(sums[0] + sums[1]))
    untouched = [0, 2, 3, 4, 5, 6, 7]
    assert found[untouched].tobytes() == before[untouched].tobytes()


def test_kernels_on_tiles_are_ordinary_python_outside_of_compiled_code():
    rng = np.random.default_rng(8)
    g, w = gradient(rng, 3, 5), weights(rng, 5, 4)
    out = np.empty((3, 4), np.float32)
    assert tiles._input_gradient.python(0, 1, g.view(np.uint32), tiles.packed(w), out)
    assert np.array_equal(out, tiles.input_gradient(g, w))


COMPILED = """
import numba, numpy as np
from lavadl_kernels.ops import tiles
from lavadl_kernels.ops.product import product
def kind(dtype, axes): return numba.typeof(np.zeros((1,) * axes, dtype))
g, right, out, x = kind(np.uint32, 2), kind(np.uint16, 3), kind(np.float32, 2), kind(np.uint8, 2)
for kernel, arrays in ((tiles._input_gradient, (g, right, out)), (tiles._weight_gradient, (right, x, out))):
    kernel.compiled.compile((numba.intp, numba.intp, *arrays))
    (code,) = kernel.compiled.inspect_asm().values()
    words = [line.split()[0] for line in code.splitlines() if line.split()]
    names = ("ldtilecfg", "tilezero", "tileloadd", "tdpbf16ps", "tilestored", "tilerelease")
    print(*(name for name in names if name in words))
"""


@pytest.mark.skipif(binding.get_process_triple().split("-")[0] != "x86_64", reason="tiles are of x86-64")
@pytest.mark.parametrize("tiled", [True, False])
def test_the_machine_code_has_tiles_exactly_for_a_processor_that_has_them(tiled, tmp_path):
    """Compiled and not run: this processor may have none."""
    features = binding.get_host_cpu_features()
    for name in amx.FEATURES:
        features[name] = tiled
    environment = {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": features.flatten(),
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(COMPILED)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    expected = "ldtilecfg tilezero tileloadd tdpbf16ps tilestored tilerelease" if tiled else ""
    assert [line.strip() for line in done.stdout.splitlines()] == [expected, expected]


def test_the_reason_why_there_are_no_tiles_is_told(monkeypatch):
    def features(*names):
        monkeypatch.setattr(amx.binding, "get_host_cpu_features", lambda: dict.fromkeys(names, True))

    monkeypatch.setattr(amx.sys, "platform", "linux")
    monkeypatch.setattr(amx.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(amx, "permitted", lambda: False)
    features("avx2")
    assert amx.missing() == "the processor has no amx-tile and no amx-bf16"
    features("amx-tile")
    assert amx.missing() == "the processor has no amx-bf16"
    features(*amx.FEATURES)
    assert amx.missing() == "the system does not permit tiles"
    monkeypatch.setattr(amx, "permitted", lambda: True)
    assert amx.missing() == ""
    monkeypatch.setattr(amx.platform, "machine", lambda: "aarch64")
    assert amx.missing() == "tiles need Linux on x86-64"


def test_the_question_for_permission_survives_a_system_without_it(monkeypatch):
    def no_library(*arguments, **options):
        raise OSError

    monkeypatch.setattr(amx.ctypes, "CDLL", no_library)
    assert amx.permitted.__wrapped__() is False


@pytest.mark.parametrize("shape", [*SHAPES, (0, 5, 4), (5, 0, 4), (5, 4, 0), (70, 300, 100)])
def test_a_float32_product_agrees_with_float64_on_any_shape(shape, threads):
    rng = np.random.default_rng(9)
    rows, depth, columns = shape
    a, b = gradient(rng, rows, depth), gradient(rng, depth, columns)
    found = product(a, b)
    assert error(found, a.astype(np.float64) @ b) < 1e-6
    assert found.shape == (rows, columns)
    half = rows // 2
    assert np.array_equal(product(np.ascontiguousarray(a[half:]), b), found[half:])


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 70])
def test_narrow_rows_sum_alike_in_compiled_code_and_in_python(count):
    rng = np.random.default_rng(count)
    table = gradient(rng, 50 * NARROW)
    index = rng.integers(0, 50, count + 5).astype(np.uint16)
    out = gradient(rng, 3 * NARROW)
    compiled = out.copy()
    exact = out.astype(np.float64)
    exact[NARROW : 2 * NARROW] += table.reshape(50, NARROW)[index[2 : 2 + count]].astype(np.float64).sum(0)
    add_narrow_rows(table, index, 2, 2 + count, out, NARROW)
    numba.njit(lambda *arguments: add_narrow_rows(*arguments))(table, index, 2, 2 + count, compiled, NARROW)
    assert np.array_equal(compiled, out)
    np.testing.assert_allclose(out, exact, rtol=1e-5, atol=1e-4)
