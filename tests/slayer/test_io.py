"""Events to and from tensors, files and pictures."""

import subprocess
import sys

import hypothesis.strategies as st
import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis.extra import numpy as npst

from lavadl_ref import datasets
from lavadl_ref.slayer import io
from lavadl_ref.slayer.io import Event
from lavadl_ref.slayer.object_detection.dataset import MovingShapes
from tests import PATIENCE

matplotlib.use("Agg")


def same(actual, expected):
    """Tell whether two events have exactly the same columns."""
    pairs = [(getattr(actual, name), getattr(expected, name)) for name in ("x", "y", "c", "t", "p")]
    return all((a is None and b is None) or np.array_equal(a, b) for a, b in pairs)


@st.composite
def events(draw, dim=None, graded=None, x=300, channels=3, last=2**23 - 1):
    """Events at whole microseconds."""
    dim = draw(st.sampled_from([1, 2])) if dim is None else dim
    graded = draw(st.booleans()) if graded is None else graded
    count = draw(st.integers(0, 12))

    def column(maximum):
        return draw(npst.arrays(np.int64, count, elements=st.integers(0, maximum)))

    payload = draw(npst.arrays(np.float64, count, elements=st.floats(-1e6, 1e6))) if graded else None
    return Event(column(x), column(x) if dim == 2 else None, column(channels - 1), column(last) / 1000, payload)


def naive(event, shape, sampling_time, mode):
    """The tensor (C, H, W, T) of an event, one spike after the other."""
    out = np.zeros(shape)
    for k in range(len(event.x)):
        row = 0 if event.y is None else event.y[k]
        at = (event.c[k], row, event.x[k], round(event.t[k] / sampling_time))
        if all(0 <= i < n for i, n in zip(at, shape, strict=True)):
            if event.p is not None:
                out[at] += event.p[k] / sampling_time
            elif mode == "SUM":
                out[at] += 1 / sampling_time
            else:
                out[at] = 1 / sampling_time
    return out


# -- the constructor ------------------------------------------------------------------------------


def test_channels_stay_and_the_caller_keeps_its_arrays():
    """A recording of one polarity keeps it."""
    x, c, t = np.array([3, 1]), np.array([1, 1]), np.array([0.5, 2.0])
    event = Event(x, None, c, t)
    assert event.c.tolist() == [1, 1]
    event.x += 1
    event.c += 1
    event.t += 1
    assert (x.tolist(), c.tolist(), t.tolist()) == ([3, 1], [1, 1], [0.5, 2.0])


@pytest.mark.parametrize("make", [list, tuple, np.array, torch.tensor])
def test_any_sequence_is_taken(make):
    event = Event(make([3, 1]), make([0, 7]), make([0, 1]), make([0.5, 2.0]), make([1.0, -2.0]))
    assert [column.dtype for column in (event.x, event.y, event.c, event.t, event.p)] == [np.int64] * 3 + [
        np.float64
    ] * 2
    assert (event.x.tolist(), event.y.tolist(), event.c.tolist()) == ([3, 1], [0, 7], [0, 1])
    assert (event.t.tolist(), event.p.tolist(), event.dim, event.graded) == ([0.5, 2.0], [1.0, -2.0], 2, True)


def test_an_event_may_have_one_dimension():
    event = Event([1], None, [0], [1])
    assert (event.dim, event.graded, event.y, event.p) == (1, False, None, None)
    assert Event([1], np.array(None), [0], [1]).dim == 1


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (([1.5], None, [0], [0]), ValueError, "x_event must hold integers.*1.5"),
        (([1], [float("nan")], [0], [0]), ValueError, "y_event must be finite.*nan"),
        (([1], None, [-1], [0]), ValueError, "channels must be at least 0, got -1"),
        (([1], None, [0], [float("inf")]), ValueError, "t_event must be finite"),
        (([1], None, [0], [0], [float("nan")]), ValueError, "payload must be finite"),
        (([1, 2], None, [0], [0]), ValueError, "one length.*'x': 2, 'c': 1"),
        (([1], None, [0], [0], [1, 2]), ValueError, "one length.*'p': 2"),
        (([[1]], None, [0], [0]), ValueError, r"one axis, got shape \(1, 1\)"),
        ((["a"], None, [0], [0]), TypeError, "x_event must hold real numbers"),
        (([2**53 + 1], None, [0], [0]), ValueError, "x_event must .*2\\^53"),
    ],
)
def test_errors_of_an_event_name_what_was_given(columns, error, message):
    with pytest.raises(error, match=message):
        Event(*columns)


