"""Train YOLO-KP to find moving shapes, or objects on BDD100K's streets; export it, and compare all backends.

    python docs/tutorials/object_detection.py                        drawn shapes; about 15 minutes on two cores
    python docs/tutorials/object_detection.py --small --epochs 2     checks only that it runs; without Lava
    python docs/tutorials/object_detection.py --data bdd100k         the folder with BDD100K's images/ and labels/

The folder `--out` receives `checkpoint.pt`, from which `--resume` continues, the network `yolo_kp.net`, and pictures:
`detections.png`, `detections.gif` and `training.png`. An interruption leaves a checkpoint of the last complete step.
"""

# %%
from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import _interrupted  # first, so that Ctrl-C ends the program in one line from here on
import torch
from _common import NOTHING_SHOWN, Options, console, display, options, progress, silent
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader

from lavadl_ref import audit, verify
from lavadl_ref.slayer import obd
from lavadl_ref.slayer.object_detection.dataset import BDD, MovingShapes
from lavadl_ref.slayer.object_detection.models import yolo_kp
from lavadl_ref.slayer.utils import Checkpoint

LAVA_FRAMES = 2  #: number of frames of a clip that Lava runs; every message of each layer is compared
LAVA_SECONDS = 3600.0  #: time limit of Lava, which is slow because it computes a convolution in many small ones

# %% [markdown]
# ## Settings
# There is one recipe for drawn shapes, a smaller one for `--small`, and one for streets.


# %%
@dataclass(frozen=True)
class Recipe:
    """The settings of a training."""

    size: tuple[int, int]  #: height and width of the frames
    steps: int  #: number of frames of a clip
    batch: int
    epochs: int
    anchors: Any
    rate: float  #: largest learning rate
    clips: int = 0  #: number of clips of shapes for training
    held_out: int = 0  #: number of clips of shapes for testing


SHAPES = Recipe((96, 96), 8, 8, 24, (((0.25, 0.25), (0.32, 0.32), (0.4, 0.4)),), 2e-3, 1024, 128)
SMALL = replace(SHAPES, size=(64, 64), steps=4, epochs=2, clips=16, held_out=8)
STREETS = Recipe((448, 448), 32, 2, 50, yolo_kp.ANCHORS, 1e-4)
LOSS = {"lambda_coord": 2.0, "lambda_noobj": 4.0, "lambda_obj": 1.8, "lambda_cls": 1.0, "lambda_iou": 2.25}
LOSS |= {"alpha_iou": 0.8, "label_smoothing": 0.03}
NEW = {"order": None, "place": 0, "loss": 0.0, "frames": 0, "seconds": 0.0}  #: state of an epoch before its first clip


def parsed(arguments: list[str] | None) -> Options:
    """The options of the command line."""
    return options(
        __file__,
        __doc__,
        epochs=(SHAPES.epochs, SMALL.epochs),
        epochs_with_data=STREETS.epochs,
        fewest_epochs=1,
        data="BDD100K's images/ and labels/",
        out="yolo_kp",
        arguments=arguments,
    )


# %% [markdown]
# ## Data
# Each clip is a short video, whose objects have a box and a label in each frame.


# %%
def data(recipe: Recipe, root: Path | None, seed: int) -> tuple[Any, Any]:
    """The clips for training, and those for testing."""
    common = {"size": recipe.size, "seq_len": recipe.steps}
    if root is not None:
        return (
            BDD(root, **common, train=True, randomize_seq=True, augment_prob=0.4),  # type: ignore[arg-type]
            BDD(root, **common),  # type: ignore[arg-type]
        )
    return (
        MovingShapes(recipe.clips, **common, train=True, seed=seed),  # type: ignore[arg-type]
        MovingShapes(recipe.held_out, **common, seed=seed),  # type: ignore[arg-type]
    )


# %% [markdown]
# ## Training
# The loop can be interrupted within an epoch, and continues with the clip that follows.


