"""Transforms of recordings: arrays, tensors and lists of events are changed alike, from the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lavadl_ref import encode

SHAPES = st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 5), st.integers(1, 9))
RECORDINGS = arrays.arrays(np.float32, SHAPES, elements=st.sampled_from([0.0, 0.0, 1.0, 2.0, -1.0]))
SEEDS = st.integers(0, 2**31)


@given(RECORDINGS, st.floats(0, 30), SEEDS)
def test_jitter_moves_events_in_time_only(x, sigma, seed):
    before = x.copy()
    moved = encode.jitter(x, sigma, seed)
    np.testing.assert_array_equal(x, before)
    assert (moved.shape, moved.dtype) == (x.shape, x.dtype)
    assert ((moved != 0).sum(-1) <= (x != 0).sum(-1)).all()
    np.testing.assert_array_equal(encode.jitter(x, sigma, seed), moved)
    np.testing.assert_array_equal(encode.jitter(x, 0, seed), x)


def test_jitter_has_the_deviation_that_is_asked_for():
    x = np.zeros((4000, 101))
    x[:, 50] = 1
    when = encode.jitter(x, 5.0, 2).nonzero()[1]
    assert len(when) == 4000
    assert when.mean() == pytest.approx(50, abs=0.4)
    assert when.std() == pytest.approx(5, rel=0.05)


@given(RECORDINGS, st.floats(0, 1), SEEDS)
def test_drop_leaves_events_as_they_are_or_out(x, fraction, seed):
    left = encode.drop(x, fraction, seed)
    assert ((left == x) | (left == 0)).all()
    np.testing.assert_array_equal(encode.drop(x, fraction, np.random.default_rng(seed)), left)
    np.testing.assert_array_equal(encode.drop(x, 0.0, seed), x)
    assert not encode.drop(x, 1.0, seed).any()


def test_drop_leaves_out_the_fraction_that_is_asked_for():
    assert encode.drop(np.ones((100, 100)), 0.3, 1).mean() == pytest.approx(0.7, abs=0.02)


@given(RECORDINGS, st.sampled_from(["horizontal", "vertical", "polarity", "time"]))
def test_a_flip_undoes_itself(x, axis):
    once = encode.flip(x, axis)
    np.testing.assert_array_equal(encode.flip(once, axis), x)
    np.testing.assert_array_equal(encode.flip(x, axis, 3, probability=0.0), x)
    where = {"horizontal": 2, "vertical": 1, "polarity": 0, "time": 3}[axis]
    np.testing.assert_array_equal(np.take(once, 0, where), np.take(x, -1, where))


def test_a_flip_happens_as_often_as_is_asked_for():
    drawn, x = np.random.default_rng(0), np.arange(2.0).reshape(1, 2, 1)
    assert np.mean([encode.flip(x, "horizontal", drawn, probability=0.25)[0, 0, 0] for _ in range(2000)]) == (
        pytest.approx(0.25, abs=0.03)
    )


@given(RECORDINGS, st.data(), SEEDS)
def test_a_crop_is_a_window_of_the_recording(x, data, seed):
    size = tuple(data.draw(st.integers(1, side)) for side in x.shape[1:3])
    middle = [(side - part) // 2 for side, part in zip(x.shape[1:3], size, strict=True)]
    found = encode.crop(x, size)
    window = x[:, middle[0] : middle[0] + size[0], middle[1] : middle[1] + size[1]]
    np.testing.assert_array_equal(found, window)
    drawn = encode.crop(x, size, seed)
    windows = [
        x[:, i : i + size[0], j : j + size[1]]
        for i in range(x.shape[1] - size[0] + 1)
        for j in range(x.shape[2] - size[1] + 1)
    ]
    assert any(np.array_equal(drawn, one) for one in windows)
    np.testing.assert_array_equal(encode.crop(x, size, seed), drawn)


@given(RECORDINGS, st.integers(1, 4))
def test_a_whole_rescaling_spreads_steps(x, factor):
    found = encode.rescale(x, factor)
    assert found.shape == (*x.shape[:-1], x.shape[-1] * factor)
    np.testing.assert_array_equal(found[..., ::factor], x)
    assert np.count_nonzero(found) == np.count_nonzero(x)
    np.testing.assert_array_equal(encode.rescale(found, 1 / factor), x)


def test_the_largest_of_events_that_meet_stays():
    assert encode.rescale(np.array([[1, 3, 2, -4]]), 0.5).tolist() == [[3, -4]]


def test_tensors_stay_tensors_with_the_same_values():
    torch = pytest.importorskip("torch")
    x = (np.random.default_rng(1).random((2, 5, 4, 12)) < 0.4).astype(np.float32)
    for change in (
        lambda x: encode.jitter(x, 2.0, 1),
        lambda x: encode.drop(x, 0.5, 1),
        lambda x: encode.flip(x, "time"),
        lambda x: encode.crop(x, (3, 2), 1),
        lambda x: encode.rescale(x, 1.5),
    ):
        found = change(torch.from_numpy(x))
        assert isinstance(found, torch.Tensor)
        np.testing.assert_array_equal(found.numpy(), change(x))
        assert (change(x) != 0).any()


def test_lists_of_events_are_changed_as_arrays_are():
    pytest.importorskip("torch")
    from lavadl_ref.slayer import io

    x = (np.random.default_rng(1).random((2, 5, 4, 12)) < 0.4).astype(float)
    event = io.tensor_to_event(x)
    sizes = {"horizontal": 4, "vertical": 5, "polarity": 2, "time": 11}  # the last event is at 11 ms

    def tensor(made, dim=x.shape):
        return made.to_tensor(dim=dim)

    for axis, size in sizes.items():
        np.testing.assert_array_equal(tensor(encode.flip(event, axis, size=size)), encode.flip(x, axis))
    cut = encode.crop(event, (3, 2), within=(5, 4))
    np.testing.assert_array_equal(tensor(cut, (2, 3, 2, 12)), encode.crop(x, (3, 2)))
    longer = encode.rescale(event, 2.0)
    np.testing.assert_array_equal(tensor(longer, (2, 5, 4, 24)), encode.rescale(x, 2))
    np.testing.assert_array_equal(tensor(encode.drop(event, 0.5, 7)), encode.drop(x, 0.5, 7))
    later = encode.jitter(event, 3.0, 7)
    assert later.t.std() > event.t.std()
    np.testing.assert_array_equal(later.t, encode.jitter(event, 3.0, 7).t)
    np.testing.assert_array_equal(io.tensor_to_event(x).t, event.t)  # the original stays
    assert (later.x == event.x).all()


EVENT = type("Event", (), {"x": np.zeros(1), "y": None, "c": np.zeros(1), "t": np.zeros(1), "p": None})()


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: encode.jitter([[1]], -1, 0), ValueError, "sigma must be at least 0, got -1"),
        (
            lambda: encode.jitter(1.0, 1, 0),
            ValueError,
            r"events must have an axis of time, \(\*shape, T\), got the shap",
        ),
        (lambda: encode.drop([[1]], 2, 0), ValueError, r"fraction must be within \[0, 1\], got 2"),
        (lambda: encode.drop([["a"]], 1, 0), TypeError, "events must be an array of numbers, got list of <U1"),
        (
            lambda: encode.flip([[[1]]], "left"),
            ValueError,
            "axis must be one of horizontal, vertical, polarity, time, g",
        ),
        (
            lambda: encode.flip([[[1]]], "vertical"),
            ValueError,
            r"axis must be one of a recording \(C, X, T\), which has",
        ),
        (
            lambda: encode.flip([[1]], "time"),
            ValueError,
            r"events must have the axes \(C, X, T\) or \(C, H, W, T\), got",
        ),
        (
            lambda: encode.flip([[[1]]], "time", probability=0.5),
            ValueError,
            "seed must be given with a probability of ",
        ),
        (
            lambda: encode.flip(EVENT, "time"),
            ValueError,
            "size must be given to mirror a list of events, the length of",
        ),
        (
            lambda: encode.crop(EVENT, (1, 1)),
            ValueError,
            "within must be given for a list of events, which must have r",
        ),
        (lambda: encode.crop([[[[1]]]], (2, 1)), ValueError, r"size must be within the recording's \(1, 1\), got \(2,"),
        (lambda: encode.crop([[[[1]]]], 3), TypeError, r"size must be a pair \(rows, columns\), got 3"),
        (lambda: encode.crop([[[1]]], (1, 1)), ValueError, r"events must have the axes \(C, H, W, T\), got the shape"),
        (lambda: encode.rescale([[1]], 0), ValueError, "factor must be positive, got 0"),
        (lambda: encode.rescale([[1]], float("inf")), ValueError, "factor must be finite, got inf"),
    ],
)
def test_what_no_transform_takes_is_refused(call, kind, says):
    with pytest.raises(kind, match=says):
        call()
