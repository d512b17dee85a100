"""Annotations, which are dictionaries of a frame's objects in pixels, and box tensors.

An annotation is ``{"annotation": {"size": {"height": h, "width": w}, "object": [object, ...]}}``, an object
``{"id": label, "name": name, "bndbox": {"xmin": ., "ymin": ., "xmax": ., "ymax": .}}``, with ``"confidence"`` where it
was detected.  All functions return new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Width = int
Height = int

Annotation = dict[str, Any]
Box = dict[str, Any]


def annotation_from_tensor(
    tensor: Tensor,
    frame_size: Mapping[str, int],
    object_names: Sequence[str],
    confidence_th: float = 0.01,
    normalized: bool = True,
) -> Annotation:
    """The boxes of a frame as annotation.

    Parameters
    ----------
    tensor : Tensor
        (n, 6): x_center, y_center, width, height, confidence, label.
    frame_size : mapping
        ``height`` and ``width`` in pixels.
    object_names : sequence of str
        Name of each label.
    confidence_th : float
        Confidence below which boxes are left out.
    normalized : bool
        Whether boxes are in units of the frame; else in pixels.

    Raises
    ------
    ValueError
        If a label has no name.
    """
    height, width = (frame_size["height"], frame_size["width"]) if normalized else (1, 1)
    objects = []
    for x, y, w, h, confidence, label in tensor.detach().reshape(-1, 6).tolist():
        if confidence < confidence_th:
            continue
        if not 0 <= int(label) < len(object_names):
            raise ValueError(f"label {int(label)} has no name: there are {len(object_names)}")
        box = {
            "xmin": (x - w / 2) * width,
            "ymin": (y - h / 2) * height,
            "xmax": (x + w / 2) * width,
            "ymax": (y + h / 2) * height,
        }
        name = object_names[int(label)]
        objects.append({"id": int(label), "name": name, "confidence": confidence, "bndbox": box})
    return {"annotation": {"size": dict(frame_size), "object": objects}}


def tensor_from_annotation(
    ann: Annotation,
    device: torch.device | str = "cpu",
    num_objects: int | None = None,
    normalized: bool = True,
) -> Tensor:
    """The objects of an annotation as boxes, the largest first.

    Parameters
    ----------
    ann : dict
        The annotation. Objects without width or height are left out.
    device : torch.device
        Where the tensor is made.
    num_objects : int, optional
        Most objects to return.
    normalized : bool
        Whether boxes shall be in units of the frame; else in pixels.

    Returns
    -------
    Tensor
        (n, 6) float32: x_center, y_center, width, height, confidence (1 where none is given), label.
    """
    size = ann["annotation"]["size"]
    height, width = (size["height"], size["width"]) if normalized else (1, 1)
    rows = []
    for entry in ann["annotation"]["object"]:
        left, top, right, bottom = (entry["bndbox"][side] for side in ("xmin", "ymin", "xmax", "ymax"))
        if right > left and bottom > top:
            box = ((left + right) / width / 2, (top + bottom) / height / 2)
            extent = ((right - left) / width, (bottom - top) / height)
            rows.append((*box, *extent, entry.get("confidence", 1.0), entry["id"]))
    rows.sort(key=lambda row: -row[2] * row[3])
    return torch.tensor(rows[:num_objects], dtype=torch.float32, device=device).reshape(-1, 6)


def xxyy_to_xywh(predictions: Sequence[Tensor]) -> list[Tensor]:
    """Boxes (n, 4 or more) of x_min, y_min, x_max, y_max as x_center, y_center, width, height."""
    return [torch.cat([(p[:, :2] + p[:, 2:4]) / 2, p[:, 2:4] - p[:, :2], p[:, 4:]], dim=1) for p in predictions]


def xywh_to_xxyy(predictions: Sequence[Tensor]) -> list[Tensor]:
    """Boxes (n, 4 or more) of x_center, y_center, width, height as x_min, y_min, x_max, y_max."""
    return [torch.cat([p[:, :2] - p[:, 2:4] / 2, p[:, :2] + p[:, 2:4] / 2, p[:, 4:]], dim=1) for p in predictions]


def normalize_bboxes(predictions: Sequence[Tensor], height: Height, width: Width) -> list[Tensor]:
    """Boxes (n, 4 or more) in pixels as such in units of a frame of `height` and `width` pixels."""
    return [_scaled(p, 1 / width, 1 / height) for p in predictions]


def denormalize_bboxes(predictions: Sequence[Tensor], height: Height, width: Width) -> list[Tensor]:
    """Boxes (n, 4 or more) in units of a frame of `height` and `width` pixels as such in pixels."""
    return [_scaled(p, width, height) for p in predictions]


def _scaled(boxes: Tensor, x: float, y: float) -> Tensor:
    factors = torch.ones(boxes.shape[1], dtype=boxes.dtype, device=boxes.device)
    factors[:4] = torch.tensor([x, y, x, y], dtype=boxes.dtype)
    return boxes * factors


def merge_annotations(ann0: Annotation, ann1: Annotation) -> Annotation:
    """The objects of two annotations of one frame.

    Raises
    ------
    ValueError
        If the frames have different sizes.
    """
    one, other = ann0["annotation"], ann1["annotation"]
    if any(one["size"][axis] != other["size"][axis] for axis in ("height", "width")):
        raise ValueError(f"annotations must be of frames of one size, got {one['size']} and {other['size']}")
    return {"annotation": {"size": dict(one["size"]), "object": [*one["object"], *other["object"]]}}


def _changed(ann: Annotation, box: Callable[[Box], Box], size: Mapping[str, Any] | None = None) -> Annotation:
    """An annotation with other boxes, and another size."""
    objects = [{**entry, "bndbox": box(entry["bndbox"])} for entry in ann["annotation"]["object"]]
    new_size = dict(ann["annotation"]["size"] if size is None else size)
    return {**ann, "annotation": {**ann["annotation"], "size": new_size, "object": objects}}


def resize_bounding_boxes(annotation: Annotation, size: tuple[Height, Width]) -> Annotation:
    """The annotation of a frame that was resized to `size`, (height, width) pixels."""
    old = annotation["annotation"]["size"]
    y, x = size[0] / old["height"], size[1] / old["width"]

    def box(b: Box) -> Box:
        return {"xmin": b["xmin"] * x, "ymin": b["ymin"] * y, "xmax": b["xmax"] * x, "ymax": b["ymax"] * y}

    return _changed(annotation, box, {"height": size[0], "width": size[1]})


def flipud_bounding_boxes(annotation: Annotation) -> Annotation:
    """The annotation of a frame that was turned upside down."""
    height = annotation["annotation"]["size"]["height"]
    return _changed(annotation, lambda b: {**b, "ymin": height - b["ymax"], "ymax": height - b["ymin"]})


def fliplr_bounding_boxes(annotation: Annotation) -> Annotation:
    """The annotation of a frame whose left and right were exchanged."""
    width = annotation["annotation"]["size"]["width"]
    return _changed(annotation, lambda b: {**b, "xmin": width - b["xmax"], "xmax": width - b["xmin"]})