# %%
def schedule(done: float) -> float:
    """The learning rate relative to the largest one, when the fraction `done` of the training is done.

    It rises linearly over the first tenth of the training, and then falls like half a cosine.
    """
    return 0.01 + 0.99 * (done / 0.1 if done < 0.1 else (1 + math.cos(math.pi * min((done - 0.1) / 0.9, 1))) / 2)


@dataclass
class Training:
    """A network and everything that its training needs.

    It has a training loop of its own, because that of `slayer.utils.Training` is for one output and a loss or an
    accuracy per sample: here the targets are those of the heads, the network is tested by average precision, and the
    learning rate changes at each step. The checkpoint is the same.
    """

    net: yolo_kp.Network
    error: obd.YOLOLoss
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    target: obd.YOLOtarget
    train: Any  #: clips
    test: Any
    batch: int
    checkpoint: Checkpoint
    history: list[dict[str, float]] = field(default_factory=list)  #: results of each epoch
    running: dict[str, Any] = field(default_factory=lambda: dict(NEW))  #: state of the epoch in progress

    @classmethod
    def of(cls, recipe: Recipe, root: Path | None, seed: int, out: Path) -> Training:
        """A new training, whose checkpoint is written to the folder `out`."""
        torch.manual_seed(seed)
        train, test = data(recipe, root, seed)
        net = yolo_kp.Network(len(train.classes), recipe.anchors, tau_grad=0.1, scale_grad=0.2)
        net.init_model((*recipe.size, 3))
        assert net.scale is not None
        target = obd.YOLOtarget(net.anchors, net.scale, len(train.classes))
        optimizer = torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=1e-5)
        steps = recipe.epochs * -(-len(train) // recipe.batch)
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(step / steps))
        settings = json.dumps([asdict(replace(recipe, epochs=0)), str(root), seed, len(train), len(test)])
        checkpoint = Checkpoint(out / "checkpoint.pt", settings, {"net": net, "optimizer": optimizer, "schedule": rate})
        error = obd.YOLOLoss(net.anchors, **LOSS)
        return cls(net, error, optimizer, rate, target, train, test, recipe.batch, checkpoint)

    @property
    def classes(self) -> list[str]:
        """Names of the labels."""
        names: list[str] = self.train.classes
        return names

    def resume(self) -> None:
        """Continue from a checkpoint with the same settings; only the number of epochs may differ."""
        values = self.checkpoint.load()
        try:
            self.history, self.running = values["history"], NEW | values["running"]
        except (KeyError, TypeError):
            sys.exit(f"{self.checkpoint.path} must be a checkpoint of this tutorial, got something else")

    def note(self) -> None:
        """Copy the current state, for the checkpoint."""
        says = f"after epoch {len(self.history)}, step {-(-self.running['place'] // self.batch)}"
        self.checkpoint.note(says, history=self.history, running=self.running)

    def tests(self) -> Iterator[Any]:
        """Batches of the clips for testing: images, targets and boxes."""
        return iter(DataLoader(self.test, self.batch, collate_fn=self.target.collate_fn))

    def epoch(self, advance: Callable[[], None]) -> float:
        """Train on all clips that the epoch has not yet used, and return its mean loss per frame."""
        self.net.train()
        began, before = time.perf_counter(), self.running["seconds"]
        if (places := self.running["order"]) is None:
            places = next(iter(DataLoader(range(len(self.train)), len(self.train), shuffle=True)))  # type: ignore[arg-type]
        for part in places[self.running["place"] :].split(self.batch):
            images, targets, _ = self.target.collate_fn([self.train[int(place)] for place in part])
            loss, _ = self.error(self.net(images)[0], targets)
            self.optimizer.zero_grad()
            loss.backward()
            self.net.validate_gradients()
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), 10.0)
            self.optimizer.step()
            self.schedule.step()
            self.running = {
                "order": places,
                "place": self.running["place"] + len(images),
                "loss": self.running["loss"] + loss.item(),
                "frames": self.running["frames"] + images.shape[-1],
                "seconds": before + time.perf_counter() - began,
            }
            self.note()
            advance()
        return self.running["loss"] / self.running["frames"]

    def tested(self, advance: Callable[[], None]) -> obd.bbox.metrics.APstats:
        """The average precision on the clips for testing."""
        stats = obd.bbox.metrics.APstats(0.5)
        for images, _, boxes in self.tests():
            for found, wanted in zip(detected(self.net, images), boxes, strict=True):
                stats.update(found, wanted)
            advance()
        return stats


