"""Annotations and boxes: there and back."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavadl_ref.slayer.object_detection.boundingbox import utils
from tests.support.boxes import boxes

NAMES = ["car", "bus", "rider"]
SIZE = {"height": 32, "width": 128}


def annotated(found, normalized=True):
    return utils.annotation_from_tensor(found, SIZE, NAMES, confidence_th=0, normalized=normalized)


@given(boxes(), st.booleans())
def test_an_annotation_gives_its_tensor_back(found, normalized):
    back = utils.tensor_from_annotation(annotated(found, normalized), normalized=normalized)
    by_area = sorted(found.tolist(), key=lambda box: -box[2] * box[3])
    assert back.tolist() == by_area


def test_an_annotation_says_place_class_and_confidence():
    (entry,) = annotated(torch.tensor([[0.5, 0.5, 0.25, 0.5, 0.75, 2]]))["annotation"]["object"]
    box = {"xmin": 48, "ymin": 8, "xmax": 80, "ymax": 24}
    assert entry == {"id": 2, "name": "rider", "confidence": 0.75, "bndbox": box}


@given(boxes(least=1))
def test_flips_are_undone_by_themselves(found):
    annotation = annotated(found)
    before = copy.deepcopy(annotation)
    for flip in (utils.fliplr_bounding_boxes, utils.flipud_bounding_boxes):
        assert flip(flip(annotation)) == annotation
    assert annotation == before


@given(boxes(least=1))
def test_flips_mirror_centres(found):
    x, y = found[:, 0], found[:, 1]
    rest = found.tolist()
    for flip, column, expected in (
        (utils.fliplr_bounding_boxes, 0, 1 - x),
        (utils.flipud_bounding_boxes, 1, 1 - y),
    ):
        wanted = copy.deepcopy(rest)
        for row, value in zip(wanted, expected.tolist(), strict=True):
            row[column] = value
        flipped = utils.tensor_from_annotation(flip(annotated(found)))
        assert sorted(flipped.tolist()) == sorted(wanted)


@given(boxes(least=1), st.sampled_from([(16, 64), (64, 512), (128, 32)]))
def test_resizing_is_undone_and_keeps_boxes_of_the_frame(found, size):
    annotation = annotated(found)
    before = copy.deepcopy(annotation)
    resized = utils.resize_bounding_boxes(annotation, size)
    assert resized["annotation"]["size"] == {"height": size[0], "width": size[1]}
    assert torch.equal(utils.tensor_from_annotation(resized), utils.tensor_from_annotation(annotation))
    assert utils.resize_bounding_boxes(resized, (32, 128)) == annotation == before


def test_fractions_of_pixels_are_kept():
    entry = {"id": 0, "name": "car", "bndbox": {"xmin": 1.5, "xmax": 3.25, "ymin": 2.5, "ymax": 4.75}}
    annotation = {"annotation": {"size": {"height": 8, "width": 8}, "object": [entry]}}
    (flipped,) = utils.fliplr_bounding_boxes(annotation)["annotation"]["object"]
    assert flipped["bndbox"] == {"xmin": 4.75, "xmax": 6.5, "ymin": 2.5, "ymax": 4.75}
    (resized,) = utils.resize_bounding_boxes(annotation, (16, 16))["annotation"]["object"]
    assert resized["bndbox"] == {"xmin": 3, "xmax": 6.5, "ymin": 5, "ymax": 9.5}


@given(st.lists(boxes(), max_size=3))
def test_corners_give_their_boxes_back(found):
    corners = utils.xywh_to_xxyy(found)
    for box, corner in zip(found, corners, strict=True):
        assert torch.equal(corner[:, 0], box[:, 0] - box[:, 2] / 2)
        assert torch.equal(corner[:, 3], box[:, 1] + box[:, 3] / 2)
    for box, back in zip(found, utils.xxyy_to_xywh(corners), strict=True):
        assert torch.equal(back, box)


@given(boxes(most=3))
def test_pixels_give_their_boxes_back_in_new_tensors(found):
    before = found.clone()
    (pixels,) = utils.denormalize_bboxes([found], 32, 128)
    assert torch.equal(pixels[:, 0], found[:, 0] * 128)
    assert torch.equal(pixels[:, 3], found[:, 3] * 32)
    assert torch.equal(utils.normalize_bboxes([pixels], 32, 128)[0], found)
    assert torch.equal(found, before)


@given(boxes(), boxes())
def test_merged_annotations_are_one(one, other):
    merged = utils.merge_annotations(annotated(one), annotated(other))
    back = utils.tensor_from_annotation(merged)
    assert sorted(back.tolist()) == sorted(one.tolist() + other.tolist())


def test_frames_of_different_sizes_are_not_merged():
    other = {"annotation": {"size": {"height": 1, "width": 2}, "object": []}}
    with pytest.raises(ValueError, match=r"one size, got .*32.* and .*'height': 1"):
        utils.merge_annotations(annotated(torch.zeros(0, 6)), other)


def test_an_annotation_may_have_no_objects_and_boxes_without_area():
    empty = annotated(torch.zeros(0, 6))
    assert utils.tensor_from_annotation(empty).shape == (0, 6)
    flat = annotated(torch.tensor([[0.5, 0.5, 0, 0.5, 1, 0]]))
    assert utils.tensor_from_annotation(flat).shape == (0, 6)


def test_the_largest_objects_are_kept():
    found = torch.tensor([[0.5, 0.5, 0.125, 0.5, 1, 0], [0.5, 0.5, 0.25, 0.5, 1, 1], [0.5, 0.5, 0.5, 0.5, 1, 2]])
    assert utils.tensor_from_annotation(annotated(found), num_objects=2)[:, 5].tolist() == [2, 1]


def test_low_confidence_is_left_out_and_labels_need_no_names():
    found = torch.tensor([[0.5, 0.5, 0.25, 0.5, 0.1, 0], [0.5, 0.5, 0.25, 0.5, 0.3, 1]])
    objects = utils.annotation_from_tensor(found, SIZE, NAMES, confidence_th=0.2)["annotation"]["object"]
    assert [entry["name"] for entry in objects] == ["bus"]
    with pytest.raises(ValueError, match="must hold a name for each label, got 1 names and label 1"):
        utils.annotation_from_tensor(found, SIZE, NAMES[:1])
