"""Pictures and videos of detections, made with Pillow."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lavadl_ref.exchange import atomic
from lavadl_ref.slayer.io._pillow import pillow
from lavadl_ref.slayer.object_detection.boundingbox.annotation import annotation_from_tensor

if TYPE_CHECKING:
    from PIL.Image import Image

RGB = int
Color = tuple[RGB, RGB, RGB]

_WHITE = (255, 255, 255)
_FRAME_MS = 100  #: duration of a frame of a video in milliseconds


def picture(frame: Tensor | NDArray[Any]) -> Image:
    """A frame as a picture.

    Parameters
    ----------
    frame : Tensor or ndarray
        (3, H, W) with values in [0, 1]: red, green and blue.

    Raises
    ------
    ImportError
        Pillow is not installed.
    ValueError
        The frame has another shape, or values outside [0, 1].
    """
    values = np.asarray(frame.detach().cpu() if isinstance(frame, torch.Tensor) else frame)
    if values.ndim != 3 or values.shape[0] != 3:
        raise ValueError(f"the frame of a picture must be (3, H, W), got {values.shape}")
    if not (values.min(initial=0) >= 0 and values.max(initial=0) <= 1):
        raise ValueError(f"a frame must have values from 0 to 1, got {values.min()} to {values.max()}")
    image: Image = pillow().fromarray(np.ascontiguousarray((values * 255).astype(np.uint8).transpose(1, 2, 0)))
    return image


def render_events_img(inputs: Tensor | NDArray[Any]) -> Image:
    """A frame of events as a picture: the first channel is red, the second blue.

    Parameters
    ----------
    inputs : Tensor or ndarray
        (2, H, W) with values in [0, 1].

    Raises
    ------
    ImportError, ValueError
        As `picture`.
    """
    values = np.asarray(inputs.detach().cpu() if isinstance(inputs, torch.Tensor) else inputs)
    if values.ndim != 3 or values.shape[0] != 2:
        raise ValueError(f"the frame of a picture of events must be (2, H, W), got {values.shape}")
    return picture(np.stack([values[0], np.zeros_like(values[0]), values[1]]))


def colors(count: int) -> list[Color]:
    """`count` colours that are easily told apart, always the same.

    The hue advances by the golden ratio of a turn from one colour to the next, so that any number of colours is
    distributed nearly evenly over all hues.

    >>> colors(2)
    [(255, 50, 50), (50, 110, 255)]
    """
    import colorsys

    hues = (np.arange(count) * 0.618034) % 1
    return [tuple(int(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.8, 1)) for hue in hues]  # type: ignore[misc]


def mark_bounding_boxes(
    image: Image | Tensor,
    objects: Sequence[Mapping[str, Any]],
    box_color_map: Sequence[Color] = (),
    box_color: Color = (0, 255, 0),
    text_color: Color = (0, 0, 255),
    thickness: int = 5,
) -> Image:
    """A copy of a picture with boxes and names drawn into it.

    Parameters
    ----------
    image : Image or Tensor
        The picture, or a tensor of shape (3, H, W), also with further axes of length 1, with values in [0, 1].
    objects : sequence of dict
        The objects of an annotation.
    box_color_map : sequence of colours
        Colour of each label; if there are more labels than colours, the colours are used again from the first. If it
        is given, it takes precedence over the other two.
    box_color, text_color : (int, int, int)
        Red, green and blue of boxes and names, from 0 to 255.
    thickness : int
        Width in pixels of the lines of an object of confidence 1; it is multiplied by the confidence.

    Examples
    --------
    With Pillow installed::

        box = {"xmin": 8, "ymin": 8, "xmax": 24, "ymax": 24}
        mark_bounding_boxes(torch.zeros(3, 32, 64), [{"id": 0, "name": "car", "bndbox": box}]).save("marked.png")
    """
    marked = picture(image.squeeze()) if isinstance(image, torch.Tensor) else image.copy()
    draw = pillow("ImageDraw").Draw(marked)
    for entry in objects:
        box, size = entry["bndbox"], marked.size
        left, top = (int(max(box[side], 0)) for side in ("xmin", "ymin"))
        right, bottom = (int(min(box[side], end - 1)) for side, end in zip(("xmax", "ymax"), size, strict=True))
        if right < left or bottom < top:
            continue  # the box is outside the picture
        line, text = box_color, text_color
        if box_color_map:
            line = tuple(box_color_map[int(entry["id"]) % len(box_color_map)])  # type: ignore[assignment]
            text = tuple(255 - part for part in line)  # type: ignore[assignment]
        width = max(int(thickness * entry.get("confidence", 1)), 1)
        draw.rectangle([left, top, right, bottom], outline=line, width=width)
        draw.rectangle([left, top, left + 40, top + 10], outline=line, fill=line)
        draw.text((left, top), entry["name"], fill=text)
    return marked


def create_frames(
    inputs: Tensor,
    targets: Sequence[Sequence[Tensor]],
    predictions: Sequence[Sequence[Tensor]],
    classes: Sequence[str],
    batch: int = 0,
    box_color_map: Sequence[Color] | None = None,
) -> list[Image]:
    """The pictures of a clip, with detections on the left and targets on the right.

    Parameters
    ----------
    inputs : Tensor
        Clips (N, 3, H, W, T) with values in [0, 1].
    targets, predictions : sequence of sequence of Tensor
        Boxes (n, 6) in units of the frame, of each step and sample: ``targets[t][n]``.
    classes : sequence of str
        Names of the labels.
    batch : int
        Index of the sample that is drawn.
    box_color_map : sequence of colours, optional
        Colour of each label; by default those of `colors`.

    Returns
    -------
    list of Image
        T pictures, H pixels high and 2 W pixels wide.
    """
    return _frames(picture, inputs, targets, predictions, classes, batch, box_color_map)


def create_frames_events(
    inputs: Tensor,
    targets: Sequence[Sequence[Tensor]],
    predictions: Sequence[Sequence[Tensor]],
    classes: Sequence[str],
    batch: int = 0,
    box_color_map: Sequence[Color] | None = None,
) -> list[Image]:
    """The pictures of a clip of events: `create_frames` for `inputs` (N, 2, H, W, T).

    `targets` and `predictions` are boxes (n, 6) of each step and sample, as for `create_frames`.
    """
    return _frames(render_events_img, inputs, targets, predictions, classes, batch, box_color_map)


def _frames(
    render: Callable[[Tensor], Image],
    inputs: Tensor,
    targets: Sequence[Sequence[Tensor]],
    predictions: Sequence[Sequence[Tensor]],
    classes: Sequence[str],
    batch: int,
    box_color_map: Sequence[Color] | None,
) -> list[Image]:
    chosen = colors(len(classes)) if box_color_map is None else box_color_map
    draw = pillow("ImageDraw").Draw
    frames = []
    for t in range(inputs.shape[-1]):
        image = render(inputs[batch, ..., t])
        both = pillow().new("RGB", (2 * image.width, image.height))
        for side, (title, boxes) in enumerate((("Prediction", predictions), ("Ground Truth", targets))):
            size = {"height": image.height, "width": image.width}
            objects = annotation_from_tensor(boxes[t][batch], size, classes, confidence_th=0)["annotation"]["object"]
            marked = mark_bounding_boxes(image, objects, box_color_map=chosen)
            draw(marked).text((5, 5), title, fill=_WHITE)
            both.paste(marked, (side * image.width, 0))
        frames.append(both)
    return frames


def create_video(
    inputs: Tensor,
    targets: Sequence[Sequence[Tensor]],
    predictions: Sequence[Sequence[Tensor]],
    output_path: str | Path,
    classes: Sequence[str],
    batch: int = 0,
    box_color_map: Sequence[Color] | None = None,
) -> Path:
    """Write the pictures of `create_frames` as an animated picture of ten frames a second.

    Parameters
    ----------
    output_path : path
        The file. A name that ends in none of .gif, .png and .webp gets the suffix .gif.
    inputs : Tensor
        Clips (N, 3, H, W, T) with values in [0, 1].
    targets, predictions : sequence of sequence of Tensor
        Boxes (n, 6) of each step and sample, as for `create_frames`.
    classes, batch, box_color_map
        As for `create_frames`.

    Returns
    -------
    Path
        The file.
    """
    return _written(create_frames(inputs, targets, predictions, classes, batch, box_color_map), output_path)


def create_video_events(
    inputs: Tensor,
    targets: Sequence[Sequence[Tensor]],
    predictions: Sequence[Sequence[Tensor]],
    output_path: str | Path,
    classes: Sequence[str],
    batch: int = 0,
    box_color_map: Sequence[Color] | None = None,
) -> Path:
    """Write the pictures of `create_frames_events` as an animated picture: `create_video` for events.

    `inputs` are clips (N, 2, H, W, T), `targets` and `predictions` boxes (n, 6) of each step and sample.
    """
    return _written(create_frames_events(inputs, targets, predictions, classes, batch, box_color_map), output_path)


def _written(frames: list[Image], output_path: str | Path) -> Path:
    path = Path(output_path)
    if path.suffix not in (".gif", ".png", ".webp"):
        path = path.with_name(path.name + ".gif")
    content = io.BytesIO()
    kind = path.suffix.removeprefix(".")
    frames[0].save(content, kind, save_all=True, append_images=frames[1:], duration=_FRAME_MS, loop=0)
    atomic.write_bytes(path, content.getvalue())
    return path
