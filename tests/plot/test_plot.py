"""Pictures: what is drawn are the numbers that were given, into the axes that were given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

matplotlib = pytest.importorskip("matplotlib")

from matplotlib import pyplot  # noqa: E402

from lavadl_ref import plot  # noqa: E402


@pytest.fixture(autouse=True)
def quiet():
    matplotlib.use("Agg")
    yield
    pyplot.close("all")


@pytest.fixture
def axes():
    return plot.figure()[1][0, 0]


#: Each function with arrays that it takes.
CALLS = {
    "raster": lambda axes: plot.raster(np.eye(4), axes, title="four"),
    "traces": lambda axes: plot.traces(np.eye(4), axes, spikes=np.eye(4), threshold=1.0, labels=list("abcd")),
    "rates": lambda axes: plot.rates(np.ones((2, 3, 4, 5)), axes),
    "curves": lambda axes: plot.curves({"training": [1.0, 0.5]}, axes),
    "delays": lambda axes: plot.delays([1, 2, 3], axes),
    "weights": lambda axes: plot.weights([0.1, 0.2], [0.09375, 0.1875], axes),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_picture_is_drawn_into_the_axes_that_are_given(name, axes):
    before = pyplot.get_fignums()
    assert CALLS[name](axes) is axes
    assert pyplot.get_fignums() == before
    made = CALLS[name](None)
    assert made is not axes
    assert len(pyplot.get_fignums()) == len(before) + 1
    made.figure.canvas.draw()


@pytest.mark.parametrize("neurons", [5, 400])
def test_a_raster_has_a_mark_for_each_spike(neurons, axes):
    spikes = np.random.default_rng(0).random((neurons, 30)) < 0.1
    plot.raster(spikes, axes, title="layer")
    assert axes.get_title() == f"layer: {spikes.sum():,} spikes"
    if neurons == 5:
        found = {(round(x), round((low + high) / 2)) for (x, low), (_, high) in axes.collections[0].get_segments()}
    else:
        found = set(zip(*map(list, axes.lines[0].get_data()), strict=True))
    neuron, step = np.nonzero(spikes)
    assert found == set(zip(step.tolist(), neuron.tolist(), strict=True))


def test_traces_have_dots_where_neurons_spike(axes):
    values, spikes = np.arange(8.0).reshape(2, 4), np.array([[0, 1, 0, 1], [0, 0, 0, 0]])
    plot.traces(values, axes, spikes=spikes, threshold=3.5, labels=["a", "b"], title="v")
    lines = [list(line.get_ydata()) for line in axes.lines]
    assert lines == [[0, 1, 2, 3], [1, 3], [4, 5, 6, 7], [], [3.5, 3.5]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "threshold"]


@settings(max_examples=12)
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 6), st.integers(1, 40))), st.integers(1, 12))
def test_rates_over_time_are_means_of_bins(spikes, bins):
    axes = plot.rates(spikes, bins=bins)
    means = np.asarray(axes.images[0].get_array())
    pyplot.close("all")
    assert means.shape == (len(spikes), min(bins, spikes.shape[1]))
    edges = np.unique(np.linspace(0, spikes.shape[1], means.shape[1] + 1).astype(int))
    np.testing.assert_allclose((means * np.diff(edges)).sum(1), spikes.sum(1))


def test_rates_of_frames_are_means_over_channels_and_time(axes):
    x = np.zeros((2, 3, 4, 5))
    x[0, 1, 2, :4] = 7
    plot.rates(x, axes)
    found = np.asarray(axes.images[0].get_array())
    assert found[1, 2] == pytest.approx(0.4)
    assert np.count_nonzero(found) == 1


def test_curves_leave_gaps_and_choose_their_scale(axes):
    plot.curves({"training": [1.0, None, 0.25], "testing": [2.0, 1.0, 0.5]}, axes)
    (first, second) = axes.lines
    np.testing.assert_array_equal(first.get_xydata(), [[1, 1.0], [2, np.nan], [3, 0.25]])
    assert second.get_label() == "testing"
    assert axes.get_yscale() == "log"
    assert plot.curves([0.0, 1.0]).get_yscale() == "linear"
    assert plot.curves([0.5, 1.0], ylabel="accuracy").get_yscale() == "linear"
    assert plot.curves([]).get_xlabel() == "epoch"


def test_delays_are_counted_by_whole_steps(axes):
    plot.delays([[0.0, 2.9], [2.0, 5.0]], axes, longest=7)
    assert [bar.get_height() for bar in axes.patches] == [1, 0, 2, 0, 0, 1, 0, 0]


def test_weights_are_counted_before_and_after(axes):
    trained = np.random.default_rng(0).normal(0, 0.3, 500)
    applied = np.round(trained * 32) / 32
    plot.weights(trained, applied, axes)
    assert sum(bar.get_height() for bar in axes.patches) == 500
    levels, counts = axes.lines[0].get_data()
    np.testing.assert_array_equal(levels, np.unique(applied))
    # bars are those around the levels, so that rounding leaves them as high
    heights = {round((bar.get_x() + bar.get_width() / 2) * 32): bar.get_height() for bar in axes.patches}
    assert [heights[round(level * 32)] for level in levels] == counts.tolist()


def test_frames_of_an_animation_are_the_steps():
    x = np.zeros((2, 3, 4, 5))
    x[0, 1, 2, 3] = x[1, 0, 0, 3] = 1
    shown = plot.animation(x, title="digit")
    image, heading = shown._func(3)
    picture = np.asarray(image.get_array())
    assert picture[1, 2].tolist() == [1, 0, 0]  # the first channel is red, the second blue
    assert picture[0, 0].tolist() == [0, 0, 1]
    assert (picture.sum(-1) == 3).sum() == 10
    assert heading.get_text() == "digit: step 3"
    assert "<" in shown.to_jshtml(default_mode="once")


def test_tensors_are_drawn_with_their_gradient():
    torch = pytest.importorskip("torch")
    values = torch.arange(4.0).requires_grad_()
    assert plot.traces(values).lines[0].get_ydata().tolist() == [0, 1, 2, 3]
    assert plot.curves(values).lines[0].get_ydata().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (lambda: plot.raster([1, 0]), ValueError, r"spikes must have 2 or 3 or 4 dimensions, got the shape \(2,\)"),
        (lambda: plot.raster("no"), TypeError, "spikes must be an array of numbers, got str of <U2"),
        (lambda: plot.traces([1.0], spikes=[1, 0]), ValueError, r"spikes must have the shape of values, \(1, 1\), got"),
        (lambda: plot.traces([1.0], labels=["a", "b"]), ValueError, "labels must be one for each of 1 lines, got 2"),
        (lambda: plot.rates(np.ones((2, 2)), bins=0), ValueError, "bins must be at least 1, got 0"),
        (lambda: plot.delays([-1]), ValueError, "values must be delays of at least 0 steps, got -1"),
        (lambda: plot.weights([1.0], [1.0, 2.0]), ValueError, "after must have as many weights as before, 1, got 2"),
        (lambda: plot.weights([np.inf]), ValueError, "before must be finite, got inf"),
        (lambda: plot.animation(np.ones(3)), ValueError, r"events must have 3 or 4 dimensions, got the shape \(3,\)"),
        (lambda: plot.figure(0), ValueError, "columns must be at least 1, got 0"),
        (lambda: plot.curves([[1.0]]), ValueError, "values must have 1 dimensions, got the shape"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, kind, says):
    with pytest.raises(kind, match=says):
        call()
