"""Non-maximum suppression, against going through detections one by one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavadl_ref.slayer.object_detection.boundingbox import utils
from tests.support.boxes import boxes, chain, one_hot
from tests.support.oracle import detection as naive


@given(boxes(most=12, classes=2), st.sampled_from([0.1, 0.25, 0.5]))
def test_suppression_equals_the_oracle_of_one_by_one(found, threshold):
    (actual,) = utils.nms([one_hot(found)], conf_threshold=0.2, nms_threshold=threshold)
    expected = naive.suppressed([d for d in found.tolist() if d[4] > 0.2], threshold)
    assert actual.tolist() == expected


def test_what_is_dropped_covers_nothing():
    found = one_hot(chain())
    assert utils.nms([found], nms_threshold=0.3, conf_threshold=0)[0][:, 0].tolist() == found[::2, 0].tolist()


def test_one_iteration_lets_what_is_dropped_cover():
    found = one_hot(chain())
    assert len(utils.nms([found], nms_threshold=0.3, conf_threshold=0, max_iterations=1)[0]) == 1


def test_score_is_confidence_times_probability():
    found = torch.tensor([[0.5, 0.5, 0.1, 0.1, 0.8, 0.25, 0.75]])
    assert utils.nms([found])[0][0, 4:].tolist() == pytest.approx([0.6, 1])
    assert utils.nms([found], merge_conf=False)[0][0, 4:].tolist() == pytest.approx([0.8, 1])


def test_the_best_detections_are_returned():
    found = one_hot(chain())[torch.tensor([3, 0, 4, 2, 1])]
    scores = utils.nms([found], nms_threshold=1, conf_threshold=0, max_detections=2)[0][:, 4]
    assert scores.tolist() == pytest.approx([0.9, 0.8])


def test_a_frame_without_detections_gives_none():
    assert [d.shape for d in utils.nms([torch.zeros(0, 8), torch.zeros(4, 8)])] == [(0, 6), (0, 6)]


def test_labels_are_those_of_the_largest_probability():
    found = torch.tensor([[0.5, 0.5, 0.1, 0.1, 0.8, 0.25, 0.75], [0.5, 0.5, 0.1, 0.1, 0.2, 0.5, 0.5]])
    (labelled,) = utils.onehot_to_labels([found], conf_threshold=0.3)
    assert labelled[:, 4:].tolist() == [pytest.approx([0.6, 1])]
    assert utils.onehot_to_labels([found], merge_conf=False)[0][:, 4].tolist() == pytest.approx([0.8, 0.2])
