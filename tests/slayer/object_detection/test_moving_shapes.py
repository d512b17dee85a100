"""The generated clips: what is drawn is where the boxes say."""

import numpy as np
import pytest
import torch

from lavadl_ref.slayer.object_detection.boundingbox.utils import tensor_from_annotation
from lavadl_ref.slayer.object_detection.dataset import MovingShapes
from lavadl_ref.slayer.object_detection.dataset.moving_shapes import CLASSES, inside


@pytest.mark.parametrize("label", range(len(CLASSES)))
def test_shapes_fill_their_boxes(label):
    edge = (np.arange(400) + 0.5) / 100 - 2
    shown = inside(edge[None, :], edge[:, None], np.array(label))
    rows, columns = np.nonzero(shown)
    for places in (rows, columns):
        assert edge[places.min()] == pytest.approx(-1, abs=0.03)
        assert edge[places.max()] == pytest.approx(1, abs=0.03)
    area = {"circle": np.pi, "square": 4, "triangle": 2, "cross": 4 * 5 / 9}[CLASSES[label]]
    assert shown.sum() * 0.01**2 == pytest.approx(area, rel=0.02)


def test_objects_are_where_boxes_say():
    shapes = MovingShapes(num_clips=20, size=(48, 64), seq_len=6, max_objects=1)
    for index in range(len(shapes)):
        clip, annotations = shapes[index]
        assert clip.shape == (3, 48, 64, 6)
        for t, annotation in enumerate(annotations):
            (entry,) = annotation["annotation"]["object"]
            box = entry["bndbox"]
            rows, columns = torch.nonzero(clip[..., t].max(0).values >= 0.75, as_tuple=True)
            found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            expected = [box[side] for side in ("xmin", "ymin", "xmax", "ymax")]
            # a triangle's tip and a circle's edge may lie between the centres of pixels
            assert [int(f) for f in found] == pytest.approx(expected, abs=2)


def test_boxes_stay_in_the_frame_and_move():
    shapes = MovingShapes(num_clips=30, size=(48, 64), seq_len=40)
    moved = []
    for index in range(len(shapes)):
        boxes = torch.stack([tensor_from_annotation(a) for a in shapes[index][1]])
        low, high = boxes[..., :2] - boxes[..., 2:4] / 2, boxes[..., :2] + boxes[..., 2:4] / 2
        assert low.min() >= -1e-6
        assert high.max() <= 1 + 1e-6
        moved.append(boxes[:, :, :2].diff(dim=0).abs().max().item())
    assert max(moved) < 0.03
    assert min(moved) > 0


def test_the_background_does_not_move():
    clip, annotations = MovingShapes(size=(48, 64), seq_len=5)[3]
    still = torch.ones(48, 64, dtype=torch.bool)
    for annotation in annotations:
        for entry in annotation["annotation"]["object"]:
            box = entry["bndbox"]
            still[int(box["ymin"]) : int(box["ymax"]) + 1, int(box["xmin"]) : int(box["xmax"]) + 1] = False
    assert still.any()
    assert clip[:, still].diff(dim=-1).eq(0).all()
    assert clip.diff(dim=-1).any()
    assert clip.min() >= 0
    assert clip.max() <= 1


def test_a_clip_depends_on_seed_index_and_set_only():
    made = [MovingShapes(num_clips=n, seed=3)[7][0] for n in (8, 100)]
    assert torch.equal(*made)
    for other in (MovingShapes(seed=4)[7], MovingShapes(seed=3)[6], MovingShapes(seed=3, train=True)[7]):
        assert not torch.equal(other[0], made[0])


def test_all_classes_and_numbers_of_objects_are_drawn():
    shapes = MovingShapes(num_clips=60, size=(32, 32), seq_len=1)
    objects = [shapes[i][1][0]["annotation"]["object"] for i in range(len(shapes))]
    assert {len(found) for found in objects} == {1, 2, 3}
    assert {entry["name"] for found in objects for entry in found} == set(shapes.classes)


def test_errors_of_moving_shapes_name_what_was_given():
    with pytest.raises(ValueError, match=r"got 4, \(0, 32\), 8 and 3"):
        MovingShapes(num_clips=4, size=(0, 32))
    with pytest.raises(IndexError, match=r"index of a clip must be in \[0, 3\], got 4"):
        MovingShapes(num_clips=4)[4]
