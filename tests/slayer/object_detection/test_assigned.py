"""Attributes of a detector that are assigned later take effect, or are refused with an error that helps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lavadl_ref import slayer
from lavadl_ref.slayer.object_detection import YOLOBase, YOLOLoss, YOLOtarget, dataset
from lavadl_ref.slayer.object_detection.boundingbox import metrics

ANCHORS = [[(0.3, 0.2)], [(0.4, 0.3)]]
TERMS = ["lambda_coord", "lambda_obj", "lambda_noobj", "lambda_cls", "lambda_iou"]


def test_a_detectors_loss_and_data_refuse_bad_values():
    criterion = YOLOLoss(ANCHORS)
    for name in ("mse", "bce", "cel"):
        with pytest.raises(AttributeError, match=f"{name} of YOLOLoss .*lambda_coord"):
            setattr(criterion, name, torch.nn.MSELoss())
    with pytest.raises(AttributeError, match=r"flat_anchors .* follows from anchors"):
        criterion.flat_anchors = torch.zeros(2, 2)
    assert torch.equal(criterion.flat_anchors, torch.tensor(ANCHORS).flatten(0, 1))
    scores = metrics.APstats(0.5)
    for name in ("ap_sum", "count"):
        with pytest.raises(AttributeError, match=r"ap_scores\(\)"):
            setattr(scores, name, 0)
    for cls in (dataset.BDD, dataset.PropheseeAutomotive):
        for name in ("datasets", "img_transform", "bb_transform"):
            with pytest.raises(AttributeError, match=r"size and augment_prob|are in"):
                setattr(cls.__new__(cls), name, None)
    for name in ("blur", "grayscale", "color_jitter"):
        with pytest.raises(AttributeError, match="size and augment_prob"):
            setattr(dataset.BDD.__new__(dataset.BDD), name, None)


def test_sizes_that_follow_from_anchors_and_classes_cannot_be_assigned():
    target = YOLOtarget(ANCHORS, [(4, 4), (2, 2)], 2)
    net = YOLOBase(2, ANCHORS)
    for each in (target, net, YOLOLoss(ANCHORS)):
        assert (each.num_scales, each.num_anchors) == (2, 1)
        assert torch.equal(each.flat_anchors, torch.tensor(ANCHORS)[:, 0])
        for name in ("num_scales", "num_anchors", "flat_anchors"):
            with pytest.raises(AttributeError, match=f"{name} of .* cannot be assigned: it follows from anchors"):
                setattr(each, name, 3)
    with pytest.raises(AttributeError, match=r"num_classes of YOLOBase .*make another network"):
        net.num_classes = 3
    with pytest.raises(AttributeError, match=r"num_output of YOLOBase .*follows from num_classes"):
        net.num_output = 3
    assert (net.num_classes, net.num_output) == (2, 7)
    target.scales, target.num_classes, target.ignore_iou_thres = [(3, 3), (2, 2)], 5, 0.1
    box = torch.tensor([[0.5, 0.5, 0.3, 0.3, 1.0, 4.0]])
    found = target.forward(box)
    expected = YOLOtarget(ANCHORS, [(3, 3), (2, 2)], 5, 0.1).forward(box)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    net.clamp_max = 0.0
    boxes = net.yolo(torch.full((1, 1, 1, 1, 7, 1), 9.0), net.anchors[0])
    assert torch.equal(boxes[0, 0, 2:4, 0], net.anchors[0, 0])


def head(seed=0):
    """Predictions (2, 1, 3, 3, 7) of a head and targets (2, 1, 3, 3, 6) with two objects."""
    random = torch.Generator().manual_seed(seed)
    targets = torch.zeros(2, 1, 3, 3, 6)
    targets[0, 0, 1, 2] = torch.tensor([0.4, 0.6, 0.3, 0.2, 1.0, 1.0])
    targets[1, 0, 0, 0] = torch.tensor([0.1, 0.9, 0.5, 0.6, 1.0, 0.0])
    return torch.randn(2, 1, 3, 3, 7, generator=random), targets


@pytest.mark.parametrize("name", TERMS)
def test_the_loss_takes_one_head_alone(name):
    predictions, targets = head()
    criterion = YOLOLoss(ANCHORS[:1])
    held = predictions.clone(), targets.clone()
    value, terms = criterion.forward_scale(predictions, targets, criterion.anchors[0])
    assert torch.equal(predictions, held[0])
    assert torch.equal(targets, held[1])
    whole, distribution = criterion([predictions.unsqueeze(-1)], [targets.unsqueeze(-1)])
    assert torch.equal(value, whole)
    assert torch.equal(torch.stack(terms), distribution)
    assert len(terms) == 5
    setattr(criterion, name, 2 * getattr(criterion, name))
    _, doubled = criterion.forward_scale(predictions, targets, criterion.anchors[0])
    changed = [not torch.equal(a, b) for a, b in zip(terms, doubled, strict=True)]
    assert changed == [name == one for one in TERMS]
    setattr(criterion, name, 0.0)
    criterion.alpha_iou, criterion.label_smoothing = 0.9, 0.5
    _, other = criterion.forward_scale(predictions, targets, criterion.anchors[0])
    assert other[TERMS.index(name)] == 0
    criterion.samples = 7
    criterion([predictions.unsqueeze(-1)], [targets.unsqueeze(-1)])
    assert criterion.samples == 9


def test_frames_are_normalised_by_what_is_assigned():
    net = slayer.obd.models.yolo_kp.Network(num_classes=2)
    frames = torch.rand(1, 3, 2, 2, 1)
    net.normalize_mean, net.normalize_std = torch.zeros(1, 3, 1, 1, 1), 2 * torch.ones(1, 3, 1, 1, 1)
    assert torch.equal(net.normalized(frames), frames / 2)
    assert not torch.equal(slayer.obd.models.yolo_kp.Network(num_classes=2).normalized(frames), frames / 2)


def test_small_names_of_data_sets_exist():
    assert dataset.bdd100k.removesuffix("a.json", ".json") == "a"
    assert dataset.bdd100k.removesuffix("a.json", "") == dataset.bdd100k.removesuffix("a.json", "b") == "a.json"
    image = pytest.importorskip("PIL.Image").fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    flipped = dataset.BDD.flip_lr(dataset.BDD.__new__(dataset.BDD), image)
    assert np.array_equal(np.asarray(flipped), np.asarray(image)[:, ::-1])
