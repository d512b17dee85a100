"""Boxes, suppression, average precision, targets and loss, one object after the other, for the reader."""

from __future__ import annotations

import math

import numpy as np


def iou(one, other):
    """Area in common over area of both together."""
    sides = []
    for axis in (0, 1):
        low = max(one[axis] - one[axis + 2] / 2, other[axis] - other[axis + 2] / 2)
        high = min(one[axis] + one[axis + 2] / 2, other[axis] + other[axis + 2] / 2)
        sides.append(max(0.0, high - low))
    common = sides[0] * sides[1]
    union = one[2] * one[3] + other[2] * other[3] - common
    return common / union if union else 0.0


def ciou(one, other, alpha=None):
    """IoU - (distance of centres / diagonal around both)^2 - alpha v."""
    around = 0.0
    for axis in (0, 1):
        low = min(one[axis] - one[axis + 2] / 2, other[axis] - other[axis + 2] / 2)
        high = max(one[axis] + one[axis + 2] / 2, other[axis] + other[axis + 2] / 2)
        around += (high - low) ** 2
    distance = (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2
    v = 4 / math.pi**2 * (math.atan(one[2] / one[3]) - math.atan(other[2] / other[3])) ** 2
    overlap = iou(one, other)
    if alpha is None:
        alpha = v / (1 - overlap + v) if v else 0.0
    return overlap - distance / around - alpha * v


def suppressed(detections, threshold):
    """Greedy suppression of (x, y, w, h, score, label), by falling score."""
    kept = []
    for box in sorted(detections, key=lambda d: -d[4]):
        if not any(k[5] == box[5] and iou(k, box) > threshold for k in kept):
            kept.append(box)
    return kept


def average_precision(frames, label, threshold):
    """COCO's average precision of a class over frames of (detections, targets)."""
    found, total = [], 0
    for detections, targets in frames:
        wanted = [t for t in targets if t[5] == label]
        total += len(wanted)
        taken = [False] * len(wanted)
        for box in sorted((d for d in detections if d[5] == label), key=lambda d: -d[4]):
            best, best_iou = None, threshold
            for i, target in enumerate(wanted):
                if not taken[i] and iou(box, target) > best_iou:
                    best, best_iou = i, iou(box, target)
            if best is not None:
                taken[best] = True
            found.append((box[4], best is not None))
    found.sort(key=lambda f: -f[0])
    points, right = [], 0
    for i, (_, is_right) in enumerate(found):
        right += is_right
        points.append((right / total, right / (i + 1)))
    # as COCO's own tool rounds them: 3 / 5 is less than the 61st of these
    recalls = np.linspace(0, 1, 101)
    return sum(max((p for r, p in points if r >= wanted), default=0.0) for wanted in recalls) / 101


def targets(boxes, anchors, width, height, threshold):
    """Targets of one head as a dictionary: (anchor, row, column) -> [x, y, w, h, confidence, label]."""
    found = {}
    likeness = []
    for x, y, w, h, _, label in boxes:
        column, row = min(int(x * width), width - 1), min(int(y * height), height - 1)
        alike = [iou((0, 0, w, h), (0, 0, aw, ah)) for aw, ah in anchors]
        likeness.append((row, column, alike))
        for a in sorted(range(len(anchors)), key=lambda a: -alike[a]):
            if (a, row, column) not in found:
                found[a, row, column] = [x * width - column, y * height - row, w * width, h * height, 1, int(label)]
                break
    for row, column, alike in likeness:
        for a, value in enumerate(alike):
            if value > threshold:
                found.setdefault((a, row, column), [0, 0, 0, 0, -1, 0])
    return found
