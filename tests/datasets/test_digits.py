"""scikit-learn's digits, enlarged and moved before a camera."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from sklearn.datasets import load_digits  # noqa: E402

from lavadl_ref.datasets import NMNIST, Digits, MovingDigits, moving_digits  # noqa: E402


def test_all_digits_are_in_one_part():
    train, test = Digits(size=8), Digits(train=False, size=8)
    assert (len(train), len(test)) == (1437, 360)
    numbers = np.concatenate([train.numbers, test.numbers])
    assert sorted(numbers) == list(range(1797))
    images = torch.cat([train.images, test.images])[np.argsort(numbers)]
    labels = torch.cat([train.labels, test.labels])[np.argsort(numbers)]
    # at 8x8 they are as recorded
    np.testing.assert_array_equal(images.numpy() * 16, load_digits().images)
    np.testing.assert_array_equal(labels.numpy(), load_digits().target)
    assert (train.images.dtype, train.labels.dtype) == (torch.float32, torch.int64)


def test_the_seed_decides_the_split():
    numbers = [Digits(size=8, seed=seed).numbers.tolist() for seed in (0, 0, 1)]
    assert numbers[0] == numbers[1] != numbers[2]


def test_enlarged_digits_keep_range_place_and_margin():
    small, large = Digits(size=8), Digits()
    assert large.images.shape == (1437, 28, 28)
    assert large.labels.tolist() == small.labels.tolist()
    assert 0 <= float(large.images.min()) < float(large.images.max()) <= 1
    # two pixels on every side are dark, and the centre of brightness does not move
    inner = large.images[:, 2:-2, 2:-2]
    assert inner.sum() == pytest.approx(large.images.sum())
    for axis in (1, 2):
        centre = [
            (images.sum(3 - axis) @ torch.linspace(-extent, extent, images.shape[1])) / images.sum((1, 2))
            for images, extent in ((small.images, 3.5), (large.images, 13.5 * 8 / 20))
        ]
        assert float((centre[0] - centre[1]).abs().max()) < 0.01
    picture, label = large[5]
    assert torch.equal(picture, large.images[5])
    assert label == int(large.labels[5])


def test_a_size_below_eight_is_refused():
    with pytest.raises(ValueError, match="size of Digits must be at least 8, got 7"):
        Digits(size=7)


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=30),
)
def test_a_pixel_follows_the_logarithm_of_brightness(brightness):
    """The reference, a scalar walk: an event for each step at which what is remembered is a threshold away."""
    light = np.array(brightness)
    remembered = np.log(0.1 + 0.9 * light[0])
    expected = []
    for seen in np.log(0.1 + 0.9 * light[1:]):
        sent = 1 if seen >= remembered + 0.3 else -1 if seen <= remembered - 0.3 else 0
        remembered += 0.3 * sent
        expected.append(sent)
    found = moving_digits.crossings(light[:, None, None] * np.ones((1, 2, 3)))
    assert found.shape == (len(light) - 1, 2, 3)
    assert found.dtype == np.int8
    for column in found.reshape(len(light) - 1, 6).T:
        assert column.tolist() == expected


def test_the_camera_sees_the_digit_where_it_is():
    picture = np.zeros((8, 8), np.float32)
    picture[2, 5] = 1  # right of the centre by 1.5 of 8 pixels, above it by 1.5
    centre = np.array([[0.0, 0.0], [2.0, -3.0]])
    seen = moving_digits.film(picture, centre, side=16)
    assert seen.shape == (2, 34, 34)
    for frame, (x, y) in zip(seen, centre, strict=True):
        rows, columns = frame.sum(1), frame.sum(0)
        assert rows @ np.arange(34) / rows.sum() == pytest.approx(16.5 + y - 1.5 * 2, abs=1e-4)
        assert columns @ np.arange(34) / columns.sum() == pytest.approx(16.5 + x + 1.5 * 2, abs=1e-4)


def test_the_movement_is_a_triangle():
    path = moving_digits.path(np.random.default_rng(0))
    assert path.shape == (301, 2)
    np.testing.assert_allclose(path[0], path[300])
    speed = np.linalg.norm(np.diff(path, axis=0), axis=1)
    np.testing.assert_allclose(speed, speed[0])
    turns = np.abs(np.diff(path, 2, axis=0)).sum(1) > 1e-9
    assert np.nonzero(turns)[0].tolist() == [99, 199]


def test_recordings_depend_on_seed_and_index_alone():
    data, again, other = MovingDigits(), MovingDigits(copies=2), MovingDigits(seed=1)
    assert (len(data), len(again), len(MovingDigits(train=False))) == (1437, 2874, 360)
    for index in (0, 7, 1436):
        one, two = data.event(index), again.event(index)
        for name in ("x", "y", "c", "t"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
        assert data.label(index) == again.label(index) == again.label(index + 1437)
        assert not np.array_equal(one.t, again.event(index + 1437).t)
    assert not np.array_equal(data.event(0).t, other.event(0).t)


def test_a_recording_is_like_one_of_nmnist():
    data = MovingDigits(train=False)
    digits = Digits(train=False, size=8)
    for index in range(10):
        event = data.event(index)
        assert 1500 < len(event.t) < 6000
        assert min(event.x.min(), event.y.min(), event.t.min()) >= 0
        assert max(event.x.max(), event.y.max()) < 34
        assert event.t.max() < 300
        # as much gets brighter as gets darker, in each of the three movements
        assert 0.4 < event.c.mean() < 0.6
        assert (np.bincount((event.t // 100).astype(int)) > 300).all()
        assert data.label(index) == int(digits.labels[index])
        spikes, label = data[index]
        assert (spikes.shape, label) == ((2, 34, 34, 300), data.label(index))
        assert int(spikes.sum()) == len(event.t)


def test_written_recordings_are_read_as_nmnist(tmp_path):
    data, calls = MovingDigits(train=False), []
    data.write(tmp_path / "Test", 12, lambda *call: calls.append(call))
    assert calls == [(done, 12) for done in range(1, 13)]
    read = NMNIST(tmp_path, train=False)
    assert len(read) == 12
    for place, (path, label) in enumerate(read.files):
        index = int(path.stem)
        assert label == data.label(index)
        assert torch.equal(read[place][0], data[index][0])