def detected(net: yolo_kp.Network, images: Tensor) -> list[list[Tensor]]:
    """The detections of the network in clips (N, 3, H, W, T): (n, 6) for each step and sample."""
    with torch.no_grad():
        boxes = net.eval()(images)[0]
    return [obd.bbox.utils.nms([*boxes[..., t]], conf_threshold=0.05, merge_conf=True) for t in range(boxes.shape[-1])]


def stepwise(update: Callable[[int, int, str], None], total: int) -> Callable[[], None]:
    """A function that advances a progress bar by one of `total` steps; `update` is that of `progress`."""
    steps = count(1)
    return lambda: update(next(steps), total, "")


def train(training: Training, epochs: int) -> None:
    """Train until the number of `epochs` is reached, and print a line after each.

    A checkpoint is written at the end and on interruption.
    """
    with _interrupted.telling(training.checkpoint), training.checkpoint.kept():
        training.note()
        for number in range(len(training.history) + 1, epochs + 1):
            began, before = time.perf_counter(), training.running["seconds"]
            steps = -(-len(training.train) // training.batch) - -(-len(training.test) // training.batch)
            with progress(f"epoch {number} of {epochs}") as update:
                advance = stepwise(update, steps)
                loss = training.epoch(advance)
                ap = training.tested(advance)[:]
            seconds = before + time.perf_counter() - began
            training.history.append({"loss": loss, "ap": ap, "seconds": seconds})
            training.running = dict(NEW)
            training.note()
            print(f"epoch {number:3}  loss {loss:8.3f}  AP@0.5 {ap:.3f}  {seconds:.0f} s", flush=True)
        training.checkpoint.write()


# %% [markdown]
# ## Export and comparison of all backends
# Each layer of the deployed network answers a step later than the one before it, so the last frame is held.


# %%
def held(clip: Tensor, layers: int) -> Tensor:
    """The clip (..., T) with its last frame repeated `layers` times: each layer delays its answer by a step."""
    return torch.cat([clip, clip[..., -1:].expand(*clip.shape[:-1], layers)], dim=-1)


def deployed(training: Training, out: Path, lava: bool) -> tuple[audit.Audit, dict[str, verify.Report], str]:
    """Export the network and run it on a clip for testing.

    Returns
    -------
    tuple of (Audit, dict, str)
        The work that the network does; the comparison of each backend with the reference; the layers that were silent.
    """
    net = training.net.eval()
    path = out / "yolo_kp.net"
    net.export_hdf5(path)
    depth = len(net.layers)
    frames = net.normalized(next(training.tests())[0][:1])
    current = (net.input_blocks[0].neuron.quantized_input(frames)[0] * 64).round().long()
    shown = held(frames, depth)
    reports = {"slayer": verify.trained(net.layers, shown)}
    quiet = silent(net.layers, shown, reports["slayer"])
    if lava:
        with progress("running on Lava, which takes minutes"):
            few = held(current[..., :LAVA_FRAMES], depth).numpy()
            reports["lava"] = verify.verify(path, few, slayer=False, timeout=LAVA_SECONDS, in_process=True)
    return audit.audit(path, held(current, depth).numpy()), reports, quiet


def show(training: Training, work: audit.Audit, reports: dict[str, verify.Report]) -> None:
    """Print the tables of average precision and of work, and the result of the comparisons."""
    stats = training.tested(lambda: None)
    table = Table()
    for column in ("class", "AP@0.5"):
        table.add_column(column)
    for label, score in stats.class_scores().items():
        table.add_row(training.classes[label], f"{score.item():.3f}")
    table.add_row("mean", f"{stats[:]:.3f}")
    tables = [table]
    table = Table()
    for column in ("layer", "neurons", "events", "operations", "if dense", "less"):
        table.add_column(column, justify="right")
    frames = next(training.tests())[0].shape[-1]
    per_frame = work.steps / frames  # while the last frame is held, no new work is started
    rows = [(str(layer.position), layer.work) for layer in work.layers if layer.work is not None]
    for name, done in [*rows, ("all", work.totals)]:
        assert done is not None
        events, operations = done.events * per_frame, done.operations * per_frame
        less = f"{done.macs / operations:.1f} times" if operations else "-"
        table.add_row(name, f"{done.neurons:,}", f"{events:,.0f}", f"{operations:,.0f}", f"{done.macs:,}", less)
    tables.append(table)
    for title, table in zip(("average precision on clips never trained on", "work for a frame"), tables, strict=True):
        print(f"\n{title}")
        console.print(table)
    for path, report in reports.items():
        said = report.skipped.get(path)
        agreed = "equal in every message" if report.exact else "DIFFERENT"
        print(f"{path} and the reference: " + (f"not compared, {said}" if said else f"{agreed}, {report.compared:,}"))


# %% [markdown]
# ## Pictures


# %%
def draw(training: Training, out: Path) -> None:
    """Write pictures of detections beside the targets, and of loss and average precision over the epochs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    images, _, boxes = next(training.tests())
    found = [[d[d[:, 4] > 0.3] for d in step] for step in detected(training.net, images)]
    # Boxes are in units of the frame, so they also fit larger pictures, of which the names cover less.
    times = max(1, 320 // images.shape[3])
    images = images.repeat_interleave(times, dim=2).repeat_interleave(times, dim=3)
    clips = [
        obd.bbox.utils.create_frames(images, boxes, found, training.classes, batch=n)
        for n in range(min(4, len(images)))
    ]
    obd.bbox.utils.create_video(images, boxes, found, out / "detections", training.classes)
    figure = Figure(figsize=(13, 6.6), layout="constrained")
    for axes, frames in zip(figure.subplots(2, 2).flat, clips, strict=False):
        axes.imshow(frames[-1])
        axes.set_axis_off()
    FigureCanvasAgg(figure).print_png(str(out / "detections.png"))
    figure = Figure(figsize=(7, 3), layout="constrained")
    for axes, key in zip(figure.subplots(1, 2), ("loss", "ap"), strict=True):
        axes.plot(range(1, len(training.history) + 1), [epoch[key] for epoch in training.history], "o-", markersize=3)
        axes.set(xlabel="epoch", ylabel={"loss": "loss of a frame", "ap": "AP@0.5 of clips for testing"}[key])
    FigureCanvasAgg(figure).print_png(str(out / "training.png"))
    display(out / "detections.png", out / "training.png")


# %% [markdown]
# ## All of it


# %%
def main(arguments: list[str] | None = None) -> int:
    """Train, test, export and compare the network; the result is 0 if all backends agree."""
    wanted = parsed(arguments)
    recipe = STREETS if wanted.data else SMALL if wanted.small else SHAPES
    if wanted.data and wanted.small:
        recipe = replace(recipe, size=(96, 96), steps=4)
    recipe = replace(recipe, epochs=wanted.epochs)
    training = Training.of(recipe, wanted.data, wanted.seed, wanted.out)
    if wanted.resume:
        training.resume()
    train(training, recipe.epochs)
    (wanted.out / "history.json").write_text(json.dumps(training.history, indent=1) + "\n")
    draw(training, wanted.out)
    work, reports, quiet = deployed(training, wanted.out, lava=not wanted.small)
    show(training, work, reports)
    if quiet:
        print(NOTHING_SHOWN.format(quiet), file=sys.stderr)
        return 1
    return 0 if all(report.exact or path in report.skipped for path, report in reports.items()) else 1


if __name__ == "__main__" and (status := main()):  # a notebook takes any exit for an error
    sys.exit(status)
