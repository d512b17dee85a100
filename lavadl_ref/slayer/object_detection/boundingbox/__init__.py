"""Bounding boxes: how well they fit, and what is done with them."""

from lavadl_ref.slayer.object_detection.boundingbox import metrics, utils

__all__ = ["metrics", "utils"]
