"""Detection of objects in clips: YOLO networks, their targets and loss, bounding boxes, and data sets."""

from lavadl_ref.slayer.object_detection import boundingbox, dataset, models
from lavadl_ref.slayer.object_detection import boundingbox as bbox
from lavadl_ref.slayer.object_detection.yolo_base import YOLOBase, YOLOLoss, YOLOtarget

__all__ = ["YOLOBase", "YOLOLoss", "YOLOtarget", "bbox", "boundingbox", "dataset", "models"]
