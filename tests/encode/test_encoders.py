"""Encoders: what spikes tell of the numbers they were made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lavadl_ref import encode

UNIT = st.floats(0, 1, width=32)
NUMBERS = arrays.arrays(np.float64, arrays.array_shapes(max_dims=3, max_side=5), elements=UNIT)
SEEDS = st.integers(0, 2**31)


@given(NUMBERS, st.integers(1, 20), SEEDS)
def test_rates_are_drawn_from_the_seed_alone(x, steps, seed):
    spikes = encode.rate(x, steps, seed)
    assert (spikes.shape, spikes.dtype) == ((*x.shape, steps), np.float32)
    assert set(np.unique(spikes)) <= {0, 1}
    assert not spikes[x == 0].any()
    assert spikes[x == 1].all()
    np.testing.assert_array_equal(encode.rate(x, steps, np.random.default_rng(seed)), spikes)


def test_the_mean_of_a_rate_is_the_number():
    x = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(encode.rate(x, 20_000, 1).mean(-1), x, atol=0.02)
    means = np.array([0.1, 2.5, 7.0])
    counts = encode.rate(means, 20_000, 1, counts=True)
    np.testing.assert_allclose(counts.mean(-1), means, rtol=0.05)
    np.testing.assert_allclose(counts.var(-1), means, rtol=0.06)
    np.testing.assert_array_equal(counts, counts.round())


def test_a_generator_goes_on_from_call_to_call():
    drawn = np.random.default_rng(3)
    first, second = (encode.rate(np.full(50, 0.5), 20, drawn) for _ in range(2))
    assert (first != second).any()


@given(NUMBERS, st.integers(1, 30), UNIT)
def test_larger_numbers_spike_earlier(x, steps, least):
    spikes = encode.latency(x, steps, least=least)
    np.testing.assert_array_equal(spikes.sum(-1), (x > least).astype(np.float32))
    when = spikes.argmax(-1)
    fired = spikes.any(-1)
    order = np.argsort(x[fired])
    assert (np.diff(when[fired][order]) <= 0).all()
    assert (np.abs(when[fired] - (1 - x[fired]) * (steps - 1)) <= 0.5).all()


@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 30)), elements=st.integers(-999, 999)),
    st.integers(1, 400),
)
def test_the_level_of_delta_stays_within_a_threshold(x, threshold):
    x, threshold = x / 64, threshold / 64  # of binary fractions the level is exact
    spikes = encode.delta(x, threshold, graded=True)
    assert spikes.shape == (2, *x.shape)
    assert not (spikes[0] * spikes[1]).any()
    level = x[:, :1] + threshold * np.cumsum(spikes[0].astype(float) - spikes[1], -1)
    assert (np.abs(x - level) < threshold).all()
    np.testing.assert_array_equal(encode.delta(x, threshold), (spikes > 0).astype(np.float32))


@given(NUMBERS, st.integers(2, 7), st.integers(2, 20), SEEDS)
def test_populations_spike_where_their_fields_are(x, neurons, steps, seed):
    fields = encode.receptive_fields(x, neurons)
    assert fields.shape == (*x.shape, neurons)
    centres = np.linspace(0, 1, neurons)
    best = np.abs(x[..., None] - centres).min(-1)
    np.testing.assert_allclose(fields.max(-1), np.exp(-0.5 * (best * (neurons - 1)) ** 2), rtol=1e-5)
    spikes = encode.population(x, steps, neurons)
    assert spikes.shape == (*x.shape, neurons, steps)
    np.testing.assert_array_equal(spikes.sum(-1), (fields > 0.1).astype(np.float32))
    drawn = encode.population(x, steps, neurons, seed)
    assert drawn.shape == spikes.shape
    assert not drawn[fields <= 0.09].any()


def test_tensors_become_tensors_with_the_same_spikes():
    torch = pytest.importorskip("torch")
    x = np.linspace(0, 1, 12).reshape(3, 4)
    given_ = torch.from_numpy(x).requires_grad_()
    for made in (
        lambda x: encode.rate(x, 9, 4),
        lambda x: encode.rate(x, 9, 4, counts=True),
        lambda x: encode.latency(x, 9),
        lambda x: encode.delta(x, 0.05),
        lambda x: encode.population(x, 9, 5),
        lambda x: encode.population(x, 9, 5, 2),
        lambda x: encode.receptive_fields(x, 5),
    ):
        found, expected = made(given_), made(x)
        assert isinstance(found, torch.Tensor)
        assert isinstance(expected, np.ndarray)
        assert (found.dtype, found.requires_grad) == (torch.float32, False)
        np.testing.assert_array_equal(found.numpy(), expected)
    one, two = (encode.rate(x, 9, torch.Generator().manual_seed(5)) for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: encode.rate([0.5, 1.5], 4, 0), ValueError, r"x must be within \[0, 1\], got 0.5 to 1.5"),
        (lambda: encode.rate([-1], 4, 0, counts=True), ValueError, "x must be at least 0, got -1 to -1"),
        (lambda: encode.rate([0.5], 0, 0), ValueError, "steps must be at least 1, got 0"),
        (lambda: encode.rate([0.5], 2.0, 0), TypeError, r"steps must be an integer, got 2\.0"),
        (
            lambda: encode.rate([0.5], 2, None),
            TypeError,
            "seed must be an integer or a generator of NumPy or torch, go",
        ),
        (lambda: encode.rate([0.5], 2, -1), ValueError, "seed must be at least 0, got -1"),
        (lambda: encode.rate("half", 2, 0), TypeError, "x must be an array of numbers, got str of <U4"),
        (lambda: encode.rate([np.nan], 2, 0), ValueError, "x must be finite, got nan"),
        (lambda: encode.latency([2.0], 2), ValueError, r"x must be within \[0, 1\], got 2 to 2"),
        (lambda: encode.latency([1.0], 2, least=2), ValueError, r"least must be within \[0, 1\], got 2"),
        (lambda: encode.delta([1.0], 0), ValueError, "threshold must be positive, got 0"),
        (
            lambda: encode.delta(1.0, 1),
            ValueError,
            r"x must be a signal \(\*shape, T\) of at least one step, got the s",
        ),
        (lambda: encode.population([1.0], 2, 1), ValueError, "neurons must be at least 2, got 1"),
        (
            lambda: encode.population([1.0], 2, 3, low=1),
            ValueError,
            "low must be less than high, both finite, got 1 an",
        ),
        (lambda: encode.receptive_fields([1.0], 3, width=0), ValueError, "width must be positive, got 0"),
    ],
)
def test_what_no_encoder_takes_is_refused(call, kind, says):
    with pytest.raises(kind, match=says):
        call()
