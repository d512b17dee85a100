"""BDD100K, read from files written here."""

import json

import numpy as np
import pytest
import torch

from lavadl_ref.slayer.object_detection.dataset import BDD, utils

Image = pytest.importorskip("PIL.Image")

HEIGHT, WIDTH = 20, 40


@pytest.fixture
def root(tmp_path):
    """Two videos, of 4 and of 2 frames; frame k is grey of 20 k, with a white block on the left."""
    labels, images = tmp_path / "labels" / "box_track_20" / "val", tmp_path / "images" / "track" / "val"
    labels.mkdir(parents=True)
    for video, frames in (("b", 4), ("a", 2)):
        (images / video).mkdir(parents=True)
        listed = []
        for k in range(frames):
            pixels = np.full((HEIGHT, WIDTH, 3), 20 * k, np.uint8)
            pixels[5:15, 4:12] = 255
            Image.fromarray(pixels).save(images / video / f"{video}-{k}.png")
            box = {"category": "car", "box2d": {"x1": 4, "y1": 5, "x2": 12, "y2": 15}}
            other = {"category": "bus", "box2d": {"x1": 20, "y1": 0, "x2": 24, "y2": 4}}
            listed.append({"name": f"{video}-{k}.png", "labels": [box, other] if k else [box]})
        listed.append({"name": f"{video}-{frames - 1}.png", "labels": None})
        (labels / f"{video}.json").write_text(json.dumps(listed))
    return tmp_path


def grey(clip):
    """The background of each frame, in 20ths of a byte."""
    return (clip[0, 0, -1] * 255 / 20).round().int().tolist()


def test_a_clip_has_frames_and_annotations(root):
    data = BDD(root, size=(HEIGHT, WIDTH), seq_len=3)
    assert (len(data), data.ids, data.classes, data.idx_map) == (2, ["a", "b"], ["bus", "car"], {"bus": 0, "car": 1})
    clip, annotations = data[1]
    assert (clip.shape, clip.dtype) == ((3, HEIGHT, WIDTH, 3), torch.float32)
    assert grey(clip) == [0, 1, 2]
    assert clip[:, 10, 8].eq(1).all()
    assert [[o["name"] for o in a["annotation"]["object"]] for a in annotations] == [
        ["car"],
        ["car", "bus"],
        ["car", "bus"],
    ]
    assert annotations[0]["annotation"]["object"][0] == {
        "id": 1,
        "name": "car",
        "bndbox": {"xmin": 4, "ymin": 5, "xmax": 12, "ymax": 15},
    }


def test_a_short_video_is_repeated_and_each_frame_resized_once(root):
    clip, annotations = BDD(root, size=(HEIGHT // 2, WIDTH // 2), seq_len=6, randomize_seq=True)[0]
    assert grey(clip) == [0, 1, 1, 1, 1, 1]
    assert [a["annotation"]["size"] for a in annotations] == [{"height": 10, "width": 20}] * 6
    assert annotations[0]["annotation"]["object"][0]["bndbox"] == {"xmin": 2, "ymin": 2.5, "xmax": 6, "ymax": 7.5}
    assert annotations[1]["annotation"]["object"][0] == annotations[0]["annotation"]["object"][0]
    assert [a["annotation"]["object"] for a in annotations[2:]] == [[]] * 4


def test_a_repeated_frame_is_flipped_once(root):
    path = root / "labels" / "box_track_20" / "val" / "a.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:2]))
    _, annotations = BDD(root, size=(HEIGHT, WIDTH), seq_len=6, augment_prob=1)[0]
    lefts = [[entry["bndbox"]["xmin"] for entry in a["annotation"]["object"]] for a in annotations]
    assert lefts == [[28], *[[28, 16]] * 5]


def test_every_start_that_fits_is_drawn(root):
    torch.manual_seed(0)
    data = BDD(root, size=(HEIGHT, WIDTH), seq_len=3, randomize_seq=True)
    assert {tuple(grey(data[1][0])) for _ in range(30)} == {(0, 1, 2), (1, 2, 3), (2, 3, 3)}


def test_boxes_follow_a_flip_and_all_frames_are_changed_alike(root):
    torch.manual_seed(1)
    plain, _ = BDD(root, size=(HEIGHT, WIDTH), seq_len=3)[1]
    clip, annotations = BDD(root, size=(HEIGHT, WIDTH), seq_len=3, augment_prob=1)[1]
    box = annotations[0]["annotation"]["object"][0]["bndbox"]
    assert (box["xmin"], box["xmax"]) == (28, 36)
    bright = clip[0, ..., 0] > 0.5
    assert bright[7:13, 30:34].all()
    assert not bright[:, :20].any()
    assert torch.equal(clip[0], clip[2])
    assert not torch.equal(clip.flip(2), plain)
    # what is drawn is drawn once: the block looks the same in each frame
    assert clip[:, 10, 32].unique(dim=-1).shape[-1] <= 2


def test_augmentation_follows_torch(root):
    data = BDD(root, size=(HEIGHT, WIDTH), seq_len=2, augment_prob=0.5)
    clips = []
    for _ in range(2):
        torch.manual_seed(5)
        clips.append([data[1][0] for _ in range(6)])
    assert all(torch.equal(a, b) for a, b in zip(*clips, strict=True))
    assert any(not torch.equal(a, clips[0][0]) for a in clips[0])


def test_what_is_missing_is_named(root, tmp_path):
    with pytest.raises(FileNotFoundError, match='train: download "MOT 2020 labels" from https://bdd-data'):
        BDD(root, train=True)
    (root / "labels" / "box_track_20" / "val" / "c.json").write_text("[]")
    with pytest.raises(ValueError, match=r"c.json must hold at least one frame, got none"):
        BDD(root)[2]
    with pytest.raises(ValueError, match="seq_len must be at least 1, got 0"):
        BDD(root, seq_len=0)


def test_pictures_are_turned():
    picture = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
    for turn, axis in ((utils.flip_lr, 1), (utils.flip_ud, 0)):
        assert np.array_equal(np.asarray(turn(picture)), np.flip(np.asarray(picture), axis))
        assert np.array_equal(np.asarray(turn(turn(picture))), np.asarray(picture))
