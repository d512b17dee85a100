"""Random boxes, and detections around them."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

#: Multiples of 1/64: their sums, differences and halves are exact in float32.
GRID = 64


@st.composite
def boxes(draw, most=6, columns=6, classes=3, least=0):
    """(n, columns) boxes on a grid, within the frame: x, y, width, height, confidence, label."""
    count = draw(st.integers(least, most))
    rows = []
    for _ in range(count):
        left, right = sorted(draw(st.lists(st.integers(0, GRID), min_size=2, max_size=2, unique=True)))
        top, bottom = sorted(draw(st.lists(st.integers(0, GRID), min_size=2, max_size=2, unique=True)))
        box = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
        confidence = draw(st.integers(1, GRID))
        rows.append([*(v / GRID for v in box), confidence / GRID, float(draw(st.integers(0, classes - 1)))])
    return torch.tensor(rows).reshape(-1, 6)[:, :columns]


def frame(rng, classes=3, most=6):
    """Targets, and detections of which most are near one: (n, 6) and (m, 6)."""
    count = rng.integers(0, most + 1)
    center, size = rng.uniform(0.2, 0.8, (count, 2)), rng.uniform(0.05, 0.4, (count, 2))
    labels = rng.integers(0, classes, count)
    targets = np.column_stack([center, size, np.ones(count), labels])
    near = targets[rng.integers(0, count, 2 * count)] if count else targets
    near = near + np.concatenate([rng.normal(0, 0.03, (len(near), 4)), np.zeros((len(near), 2))], axis=1)
    stray = np.column_stack([rng.uniform(0.2, 0.8, (3, 2)), rng.uniform(0.05, 0.4, (3, 2)), np.ones((3, 2))])
    found = np.concatenate([near, stray])
    found[:, 2:4] = np.abs(found[:, 2:4]) + 0.01
    found[:, 4] = rng.permutation(len(found)) / len(found) * 0.9 + rng.uniform(0, 0.05)
    other = rng.random(len(found)) < 0.15
    found[other, 5] = rng.integers(0, classes, other.sum())
    return torch.from_numpy(found), torch.from_numpy(targets)


def one_hot(detections, classes=3):
    """Predictions (n, 5 + classes) of which `detections` (n, 6) are the labels."""
    probabilities = torch.nn.functional.one_hot(detections[:, 5].long(), classes).to(detections.dtype)
    return torch.cat([detections[:, :5], probabilities], dim=1)


def chain(length=5):
    """Boxes each of which overlaps the next only."""
    x = torch.arange(length) * 0.04 + 0.2
    rest = torch.full((length, 3), 0.1)
    rest[:, 2] = 0.9 - torch.arange(length) * 0.1
    return torch.column_stack([x, torch.full((length,), 0.5), rest, torch.zeros(length)])
