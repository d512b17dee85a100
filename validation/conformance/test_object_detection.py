"""Object detection against lava-dl's: trained networks, targets, loss, boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from lavadl_ref.slayer import obd as ours
from tests.support import upstream
from tests.support.boxes import boxes, chain, one_hot
from tests.support.oracle import detection as naive

pytestmark = [
    pytest.mark.upstream,
    pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad:UserWarning"),
]
theirs = upstream.detection()

#: For each network, what its frames have: size and channels.
NETWORKS = {"yolo_kp": (96, 3), "tiny_yolov3_str": (64, 3), "yolo_kp_events": (64, 2)}
TRAINED = ("yolo_kp", "tiny_yolov3_str")
#: Of lava-dl's float32 boxes, whose exponentials are computed elementwise as ours are but in another order of memory.
ROUNDING = 1e-6


@pytest.fixture(autouse=True)
def mended(monkeypatch):
    """Names that lava-dl needs from torch and NumPy and does not find there."""
    absolute = torch.abs
    monkeypatch.setattr(torch, "abs", lambda x: x if x.dtype == torch.bool else absolute(x))
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)


def checkpoint(name):
    return Path(theirs.__file__).parent / "models" / f"Trained_{name}" / "network.pt"


def clip(size, channels, batch=2, steps=5):
    """A picture that changes here and there; events, if it has two channels."""
    generator = torch.Generator().manual_seed(1)
    if channels == 2:
        return (torch.rand(batch, 2, size, size, steps, generator=generator) < 0.1).float()
    still = torch.rand(batch, channels, size, size, 1, generator=generator)
    change = torch.rand(batch, channels, size, size, steps, generator=generator)
    return torch.where(change < 0.1, change * 10, still)


def pair(name):
    """Theirs and ours with the same parameters: the trained ones where there are such."""
    size, channels = NETWORKS[name]
    torch.manual_seed(0)
    other, own = (getattr(root.models, name).Network(num_classes=80) for root in (theirs, ours))
    for net in (other, own):
        net.init_model((size, size, channels))
    if name in TRAINED:
        own.load_model(checkpoint(name))
        other.load_state_dict(torch.load(checkpoint(name), map_location="cpu", weights_only=True))
    else:
        own.load_state_dict(other.state_dict())
    return other, own


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_give_the_same(name, compared):
    other, own = pair(name)
    x = clip(*NETWORKS[name])
    for training in (False, True):
        with torch.no_grad():
            (expected, their_rates), (actual, rates) = other.train(training)(x), own.train(training)(x)
        if training:
            assert len(actual) == len(expected)
            assert all(torch.equal(a, e) for a, e in zip(actual, expected, strict=True))
            compared("slayer", "lava-dl", sum(a.numel() for a in actual))
        else:
            assert actual.shape == expected.shape
            torch.testing.assert_close(actual, expected, atol=ROUNDING, rtol=ROUNDING)
        blocks = -2 if name != "tiny_yolov3_str" else None
        assert torch.equal(rates[:, :blocks], their_rates[:, :blocks])
    assert [list(scale) for scale in own.scale] == [list(scale) for scale in other.scale]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_have_the_same_parameters(name):
    for classes in (80, 7):
        torch.manual_seed(0)
        other, own = (getattr(root.models, name).Network(num_classes=classes) for root in (theirs, ours))
        for net in (other, own):
            net.init_model((64, 64, NETWORKS[name][1]))
        expected = {key: (value.shape, value.dtype) for key, value in other.state_dict().items()}
        assert {key: (value.shape, value.dtype) for key, value in own.state_dict().items()} == expected


def test_five_bits_hold_the_trained_weights():
    other, own = pair("yolo_kp")
    for left, right in zip(other.blocks, own.blocks, strict=True):
        assert torch.equal(left.synapse.pre_hook_fx(right.synapse.weight), right.synapse.hooked_weight)
    assert own.blocks[8].synapse.pre_hook_fx(torch.tensor([2.0])).item() == 30 / 64
    assert other.blocks[8].synapse.pre_hook_fx(torch.tensor([2.0])).item() == 2


def test_a_training_step_gives_the_same_gradients():
    other, own = pair("yolo_kp")
    x = clip(96, 3, batch=1, steps=3)
    gradients = []
    for net in (other, own):
        net.train()
        (net(x)[0][0] * torch.linspace(-1, 1, 85).reshape(-1, 1)).sum().backward()
        gradients.append({name: p.grad for name, p in net.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


ANCHORS = torch.tensor([[(0.28, 0.22), (0.38, 0.48), (0.90, 0.78)], [(0.07, 0.15), (0.15, 0.11), (0.14, 0.29)]])
SCALES = [(4, 3), (8, 6)]


def in_one_cell(found, scales=SCALES):
    """Tell whether two boxes share a cell of a grid."""
    return any(len({(int(x * w), int(y * h)) for x, y, *_ in found.tolist()}) < len(found) for w, h in scales)


@given(boxes())
def test_targets_of_objects_in_cells_of_their_own_are_the_same(found):
    assume(not in_one_cell(found) and bool((found[:, :2] < 1).all()))
    expected = theirs.YOLOtarget(ANCHORS, SCALES, 3).forward(found)
    actual = ours.YOLOtarget(ANCHORS, SCALES, 3, ignore_iou_thres=0).forward(found)
    for right, left in zip(actual, expected, strict=True):
        torch.testing.assert_close(right, left, atol=1e-6, rtol=0)
    # with a threshold above 0 only what lava-dl ignores without looking at it changes
    for right, left in zip(ours.YOLOtarget(ANCHORS, SCALES, 3).forward(found), expected, strict=True):
        changed = right[..., 4] != left[..., 4]
        assert (left[..., 4][changed] == -1).all()
        assert (right[..., 4][changed] == 0).all()


def test_two_objects_in_a_cell_replace_each_other_there():
    found = torch.tensor([[0.51, 0.51, 0.1, 0.1, 1, 0], [0.52, 0.52, 0.1, 0.1, 1, 1]])
    counts = [
        (root.YOLOtarget(ANCHORS[:1], [(4, 4)], 3).forward(found)[0][..., 4] == 1).sum().item()
        for root in (theirs, ours)
    ]
    assert counts == [0, 2]


def heads(seed, least=1):
    """Predictions and targets of two heads, with objects in each step."""
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    target = ours.YOLOtarget(ANCHORS, SCALES, 3)
    steps, batch = 3, 2
    frames = []
    for _ in range(steps * batch):
        count = int(rng.integers(least, 4))
        found = np.column_stack([rng.uniform(0, 1, (count, 2)), rng.uniform(0.05, 0.9, (count, 2))])
        frames.append(torch.from_numpy(np.column_stack([found, np.ones(count), rng.integers(0, 3, count)])).float())
    wanted = [t.unflatten(0, (steps, batch)).permute(1, 2, 3, 4, 5, 0) for t in target.frames(frames)]
    raw = [torch.randn(*t.shape[:4], 8, steps, generator=generator, requires_grad=True) for t in wanted]
    return raw, wanted


@given(st.integers(0, 2**31))
def test_the_detection_loss_is_the_same(seed):
    raw, wanted = heads(seed)
    arguments = {"lambda_coord": 2, "lambda_noobj": 4, "lambda_obj": 1.8, "lambda_iou": 2.25, "alpha_iou": 0.8}
    own, other = (root.YOLOLoss(ANCHORS, **arguments) for root in (ours, theirs))
    loss, terms = own(raw, wanted)
    _, their_terms = other(raw, [t.clone() for t in wanted])
    # object and IoU see the distance of centres, which lava-dl has wrong
    torch.testing.assert_close(terms[[0, 2, 3]], their_terms[[0, 2, 3]], rtol=1e-5, atol=1e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs.yolo_base, "bbox_ciou", ours.bbox.metrics.bbox_ciou)
        expected, their_terms = other(raw, [t.clone() for t in wanted])
    torch.testing.assert_close(terms, their_terms, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    for gradient, their_gradient in zip(
        torch.autograd.grad(loss, raw), torch.autograd.grad(expected, raw), strict=True
    ):
        torch.testing.assert_close(gradient, their_gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_loss_of_one_head_at_one_step_is_the_same(seed, monkeypatch):
    monkeypatch.setattr(theirs.yolo_base, "bbox_ciou", ours.bbox.metrics.bbox_ciou)
    raw, wanted = (each[0][..., 0] for each in heads(seed))
    own, other = (root.YOLOLoss(ANCHORS) for root in (ours, theirs))
    loss, terms = own.forward_scale(raw, wanted, own.anchors[0])
    expected, their_terms = other.forward_scale(raw.clone(), wanted.clone(), other.anchors[0])
    torch.testing.assert_close(torch.stack(terms), torch.stack(their_terms), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(own.flat_anchors, other.flat_anchors)


def test_frames_of_events_have_two_channels():
    own, other = (root.models.yolo_kp_events.Network(num_classes=2) for root in (ours, theirs))
    own.init_model((64, 64, 2))
    with pytest.raises(RuntimeError, match="channels"):
        other.init_model()


def test_the_second_look_at_targets_differs_there():
    raw, wanted = heads(0)
    own, other = (root.YOLOLoss(ANCHORS) for root in (ours, theirs))
    for loss, same in ((other, False), (own, True)):
        given_targets = [t.clone() for t in wanted]
        first, second = (loss(raw, given_targets)[0].item() for _ in range(2))
        assert (first == second) is same
        assert all(torch.equal(a, b) for a, b in zip(given_targets, wanted, strict=True)) is same


def test_a_step_without_objects_is_nan_there():
    raw, wanted = heads(0)
    empty = [torch.cat([t, torch.zeros_like(t[..., :1])], dim=-1) for t in wanted]
    longer = [torch.cat([x, x[..., :1]], dim=-1) for x in raw]
    assert theirs.YOLOLoss(ANCHORS)(longer, [t.clone() for t in empty])[0].isnan()
    assert ours.YOLOLoss(ANCHORS)(longer, empty)[0].isfinite()


@given(boxes(least=1), boxes(least=1))
def test_overlap_of_two_sets_is_mixed_up_there(one, other):
    expected = theirs.bbox.metrics.bbox_iou(other, one).reshape(len(one), len(other))
    torch.testing.assert_close(ours.bbox.metrics.bbox_iou(one, other), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        ours.bbox.metrics.bbox_iou(one, one), theirs.bbox.metrics.bbox_iou(one, one), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        ours.bbox.metrics.wh_iou(one[:, 2:4], other[:, 2:4]),
        theirs.bbox.metrics.wh_iou(one[:, 2:4], other[:, 2:4]),
        atol=1e-6,
        rtol=0,
    )


def test_ciou_takes_a_quarter_of_the_distance_there():
    one, other = torch.tensor([[0.3, 0.5, 0.4, 0.2]]), torch.tensor([[0.5, 0.5, 0.4, 0.2]])
    expected = naive.ciou(one[0].tolist(), other[0].tolist())
    assert ours.bbox.metrics.bbox_ciou(one, other).item() == pytest.approx(expected)
    assert theirs.bbox.metrics.bbox_ciou(one, other).item() > expected + 0.05
    concentric = torch.tensor([[0.5, 0.5, 0.4, 0.2]]), torch.tensor([[0.5, 0.5, 0.2, 0.1]])
    assert theirs.bbox.metrics.bbox_ciou(*concentric).item() < ours.bbox.metrics.bbox_ciou(*concentric).item() - 0.01


def test_ap_does_not_look_at_classes_there():
    target = torch.tensor([[0.5, 0.5, 0.2, 0.2, 1, 0], [0.2, 0.2, 0.2, 0.2, 1, 1]])
    swapped = target.clone()
    swapped[:, 5] = 1 - swapped[:, 5]
    scores = []
    for root in (theirs, ours):
        stats = root.bbox.metrics.APstats(np.array([0.5]))
        stats.update([swapped], [target])
        scores.append(stats[0])
    assert scores[0] > 0.9
    assert scores[1] == 0


def test_ap_of_a_curve_begins_at_recall_one_there():
    precision, recall = np.array([1.0, 0.5]), np.array([0.5, 0.5])
    assert ours.bbox.metrics.compute_ap(precision, recall) == pytest.approx(51 / 101)
    assert abs(theirs.bbox.metrics.compute_ap(precision, recall) - 51 / 101) > 0.01


@given(boxes(most=10, classes=2, least=1))
def test_suppression_in_one_iteration_is_the_same(found):
    # lava-dl's order of equal scores is not defined
    assume(len({row[4] for row in found.tolist()}) == len(found))
    expected = theirs.bbox.utils.nms([one_hot(found)], conf_threshold=0.2, nms_threshold=0.3)
    actual = ours.bbox.utils.nms([one_hot(found)], conf_threshold=0.2, nms_threshold=0.3, max_iterations=1)
    assert actual[0].tolist() == expected[0].tolist()


def test_what_is_dropped_covers_there():
    found = [one_hot(chain())]
    assert len(theirs.bbox.utils.nms(found, nms_threshold=0.3, conf_threshold=0)[0]) == 1
    assert len(ours.bbox.utils.nms(found, nms_threshold=0.3, conf_threshold=0)[0]) == 3


@given(boxes(least=1))
def test_annotations_are_the_same_as_there(found):
    names, size = ["a", "b", "c"], {"height": 64, "width": 128}
    both = [root.bbox.utils.annotation_from_tensor(found, size, names, confidence_th=0.5) for root in (ours, theirs)]
    assert both[0] == both[1]
    whole = both
    for name in ("fliplr_bounding_boxes", "flipud_bounding_boxes"):
        whole = [getattr(r.bbox.utils, name)(a) for r, a in zip((ours, theirs), whole, strict=True)]
        assert whole[0] == whole[1]


@given(boxes(least=1))
def test_corners_are_the_same_as_there(found):
    corners = ours.bbox.utils.xywh_to_xxyy([found])
    assert torch.equal(theirs.bbox.utils.xxyy_to_xywh(corners)[0], ours.bbox.utils.xxyy_to_xywh(corners)[0])
    # the width is added to the centre there
    assert torch.equal(theirs.bbox.utils.xywh_to_xxyy([found])[0][:, 0], found[:, 0])
    assert not torch.equal(theirs.bbox.utils.xywh_to_xxyy([found])[0], corners[0])
