"""Conversion between annotations and tensors of boxes.

An annotation is a dictionary of the objects of a frame, in pixels:
``{"annotation": {"size": {"height": h, "width": w}, "object": [object, ...]}}``. An object is
``{"id": label, "name": name, "bndbox": {"xmin": ., "ymin": ., "xmax": ., "ymax": .}}``, with ``"confidence"`` if it was
detected. No function changes its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Width = int
Height = int

Annotation = dict[str, Any]
Box = dict[str, Any]


def annotation_of(height: Height, width: Width, objects: Iterable[tuple[int, str, Sequence[float]]]) -> Annotation:
    """The annotation of a frame.

    Parameters
    ----------
    height, width : int
        Size of the frame in pixels.
    objects : iterable of (int, str, (float, float, float, float))
        Label, name, and left, top, right and bottom of the box in pixels, of each object.
    """
    sides = ("xmin", "ymin", "xmax", "ymax")
    entries = [
        {"id": label, "name": name, "bndbox": dict(zip(sides, box, strict=True))} for label, name, box in objects
    ]
    return {"annotation": {"size": {"height": height, "width": width}, "object": entries}}


def annotation_from_tensor(
    tensor: Tensor,
    frame_size: Mapping[str, int],
    object_names: Sequence[str],
    confidence_th: float = 0.01,
    normalized: bool = True,
) -> Annotation:
    """The boxes of a frame as an annotation.

    Parameters
    ----------
    tensor : Tensor
        (n, 6) of a floating dtype: x_center, y_center, width, height, confidence, label.
    frame_size : mapping
        ``height`` and ``width`` of the frame in pixels.
    object_names : sequence of str
        Name of each label.
    confidence_th : float
        Boxes of a smaller confidence are left out.
    normalized : bool
        True if boxes are in units of the frame, False if they are in pixels.

    Raises
    ------
    ValueError
        A label has no name.

    Examples
    --------
    >>> boxes = torch.tensor([[0.5, 0.5, 0.25, 0.5, 1.0, 0.0]])
    >>> found = annotation_from_tensor(boxes, {"height": 32, "width": 64}, ["car"])
    >>> found["annotation"]["object"][0]["bndbox"]
    {'xmin': 24.0, 'ymin': 8.0, 'xmax': 40.0, 'ymax': 24.0}
    """
    height, width = (frame_size["height"], frame_size["width"]) if normalized else (1, 1)
    objects = []
    for x, y, w, h, confidence, label in tensor.detach().reshape(-1, 6).tolist():
        if confidence < confidence_th:
            continue
        if not 0 <= int(label) < len(object_names):
            raise ValueError(
                f"object_names must hold a name for each label, got {len(object_names)} names and label {int(label)}"
            )
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
        Device of the tensor.
    num_objects : int, optional
        Largest number of objects to return; by default all are returned.
    normalized : bool
        True for boxes in units of the frame, False for boxes in pixels.

    Returns
    -------
    Tensor
        (n, 6) float32: x_center, y_center, width, height, confidence (1 if the object has none), label.

    Examples
    --------
    >>> box = {"xmin": 24, "ymin": 8, "xmax": 40, "ymax": 24}
    >>> objects = [{"id": 0, "name": "car", "bndbox": box}]
    >>> tensor_from_annotation({"annotation": {"size": {"height": 32, "width": 64}, "object": objects}})
    tensor([[0.5000, 0.5000, 0.2500, 0.5000, 1.0000, 0.0000]])
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
    """Boxes given by their corners, converted to centre and size.

    Parameters
    ----------
    predictions : sequence of Tensor
        Boxes (n, 4 or more) of each frame: x_min, y_min, x_max, y_max, then columns that stay as they are.

    Returns
    -------
    list of Tensor
        Boxes of the same shapes: x_center, y_center, width, height, then the other columns.

    Examples
    --------
    >>> xxyy_to_xywh([torch.tensor([[0.0, 0.0, 4.0, 2.0]])])
    [tensor([[2., 1., 4., 2.]])]
    """
    return [torch.cat([(p[:, :2] + p[:, 2:4]) / 2, p[:, 2:4] - p[:, :2], p[:, 4:]], dim=1) for p in predictions]


def xywh_to_xxyy(predictions: Sequence[Tensor]) -> list[Tensor]:
    """Boxes (n, 4 or more) of each frame given by centre and size, converted to their corners.

    This is the inverse of `xxyy_to_xywh`.

    >>> xywh_to_xxyy([torch.tensor([[2.0, 1.0, 4.0, 2.0]])])
    [tensor([[0., 0., 4., 2.]])]
    """
    return [torch.cat([p[:, :2] - p[:, 2:4] / 2, p[:, :2] + p[:, 2:4] / 2, p[:, 4:]], dim=1) for p in predictions]


def normalize_bboxes(predictions: Sequence[Tensor], height: Height, width: Width) -> list[Tensor]:
    """Boxes (n, 4 or more) of each frame in pixels, converted to units of a frame of `height` and `width` pixels.

    >>> normalize_bboxes([torch.tensor([[32.0, 8.0, 16.0, 16.0]])], height=32, width=64)
    [tensor([[0.5000, 0.2500, 0.2500, 0.5000]])]
    """
    return [_scaled(p, 1 / width, 1 / height) for p in predictions]


def denormalize_bboxes(predictions: Sequence[Tensor], height: Height, width: Width) -> list[Tensor]:
    """Boxes (n, 4 or more) of each frame in units of a frame of `height` and `width` pixels, converted to pixels.

    >>> denormalize_bboxes([torch.tensor([[0.5, 0.25, 0.25, 0.5]])], height=32, width=64)
    [tensor([[32.,  8., 16., 16.]])]
    """
    return [_scaled(p, width, height) for p in predictions]


def _scaled(boxes: Tensor, x: float, y: float) -> Tensor:
    factors = torch.ones(boxes.shape[1], dtype=boxes.dtype, device=boxes.device)
    factors[:4] = torch.tensor([x, y, x, y], dtype=boxes.dtype)
    return boxes * factors


def merge_annotations(ann0: Annotation, ann1: Annotation) -> Annotation:
    """An annotation with the objects of two annotations of one frame.

    Raises
    ------
    ValueError
        The sizes of the frames differ.
    """
    one, other = ann0["annotation"], ann1["annotation"]
    if any(one["size"][axis] != other["size"][axis] for axis in ("height", "width")):
        raise ValueError(f"annotations must be of frames of one size, got {one['size']} and {other['size']}")
    return {"annotation": {"size": dict(one["size"]), "object": [*one["object"], *other["object"]]}}


def _changed(ann: Annotation, box: Callable[[Box], Box], size: Mapping[str, Any] | None = None) -> Annotation:
    """The annotation with each box replaced by ``box(...)`` of it, and with another `size` if that is given."""
    objects = [{**entry, "bndbox": box(entry["bndbox"])} for entry in ann["annotation"]["object"]]
    new_size = dict(ann["annotation"]["size"] if size is None else size)
    return {**ann, "annotation": {**ann["annotation"], "size": new_size, "object": objects}}


def resize_bounding_boxes(annotation: Annotation, size: tuple[Height, Width]) -> Annotation:
    """The annotation of a frame after resizing it to `size`, (height, width) in pixels."""
    old = annotation["annotation"]["size"]
    y, x = size[0] / old["height"], size[1] / old["width"]

    def box(b: Box) -> Box:
        return {"xmin": b["xmin"] * x, "ymin": b["ymin"] * y, "xmax": b["xmax"] * x, "ymax": b["ymax"] * y}

    return _changed(annotation, box, {"height": size[0], "width": size[1]})


def flipud_bounding_boxes(annotation: Annotation) -> Annotation:
    """The annotation of a frame after turning it upside down."""
    height = annotation["annotation"]["size"]["height"]
    return _changed(annotation, lambda b: {**b, "ymin": height - b["ymax"], "ymax": height - b["ymin"]})


def fliplr_bounding_boxes(annotation: Annotation) -> Annotation:
    """The annotation of a frame after exchanging left and right."""
    width = annotation["annotation"]["size"]["width"]
    return _changed(annotation, lambda b: {**b, "xmin": width - b["xmax"], "xmax": width - b["xmin"]})
