"""The oracle's neurons against sequences computed by hand.

A decay of 4096 forgets at once, 2048 halves, 0 keeps; sine 4096 with cosine 0 turns by a quarter.
"""

import math

import pytest

from tests.support import oracle as naive

FORGET, HALF, KEEP = 4096, 2048, 0
QUARTER, STAY, NOTHING = (4096, 0), (0, 4096), (0, 0)
TOP = 2**23 - 1


def test_the_leak_truncates_toward_zero():
    assert [naive.leak(state, HALF) for state in (3, -3, 1, -1)] == [1, -1, 0, 0]


def test_cuba_does_not_spike_at_its_threshold():
    assert naive.cuba([7, 1, 1], FORGET, KEEP, 7) == ([7, 1, 1], [7, 8, 1], [7, 0, 1], [0, 1, 0])


def test_alif_has_a_spike_at_its_level():
    """Levels 100, 104 + 100, 106 + 154, 103 + 77; the third input is 1 short."""
    (_, v, th, r, spikes), carried = naive.alif([100, 204, 259, 180], FORGET, FORGET, HALF, HALF, 100, 8)
    assert v == [100, 204, 259, 180]
    assert th == [100, 104, 106, 103]
    assert r == [0, 100, 154, 77]
    assert spikes == [1, 1, 0, 1]
    assert carried == (180, 180, 103 + 8, 77 + 2 * 103)


def test_alif_truncates_toward_zero():
    (u, v, th, r, _), _ = naive.alif([-3, 0, 0], HALF, HALF, HALF, HALF, 100, 8, th=97, r=-3)
    assert u == [-3, -1, 0]
    assert v == [-3, -2, -1]
    assert th == [99, 100, 100]
    assert r == [-1, 0, 0]


def test_alif_keeps_its_voltage_after_a_spike():
    (u, v, _, r, spikes), carried = naive.alif([50, 0, 100], FORGET, KEEP, KEEP, KEEP, 50, 0)
    assert (u, v, r) == ([50, 0, 100], [50, 50, 150], [0, 100, 100])
    assert spikes == [1, 0, 1]
    assert carried == (100, 150, 50, 200)


def test_alif_adds_its_bias_to_the_current():
    (u, v, *_), _ = naive.alif([1, 0], HALF, KEEP, KEEP, KEEP, 1000, 0, u=8, v=100, bias=4)
    assert (u, v) == ([9, 8], [109, 117])


def test_alif_has_the_widths_of_lava():
    """The current wraps, the voltage saturates, and both do not without."""
    x, parameters = [TOP, TOP], (KEEP, KEEP, KEEP, KEEP, 2**30, 0)
    (u, v, *_), _ = naive.alif(x, *parameters, loihi=True)
    assert (u, v) == ([TOP, -2], [TOP, TOP - 2])
    (u, v, *_), _ = naive.alif(x, *parameters)
    assert (u, v) == ([TOP, 2 * TOP], [TOP, 3 * TOP])
    (u, v, *_), _ = naive.alif(x, FORGET, *parameters[1:], loihi=True)
    assert (u, v) == ([TOP, TOP], [TOP, TOP])


@pytest.mark.parametrize(("threshold", "last"), [(5, 1), (6, 0)])
def test_rf_has_a_spike_when_im_turns_from_negative(threshold, last):
    """At the first step im rises to 0 too, but from 0."""
    (re, im, spikes), carried = naive.rf([5, 0, 0, 0, 0], [0] * 5, *QUARTER, threshold)
    assert re == [5, 0, -5, 0, 5]
    assert im == [0, 5, 0, -5, 0]
    assert spikes == [0, 0, 0, 0, last]
    assert carried == (5, 0)


def test_rf_compares_its_first_step_with_the_state():
    assert naive.rf([4], [0], *QUARTER, 5, im=-1) == (([5], [0], [1]), (5, 0))
    assert naive.rf([4], [-1], *QUARTER, 5, im=-1) == (([5], [-1], [0]), (5, -1))


