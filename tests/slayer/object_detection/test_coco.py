"""Average precision beside COCO's own tool, pycocotools, as an independent implementation of the definition."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from lavadl_ref.slayer.object_detection.boundingbox import metrics
from tests.support.boxes import frame

coco = pytest.importorskip("pycocotools.coco", reason="needs the package pycocotools")
cocoeval = pytest.importorskip("pycocotools.cocoeval", reason="needs the package pycocotools")

#: Those of COCO's AP, of which AP50 and AP75 are the first and the sixth.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
#: COCO's tool adds 2^-52 to the number of detections before it divides by it, and sums in another order.
ROUNDINGS = 4 * 2.0**-52


def evaluated(frames):
    """The evaluation of COCO's tool of pairs of detections and targets."""
    targets, found = [], []
    for image, (detections, wanted) in enumerate(frames):
        targets += [
            {**_box(row), "id": len(targets) + index + 1, "image_id": image, "iscrowd": 0, "area": row[2] * row[3]}
            for index, row in enumerate(wanted.tolist())
        ]
        found += [{**_box(row), "image_id": image, "score": row[4]} for row in detections.tolist()]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(len(frames))],
            "annotations": targets,
            "categories": [{"id": label} for label in range(1, 4)],
        }
        truth.createIndex()
        tool = cocoeval.COCOeval(truth, truth.loadRes(found), "bbox")
        tool.evaluate()
        tool.accumulate()
    return tool


def _box(row):
    """A box by its left upper corner, in pixels so large that none is called small."""
    x, y, width, height = row[:4]
    return {"bbox": [x - width / 2, y - height / 2, width, height], "category_id": int(row[5]) + 1}


def of_the_tool(tool):
    """Average precision of each threshold, over the classes that have targets."""
    precision = tool.eval["precision"][:, :, :, 0, -1]
    assert np.array_equal(tool.params.iouThrs, THRESHOLDS)
    there = (precision > -1).all((0, 1))
    return precision[:, :, there].mean((1, 2))


@given(st.integers(0, 2**32 - 1))
@example(0)
def test_ap_equals_that_of_coco_but_for_its_last_bits(seed):
    rng = np.random.default_rng(seed)
    frames = [frame(rng) for _ in range(4)]
    if not any(len(wanted) for _, wanted in frames):
        return
    stats = metrics.APstats(THRESHOLDS)
    stats.update([found for found, _ in frames], [wanted for _, wanted in frames])
    expected = of_the_tool(evaluated(frames))
    actual = stats.ap_scores()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ROUNDINGS)
    for name, one, other in (
        ("AP", stats[:], expected.mean()),
        ("AP50", stats[0.5], expected[0]),
        ("AP75", stats[0.75], expected[5]),
    ):
        assert abs(one - other) <= ROUNDINGS, name


def test_the_recalls_are_those_of_coco_in_every_bit():
    assert np.array_equal(cocoeval.Params("bbox").recThrs, metrics._RECALLS)


def test_coco_counts_an_overlap_that_equals_the_threshold():
    """Ours, as Lava-DL's, must be above it."""
    target = np.array([[1.0, 1.0, 2.0, 2.0, 1.0, 0.0]])
    half = np.array([[1.0, 0.5, 2.0, 1.0, 0.5, 0.0]])
    frames = [tuple(map(torch.from_numpy, (half, target)))]
    stats = metrics.APstats(THRESHOLDS)
    stats.update([frames[0][0]], [frames[0][1]])
    assert of_the_tool(evaluated(frames))[0] > 0.99
    assert stats[0.5] == 0
