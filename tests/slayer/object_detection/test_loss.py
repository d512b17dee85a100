"""The loss, against its terms one after the other."""

import math

import pytest
import torch

from lavadl_ref.slayer import obd
from tests.support.oracle import detection as naive

ANCHORS = [[(0.5, 0.25), (0.25, 0.5)], [(1.0, 1.0), (0.5, 0.5)]]
GRIDS = [(2, 2), (4, 4)]
CLASSES, STEPS, BATCH = 3, 3, 2
WEIGHTS = {"lambda_coord": 2, "lambda_noobj": 4, "lambda_obj": 1.8, "lambda_cls": 0.7, "lambda_iou": 2.25}
SMOOTHING = 0.1
#: Boxes of each step and sample; the last step has none.
BOXES = [
    [torch.tensor([[0.3, 0.4, 0.2, 0.3, 1, 1], [0.35, 0.45, 0.4, 0.1, 1, 2]]), torch.zeros(0, 6)],
    [torch.tensor([[0.9, 0.1, 0.6, 0.3, 1, 0]]), torch.tensor([[0.5, 0.5, 0.4, 0.6, 1, 2]])],
    [torch.zeros(0, 6), torch.zeros(0, 6)],
]


@pytest.fixture
def batch():
    """Predictions, float64 with gradient, and targets of both heads."""
    flat = obd.YOLOtarget(ANCHORS, GRIDS, CLASSES).frames([b for step in BOXES for b in step])
    targets = [head.unflatten(0, (STEPS, BATCH)).permute(1, 2, 3, 4, 5, 0).double() for head in flat]
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(*t.shape[:4], 5 + CLASSES, STEPS, generator=generator, dtype=torch.float64).requires_grad_()
        for t in targets
    ], targets


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def expected(predictions, targets, alpha):
    """The five terms in plain Python."""
    terms = [0.0] * 5
    for prediction, target, anchors in zip(predictions, targets, ANCHORS, strict=True):
        for step in range(STEPS):
            found, empty = [], []
            for n, a, y, x in torch.cartesian_prod(*(torch.arange(s) for s in target.shape[:4])).tolist():
                p, t = prediction[n, a, y, x, :, step].tolist(), target[n, a, y, x, :, step].tolist()
                if t[4] == 0:
                    empty.append(math.log1p(math.exp(p[4])))
                if t[4] != 1:
                    continue
                aw, ah = anchors[a]
                box = [sigmoid(p[0]), sigmoid(p[1]), math.exp(p[2]) * aw, math.exp(p[3]) * ah]
                overlap = naive.ciou(box, t[:4])
                wanted = (1 - alpha) + alpha * max(overlap, 0)
                goal = [t[0], t[1], math.log(t[2] / aw), math.log(t[3] / ah)]
                total = math.log(sum(math.exp(v) for v in p[5:]))
                shares = [SMOOTHING / CLASSES + (1 - SMOOTHING) * (c == t[5]) for c in range(CLASSES)]
                found.append([
                    sum((v - g) ** 2 for v, g in zip([box[0], box[1], p[2], p[3]], goal, strict=True)) / 4,
                    -(wanted * math.log(sigmoid(p[4])) + (1 - wanted) * math.log(1 - sigmoid(p[4]))),
                    sum(s * (total - v) for s, v in zip(shares, p[5:], strict=True)),
                    (1 - overlap) ** 2,
                ])  # fmt: skip
            for term, values in zip((0, 1, 3, 4), zip(*found, strict=True), strict=False):
                terms[term] += sum(values) / len(values)
            terms[2] += sum(empty) / len(empty)
    names = ("lambda_coord", "lambda_obj", "lambda_noobj", "lambda_cls", "lambda_iou")
    return [WEIGHTS[name] * term for name, term in zip(names, terms, strict=True)]


@pytest.mark.parametrize("alpha", [0.25, 0.8])
def test_the_terms_of_the_loss_equal_the_oracles(batch, alpha):
    predictions, targets = batch
    error = obd.YOLOLoss(ANCHORS, **WEIGHTS, alpha_iou=alpha, label_smoothing=SMOOTHING)
    loss, terms = error(predictions, targets)
    assert terms.tolist() == pytest.approx(expected(predictions, targets, alpha), rel=1e-6)
    assert loss.item() == pytest.approx(terms.sum().item())
    assert not terms.requires_grad
    assert error.samples == BATCH


def test_the_gradient_of_the_detection_loss_equals_differences(batch):
    predictions, targets = batch
    # what depends on the overlap without a gradient left out
    error = obd.YOLOLoss(ANCHORS, alpha_iou=0, lambda_iou=0)
    assert torch.autograd.gradcheck(lambda *p: error(p, targets)[0], predictions, eps=1e-6, atol=1e-5)


def test_targets_stay_and_a_second_look_gives_the_same(batch):
    predictions, targets = batch
    before = [t.clone() for t in targets]
    error = obd.YOLOLoss(ANCHORS)
    first, second = (error(predictions, targets)[0].item() for _ in range(2))
    assert first == second
    assert all(torch.equal(a, b) for a, b in zip(targets, before, strict=True))


def test_a_batch_without_objects_has_a_finite_loss():
    predictions = [torch.zeros(1, 2, *grid, 5 + CLASSES, 2, requires_grad=True) for grid in GRIDS]
    targets = [torch.zeros(1, 2, *grid, 6, 2) for grid in GRIDS]
    loss, terms = obd.YOLOLoss(ANCHORS, lambda_noobj=1)(predictions, targets)
    assert terms.tolist() == pytest.approx([0, 0, 4 * math.log(2), 0, 0])
    loss.backward()
    assert all(p.grad.isfinite().all() for p in predictions)


def test_a_batch_without_empty_cells_has_a_finite_loss(batch):
    predictions, targets = batch
    full = [torch.where(torch.arange(6).reshape(-1, 1) == 4, t.new_tensor(-1.0), t) for t in targets]
    loss, terms = obd.YOLOLoss(ANCHORS)(predictions, full)
    assert (loss.item(), terms.tolist()) == (0, [0] * 5)


def test_errors_of_the_detection_loss_name_what_was_given(batch):
    predictions, targets = batch
    error = obd.YOLOLoss(ANCHORS)
    with pytest.raises(ValueError, match="must be 2 heads, got 1 predictions and 2 targets"):
        error(predictions[:1], targets)
    with pytest.raises(ValueError, match=r"must fit, got \(2, 2, 2, 2, 8, 3\) and \(2, 2, 4, 4, 6, 3\)"):
        error(predictions, targets[::-1])
