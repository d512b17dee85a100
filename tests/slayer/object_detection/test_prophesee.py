"""Prophesee's recordings, read from files written here."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavadl_ref.slayer.object_detection.dataset import PropheseeAutomotive, utils
from lavadl_ref.slayer.object_detection.dataset.prophesee_files import EventFile, read_boxes

HEIGHT, WIDTH = 120, 160
HEADER = b"%% Data file containing CD events.\n%% Version 2\n%% Height %d\n%% Width %d\n"
FIELDS = [
    ("ts", "<u8"),
    ("x", "<f4"),
    ("y", "<f4"),
    ("w", "<f4"),
    ("h", "<f4"),
    ("class_id", "u1"),
    ("track_id", "<u4"),
]


def write_events(path, events, header=HEADER % (HEIGHT, WIDTH), kind=b"\x0c\x08"):
    """`events` are rows of (t, x, y, polarity)."""
    t, x, y, p = np.asarray(events, np.uint32).reshape(-1, 4).T
    path.write_bytes(header + kind + np.column_stack([t, x | y << 14 | p << 28]).astype("<u4").tobytes())
    return path


def write_boxes(path, boxes, fields=FIELDS):
    """`boxes` are rows of (t, x, y, w, h, class)."""
    np.save(path, np.array([(*box, 0) for box in boxes], fields))
    return path


def block(t, x, y, size, polarity=1):
    """An event at each place of a square, at time `t`."""
    return [(t, x + i, y + j, polarity) for j in range(size) for i in range(size)]


@st.composite
def recordings(draw):
    times = sorted(draw(st.lists(st.integers(0, 2**32 - 2), max_size=20)))
    rest = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(0, 1))
    return [(t, *draw(rest)) for t in times]


@given(recordings(), st.integers(0, 2**32), st.integers(0, 2**32))
def test_events_come_back(tmp_path_factory, events, begin, end):
    file = EventFile(write_events(tmp_path_factory.getbasetemp() / "events.dat", events))
    assert (len(file), file.height, file.width) == (len(events), HEIGHT, WIDTH)
    assert file.duration == (events[-1][0] + 1 if events else 0)
    found = list(zip(*(column.tolist() for column in file.between(begin, end)), strict=True))
    assert found == [event for event in events if begin <= event[0] < end]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x0c\x08", "must have a header with the size of its sensor, got none"),
        (b"% Version 2\n\x0c\x08", r"must have Height and Width, got {'Version': '2'}"),
        (b"% Height x\n% Width 3\n\x0c\x08", "must have Height and Width"),
        (HEADER % (4, 4) + b"\x0e\x08", r"8 bytes each, got \[14, 8\]"),
        (HEADER % (4, 4), r"8 bytes each, got \[\]"),
        (HEADER % (4, 4) + b"\x0c\x08" + bytes(13), "8 bytes per event, got 13 bytes"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, content, said):
    path = tmp_path / "x_td.dat"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        EventFile(path)


def test_events_outside_the_sensor_are_refused(tmp_path):
    file = EventFile(write_events(tmp_path / "x_td.dat", [(0, WIDTH, 0, 1)]))
    with pytest.raises(ValueError, match="must lie on its sensor of 160x120 pixels, got one outside"):
        file.between(0, 1)


@pytest.mark.parametrize("time", ["t", "ts"])
def test_boxes_of_old_and_new_files_are_read(tmp_path, time):
    fields = [(time if name == "ts" else name, kind) for name, kind in FIELDS]
    found = read_boxes(write_boxes(tmp_path / "x.npy", [(7, 1, 2, 3, 4, 1), (5, 5, 6, 7, 8, 0)], fields))
    assert found.tolist() == [(5, 5, 6, 7, 8, 0), (7, 1, 2, 3, 4, 1)]


def test_boxes_without_a_field_and_pickles_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(2, [("t", "u8"), ("x", "f4")]))
    with pytest.raises(ValueError, match=r"class_id, got \['t', 'x'\]"):
        read_boxes(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"y.npy must be boxes in a .npy file, got objects"):
        read_boxes(tmp_path / "y.npy")


MS = 1000
STEP = 10 * MS


@pytest.fixture
def root(tmp_path):
    """One recording of 30 steps of 10 ms: a car from step 15 on, whose box is given in steps 15 and 17."""
    (tmp_path / "label_map_dictionary.json").write_text(json.dumps({"0": "pedestrian", "4": "car"}))
    (tmp_path / "val").mkdir()
    events = [event for k in range(30) for event in block(k * STEP, 20 + k, 30, 50, k % 2)]
    write_events(tmp_path / "val" / "one_td.dat", [*events, (30 * STEP - 1, 0, 0, 0)])
    car, later = (15 * STEP, 35, 30, 50, 50, 4), (17 * STEP + 3, 37, 30, 50, 50, 4)
    left_out = [
        (2 * STEP, 22, 30, 50, 50, 4),  # too early
        (16 * STEP, 36, 30, 19, 60, 4),  # too narrow
        (16 * STEP, 36, 30, 30, 40, 4),  # too small
        (16 * STEP, 0, 30, 50, 50, 4),  # at the edge
        (16 * STEP, 36, 30, 50, 50, 3),  # of no known class
        (12 * STEP, 90, 60, 50, 50, 4),  # without events
    ]
    write_boxes(tmp_path / "val" / "one_bbox.npy", [later, car, *left_out])
    return tmp_path


def test_a_clip_begins_with_the_first_box_that_has_events(root):
    data = PropheseeAutomotive(root, delta_t=10, size=(HEIGHT, WIDTH), seq_len=4)
    assert (len(data), data.get_name(0), data.classes) == (1, "one", ["pedestrian", "car"])
    clip, annotations = data[0]
    assert (clip.shape, clip.dtype) == ((2, HEIGHT, WIDTH, 4), torch.float32)
    for t in range(4):
        brighter = (15 + t) % 2
        expected = torch.zeros(HEIGHT, WIDTH)
        expected[30:80, 35 + t : 85 + t] = 1
        assert torch.equal(clip[1 - brighter, ..., t], expected)
        assert not clip[brighter, ..., t].any()
    boxes = [a["annotation"]["object"] for a in annotations]
    assert [len(b) for b in boxes] == [1] * 4
    assert [b[0]["bndbox"]["xmin"] for b in boxes] == [35, 35, 37, 37]
    assert (boxes[0][0]["id"], boxes[0][0]["name"]) == (1, "car")


def test_frames_and_boxes_have_one_time(root):
    torch.manual_seed(0)
    data = PropheseeAutomotive(root, delta_t=10, size=(HEIGHT, WIDTH), seq_len=2, randomize_seq=True)
    starts = set()
    for _ in range(30):
        clip, annotations = data[0]
        left = annotations[0]["annotation"]["object"][0]["bndbox"]["xmin"]
        assert torch.nonzero(clip[..., 0].amax((0, 1)))[0].item() == left
        starts.add(left)
    assert starts == {35, 37}


def test_a_short_recording_is_repeated(root):
    clip, annotations = PropheseeAutomotive(root, delta_t=10, size=(HEIGHT, WIDTH), seq_len=20)[0]
    assert clip.shape[-1] == len(annotations) == 20
    assert torch.equal(clip[..., 14], clip[..., 19])
    assert not torch.equal(clip[..., 13], clip[..., 14])


def test_a_clip_is_resized_and_flipped(root):
    data = PropheseeAutomotive(root, delta_t=10, size=(HEIGHT // 2, WIDTH // 2), seq_len=2, augment_prob=1)
    clip, annotations = data[0]
    box = annotations[0]["annotation"]["object"][0]["bndbox"]
    assert (box["xmin"], box["xmax"], box["ymin"], box["ymax"]) == ((160 - 85) / 2, (160 - 35) / 2, 15, 40)
    shown = torch.nonzero(clip[..., 0].amax((0, 1)))
    assert (shown.min(), shown.max()) == (38, 62)


def test_a_recording_without_boxes_that_have_events_is_refused(root):
    with pytest.raises(
        ValueError, match=r"one_td.dat must have a step with a box of more than 1.5 events per pixel, got none"
    ):
        PropheseeAutomotive(root, delta_t=10, events_ratio=1.5)[0]


def test_errors_of_event_data_name_what_was_given(root):
    with pytest.raises(FileNotFoundError, match=r"no recording \*_td.dat in .*train"):
        PropheseeAutomotive(root, train=True)
    with pytest.raises(ValueError, match="at least 1, got 0 and 1"):
        PropheseeAutomotive(root, seq_len=0)


def test_frames_of_events_are_resized():
    frames = np.arange(2 * 4 * 6 * 2).reshape(2, 4, 6, 2)
    resized = utils.resize_events_frame(frames, (2, 9))
    for row in range(2):
        for column in range(9):
            assert np.array_equal(resized[:, row, column], frames[:, row * 4 // 2, column * 6 // 9])
    flipped = utils.fliplr_events(frames)
    assert np.array_equal(flipped[:, :, 0], frames[:, :, 5])
    assert np.array_equal(utils.fliplr_events(flipped), frames)
    assert np.array_equal(utils.fliplr_events(frames[0]), np.fliplr(frames[0]))
