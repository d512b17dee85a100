"""Event-driven integer synapses against the oracle, with ==."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from lavadl_kernels.ops import integer_synapse as synapse

from tests.support import oracle as naive

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


def signals(rng, shape, graded):
    """Spikes, or graded spikes of either sign, most of them silent."""
    values = rng.integers(-5000, 5000, shape) if graded else np.ones(shape, np.int64)
    return np.where(rng.random(shape) < 0.3, values, 0)


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_the_dense_synapse_equals_the_oracle(seed, steps, inputs, outputs, graded):
    rng = np.random.default_rng(seed)
    x, weight = signals(rng, (steps, inputs), graded), rng.integers(-256, 256, (outputs, inputs))
    z = synapse.dense(x, weight)
    assert z.dtype == np.int64
    assert z.tolist() == [naive.dense(row, weight.tolist()) for row in x.tolist()]


@st.composite
def geometry(draw):
    return {
        "stride": draw(pairs),
        "padding": draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
        "dilation": draw(pairs),
        "groups": draw(st.sampled_from([1, 1, 2, 3])),
    }


@st.composite
def frames(draw, transposed):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    window = draw(geometry())
    groups = window["groups"]
    per_in, per_out = draw(pairs)
    kernel = draw(pairs)
    height, width = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    channels = per_in * groups
    shape = (channels, per_out) if transposed else (per_out * groups, per_in)
    x = signals(rng, (draw(st.integers(0, 2)), channels, height, width), draw(st.booleans()))
    return x, rng.integers(-256, 256, (*shape, *kernel)), window


def sizes(x, weight, window, length):
    keys = ("stride", "padding", "dilation")
    return [length(x.shape[2 + axis], weight.shape[2 + axis], *(window[key][axis] for key in keys)) for axis in (0, 1)]


@given(frames(transposed=False))
def test_the_convolution_equals_the_oracle(case):
    x, weight, window = case
    assume(min(sizes(x, weight, window, synapse.conv_size)) > 0)
    z = synapse.conv(x, weight, **window)
    assert z.dtype == np.int64
    assert z.shape[2:] == tuple(sizes(x, weight, window, synapse.conv_size))
    assert z.tolist() == [naive.conv(frame, weight.tolist(), **window) for frame in x.tolist()]


@given(frames(transposed=True))
def test_the_transposed_convolution_equals_the_oracle(case):
    x, weight, window = case
    assume(min(sizes(x, weight, window, synapse.conv_transpose_size)) > 0)
    z = synapse.conv_transpose(x, weight, **window)
    assert z.shape[2:] == tuple(sizes(x, weight, window, synapse.conv_transpose_size))
    assert z.tolist() == [naive.conv_transpose(frame, weight.tolist(), **window) for frame in x.tolist()]


@pytest.mark.parametrize("late", [0, 1, 3, 9])
@pytest.mark.parametrize("transposed", [None, False, True])
def test_sums_come_later_by_whole_rows(late, transposed):
    rng = np.random.default_rng(3)
    if transposed is None:
        x, weight, run = signals(rng, (5, 40), True), rng.integers(-9, 9, (7, 40)), synapse.dense
    else:
        x, weight = signals(rng, (5, 3, 6, 40), False), rng.integers(-9, 9, (3, 3, 3, 3))
        run = synapse.conv_transpose if transposed else synapse.conv
    now, then = run(x, weight), run(x, weight, late=late)
    assert now.any()
    assert not then[:late].any()
    np.testing.assert_array_equal(then[late:], now[: max(5 - late, 0)])


@pytest.mark.parametrize(("largest", "kind"), [(1, np.int32), (2**21, np.int32), (2**22, np.int64)])
def test_sums_are_narrow_where_all_of_them_fit(largest, kind):
    weight = np.array([[-512, 500]])
    x = largest * np.array([[1, 1], [1, -1]])
    z = synapse.dense(x, weight, narrow=True)
    assert z.dtype == kind
    assert z.tolist() == [[-12 * largest], [-1012 * largest]]
    assert synapse.dense(x, weight).dtype == np.int64


@pytest.mark.parametrize("largest", [1, 127, 2**14 - 1])
@pytest.mark.parametrize("excess", [-1, 0, 1, 2])
def test_sums_at_the_bounds_of_sixteen_bits_are_exact(largest, excess):
    """All partial sums fit where the bound says so, and one more than it allows takes wider sums."""
    reach = (2**15 - 1) // largest + excess  # the largest magnitude of a sum is `largest` times this
    weight = np.array([[reach - 5, 5], [-5, 5 - reach]])
    x = largest * np.array([[1, 1], [1, 0], [-1, -1], [0, 1]])
    assert synapse.dense(x, weight).tolist() == (x @ weight.T).tolist()
    frames, taps = x[:, :, None, None].repeat(3, axis=3), weight[:, :, None, None]
    expected = (x @ weight.T)[:, :, None, None].repeat(3, axis=3)
    assert synapse.conv(frames, taps).tolist() == expected.tolist()
    assert synapse.conv_transpose(frames, taps.transpose(1, 0, 2, 3)).tolist() == expected.tolist()


def test_weights_kept_for_many_calls_give_the_same_sums_and_tell_of_changes():
    weight = np.array([[3, -(2**14)], [5, 2**14]])
    kept = synapse.Weights(weight)
    for x in ([[1, 1]], [[2, 3]], [[2**20, -(2**20)]], [[2**40, 1]]):
        assert synapse.dense(np.array(x), kept).tolist() == (np.array(x) @ weight.T).tolist()
    assert kept.made_of(weight)
    weight[0, 0] = 4
    assert not kept.made_of(weight)
    assert synapse.dense(np.array([[1, 0]]), kept).tolist() == [[3, 5]]


def test_weights_of_more_than_sixteen_bits_are_summed_exactly():
    weight = np.array([[2**15, -(2**40)]])
    assert synapse.dense(np.array([[1, 0], [1, 1]]), weight, narrow=True).tolist() == [[2**15], [2**15 - 2**40]]


def test_a_window_past_the_edge_counts_what_is_inside():
    x = np.arange(1, 26).reshape(1, 1, 5, 5)
    weight = np.ones((1, 1, 2, 2), np.int64)
    z = synapse.conv(x, weight, stride=(2, 2), size=(3, 3))
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)))
    np.testing.assert_array_equal(z, synapse.conv(padded, weight, stride=(2, 2)))
    assert z[0, 0, 2, 2] == 25


@given(frames(transposed=False))
def test_transposed_convolution_is_the_adjoint(case):
    """<y, conv(x)> = <conv_transpose(y), x> wherever the strides divide the frame."""
    x, weight, window = case
    assume(min(sizes(x, weight, window, synapse.conv_size)) > 0)
    z = synapse.conv(x, weight, **window)
    assume(sizes(z, weight, window, synapse.conv_transpose_size) == list(x.shape[2:]))
    y = np.random.default_rng(0).integers(-9, 9, z.shape)
    back = synapse.conv_transpose(y, weight, **window)
    assert (y * z).sum() == (back * x).sum()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64, bool])
def test_synapses_take_any_integer_type(dtype):
    x = np.array([[1, 0, 1]], dtype)
    assert synapse.dense(x, np.array([[100, 100, 100]], np.int8)).tolist() == [[200]]


def test_memory_order_of_messages_does_not_matter():
    rng = np.random.default_rng(0)
    x, weight = rng.integers(0, 2, (3, 2, 5, 4)), rng.integers(-9, 9, (3, 2, 2, 2))
    expected = synapse.conv(x, weight)
    np.testing.assert_array_equal(synapse.conv(np.asfortranarray(x), np.asfortranarray(weight)), expected)
    np.testing.assert_array_equal(synapse.conv(x[..., ::-1], weight[..., ::-1])[..., ::-1], expected)
