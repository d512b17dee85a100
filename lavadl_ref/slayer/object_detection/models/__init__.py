"""Networks that detect objects in clips."""

from lavadl_ref.slayer.object_detection.models import tiny_yolov3_str, yolo_kp, yolo_kp_events

__all__ = ["tiny_yolov3_str", "yolo_kp", "yolo_kp_events"]
