"""Dense synapses by events against sums of Python integers, with ==, and gradients against float64."""

import lavadl_kernels
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lavadl_kernels.ops import events
from lavadl_kernels.runtime import simd
from lavadl_kernels.runtime.simd import (
    BIAS,
    SIDE,
    STRETCH,
    WIDTH,
    lowest,
    nonzero,
    popcount,
    transpose_square,
    without_lowest,
)

from tests.support.checks.events import check, dense, exact, mantissas, sparse
from tests.support.teams import team_of

densities = st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0])
CHUNK = events.CHUNK
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(params=[1, 2])
def threads(request):
    """One thread, and two even where the machine has one and the arrays are small."""
    with team_of(request.param):
        yield request.param


@given(seeds, densities, st.integers(1, 5), st.integers(1, 70), st.integers(2, 70), st.integers(1, 9), st.booleans())
@example(0, 0.1, 3, 20, 97, 65, False)
@example(1, 0.1, 7, 5, 40, 130, False)  # several samples in a chunk
@example(2, 0.5, 1, 3, CHUNK + 100, 8, True)  # one that is longer than a chunk
def test_events_of_lanes_give_the_matrix_product(seed, density, samples, inputs, steps, outputs, graded):
    rng = np.random.default_rng(seed)
    x = sparse(rng, (samples, inputs, steps), density, graded)
    rows = np.ascontiguousarray(x.transpose(2, 0, 1)).reshape(steps * samples, inputs)
    check(x, events.of_lanes(x), rows, outputs, rng)


@given(seeds, densities, st.integers(1, 250), st.integers(1, 70), st.integers(1, 9), st.booleans())
@example(0, 0.1, CHUNK + 1, 100, 64, False)
@example(1, 0.9, 3, 600, 130, False)  # more events in a row than 16 bits can sum
@example(2, 1.0, 1, 1, 1, True)
def test_events_of_rows_give_the_matrix_product(seed, density, rows, inputs, outputs, graded):
    rng = np.random.default_rng(seed)
    x = sparse(rng, (rows, inputs), density, graded)
    check(x, events.of_rows(x), x, outputs, rng)


def test_many_equal_weights_of_the_largest_magnitude_are_summed_exactly():
    for mantissa in (-128, 127):
        weight = np.full((3, 1000), mantissa / 32, np.float32)
        z = events.forward(events.of_rows(np.ones((2, 1000), np.float32)), events.table(weight), 3)
        assert (z == 1000 * mantissa / 32).all()


def test_one_value_of_all_events_is_a_factor_that_is_rounded_once():
    rng = np.random.default_rng(0)
    spikes, mantissa = sparse(rng, (50, 80), 0.3), mantissas(rng, 10, 80)
    scale = np.float32(1 / 0.95)
    found = events.of_rows(spikes * scale)
    assert found.by_row.value.size == 0
    z = events.forward(found, events.table((mantissa / 32).astype(np.float32)), 10)
    sums = exact(spikes, mantissa).astype(np.float64) * np.float64(scale)
    np.testing.assert_array_equal(z, sums.astype(np.float32))


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("shape", [(2, 700, 300), (1, 130, 200)])
def test_sums_and_gradients_by_events_do_not_depend_on_threads(shape, graded, threads):
    rng = np.random.default_rng(0)
    x, weight = sparse(rng, shape, 0.1, graded), rng.normal(size=(150, shape[1])).astype(np.float32)
    grad = rng.normal(size=(shape[0] * shape[2], 150)).astype(np.float32)
    for found in (events.of_lanes(x), events.of_rows(np.ascontiguousarray(x.transpose(2, 0, 1)).reshape(-1, shape[1]))):
        results = [events.forward(found, events.table(weight), 150), events.weight_gradient(found, grad)]
        lavadl_kernels.set_num_threads(1)
        alone = [events.forward(found, events.table(weight), 150), events.weight_gradient(found, grad)]
        lavadl_kernels.set_num_threads(threads)
        for a, b in zip(results, alone, strict=True):
            np.testing.assert_array_equal(a, b)


def test_lists_of_events_do_not_depend_on_threads(threads):
    rng = np.random.default_rng(1)
    x = sparse(rng, (3, 500, 130), 0.2)
    found = events.of_lanes(x)
    np.testing.assert_array_equal(events.matrix(found), x.transpose(2, 0, 1).reshape(-1, 500))
    np.testing.assert_array_equal(dense(found), events.matrix(found))