# -- tensors --------------------------------------------------------------------------------------


@given(
    event=events(x=5, last=8000),
    sampling_time=st.sampled_from([1, 2, 0.5, 0.3]),
    mode=st.sampled_from(["OR", "SUM"]),
    shape=st.tuples(st.integers(2, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 10)),
    dtype=st.sampled_from([np.float64, torch.float64]),
)
def test_a_tensor_is_filled_spike_by_spike(event, sampling_time, mode, shape, dtype):
    grid = torch.zeros(shape, dtype=dtype) if dtype is torch.float64 else np.zeros(shape)
    filled = event.fill_tensor(grid, sampling_time, binning_mode=mode)
    assert filled is grid
    expected = naive(event, shape, sampling_time, mode)
    if event.graded:
        np.testing.assert_allclose(np.asarray(filled), expected, rtol=1e-12, atol=1e-6)
    elif mode == "OR":
        assert np.array_equal(filled, expected)
    else:
        # A quotient of a sum against a sum of quotients.
        np.testing.assert_allclose(np.asarray(filled), expected, rtol=1e-12)


def test_duplicates_add_up_with_sum_and_count_once_with_or():
    event = Event([1, 1, 1, 0], None, [0, 0, 0, 1], [2.0, 2.4, 1.6, 0.0])
    assert event.fill_tensor(torch.zeros(2, 1, 2, 4), binning_mode="SUM")[0, 0, 1, 2] == 3
    assert event.fill_tensor(np.zeros((2, 2, 4)), binning_mode="SUM")[0, 1, 2] == 3
    assert event.fill_tensor(torch.zeros(2, 1, 2, 4))[0, 0, 1, 2] == 1


def test_payloads_add_up_in_every_mode():
    event = Event([1, 1], None, [0, 0], [2.0, 2.0], [3, -0.5])
    assert event.to_tensor()[0, 1, 2] == 2.5
    assert event.to_tensor(sampling_time=2)[0, 1, 1] == 1.25


@pytest.mark.parametrize("payload", [None, [1, 1]])
def test_a_payload_of_one_is_no_payload(payload):
    tensor = Event([0, 1], None, [0, 0], [0, 4], payload).to_tensor(sampling_time=0.5)
    assert tensor.tolist() == [[[2, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 2]]]


def test_elements_without_an_event_keep_their_value():
    event = Event([1], None, [0], [1])
    assert event.fill_tensor(np.full((1, 2, 2), 5.0)).tolist() == [[[5, 5], [5, 1]]]
    assert event.fill_tensor(np.full((1, 2, 2), 5.0), binning_mode="SUM").tolist() == [[[5, 5], [5, 6]]]


def test_one_channel_takes_a_recording_of_one_channel():
    event = Event([0, 1], None, [1, 1], [0, 1])
    assert event.to_tensor(dim=(1, 2, 2)).tolist() == [[[1, 0], [0, 1]]]
    assert event.to_tensor().tolist() == [[[0, 0], [0, 0]], [[1, 0], [0, 1]]]
    mixed = Event([0, 1], None, [0, 1], [0, 1])
    assert mixed.to_tensor(dim=(1, 2, 2)).tolist() == [[[1, 0], [0, 0]]]


def test_augmented_coordinates_are_rounded_and_what_leaves_is_left_out():
    event = Event([0, 1, 2], [0, 1, 2], [0, 0, 0], [0, 1, 2])
    event.x = event.x * 0.8 - 0.7
    event.t = event.t - 1
    filled = event.fill_tensor(torch.zeros(1, 3, 3, 3))
    assert filled.nonzero().tolist() == [[0, 1, 0, 0], [0, 2, 1, 1]]
    with pytest.raises(ValueError, match="at least 0 without dim, got a negative one"):
        event.to_tensor()