@pytest.mark.parametrize(
    ("state", "turned"),
    [((1, -1), (0, 0)), ((3, 1), (1, 1)), ((-3, 0), (-1, -1)), ((-3, -3), (0, -2)), ((5, -5), (4, 0))],
)
def test_rf_truncates_each_product(state, turned):
    _, carried = naive.rf([0], [0], HALF, HALF, 100, *state)
    assert carried == turned


def test_rf_adds_its_bias_to_both_inputs():
    assert naive.rf([1], [2], *STAY, 100, 10, 20, bias=(100, 200))[1] == (111, 222)


def test_rf_has_the_widths_of_lava():
    """It saturates the sum, after wrapping the input in 32 bits."""
    (re, im, _), _ = naive.rf([10, -20], [-10, 20], *STAY, 2**30, TOP, -TOP, loihi=True)
    assert (re, im) == ([TOP, TOP - 20], [-TOP, 20 - TOP])
    (re, im, _), _ = naive.rf([2**31], [2**32 + 3], *STAY, 2**30, loihi=True)
    assert (re, im) == ([-TOP], [3])
    assert naive.rf([10], [-10], *STAY, 2**30, TOP, -TOP)[1] == (TOP + 10, -TOP - 10)


def test_rf_iz_is_reset_to_just_below_its_threshold():
    (re, im, spikes), carried = naive.rf_iz([3, 0, 0], [0, 0, 0], *QUARTER, 7, re=7)
    assert re == [3, -6, 0]
    assert im == [7, 0, -6]
    assert spikes == [1, 0, 0]
    assert carried == (0, -6)
    assert naive.rf_iz([3], [0], *QUARTER, 7, re=7) == (([3], [7], [1]), (0, 6))
    assert naive.rf_iz([3], [0], *QUARTER, 8, re=7) == (([3], [7], [0]), (3, 7))


def test_rf_iz_is_reset_after_saturation():
    assert naive.rf_iz([0], [10], *STAY, TOP, im=TOP, bias=(5, 0), loihi=True) == (([5], [TOP], [1]), (0, TOP - 1))


def test_adrf_has_the_adaptation_of_alif():
    """Levels 4, 4, 5 + 4, 4 + 2; a spike needs re at the level while im turns."""
    (re, im, th, r, spikes), carried = naive.adrf([9, 4, 9, 6], [-1, 0, -1, 0], *NOTHING, HALF, HALF, 4, 2)
    assert (re, im) == ([9, 4, 9, 6], [-1, 0, -1, 0])
    assert (th, r) == ([4, 4, 5, 4], [0, 0, 4, 2])
    assert spikes == [0, 1, 0, 1]
    assert carried == (6, 0, 6, 2 + 2 * 4)


def test_adrf_below_its_level_or_out_of_phase_is_silent():
    (*_, spikes), carried = naive.adrf([0, 4, 0, 5], [-1, 0, -1, 0], *NOTHING, HALF, HALF, 4, 2)
    assert spikes == [0, 1, 0, 0]
    assert carried == (5, 0, 4, 2)
    (*_, spikes), _ = naive.adrf([9, 9], [0, 0], *NOTHING, HALF, HALF, 4, 2)
    assert spikes == [0, 0]


def test_adrf_is_not_reset():
    assert naive.adrf([5], [0], *STAY, KEEP, KEEP, 4, 0, re=1, bias=(0, 1))[1] == (6, 1, 4, 0)
    assert naive.adrf([5], [2], *STAY, KEEP, KEEP, 4, 0, re=1, im=-1)[1] == (6, 1, 4, 8)


def test_adrf_iz_has_a_spike_where_im_is_at_its_level():
    """Levels 4, 5 + 4, 5 + 7; the last input is 1 short."""
    (_, im, th, r, spikes), carried = naive.adrf_iz([-9, 0, 0], [4, 9, 11], *NOTHING, HALF, HALF, 4, 2)
    assert (im, th, r) == ([4, 9, 11], [4, 5, 5], [0, 4, 7])
    assert spikes == [1, 1, 0]
    assert carried == (0, 11, 5, 7)


