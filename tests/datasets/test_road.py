"""The drawn road: its geometry against numerical integration, and its look."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

torch = pytest.importorskip("torch")

from lavadl_ref.datasets import Road, road  # noqa: E402

BENDS = road.Bends(np.array([0.01, 0.004]), np.array([0.1, 0.03]), np.array([0.3, 2.0]))
STRAIGHT = road.Bends(np.zeros(1), np.ones(1), np.zeros(1))


@pytest.mark.parametrize(("s", "z"), [(0.0, 5.0), (12.0, 40.0), (100.0, 1.0), (3.0, 0.0)])
def test_the_centre_is_the_second_integral_of_curvature(s, z):
    # the integral of (z - y) k(s + y) over y is that of the heading
    expected, _ = quad(lambda y: (z - y) * float(BENDS.curvature(np.array(s + y))), 0, z)
    assert float(BENDS.centre(np.array(s), np.array(z))) == pytest.approx(expected, abs=1e-9)


def test_steering_follows_the_sign_of_curvature():
    angles = road.steering(np.array([-0.01, 0.0, 0.01]))
    assert angles[1] == 0
    assert angles[2] == -angles[0] == pytest.approx(15 * np.arctan(0.027))


def test_a_straight_road_is_symmetric_and_seen_to_the_horizon():
    seen = road.view(STRAIGHT, np.zeros(1), np.random.default_rng(0))[..., 0]
    assert seen.shape == (3, 33, 100)
    # painted lines are the brightest of the ground, at the same places from either side
    bright = seen[:, 12:].min(0) > np.quantile(seen[:, 12:].min(0), 0.9)
    lowest = np.nonzero(bright[-1])[0]
    assert set(lowest) == {99 - column for column in lowest}


@pytest.mark.parametrize("side", [-1, 1])
def test_the_road_bends_to_the_side_it_is_steered_to(side):
    bends = road.Bends(np.array([side * 0.012]), np.array([0.02]), np.array([np.pi / 2]))
    rows, columns = 33, np.arange(100)
    z = road.HEIGHT * road.FOCUS / (np.arange(12, rows) - road.HORIZON)
    expected = 49.5 + bends.centre(np.zeros(1)[:, None], z)[0] * road.FOCUS / z
    assert np.sign(expected[0] - 49.5) == np.sign(road.steering(bends.curvature(np.zeros(1))))[0] == side
    seen = road.view(bends, np.zeros(1), np.random.default_rng(0))[..., 0]
    grass = seen[1, 12:] > seen[2, 12:] + 0.1
    # the road's middle in each row far enough down to see both edges
    for row in range(6, 10):
        tar = columns[~grass[row]]
        assert abs(tar.mean() - expected[row]) < 3, row


def test_samples_depend_on_part_seed_and_index_alone():
    data = Road(sequences=4, seed=3)
    assert len(data) == len(list(data)) == 4
    frames, angles = data[2]
    assert (frames.shape, frames.dtype, angles.shape) == ((3, 33, 100, 16), torch.float32, (16,))
    assert 0 <= float(frames.min()) < float(frames.max()) <= 1
    for other, same in ((Road(seed=3), True), (Road(train=False, seed=3), False), (Road(seed=4), False)):
        assert torch.equal(other[2][0], frames) == same
        assert torch.equal(other[2][1], angles) == same
    assert torch.equal(data[-2][0], frames)
    with pytest.raises(IndexError, match="index of Road must be at least -4 and below 4, got 4"):
        _ = data[4]


def test_angles_vary_smoothly_over_a_useful_range():
    angles = torch.stack([angles for _, angles in Road(sequences=40, sequence=32)])
    assert float(angles.diff(dim=1).abs().max()) < 0.1
    assert 0.2 < float(angles.std()) < 0.6
    assert abs(float(angles.mean())) < 0.15
    assert float((angles[:, 0] - angles[:, -1]).abs().mean()) > 0.1


def test_frames_move_with_the_car():
    frames, _ = Road(sequences=1, sequence=3)[0]
    changed = (frames[..., 1] - frames[..., 0]).abs().amax(0)
    assert float(changed[:12].max()) == 0  # the sky stands still
    assert float((changed[12:] > 0.02).float().mean()) > 0.1
