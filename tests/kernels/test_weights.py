"""Weights in one pass: the same bits as one operation after the other, and gradients near those in float64."""

import numpy as np
import pytest
from lavadl_kernels.ops import weights
from lavadl_kernels.ops.weights import Grid, Rows

SHAPES = [(1, 8), (3, 9), (8, 16), (9, 23), (20, 100), (16, 785)]
GRID = Grid.of(1 / 32, -4, 127 / 32)


def made(shape, size=0.3, seed=0):
    """Directions and lengths; those of a large `size` are partly beyond the bounds of the grid."""
    random = np.random.default_rng(seed)
    v = (random.standard_normal(shape) * size).astype(np.float32)
    length = (random.random(shape[0]) * size * shape[1] ** 0.5).astype(np.float32)
    return v, length


def squares_in_order(v):
    """The norms, by eight sums of every eighth square, then by sums of halves."""
    whole = v.shape[1] - v.shape[1] % 8
    lanes = np.zeros((len(v), 8), np.float32)
    for at in range(0, whole, 8):
        lanes += v[:, at : at + 8] * v[:, at : at + 8]
    rest = v[:, whole:]
    lanes[:, : rest.shape[1]] += rest * rest
    for half in (4, 2, 1):
        lanes = lanes[:, :half] + lanes[:, half:]
    return np.sqrt(lanes[:, 0])


def on_grid(w, grid=GRID):
    return np.clip(np.rint(w * grid.inverse) * grid.step, grid.low, grid.high)


def bits(x):
    return x.view(np.int32).tolist()


@pytest.mark.parametrize("shape", SHAPES)
def test_norms_of_rows_are_added_in_the_stated_order(shape):
    v, _ = made(shape, 1.0)
    assert bits(weights.norms(v)) == bits(squares_in_order(v))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1e-3, 0.3, 30.0])
@pytest.mark.parametrize("known", [True, False])
def test_weights_of_length_and_direction_have_the_bits_of_their_formula(shape, size, known):
    v, length = made(shape, size)
    norm = squares_in_order(v)
    expected = on_grid(v * (length / norm)[:, None])
    given = norm.copy() if known else np.empty_like(norm)
    q, inside = weights.quantised(Rows(v, length, given), GRID, known)
    assert bits(q) == bits(expected)
    assert bits(given) == bits(norm)
    unclipped = np.rint(v * (length / norm)[:, None] * GRID.inverse) * GRID.step
    assert inside == bool(((unclipped >= GRID.low) & (unclipped <= GRID.high)).all())


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_without_a_length_are_rounded_as_they_are(shape):
    w, _ = made(shape, 3.0)
    w.reshape(-1)[:4] = -4, 127 / 32, 1 / 64, -3 / 64
    q, _ = weights.quantised(Rows.plain(w), GRID)
    assert bits(q) == bits(on_grid(w))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 4.0, -4.1])
def test_a_value_beyond_the_bounds_is_clipped_and_told(value):
    w = np.zeros((9, 9), np.float32)
    assert weights.quantised(Rows.plain(w), GRID)[1]
    w[8, 8] = value
    q, inside = weights.quantised(Rows.plain(w), GRID)
    assert not inside
    assert np.array_equal(q, on_grid(w), equal_nan=True)


def test_the_least_weight_is_within_the_bounds():
    q, inside = weights.quantised(Rows.plain(np.full((1, 8), -4, np.float32)), GRID)
    assert inside
    assert (q == -4).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [0.3, 30.0])
def test_weights_equal_what_they_give_until_a_bit_changes(shape, size):
    v, length = made(shape, size)
    rows = Rows(v, length, np.empty_like(length))
    q, _ = weights.quantised(rows, GRID, False)
    assert weights.equals(rows, GRID, False, q)
    for row in (0, -1):
        changed = q.copy()
        changed[row, -1] += GRID.step
        assert not weights.equals(rows, GRID, False, changed)


def test_a_zero_of_another_sign_does_not_equal():
    q = np.zeros((1, 8), np.float32)
    assert weights.equals(Rows.plain(q), GRID, True, q)
    assert not weights.equals(Rows.plain(q), GRID, True, -q)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [0.3, 5.0])
@pytest.mark.parametrize("inplace", [False, True])
def test_gradients_of_weights_are_near_those_in_float64(shape, size, inplace):
    v, length = made(shape, size)
    rows = Rows(v, length, np.empty_like(length))
    _, inside = weights.quantised(rows, GRID, False)
    grad = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    nearest = np.rint(v * (length / rows.norm)[:, None] * GRID.inverse) * GRID.step
    passed = np.where((nearest >= GRID.low) & (nearest <= GRID.high), grad, 0).astype(float)
    directions, lengths, norm = v.astype(float), length.astype(float)[:, None], np.linalg.norm(v.astype(float), axis=1)
    along = (passed * directions).sum(1)
    expected = lengths / norm[:, None] * (passed - directions * (along / norm**2)[:, None])
    out = grad if inplace else np.empty_like(grad)
    to_length = weights.backward(rows, GRID, inside, grad, out)
    assert np.linalg.norm(out - expected) <= 3e-7 * np.linalg.norm(expected)
    assert np.linalg.norm(to_length - along / norm) <= 2e-6 * np.linalg.norm(passed) / 2
    assert inside == (size < 1) or shape == (1, 8)


def test_the_gradient_is_stopped_where_a_plain_weight_was_clipped():
    w = np.array([[5, 1, -5, 0.5, 0, 0, 0, np.nan]], np.float32)
    grad, out = np.ones_like(w), np.empty_like(w)
    assert weights.backward(Rows.plain(w), GRID, False, grad, out).size == 0
    assert out.tolist() == [[0, 1, 0, 1, 1, 1, 1, 0]]