def test_adrf_iz_is_not_reset():
    (re, im, th, r, spikes), _ = naive.adrf_iz([3, 0], [4, 0], *STAY, FORGET, FORGET, 4, 2)
    assert (re, im) == ([3, 3], [4, 4])
    assert (th, r, spikes) == ([4, 4], [0, 0], [1, 1])


@pytest.mark.parametrize("family", [naive.adrf, naive.adrf_iz])
def test_adaptive_resonators_have_the_widths_of_lava(family):
    (re, im, *_), _ = family([10], [-10], *STAY, KEEP, KEEP, 2**30, 0, TOP, -TOP, th=7, loihi=True)
    assert (re, im) == ([TOP], [-TOP])


def test_delta_sends_at_its_threshold_and_keeps_the_rest():
    assert naive.delta([4096, 8191, 8192, 0], 1) == (([4096, 4095, 4096, -8192], [64, 0, 64, -128]), (0, 0, 0))
    assert naive.delta([4095], 1) == (([4095], [0]), (4095, 4095, 0))
    assert naive.delta([50], 1, act=20, res=7)[0] == ([37], [0])


def test_delta_loses_what_its_floor_drops():
    assert naive.delta([4097, -4097], 1) == (([4097, -8194], [64, -129]), (-4097, 0, 0))


def test_delta_sends_its_accumulated_error():
    """The second change is below threshold, but both together are not; what is sent is the second."""
    assert naive.delta([3000, 1500, 1500], 1, cum_error=True) == (([3000, 1500, 0], [0, 23, 0]), (1500, 0, 0))
    assert naive.delta([3000, 1500], 1) == (([3000, 1500], [0, 0]), (1500, 1500, 0))
    assert naive.delta([-100], 1, cum_error=True, err=-3996) == (([-100], [-2]), (-100, 0, 0))
    assert naive.delta([-100], 1, cum_error=True, err=-3995) == (([-100], [0]), (-100, -100, -4095))


def test_sigma_delta_adds_its_input_up():
    traces, carried = naive.sigma_delta([4096, 4095, 1, -8192], 1)
    assert traces == ([4096, 8191, 8192, 0], [4096, 8191, 8192, 0], [4096, 4095, 4096, -8192], [64, 0, 64, -128])
    assert carried == (0, 0, 0, 0)


def test_sigma_delta_applies_bias_then_activation():
    traces, carried = naive.sigma_delta([8192, -9000], 1, -1, "relu")
    assert traces == ([8192, -808], [4096, 0], [4096, -4096], [64, -64])
    assert carried == (-808, 0, 0, 0)
    (_, acts, *_), _ = naive.sigma_delta([-9000], 1, -1)
    assert acts == [-13096]


def test_sigma_delta_is_held_in_32_bits():
    (sigmas, acts, *_), _ = naive.sigma_delta([1], 1, sigma=2**31 - 1, loihi=True)
    assert sigmas == acts == [-(2**31)]
    (sigmas, acts, *_), _ = naive.sigma_delta([1], 1, 1, "relu", sigma=2**31 - 4097, loihi=True)
    assert (sigmas, acts) == ([2**31 - 4096], [0])
    (sigmas, _, deltas, _), _ = naive.sigma_delta([1], 1, sigma=2**31 - 1, act=-1)
    assert (sigmas, deltas) == ([2**31], [2**31 + 1])


def test_the_complex_surrogate_has_these_values():
    """With tau 1 both factors are exp(-|x|)/2, and the last is the share of that density below the distance."""
    half = math.log(2)
    assert naive.complex_surrogate(0.0, 0.0, 1, 1) == (0.25, 0)
    assert naive.complex_surrogate(half, half, 1, 1) == pytest.approx((1 / 16, -3 / 16))
    assert naive.complex_surrogate(-half, half, 1, 1) == pytest.approx((1 / 16, -1 / 16))
    assert naive.complex_surrogate(half, -half, 1, 2) == pytest.approx((1 / 8, 3 / 8))
    assert naive.complex_surrogate(-half, 0.0, 1, 1, graded=True) == pytest.approx((1 / 4, 0))
    assert naive.complex_surrogate(half, 0.0, 1, 1, graded=True) == pytest.approx((1 / 2, 0))
