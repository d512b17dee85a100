"""Functions of bounding boxes: suppression, conversion, drawing."""

from lavadl_ref.slayer.object_detection.boundingbox.annotation import (
    Height,
    Width,
    annotation_from_tensor,
    denormalize_bboxes,
    fliplr_bounding_boxes,
    flipud_bounding_boxes,
    merge_annotations,
    normalize_bboxes,
    resize_bounding_boxes,
    tensor_from_annotation,
    xxyy_to_xywh,
    xywh_to_xxyy,
)
from lavadl_ref.slayer.object_detection.boundingbox.drawing import (
    RGB,
    colors,
    create_frames,
    create_frames_events,
    create_video,
    create_video_events,
    mark_bounding_boxes,
    render_events_img,
)
from lavadl_ref.slayer.object_detection.boundingbox.suppression import nms, non_maximum_suppression, onehot_to_labels

__all__ = [
    "RGB",
    "Height",
    "Width",
    "annotation_from_tensor",
    "colors",
    "create_frames",
    "create_frames_events",
    "create_video",
    "create_video_events",
    "denormalize_bboxes",
    "fliplr_bounding_boxes",
    "flipud_bounding_boxes",
    "mark_bounding_boxes",
    "merge_annotations",
    "nms",
    "non_maximum_suppression",
    "normalize_bboxes",
    "onehot_to_labels",
    "render_events_img",
    "resize_bounding_boxes",
    "tensor_from_annotation",
    "xxyy_to_xywh",
    "xywh_to_xxyy",
]
