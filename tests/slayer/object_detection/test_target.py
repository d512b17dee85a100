"""Targets of heads, against assigning objects one by one."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from lavadl_ref.slayer import obd
from lavadl_ref.slayer.object_detection.boundingbox import utils
from tests.support.boxes import boxes
from tests.support.oracle import detection as naive

ANCHORS = [[(0.28, 0.22), (0.38, 0.48), (0.90, 0.78)], [(0.07, 0.15), (0.15, 0.11), (0.14, 0.29)]]
SCALES = [(2, 3), (4, 6)]
THRESHOLD = 0.25
SAME_CELL = torch.tensor([[0.5, 0.5, s, s, 1, label] for label, s in enumerate((0.25, 0.5, 0.125, 0.75, 0.375))])


def as_dictionary(head):
    """The entries of one frame (anchors, H, W, 6) that are not zero."""
    places = torch.nonzero(head.abs().sum(-1)).tolist()
    return {tuple(place): head[tuple(place)].tolist() for place in places}


def close(found, expected):
    assert found.keys() == expected.keys()
    for place, values in expected.items():
        assert found[place] == pytest.approx(values, abs=1e-6)


@given(boxes(most=8, classes=3))
@example(SAME_CELL)
def test_the_target_of_a_frame_equals_the_oracle(found):
    heads = obd.YOLOtarget(ANCHORS, SCALES, 5, THRESHOLD).forward(found)
    for head, anchors, (width, height) in zip(heads, ANCHORS, SCALES, strict=True):
        assert head.shape == (3, height, width, 6)
        close(as_dictionary(head), naive.targets(found.tolist(), anchors, width, height, THRESHOLD))


@given(st.lists(boxes(), min_size=3, max_size=3))
def test_frames_do_not_disturb_each_other(frames):
    target = obd.YOLOtarget(ANCHORS, SCALES, 3)
    together = target.frames(frames)
    for number, frame in enumerate(frames):
        for head, alone in zip(together, target.forward(frame), strict=True):
            assert torch.equal(head[number], alone)


def test_objects_of_one_cell_keep_an_anchor_each():
    coarse, fine = obd.YOLOtarget(ANCHORS, SCALES, 5).forward(SAME_CELL[:3])
    for head in (coarse, fine):
        there = head[head[..., 4] == 1]
        assert sorted(there[:, 5].tolist()) == [0, 1, 2]
    # an anchor is all that a fourth one would need
    assert (obd.YOLOtarget(ANCHORS, SCALES, 5).forward(SAME_CELL)[0][..., 4] == 1).sum() == 3


def test_anchors_that_resemble_an_object_are_ignored_and_others_not():
    found = torch.tensor([[0.5, 0.5, 0.28, 0.22, 1, 2]])
    coarse, _ = obd.YOLOtarget(ANCHORS, SCALES, 3, ignore_iou_thres=0.3).forward(found)
    assert coarse[:, 1, 1, 4].tolist() == [1, -1, 0]
    assert obd.YOLOtarget(ANCHORS, SCALES, 3).forward(found)[0][:, 1, 1, 4].tolist() == [1, 0, 0]


def test_a_centre_on_the_last_edge_is_in_the_last_cell():
    head, _ = obd.YOLOtarget(ANCHORS, SCALES, 3).forward(torch.tensor([[1.0, 1.0, 0.3, 0.2, 1, 0]]))
    assert head[0, 2, 1].tolist() == pytest.approx([1, 1, 0.6, 0.6, 1, 0])


def test_the_target_of_a_batch_is_that_of_its_frames():
    size = {"height": 48, "width": 64}
    found = [[torch.tensor([[0.25, 0.5, 0.25, 0.5, 1, t + 2 * n]]) for t in range(2)] for n in range(2)]
    found[1][0] = torch.zeros(0, 6)
    names = list("abcd")
    batch = [
        (torch.full((3, 4, 4, 2), float(n)), [utils.annotation_from_tensor(b, size, names) for b in clip])
        for n, clip in enumerate(found)
    ]
    target = obd.YOLOtarget(ANCHORS, SCALES, 4)
    images, targets, bboxes = target.collate_fn(batch)
    assert images.shape == (2, 3, 4, 4, 2)
    assert images[1].eq(1).all()
    assert [[len(b) for b in step] for step in bboxes] == [[1, 0], [1, 1]]
    for n in range(2):
        for t in range(2):
            assert torch.equal(bboxes[t][n], found[n][t])
            for head, alone in zip(targets, target.forward(found[n][t]), strict=True):
                assert torch.equal(head[n, ..., t], alone)


def test_errors_of_the_target_name_what_was_given():
    with pytest.raises(ValueError, match=r"one grid per head, got 2 heads and scales \[\(2, 2\)\]"):
        obd.YOLOtarget(ANCHORS, [(2, 2)], 3)
    with pytest.raises(ValueError, match=r"anchors must be positive .* got \[\[0.1\]\]"):
        obd.YOLOtarget([[0.1]], [(2, 2)], 3)
    target = obd.YOLOtarget(ANCHORS, SCALES, 3)
    for box in ([1.5, 0.5, 0.25, 0.25, 1, 0], [0.5, 0.5, 0, 0.25, 1, 0], [0.5, 0.5, 0.25, 0.25, 1, 3]):
        with pytest.raises(ValueError, match=r"a label below 3, got \["):
            target.forward(torch.tensor([box]))
    with pytest.raises(ValueError, match=r"clips of 2 frames must have as many annotations, got \[0\]"):
        target.collate_fn([(torch.zeros(3, 4, 4, 2), [])])
