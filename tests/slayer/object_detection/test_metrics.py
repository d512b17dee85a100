"""Overlap and average precision, against their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lavadl_ref.slayer import obd
from lavadl_ref.slayer.object_detection.boundingbox import metrics
from tests.support.boxes import boxes, frame
from tests.support.oracle import detection as naive

THRESHOLDS = [0.3, 0.5, 0.75]


def test_the_package_has_its_public_names():
    assert obd.bbox is obd.boundingbox
    assert obd.bbox.metrics is metrics
    assert obd.bbox.utils.nms is obd.bbox.utils.non_maximum_suppression


@given(boxes(), boxes())
def test_iou_is_taken_of_each_box_with_each(one, other):
    expected = [[naive.iou(a, b) for b in other.tolist()] for a in one.tolist()]
    actual = metrics.bbox_iou(one, other)
    assert actual.shape == (len(one), len(other))
    np.testing.assert_allclose(actual, np.reshape(expected, actual.shape), atol=1e-6)


def test_iou_keeps_the_axes_of_both():
    one, other = torch.rand(2, 3, 4), torch.rand(5, 4)
    assert torch.equal(metrics.bbox_iou(one, other)[1, 2], metrics.bbox_iou(one[1, 2][None], other)[0])


@given(boxes(), boxes())
def test_iou_of_sizes_equals_the_oracle(one, other):
    expected = [[naive.iou((0, 0, *a[2:4]), (0, 0, *b[2:4])) for b in other.tolist()] for a in one.tolist()]
    actual = metrics.wh_iou(one[:, 2:4], other[:, 2:4])
    np.testing.assert_allclose(actual, np.reshape(expected, actual.shape), atol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_ciou_and_its_gradient_equal_the_oracle(seed):
    rng = np.random.default_rng(seed)
    one, other = (np.column_stack([rng.uniform(0.3, 0.7, (4, 2)), rng.uniform(0.1, 0.5, (4, 2))]) for _ in range(2))
    tracked = torch.from_numpy(one).requires_grad_()
    actual = metrics.bbox_ciou(tracked, torch.from_numpy(other))
    np.testing.assert_allclose(actual.detach(), [naive.ciou(a, b) for a, b in zip(one, other, strict=True)], atol=1e-7)
    actual.sum().backward()
    for row, (a, b) in enumerate(zip(one, other, strict=True)):
        v = 4 / np.pi**2 * (np.arctan(a[2] / a[3]) - np.arctan(b[2] / b[3])) ** 2
        alpha = v / (1 - naive.iou(a, b) + v)
        for column in range(4):
            step = np.zeros(4)
            step[column] = 1e-6
            slope = (naive.ciou(a + step, b, alpha) - naive.ciou(a - step, b, alpha)) / 2e-6
            assert tracked.grad[row, column].item() == pytest.approx(slope, abs=1e-5)


def test_ciou_of_boxes_with_one_centre_and_form_is_their_iou():
    one, other = torch.tensor([[0.5, 0.5, 0.4, 0.2]]), torch.tensor([[0.5, 0.5, 0.2, 0.1]])
    assert metrics.bbox_ciou(one, other).item() == pytest.approx(0.25)


def test_ciou_takes_the_whole_distance_of_the_centres():
    one, other = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[3.0, 0.0, 1.0, 1.0]])
    assert metrics.bbox_ciou(one, other).item() == pytest.approx(-9 / 17)


@pytest.mark.parametrize(
    ("precision", "recall", "expected"),
    [
        ([1, 1], [0.5, 1], 1),
        ([1], [0.5], 51 / 101),
        ([0, 0.5], [0, 1], 0.5),
        ([0], [0], 0),
        ([], [], 0),
        ([1, 0.5, 2 / 3], [0.5, 0.5, 1], (51 + 50 * 2 / 3) / 101),
    ],
)
def test_ap_of_small_curves_is_right(precision, recall, expected):
    assert metrics.compute_ap(np.array(precision), np.array(recall)) == pytest.approx(expected)


def test_ap_takes_lists_of_different_lengths():
    with pytest.raises(ValueError, match=r"one value per detection, got \(2,\), \(1,\)"):
        metrics.compute_ap(np.ones(2), np.ones(1))


@given(st.integers(0, 2**32 - 1))
def test_ap_over_frames_equals_the_oracle(seed):
    rng = np.random.default_rng(seed)
    frames = [frame(rng) for _ in range(5)]
    stats = metrics.APstats(THRESHOLDS)
    stats.update([d for d, _ in frames[:2]], [t for _, t in frames[:2]])
    stats.update([d for d, _ in frames[2:]], [t for _, t in frames[2:]])
    listed = [(d.tolist(), t.tolist()) for d, t in frames]
    labels = {t[5] for _, targets in listed for t in targets}
    assert set(stats.class_scores()) == labels
    for i, threshold in enumerate(THRESHOLDS):
        scores = [naive.average_precision(listed, label, threshold) for label in sorted(labels)]
        assert [s[i] for s in stats.class_scores().values()] == pytest.approx(scores)
        assert stats[threshold] == stats[i] == pytest.approx(np.mean(scores) if scores else 0)
    assert stats[:] == pytest.approx(stats.ap_scores().mean())
    stats.reset()
    assert stats.ap_scores().tolist() == [0, 0, 0]


@given(st.integers(0, 2**32 - 1))
def test_ap_of_each_frame_equals_the_oracle(seed):
    rng = np.random.default_rng(seed)
    frames = [frame(rng) for _ in range(4)]
    precision, recall, ap, f1, classes = metrics.average_precision_metrics(
        [d for d, _ in frames], [t for _, t in frames], THRESHOLDS
    )
    with_targets = [(d.tolist(), t.tolist()) for d, t in frames if len(t)]
    assert len(ap) == len(with_targets)
    for number, (detections, targets) in enumerate(with_targets):
        for row, label in enumerate(classes[number]):
            for i, threshold in enumerate(THRESHOLDS):
                expected = naive.average_precision([(detections, targets)], label, threshold)
                assert ap[number][row, i] == pytest.approx(expected)
        p, r = precision[number], recall[number]
        np.testing.assert_allclose(f1[number], 2 * p * r / (p + r + 1e-10))
        assert p.shape == (len(classes[number]), len(THRESHOLDS))


def test_a_detection_of_another_class_is_wrong():
    target = torch.tensor([[0.5, 0.5, 0.2, 0.2, 1, 0], [0.2, 0.2, 0.2, 0.2, 1, 1]])
    swapped = target.clone()
    swapped[:, 5] = 1 - swapped[:, 5]
    for found, expected in ((target, 1), (swapped, 0)):
        stats = metrics.APstats(0.5)
        stats.update([found], [target])
        assert stats[0] == expected


def test_the_more_confident_of_two_detections_takes_the_target():
    target = torch.tensor([[0.5, 0.5, 0.2, 0.2, 1, 0]])
    worse, better = [0.9, 0.9, 0.2, 0.2, 0.3, 0], [0.5, 0.5, 0.2, 0.2, 0.8, 0]
    for order in ([worse, better], [better, worse]):
        precision, recall, ap, _, _ = metrics.average_precision_metrics([torch.tensor(order)], [target], 0.5)
        assert (precision[0].item(), recall[0].item(), ap[0].item()) == (0.5, 1, 1)


def test_a_frame_without_targets_counts():
    target, found = torch.tensor([[0.5, 0.5, 0.2, 0.2, 1, 0]]), torch.tensor([[0.5, 0.5, 0.2, 0.2, 0.5, 0]])
    ghost = found.clone()
    ghost[:, 4] = 0.9
    stats = metrics.APstats(0.5)
    stats.update([found, ghost], [target, torch.zeros(0, 6)])
    assert stats[0] == pytest.approx(0.5)
    assert metrics.average_precision_metrics([ghost, None], [torch.zeros(0, 6), target], 0.5)[2] == []


def test_errors_of_the_metrics_name_what_was_given():
    with pytest.raises(ValueError, match=r"iou_threshold must be one or more numbers from 0 to 1, got \[\]"):
        metrics.APstats([])
    with pytest.raises(ValueError, match="from 0 to 1, got 50"):
        metrics.APstats(50)
    with pytest.raises(KeyError, match=r"must be one of the thresholds \[0.5\], got 0.6"):
        metrics.APstats(0.5)[0.6]
    with pytest.raises(ValueError, match=r"detections must be \(n, 6\).*got \(1, 5\)"):
        metrics.APstats(0.5).update([torch.zeros(1, 5)], [torch.zeros(1, 6)])
