"""Bounding boxes: metrics, suppression, conversion and drawing."""

from lavadl_ref.slayer.object_detection.boundingbox import metrics, utils

__all__ = ["metrics", "utils"]
