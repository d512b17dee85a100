"""A training step of YOLO-KP, and its parts, next to lava-dl's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lavadl_ref.slayer import obd
from tests.support import upstream
from validation.benchmarks.measure import compare
from validation.benchmarks.results import Part, Row, Settings, ratio_columns, ratio_row
from validation.benchmarks.workloads import moving

CLASSES = 11
OBJECTS = 8  #: of each frame
SPEED = 2  #: of a moving scene, in pixels a step
Scene = Literal["still", "moving"]
#: Clips, size of the frames, frames of a clip, and scene; 32 is what lava-dl's recipe and data sets take.
SHAPES: tuple[tuple[int, int, int, Scene], ...] = (
    *((1, 224, 32, "still"), (1, 224, 32, "moving"), (4, 96, 32, "still")),
    *((2, 128, 8, "still"), (2, 128, 8, "moving")),
)
QUICK: tuple[tuple[int, int, int, Scene], ...] = ((1, 32, 2, "still"), (1, 32, 2, "moving"))


@dataclass
class Trained:
    """A network in training, of either side."""

    net: Any
    target: Any
    error: Any
    optimizer: torch.optim.Optimizer
    batch: list[tuple[Tensor, list[dict[str, Any]]]]

    @classmethod
    def of(cls, root: Any, batch: list[tuple[Tensor, list[dict[str, Any]]]]) -> Trained:
        """YOLO-KP of `root`, either side's ``object_detection``, for a batch of clips and annotations."""
        torch.manual_seed(0)
        net = root.models.yolo_kp.Network(num_classes=CLASSES)
        height, width = batch[0][0].shape[1:3]
        net.init_model((height, width, 3))
        optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
        target = root.YOLOtarget(net.anchors, net.scale, CLASSES)
        return cls(net.train(), target, root.YOLOLoss(net.anchors), optimizer, batch)

    def train(self) -> None:
        """Targets, forward, loss, backward and the optimiser's step."""
        images, targets, _ = self.target.collate_fn(self.batch)
        loss, _ = self.error(self.net(images)[0], targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def collate(self) -> None:
        """Targets alone."""
        self.target.collate_fn(self.batch)

    def prepared(self) -> tuple[Tensor, list[Tensor]]:
        """Random raw output of the head, and targets."""
        images, targets, _ = self.target.collate_fn(self.batch)
        shape = (*targets[0].shape[:4], 5 + CLASSES, images.shape[-1])
        raw = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
        return raw, targets

    def loss(self, raw: Tensor, targets: list[Tensor]) -> None:
        """Loss and its gradient to the raw output alone."""
        raw.grad = None
        # lava-dl's loss changes the targets
        self.error([raw], [t.clone() for t in targets])[0].backward()


def clips(count: int, size: int, steps: int, scene: Scene = "still") -> list[tuple[Tensor, list[dict[str, Any]]]]:
    """Pictures that flicker, or that move by `SPEED` pixels a step, with objects of any size."""
    generator = torch.Generator().manual_seed(0)
    if scene == "still":
        still = torch.rand(count, 3, size, size, 1, generator=generator)
        change = torch.randn(count, 3, size, size, steps, generator=generator)
        images = (still + 0.02 * change).clamp(0, 1)
    else:
        # without grain: less would die out on the way through a network that is not trained
        images = moving((count, 3, size, size, steps), SPEED, generator, grain=1)
    extent = 0.05 + 0.4 * torch.rand(count, steps, OBJECTS, 2, generator=generator)
    low = torch.rand(count, steps, OBJECTS, 2, generator=generator) * (1 - extent)
    corners = (torch.cat([low, low + extent], dim=-1) * size).tolist()
    labels = torch.randint(CLASSES, (count, steps, OBJECTS), generator=generator).tolist()

    def annotation(boxes: list[list[float]], ids: list[int]) -> dict[str, Any]:
        sides = ("xmin", "ymin", "xmax", "ymax")
        objects = [
            {"id": label, "name": "", "bndbox": dict(zip(sides, box, strict=True))}
            for box, label in zip(boxes, ids, strict=True)
        ]
        return {"annotation": {"size": {"height": size, "width": size}, "object": objects}}

    return [
        (image, [annotation(*frame) for frame in zip(boxes, ids, strict=True)])
        for image, boxes, ids in zip(images, corners, labels, strict=True)
    ]


def rows(settings: Settings) -> Iterator[Row]:
    """Training steps, targets and losses of all shapes; ImportError where lava-dl is not installed."""
    theirs = upstream.load_detection()
    warnings.filterwarnings("ignore", category=FutureWarning)  # lava-dl's use of torch's old weight norm
    warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad")
    absolute = torch.abs
    # lava-dl's network asks torch for the magnitude of booleans, which it does not have on a CPU
    torch.abs = lambda x: x if x.dtype == torch.bool else absolute(x)
    try:
        for count, size, steps, scene in QUICK if settings.quick else SHAPES:
            batch = clips(count, size, steps, scene)
            own, other = Trained.of(obd, batch), Trained.of(theirs, batch)
            name = f"YOLO-KP, {count}x3x{size}x{size}, T {steps}"
            step = f"{name}, {scene} scene: training step"
            yield ratio_row(compare(step, own.train, other.train, settings.rounds))
            if scene != "still":
                continue  # what follows does not look at the pictures
            yield ratio_row(compare(f"{name}: targets", own.collate, other.collate, settings.rounds))
            raw, targets = own.prepared()
            found = compare(
                f"{name}: loss and its gradient",
                lambda own=own, raw=raw, targets=targets: own.loss(raw, targets),
                lambda other=other, raw=raw, targets=targets: other.loss(raw, targets),
                settings.rounds,
            )
            yield ratio_row(found)
    finally:
        torch.abs = absolute


PART = Part(
    "detection",
    "Object detection",
    "A training step of YOLO-KP, for 11 classes and 8 objects in each frame, computes targets from annotations, "
    f"forward, loss, backward and AdamW's step. A still scene flickers; a moving one shifts by {SPEED} pixels "
    "per frame. 32 frames is the clip length of Lava-DL's recipe. Most of the remaining time is spent in "
    "convolutions, for which both sides use the same library: the fewer the frames, the larger their share.",
    ratio_columns("lava-dl"),
    rows,
)