@pytest.mark.parametrize("sampling_time", [1, 2, 0.5])
def test_random_shift_cuts_silence_and_no_event(sampling_time):
    event = Event([0, 1], None, [0, 0], [5 * sampling_time, 7 * sampling_time])
    np.random.seed(3)  # noqa: NPY002
    starts = set()
    for _ in range(100):
        at = event.fill_tensor(torch.zeros(1, 2, 12), sampling_time, random_shift=True).nonzero()[:, 2].tolist()
        assert at[1] - at[0] == 2
        starts.add(at[0])
    assert starts == {1, 2, 3, 4, 5}


def test_a_random_shift_needs_silence():
    assert Event([0], None, [0], [0.2]).fill_tensor(torch.zeros(1, 1, 2), random_shift=True)[0, 0, 0] == 1


@pytest.mark.parametrize("y", [None, []])
def test_an_event_may_hold_no_events(y):
    event = Event([], y, [], [])
    tensor = event.to_tensor()
    assert (tensor.shape, tensor.sum()) == ((1,) * (3 if y is None else 4), 0)
    assert event.fill_tensor(torch.zeros(2, 1, 2, 3), random_shift=True, binning_mode="SUM").sum() == 0
    again = io.tensor_to_event(tensor)
    assert (len(again.x), again.dim, again.graded) == (0, event.dim, False)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float32])
def test_a_tensor_of_any_real_dtype_is_filled(dtype):
    filled = Event([0, 1], None, [0, 0], [0, 1]).fill_tensor(torch.zeros(1, 2, 2, dtype=dtype))
    assert filled.dtype is dtype
    assert same(io.tensor_to_event(filled), Event([0, 1], None, [0, 0], [0, 1]))


@pytest.mark.parametrize(
    ("grid", "payload", "sampling_time", "message"),
    [
        (np.zeros((1, 1, 1), np.int32), [1], 2, "must have a dtype that holds the value 0.5, got int32"),
        (np.zeros((1, 1, 1), np.uint8), [256], 1, "must have a dtype that holds the value 256.0, got uint8"),
        (torch.zeros(1, 1, 1, dtype=torch.bool), [2], 1, "must have a dtype that holds the value 2.0, got torch.bool"),
        (
            torch.zeros(1, 1, 1, dtype=torch.float16),
            [1e6],
            1,
            "must have a dtype that holds the value 1000000.0, got torch.float16",
        ),
        (np.zeros((1, 1)), [1], 1, r"must have axes \(C, X, T\) or \(C, 1, X, T\).*\(1, 1\)"),
        (torch.zeros(1, 1, 0), [1], 1, r"and an element, got \(1, 1, 0\)"),
        (np.zeros((1, 1, 1)), [1], 0, "sampling_time must be greater than 0"),
    ],
)
def test_a_tensor_that_cannot_hold_the_events_is_refused(grid, payload, sampling_time, message):
    with pytest.raises(ValueError, match=message):
        Event([0], None, [0], [0], payload).fill_tensor(grid, sampling_time)


def test_arguments_of_event_functions_are_checked():
    event = Event([0], [0], [0], [0])
    with pytest.raises(ValueError, match="binning_mode must be one of 'OR', 'SUM', got 'XOR'"):
        event.fill_tensor(np.zeros((1, 1, 1, 1)), binning_mode="XOR")
    with pytest.raises(TypeError, match="empty_tensor must be a real tensor or array, got list"):
        event.fill_tensor([[[[0]]]])
    with pytest.raises(ValueError, match=r"2-D recording must have axes \(C, H, W, T\)"):
        event.fill_tensor(np.zeros((1, 1, 1)))
    event.c = [-1]
    with pytest.raises(ValueError, match="channels must be at least 0"):
        event.to_tensor()


tensors = npst.arrays(
    np.float32,
    npst.array_shapes(min_dims=3, max_dims=4, max_side=4),
    elements=st.sampled_from([0.0, 0.0, 1.0, 0.5, -3.0, 1e-3]),
)


@given(tensors, st.sampled_from([1, 0.5, 0.3, 7]), st.booleans())
@example(np.ones((2, 2, 3), np.float32) / np.float32(0.3), 0.3, True)
def test_a_tensor_comes_back_from_its_events(tensor, sampling_time, as_torch):
    event = io.tensor_to_event(torch.from_numpy(tensor) if as_torch else tensor, sampling_time)
    assert event.dim == tensor.ndim - 2
    assert np.array_equal(event.fill_tensor(np.zeros_like(tensor), sampling_time), tensor)
    assert event.graded == (not np.isin(tensor, [0, np.float32(1 / sampling_time)]).all())