def test_weights_that_are_no_mantissas_have_another_table():
    fine = np.array([[-4.0, 127 / 32, 0.0]], np.float32)
    assert events.table(fine).dtype == np.uint8
    for value in (4.0, -4.03125, 1 / 64, 0.1, 1e30, -1e30, 2.0**33):
        packed = events.table(np.array([[0.5, value]], np.float32))
        assert packed.dtype == np.float32
        assert packed[::WIDTH].tolist() == [0.5, np.float32(value)]
    for value in (np.nan, np.inf, -np.inf):
        assert events.table(np.array([[0.5, value]], np.float32)) is None


def test_inputs_that_are_not_finite_give_what_a_product_gives():
    weight = np.array([[1.0, 0.0, -0.5], [2.0, 1.0, 1.0]], np.float32)
    for values in ([np.inf, 1, 0], [np.nan, np.nan, 0], [1, np.inf, -np.inf], [np.inf, np.inf, 0]):
        x = np.array([values, [1, 0, 1]], np.float32)
        with np.errstate(invalid="ignore"):
            expected = np.array([[sum(a * b for a, b in zip(row, w, strict=True)) for w in weight] for row in x])
        z = events.forward(events.of_rows(x), events.table(weight), 2)
        np.testing.assert_array_equal(z, expected.astype(np.float32))


def test_gradients_that_are_not_finite_are_refused_by_events():
    found = events.of_rows(np.eye(3, dtype=np.float32))
    for value in (np.nan, np.inf, -np.inf):
        grad = np.ones((3, 70), np.float32)
        grad[1, 66] = value
        assert events.weight_gradient(found, grad) is None


def test_events_of_nothing_give_zeros():
    found = events.of_rows(np.zeros((0, 5), np.float32))
    weight = np.ones((4, 5), np.float32)
    assert events.forward(found, events.table(weight), 4).shape == (0, 4)
    assert events.weight_gradient(found, np.zeros((0, 4), np.float32)).tolist() == np.zeros((4, 5)).tolist()
    assert found.density == 0


def test_the_lists_hold_what_fits():
    assert events.fits(32, 2312, 300)
    assert not events.fits(1, 65537, 1)
    assert not events.fits(1, 1, 65537)
    assert not events.fits(2**15, 2**15, 2)


@pytest.mark.parametrize("length", [STRETCH, STRETCH + 1, 3 * STRETCH - 1])
def test_an_event_at_any_place_of_a_stretch_is_listed(length):
    for i in range(length):
        x = np.zeros((1, length), np.float32)
        x[0, i] = -2
        assert events.of_rows(x).by_row.entry.tolist() == [i]
    x = np.zeros((1, length), np.float32)
    x[0, [0, length - 1]] = [1, 3]
    found = events.of_rows(x)
    assert found.by_row.value.tolist() == [1, 3]
    assert found.by_column.value.tolist() == [1, 3]


def test_the_bits_tell_nonzero_values_apart():
    x = np.zeros(40, np.float32)
    x[[3, 5, 34]] = [1, 2, np.nan]
    assert nonzero(x, 3, np.float32(1)) == 1 | 1 << 2 | 1 << 31 | 1 << 34 | 1 << 63
    assert lowest(0b101000) == 3
    assert lowest(0) == 64
    assert popcount(0b101000) == 2
    assert without_lowest(0b101000) == 0b100000
    assert without_lowest(0) == 0


@pytest.mark.parametrize("item", [np.uint8, np.float32])
def test_a_stretch_is_transposed_by_turn(item):
    rows = np.random.default_rng(0).integers(0, 256, (SIDE, WIDTH)).astype(item)
    out = np.zeros((SIDE, WIDTH), item)
    transpose_square(rows.reshape(-1), 3, WIDTH, out.reshape(-1), 5, WIDTH)
    assert (out[:, 5 : 5 + SIDE] == rows[:, 3 : 3 + SIDE].T).all()
    assert np.count_nonzero(out) == np.count_nonzero(rows[:, 3 : 3 + SIDE])


def test_mantissas_are_read_from_weights():
    x, out = np.zeros(WIDTH + 3, np.float32), np.zeros(WIDTH + 5, np.uint8)
    x[[3, 4, 5, 6, 7, 66]] = [-4, 127 / 32, 4, 1 / 64, np.nan, np.inf]
    assert simd.mantissas(x, 3, out, 5) == 0b11100 | 1 << 63
    expected = np.full(WIDTH, BIAS)
    expected[:2] = [0, 255]
    assert out[5:].tolist() == expected.tolist()
