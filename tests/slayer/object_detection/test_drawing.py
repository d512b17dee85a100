"""Pictures and videos of detections."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from lavadl_ref.slayer.object_detection.boundingbox import utils
from tests import PATIENCE

Image = pytest.importorskip("PIL.Image")

BOX = torch.tensor([[0.5, 0.5, 0.5, 0.5, 1, 0]])
NONE = torch.zeros(0, 6)


def test_a_box_is_drawn_on_a_copy():
    black = Image.new("RGB", (120, 100))
    objects = utils.annotation_from_tensor(BOX, {"height": 100, "width": 120}, ["car"])["annotation"]["object"]
    marked = np.asarray(utils.mark_bounding_boxes(black, objects, box_color=(255, 0, 0), thickness=1))
    assert not np.asarray(black).any()
    rows, columns = np.nonzero(marked[..., 0] == 255)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (25, 75, 30, 90)
    assert not marked[50, 60].any()
    mapped = np.asarray(utils.mark_bounding_boxes(black, objects, [(0, 0, 200)], thickness=1))
    assert tuple(mapped[75, 80]) == (0, 0, 200)


def test_boxes_beyond_the_picture_are_cut():
    frame = torch.zeros(3, 20, 20)
    outside = {"id": 0, "name": "", "bndbox": {"xmin": 30, "xmax": 40, "ymin": 30, "ymax": 40}}
    across = {"id": 0, "name": "", "bndbox": {"xmin": -30, "xmax": 40, "ymin": -30, "ymax": 40}}
    assert not np.asarray(utils.mark_bounding_boxes(frame, [outside])).any()
    assert np.asarray(utils.mark_bounding_boxes(frame, [across], thickness=1))[19, :, 1].all()


@pytest.mark.parametrize("channels", [3, 2])
def test_detections_are_left_and_targets_right(tmp_path, channels):
    clip = torch.zeros(2, channels, 60, 80, 3)
    create, write = {
        3: (utils.create_frames, utils.create_video),
        2: (utils.create_frames_events, utils.create_video_events),
    }[channels]
    found, wanted = [[NONE, BOX]] * 3, [[NONE, NONE]] * 3
    frames = create(clip, wanted, found, ["car"], batch=1, box_color_map=[(10, 200, 10)])
    assert [frame.size for frame in frames] == [(160, 60)] * 3
    green = np.asarray(frames[0])[..., 1] == 200
    assert green[:, :80].any()
    assert not green[:, 80:].any()
    path = write(clip + torch.arange(3) / 10, wanted, found, tmp_path / "clip.v1", ["car"])
    assert path == tmp_path / "clip.v1.gif"
    with Image.open(path) as moving:
        assert (moving.n_frames, moving.size) == (3, (160, 60))
    assert write(clip, wanted, found, tmp_path / "clip.png", ["car"]) == tmp_path / "clip.png"


def test_events_are_red_and_blue():
    frame = torch.zeros(2, 1, 2)
    frame[0, 0, 0] = frame[1, 0, 1] = 1
    assert np.asarray(utils.render_events_img(frame)).tolist() == [[[255, 0, 0], [0, 0, 255]]]


def test_colours_are_told_apart_and_always_the_same():
    assert len(set(utils.colors(11))) == 11
    assert utils.colors(11) == utils.colors(11)


def test_errors_of_drawing_name_what_was_given():
    with pytest.raises(ValueError, match=r"\(3, H, W\), got \(4, 2, 2\)"):
        utils.mark_bounding_boxes(torch.zeros(4, 2, 2), [])
    with pytest.raises(ValueError, match=r"values from 0 to 1, got 0.0 to 2.0"):
        utils.mark_bounding_boxes(torch.tensor([0.0, 1, 2])[:, None, None].expand(3, 2, 2), [])
    with pytest.raises(ValueError, match=r"events must be \(2, H, W\), got \(3, 1, 1\)"):
        utils.render_events_img(torch.zeros(3, 1, 1))


def test_pillow_is_needed_for_pictures_only():
    code = """
import sys
sys.modules.update(PIL=None, cv2=None, torchvision=None)
import torch
from lavadl_ref.slayer import obd
assert not any(name.split(".")[0] in ("PIL", "cv2", "torchvision") and m for name, m in sys.modules.items())
try:
    obd.bbox.utils.mark_bounding_boxes(torch.zeros(3, 4, 4), [])
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (run.stdout, run.returncode) == ('pictures need Pillow: pip install "lavadl-ref[pictures]"\n', 0), run.stderr