@given(events(x=6, last=20_000, graded=True), st.sampled_from([1, 0.5, 2]))
def test_events_come_back_from_their_tensor(event, sampling_time):
    event.t = np.round(event.t) * sampling_time
    event.p = np.round(event.p) + 0.5
    tensor = event.to_tensor(sampling_time)
    again = io.tensor_to_event(tensor, sampling_time)
    assert np.array_equal(again.fill_tensor(np.zeros_like(tensor), sampling_time), tensor)


def test_tensor_to_event_refuses():
    with pytest.raises(ValueError, match=r"\(C, X, T\) or \(C, H, W, T\), got shape \(2, 2\)"):
        io.tensor_to_event(torch.zeros(2, 2))
    with pytest.raises(TypeError, match="got list"):
        io.tensor_to_event([[[1]]])
    with pytest.raises(ValueError, match="finite"):
        io.tensor_to_event(torch.full((1, 1, 1), float("nan")))


# -- files ----------------------------------------------------------------------------------------


@given(event=events(dim=1, graded=False, x=2**16 - 1, channels=2))
@example(event=Event([300, 65535], None, [1, 1], [8388.607, 0.001]))
def test_events_come_back_from_a_1d_file(tmp_path_factory, event):
    path = tmp_path_factory.getbasetemp() / "events.bs1"
    io.encode_1d_spikes(path, event)
    assert same(io.read_1d_spikes(path), event)


@given(event=events(dim=2, graded=False, x=255, channels=2))
@example(event=Event([255, 0], [0, 255], [1, 1], [8388.607, 0.001]))
def test_events_come_back_from_a_2d_file(tmp_path_factory, event):
    path = tmp_path_factory.getbasetemp() / "events.bs2"
    io.encode_2d_spikes(path, event)
    assert same(io.read_2d_spikes(path), event)


def test_the_formats_have_these_bytes(tmp_path):
    """16 bits of neuron, or 8 and 8 of x and y; polarity; 23 bits of microseconds."""
    path = tmp_path / "events"
    io.encode_1d_spikes(path, Event([0x1234], None, [1], [0x7654 / 1000]))
    assert path.read_bytes().hex() == "1234807654"
    io.encode_2d_spikes(path, Event([0x12], [0x34], [0], [0x123456 / 1000]))
    assert path.read_bytes().hex() == "1234123456"


@pytest.mark.parametrize(
    ("encode", "columns", "message"),
    [
        (io.encode_1d_spikes, ([65536], None, [0], [0]), r"x of td_event must be in \[0, 65535\].*65536"),
        (io.encode_1d_spikes, ([-1], None, [0], [0]), r"x of td_event .*-1"),
        (io.encode_1d_spikes, ([0], None, [2], [0]), r"c of td_event must be in \[0, 1\].*2"),
        (io.encode_1d_spikes, ([0], None, [0], [8388.608]), r"t of td_event must be in \[0, 8388.607\] ms.*8388.608"),
        (io.encode_1d_spikes, ([0], None, [0], [-1]), "t of td_event"),
        (io.encode_1d_spikes, ([0], None, [0], [0], [2]), "no payload in this format, got a graded Event"),
        (io.encode_1d_spikes, ([0], [0], [0], [0]), "must be 1-D in this format, got a 2-D"),
        (io.encode_2d_spikes, ([0], None, [0], [0]), "must be 2-D in this format, got a 1-D"),
        (io.encode_2d_spikes, ([256], [0], [0], [0]), r"x of td_event must be in \[0, 255\]"),
        (io.encode_2d_spikes, ([0], [256], [0], [0]), r"y of td_event must be in \[0, 255\]"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_before_writing(tmp_path, encode, columns, message):
    with pytest.raises(ValueError, match=message):
        encode(tmp_path / "events", Event(*columns))
    assert not (tmp_path / "events").exists()


@pytest.mark.parametrize("encode", [io.encode_1d_spikes, io.encode_2d_spikes, io.encode_np_spikes])
def test_objects_that_are_no_events_are_not_written(tmp_path, encode):
    with pytest.raises(TypeError, match="td_event must be an Event, got list"):
        encode(tmp_path / "events", [1, 2])


@pytest.mark.parametrize("read", [io.read_1d_spikes, io.read_2d_spikes])
def test_an_event_file_cut_short_is_refused(tmp_path, read):
    (tmp_path / "events").write_bytes(b"1234567")
    with pytest.raises(ValueError, match="must hold 5 bytes per event, got 7"):
        read(tmp_path / "events")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent")


@given(event=events(), fmt=st.permutations("xypt").map("".join))
def test_events_come_back_from_an_np_file(tmp_path_factory, event, fmt):
    path = tmp_path_factory.getbasetemp() / "events.npy"
    io.encode_np_spikes(path, event, fmt)
    assert same(io.read_np_spikes(path, fmt), event)


def test_np_file_without_payload_is_a_plain_array(tmp_path):
    io.encode_np_spikes(tmp_path / "a", Event([3, 1], [2, 0], [0, 1], [5, 6.5]))
    array = np.load(tmp_path / "a.npy")
    assert (array.dtype, array.tolist()) == (np.float64, [[3, 2, 0, 5], [1, 0, 1, 6.5]])
    io.encode_np_spikes(tmp_path / "a", Event([3, 1], None, [0, 1], [5, 6.5]), fmt="txp")
    assert np.load(tmp_path / "a.npy").tolist() == [[5, 3, 0], [6.5, 1, 1]]


def test_an_np_file_with_payload_has_named_columns(tmp_path):
    io.encode_np_spikes(tmp_path / "a", Event([3, 1], None, [0, 1], [5, 6.5], [0.25, -7]))
    array = np.load(tmp_path / "a.npy")
    assert array.dtype.names == ("x", "p", "t", "payload")
    assert array.tolist() == [(3, 0, 5, 0.25), (1, 1, 6.5, -7)]


def test_the_time_unit_is_the_same_to_reader_and_writer(tmp_path):
    path = tmp_path / "a.npy"
    event = Event([3], [2], [1], [1.5])
    io.encode_np_spikes(path, event, time_unit=1e-6)
    assert np.load(path)[0, 3] == 1500
    assert io.read_np_spikes(path, time_unit=1e-6).t[0] == pytest.approx(1.5, rel=1e-15)
    np.save(path, np.array([[3, 2, 1, 1500]], np.int16))
    assert io.read_np_spikes(path, time_unit=1e-6).t[0] == pytest.approx(1.5, rel=1e-15)


@pytest.mark.parametrize(
    ("array", "fmt", "message"),
    [
        (np.zeros((2, 5)), "xypt", r"a.npy must hold an array \(M, 3\) or \(M, 4\), got shape \(2, 5\)"),
        (np.zeros(4), "xypt", r"got shape \(4,\)"),
        (np.zeros((2, 4)), "xpt", "fmt must name the column y"),
        (np.zeros((2, 4)), "xyp", "fmt must be the letters x, y, p and t.*'xyp'"),
        (np.zeros((2, 4)), "xypy", "fmt must be the letters"),
        (np.full((2, 4), 0.5), "xypt", "a.npy: x_event must hold integers.*0.5"),
        (np.full((2, 4), -1), "xypt", "a.npy: channels must be at least 0"),
        (np.full((2, 4), "a"), "xypt", "a.npy: t must hold real numbers"),
        (np.zeros(2, [("x", int), ("t", float)]), "xypt", "must hold .* the fields x, y, p, t and payload"),
        (np.zeros(2, [(name, int) for name in "xptq"]), "xypt", "got shape .* x, p, t, q"),
        (np.array([[None] * 4]), "xypt", "a.npy must be events in a .npy file, got objects"),
    ],
)
def test_an_array_of_something_else_is_refused(tmp_path, array, fmt, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=message):
        io.read_np_spikes(tmp_path / "a.npy", fmt)


@pytest.mark.parametrize("name", ["input.bs1", "output.bs1"])
def test_recorded_event_files_are_written_as_they_were(data, tmp_path, name):
    """Written again they are the same bytes, their one polarity included."""
    path = data / "oxford" / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    event = io.read_1d_spikes(path)
    assert (set(event.c), event.x.max() < 200, event.t.max() < 2000) == ({1}, True, True)
    io.encode_1d_spikes(tmp_path / name, event)
    assert (tmp_path / name).read_bytes() == path.read_bytes()
    tensor = event.fill_tensor(torch.zeros(1, 1, 200, 2000))
    steps = {(int(x), round(t)) for x, t in zip(event.x, event.t, strict=True) if round(t) < 2000}
    assert tensor.sum() == len(steps)


# -- pictures -------------------------------------------------------------------------------------

SHOWN = {
    "1d": ([3, 1, 3], None, [0, 1, 0], [0.0, 120.0, 80.0]),
    "1d graded": ([3, 1, 3], None, [0, 1, 0], [0.0, 120.0, 80.0], [0.5, -2, 1]),
    "2d": ([3, 1, -1], [2, 0, 1], [0, 1, 12], [0.0, 120.0, 80.0]),
    "2d graded": ([3, 1, 3], [2, 0, 1], [0, 1, 0], [0.0, 120.0, 80.0], [0.5, -2, 1]),
    "1d none": ([], None, [], []),
    "2d none": ([], [], [], [], []),
}


@pytest.fixture
def plt():
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


@pytest.mark.parametrize("pre_compute_frames", [True, False])
@pytest.mark.parametrize("name", SHOWN)
def test_animation_has_a_frame_for_each_span(plt, tmp_path, name, pre_compute_frames):
    from PIL import Image

    event = Event(*SHOWN[name])
    animation = event.anim(frame_rate=20, pre_compute_frames=pre_compute_frames)
    animation.save(tmp_path / "a.gif", writer="pillow", dpi=40)
    frames = int(np.max(event.t, initial=0) // 50) + 1
    with Image.open(tmp_path / "a.gif") as image:
        # Equal neighbours, as of no events, are stored once.
        assert getattr(image, "n_frames", 1) == frames


def drawn(animation, index):
    """The pixels of a frame of a 2-D animation that are not black."""
    (image,) = animation._func(index)
    left, _, _, top = image.get_extent()
    rows, columns = np.nonzero(np.asarray(image.get_array()).any(axis=2))
    return {(int(x + left + 0.5), int(y + top + 0.5)) for x, y in zip(columns, rows, strict=True)}


@pytest.mark.parametrize("pre_compute_frames", [True, False])
def test_a_2d_frame_shows_the_events_within_it(plt, pre_compute_frames):
    animation = Event(*SHOWN["2d"]).anim(frame_rate=20, pre_compute_frames=pre_compute_frames)
    animation._fig.canvas.draw()
    assert [drawn(animation, k) for k in range(3)] == [{(3, 2)}, {(-1, 1)}, {(1, 0)}]


@pytest.mark.parametrize("pre_compute_frames", [True, False])
def test_a_1d_frame_shows_the_events_so_far(plt, pre_compute_frames):
    animation = Event(*SHOWN["1d"]).anim(frame_rate=20, pre_compute_frames=pre_compute_frames)
    animation._fig.canvas.draw()
    seen = [animation._func(k)[0].get_offsets().tolist() for k in range(3)]
    assert seen == [[[0, 3]], [[0, 3], [80, 3]], [[0, 3], [80, 3], [120, 1]]]


def test_channels_differ_in_colour_and_payloads_in_brightness(plt):
    animation = Event([0, 1, 2], [0, 0, 0], [0, 1, 0], [0, 0, 0], [2, 2, 1]).anim()
    animation._fig.canvas.draw()
    (image,) = animation._func(0)
    first, other, weak = image.get_array()[0]
    assert not np.array_equal(first, other)
    assert np.allclose(weak, first / 2)


@pytest.mark.parametrize("name", SHOWN)
def test_events_are_shown_without_a_window(plt, name):
    figure = plt.figure()
    assert Event(*SHOWN[name]).show(figure, frame_rate=10) is None
    assert len(figure.axes) == 1
    Event(*SHOWN["1d"]).show(fig=figure)
    assert len(figure.axes) == 1


def test_frame_rate_is_checked(plt):
    with pytest.raises(ValueError, match="frame_rate must be greater than 0"):
        Event(*SHOWN["1d"]).show(frame_rate=0)


def test_matplotlib_is_imported_for_pictures_alone():
    code = "import sys, lavadl_ref.slayer.io; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("power", range(-9, -2))
def test_a_step_and_a_half_stays_one_in_every_unit(tmp_path, power):
    """Times at x.5 of a step, in units of 10**power seconds: half to even."""
    halves = np.arange(1, 4001, 2)
    rows = np.zeros((halves.size, 3))
    rows[:, 2] = halves * 10.0 ** -(power + 3) / 2
    np.save(tmp_path / "a.npy", rows)
    event = io.read_np_spikes(tmp_path / "a.npy", time_unit=float(f"1e{power}"))
    np.testing.assert_array_equal(event.t, halves / 2)
    below = halves // 2
    steps = np.flatnonzero(event.to_tensor(dim=(1, 1, 2001)))
    np.testing.assert_array_equal(steps, np.unique(below + below % 2))
    io.encode_np_spikes(tmp_path / "b.npy", event, time_unit=float(f"1e{power}"))
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), rows)


# -- what no memory holds --------------------------------------------------------------------------------------------

ONE = Event([3], [4], [1], [5.0])
LATE = Event([3], [4], [1], [8388.607])
FAR = Event([2**40], [4], [1], [5.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LATE.to_tensor(1e-9), r"would have 2x5x4x8.389e\+12 elements and take .* GiB, more than 16"),
        (lambda: LATE.to_tensor(1e-9), r"is 1e-09 ms, c, y, x and t of the Event reach 1, 4, 3 and 8388.61 ms"),
        (lambda: ONE.to_tensor(5e-324), r"sampling_time must be long enough for an event at 5.0 ms, got 5e-324 ms"),
        (lambda: ONE.fill_tensor(np.zeros((2, 5, 4, 6)), 5e-324), r"sampling_time must be long enough for an event"),
        (FAR.to_tensor, r"c, y, x and t of the Event reach 1, 4, 1.09951e\+12 and 5 ms"),
        (lambda: ONE.to_tensor(dim=(2, 2**20, 2**20, 10)), r"take 1.638e\+05 GiB, more than 16: dim is \(2, 10485"),
        (lambda: ONE.to_tensor(dim=(2, 10**30, 5, 6)), r"2x1e\+30x5x6 elements"),
        (lambda: ONE.to_tensor(dim=(2, -5, 5, 6)), r"dim must be at least 0, got -5"),
        (lambda: ONE.to_tensor(dim=5), r"dim must be \(C, X, T\) or \(C, H, W, T\), got 5"),
        (lambda: ONE.to_tensor(dim=(1,) * 40), r"dim must be \(C, X, T\) or"),
        (lambda: Event([1], None, [0], [1e15]).anim(), r"1,000,000 frames, got 2.4e\+13 with frame_rate 24.0"),
        (lambda: ONE.anim(frame_rate=1e308), r"got inf with frame_rate 1e\+308"),
        (lambda: Event([0, 2**20], [0, 2**20], [0, 0], [0, 1]).anim(), r"1048577x1048577 pixels in 1 frames"),
        (lambda: datasets.WrittenSpikes(steps=10**12), "GiB, more than 16: neurons is 200 and steps is 10{12}"),
        (lambda: datasets.XOR(10**12), r"XOR would have 4x2x1e\+12 elements"),
        (lambda: datasets.Digits(size=10**6), "size is 1000000"),
        (lambda: datasets.Road(sequence=10**9)[0], "sequence is 1000000000"),
        (lambda: datasets.MovingDigits(steps=10**9), "steps is 1000000000"),
        (lambda: MovingShapes(size=(10**6, 10**6)), r"size is \(1000000, 1000000\)"),
    ],
)  # fmt: skip
def test_what_takes_more_than_memory_is_refused_before(make, message):
    with pytest.raises(ValueError, match=message) as refused:
        make()
    assert "\n" not in str(refused.value)


@given(
    columns=st.lists(st.tuples(*[st.integers(0, 2**62)] * 3, st.floats(0, 1e300)), min_size=1, max_size=3),
    sampling_time=st.floats(5e-324, 1e300),
)
def test_events_become_a_right_tensor_or_one_error(columns, sampling_time):
    try:
        event = Event(*zip(*columns, strict=True))
        tensor = event.to_tensor(sampling_time)
    except (ValueError, MemoryError) as error:
        said = str(error)
    else:
        said = ""
        assert tensor.nbytes <= 2**34
    assert "\n" not in said
